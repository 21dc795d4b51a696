"""Every size and count limit of a run, in one place, with its reason.

Temporal refuses a field over 2 MB and ends a run over a 4 MB message (measured: design section 4, "Sizes are
bounded"), so everything here stays far below, and is checked before anything is scheduled.

Replay reads these numbers too: a run under way must keep those it began with. See "Changing code under runs that wait"
in `docs/architecture.md` before you change one.
"""

KIB = 1024
MIB = 1024 * KIB

TASK_BYTES = 256 * KIB
"""The task a run starts from, and one message of a person: it is in every model call."""

ARGUMENT_BYTES = 256 * KIB
"""The canonical arguments of one tool call: they are an activity's input."""

RESULT_BYTES = 256 * KIB
"""What one tool call gives back unless its tool says less: it is in the transcript from then on."""

TURN_RESULT_BYTES = 2 * MIB
"""What all calls of one turn give back together: a turn of 200 calls must still fit a model's window."""

SMALLEST_RESULT_BYTES = 8 * KIB
"""However many calls share a turn, each may say this much."""

REPLY_BYTES = MIB
"""One model reply as JSON: it is an activity's result, and half of what a field may hold."""

DELTA_BYTES = 256 * KIB
"""Messages handed to a model call in its input; more than this it reads by query."""

ASIDE_DELTA_BYTES = 16 * KIB
"""The same for a question beside the conversation, which is handed what the next model call will be handed again."""

QUESTION_BYTES = 2 * KIB
"""A person's question to the agent at a gate: it is on the card, and in every answer to the query `status`."""

CARDS_BYTES = 256 * KIB
"""Of all whole cards in an answer to the query `status`; those beyond are shortened."""

SHOWN_CARDS = 20
"""Cards in the memo, which a listing of a thousand runs reads, and in the details that the Web UI shows."""

PAGE_BYTES = 512 * KIB
"""One page of a query: several queries may be answered together with a workflow task, in one message."""

MESSAGE_BYTES = 64 * KIB
"""One signal or update to a run. A longer text belongs into a file that the agent can read."""

READ_AT_ONCE = 250
"""Messages, each counted once and once more for each KiB, that a run reads in one workflow task. A message of 50 KiB takes
up to 50 ms (measured), and a task of two seconds counts as deadlocked."""

CARRY_BYTES = 1536 * KIB
"""Compressed transcript handed to the next execution in its input; the rest it fetches in chunks of this size."""

CALLS_PER_TURN = 256
"""Calls that one reply may ask for; those above are refused with a result that says so."""

PARALLEL_CALLS = 16
"""Calls of one run that are in flight together: enough to read side by side, small enough to share a worker."""

BATCH_BYTES = MIB
"""Arguments dispatched by one workflow task: several inputs in one message must stay under 4 MB."""

PREVIEW_BYTES = 4 * KIB
"""A tool's preview as a card shows it: a screen or two. Its digest covers all of it."""

STATED_CHARS = 500
"""The model's own reason for a call, as a card shows it."""

SAY_BYTES = 32 * KIB
"""One message of a person to a run: half of what a signal may hold."""

ATTRIBUTE_BYTES = 1700
"""Of a list of names in a search attribute, as JSON in ASCII: the server ends a run whose value is over 2,048."""

KEPT_SAID = 50
"""Messages of people whose receipt `status` shows."""

GRANT_CALLS = 100
"""Calls that one approval for the rest of a run may let pass."""

KEPT_CALLS = 50
"""Closed calls that `status` shows; the query `calls` pages through all of them."""

KEPT_REJECTED = 50
"""Refused messages that `status` shows, beside their number."""

KEPT_DECISIONS = 50
"""Gates whose decision is remembered, so that a late answer is told who decided and when."""

SUMMARY_CHARS = 120
"""A call in one line: the Web UI's event list, cards, tables."""

NUDGES = 3
"""Replies in a row without a call or an answer before a person is asked."""

PROVIDER_WAITS = 20
"""Waits in a row that a model provider may ask for before a person is asked: hours, at the cap of one wait."""

CONTINUE_EVENTS = 2_000
"""Events after which a run continues as new: their replay must fit a workflow task of two seconds."""

CONTINUE_BYTES = 2 * MIB
"""History bytes after which a run continues as new, beyond what it was handed."""


def clip(text: str, limit: int = SUMMARY_CHARS) -> str:
    """The text on one line, cut to `limit` characters with an ellipsis where it was longer."""
    line = " ".join(text[: limit * 4].encode(errors="replace").decode().split())
    whole = len(line) <= limit and len(text) <= limit * 4
    return line if whole else line[: limit - 1] + "…"
