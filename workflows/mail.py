"""Messages on a run's queue: read one at a time, an edit with its tool's word, many of them over several tasks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from temporalio import workflow

from agents import bounds
from agents.deciding import Receipt, edit_to_check, receive
from agents.events import Moment
from agents.message import RawMessage
from agents.state import RunState
from workflows.under_way import check_edit

EARLY_MESSAGES = "messages-before-the-definition"
"""Patch id: since then a run takes steering messages before its definition is resolved."""


@dataclass
class Mail:
    """A message on the queue; it has its receipt once the run has taken it."""

    message: RawMessage
    receipt: Receipt | None = None


class MailReader:
    """Folds messages into a run.

    Args:
        moment: Gives the moment at which one is folded in.
    """

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment
        self._checks = 0
        self._read = 0
        self._read_in = 0

    async def take(
        self, state: RunState, mail: Mail, *, stopping: bool
    ) -> tuple[RunState, asyncio.CancelledError | None]:
        """The run with this message taken, and the run's cancellation where it came meanwhile.

        Args:
            state: The run.
            mail: The message, which gets its receipt.
            stopping: The run is cancelled: no edit is checked any more, and so it is refused.
        """
        if state.definition is None and state.early is None:
            # Before its definition is known nothing else tells a run of this version from one of the version before.
            state = state.model_copy(update={"early": workflow.patched(EARLY_MESSAGES)})
        check = None if stopping else edit_to_check(state, mail.message)
        checked, cancelled = None, None
        if check:
            self._checks += 1
            try:
                # Nothing else is taken meanwhile: the first valid decision wins, in the order in which they came.
                checked = await check_edit(check, self._checks, state)
            except asyncio.CancelledError as error:
                cancelled = error
        state, mail.receipt = receive(state, mail.message, self._moment(), checked)
        return state, cancelled

    async def breathe(self, state: RunState, mail: Mail) -> None:
        """End the workflow task now and then: one that reads messages for two seconds counts as deadlocked."""
        task = workflow.info().get_current_history_length()
        if task != self._read_in:
            self._read, self._read_in = 0, task
        self._read += 1 + mail.message.size // bounds.KIB
        if self._read > bounds.READ_AT_ONCE and not state.before_rules:
            self._read = 0
            await workflow.sleep(0.001, summary="reads messages")
