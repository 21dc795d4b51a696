"""Notices: what the webhook gets, how it can tell who sent it, and what becomes of a message that does not arrive."""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import activities.webhook
from activities import slack
from activities.notify import NotifyActivities, spread
from activities.slack import message
from activities.webhook import LONGEST_WAIT, POST_SECONDS, Refused, Trouble, Webhook
from agents.card import Card, Spent
from agents.gate import DecisionKind, Exchange, GateKind
from agents.notice import Notice, notice_key
from console.text import UNSAFE
from tests.commands import starter
from tests.fake_service import Delivery, FakeService, Step, answers, drops, holds, redirects
from tests.house import House
from workflows.options import NOTICE_TIMEOUT, notice_options

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "a shared secret of some length"
PATH = "/services/T0AAAAAAA/B0BBBBBBB/hunter2hunter2hunter2"
REPLAY_WINDOW = 300
"""Seconds, as the document tells receivers."""

HOSTILE = (
    "<!channel> <@U123> <#C123> <https://evil.example|click> https://evil.example *bold* _it_ ~no~ `code` ```\n"
    "> quote &lt;!here&gt; :tada: @here \u202egnp.exe\x1b[31m\x07 \ud800"
)


def card(**changes: Any) -> Card:
    base = Card(
        gate="t3.c1",
        call="t3.c1",
        kind=GateKind.APPROVAL,
        tool="pay",
        summary='pay(to="Bo", amount=120)',
        reason="irreversible, and the dial is supervised",
        risk="high",
        digest="0123456789abcdef" * 4,
        since=NOW,
        deadline=None,
        command='temporal workflow signal --workflow-id r1 --name approve --input \'{"gate":"t3.c1"}\'',
        others=("temporal workflow signal --workflow-id r1 --name deny --input '{}'",),
    )
    return base.model_copy(update=changes)


def notice(**changes: Any) -> Notice:
    about = {"run": "r1", "agent": "tester", "tenant": "default", "what": "asks", "number": 1}
    given = {name: changes.pop(name) for name in about.keys() & changes.keys()}
    return Notice.model_validate({**about, **given, "card": card(**changes)})


def texts(value: Any) -> Iterator[str]:
    """Every text of the blocks, as it is shown."""
    if isinstance(value, dict):
        yield from [value["text"]] if isinstance(value.get("text"), str) else texts(value.get("text"))
        yield from texts(value.get("elements"))
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def shown(made: dict[str, Any]) -> str:
    return "\n".join(texts(made["blocks"]))


def verified(delivery: Delivery, secret: str, now: float) -> bool:
    """A receiver's check, as docs/notifications.md describes it, in code of its own."""
    timestamp = delivery.headers.get("x-agent-timestamp", "")
    given = delivery.headers.get("x-agent-signature", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > REPLAY_WINDOW:
        return False
    signed = f"v1:{timestamp}:".encode() + delivery.body
    return hmac.compare_digest(given, "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest())


def clock() -> float:
    return datetime.now(UTC).timestamp()


# --- what is said ---------------------------------------------------------------------------------------------


def test_a_message_says_what_will_happen_why_who_is_asked_until_when_and_how_to_answer() -> None:
    made = message(
        notice(
            preview="Bo gets 120.00 EUR",
            stated="the invoice is due",
            asks=("manager", "ann"),
            needed=2,
            approved_by=("bob",),
            requester_counts=False,
            deadline=NOW + timedelta(hours=4),
            nobody="deny",
            rule="large payments",
            evidence=("t2.c1 look: done",),
            undo="refund it",
            changed="amount was 100",
            thread=(Exchange(by="ann", question="who is Bo?", at=NOW, answer="a supplier"),),
            spent=Spent(model_calls=3, tokens=4500, cost=0.07),
        )
    )
    said = shown(made)

    for words in (
        "Waits for approval: pay (high risk)",
        "Run r1 (tester) at t3.c1, asks manager, ann, until 2026-01-01 16:00 UTC.",
        'pay(to="Bo", amount=120)',
        "Bo gets 120.00 EUR",
        "Why the agent wants it, in the model's words:",
        "the invoice is due",
        "irreversible, and the dial is supervised",
        "By rule: large payments",
        "Approvals needed: 2. So far: bob",
        "Whoever asked for the run may not decide.",
        "If nobody decides until 2026-01-01 16:00 UTC: it is denied",
        "What undoes it: refund it",
        "t2.c1 look: done",
        "amount was 100",
        "who is Bo?",
        "a supplier",
        "3 model calls, 4,500 tokens, 0.07 USD",
        card().command,
        card().others[0],
    ):
        assert words in said


def test_a_message_has_a_part_for_programs() -> None:
    made = message(
        notice(asks=("manager", "ann"), needed=2, accepts=(DecisionKind.APPROVE, DecisionKind.DENY))
    )

    assert made["metadata"] == {
        "event_type": "agent_gate",
        "event_payload": {
            "version": 1,
            "key": notice_key(notice()),
            "what": "asks",
            "number": 1,
            "run": "r1",
            "agent": "tester",
            "tenant": "default",
            "gate": "t3.c1",
            "kind": "approval",
            "digest": card().digest,
            "accepts": "approve,deny",
            "tool": "pay",
            "rule": "",
            "risk": "high",
            "asks": "manager,ann",
            "needed": 2,
            "since": "2026-01-01T12:00:00+00:00",
            "deadline": "",
        },
    }


@pytest.mark.parametrize("kind", GateKind)
@pytest.mark.parametrize("what", ["asks", "reminds", "escalates"])
def test_every_kind_of_gate_and_notice_has_words(kind: GateKind, what: str) -> None:
    made = message(notice(kind=kind, what=what, tool=None, call=None))

    header = made["blocks"][0]["text"]["text"]
    assert header.startswith({"asks": "Waits for ", "reminds": "Still waits", "escalates": "Escalated"}[what])
    assert str(kind) in header or header.endswith(("an answer", "a decision on a failure"))


WRITTEN = {
    "summary": HOSTILE,
    "preview": HOSTILE,
    "stated": HOSTILE,
    "changed": HOSTILE,
    "reason": HOSTILE,
    "undo": HOSTILE,
    "evidence": (HOSTILE,) * 9,
    "thread": (Exchange.model_construct(by=HOSTILE, question=HOSTILE, at=NOW, answer=HOSTILE),),
    "rule": HOSTILE,
    "asks": (HOSTILE,),
    "approved_by": (HOSTILE,),
    "needed": 2,
    "nobody": HOSTILE,
    "deadline": NOW,
}
"""Every text of a card, as bad as it can be."""


@pytest.mark.parametrize("kind", GateKind)
def test_nothing_that_was_written_becomes_a_link_a_mention_or_formatting(kind: GateKind) -> None:
    made = message(notice(kind=kind, **WRITTEN))
    header, body = made["blocks"]

    # Slack parses text objects and `text`. The one text object is plain, and all of ours.
    assert header == {
        "type": "header",
        "text": {"type": "plain_text", "text": header["text"]["text"], "emoji": False},
    }
    assert "evil" not in header["text"]["text"]
    # Text elements are parsed by nobody: they are all there is, and only our own labels are bold.
    assert body["type"] == "rich_text"
    for part in body["elements"]:
        assert part.keys() == {"type", "elements"}
        assert part["type"] in {"rich_text_section", "rich_text_preformatted", "rich_text_quote"}
        for element in part["elements"]:
            assert element["type"] == "text"
            assert element.keys() <= {"type", "text", "style"}
            if "style" in element and "has asked the agent" not in element["text"]:
                assert "evil" not in element["text"]


def test_what_slack_parses_holds_no_text_of_a_model_and_is_escaped() -> None:
    made = message(notice(**{**WRITTEN, "asks": ("<!channel>", "R&D")}))

    assert not {"evil", "bold", "gnp"} & set(made["text"].replace("|", " ").split())
    assert "asks &lt;!channel&gt;, R&amp;D" in made["text"]
    assert not {"<", ">"} & set(made["text"])
    assert (made["mrkdwn"], made["unfurl_links"], made["unfurl_media"]) == (False, False, False)


def test_nobody_can_write_a_line_that_passes_for_one_of_ours() -> None:
    """Labels are bold; facts stand one a line, so what others wrote into them is put on one line."""
    forged = "fine\nIf nobody decides until tomorrow: it is approved"
    made = message(notice(reason=forged, undo=forged, rule=forged, asks=(forged,)))

    assert not [
        text for text in texts(made["blocks"]) for line in text.splitlines() if line.startswith("If nobody")
    ]


def test_what_steers_a_terminal_or_turns_the_line_is_replaced() -> None:
    made = message(notice(**WRITTEN))

    assert not [text for text in texts(made["blocks"]) if slack.UNSAFE.search(text)]
    json.dumps(made, ensure_ascii=False).encode()
    assert slack.UNSAFE.pattern == UNSAFE.pattern


@pytest.mark.parametrize("letter", ["x", "\n", "é", "\U0001f600"])
def test_a_message_stays_within_slacks_bounds_and_says_what_is_missing(letter: str) -> None:
    long = letter * 100_000
    made = message(
        notice(
            run="r" * 240,
            agent="a" * 64,
            tenant="t" * 40,
            tool="t" * 64,
            command="c" * 700,
            others=("d" * 700,) * 9,
            **dict.fromkeys(
                ("summary", "preview", "stated", "changed", "reason", "undo", "rule", "nobody"), long
            ),
            asks=(long,) * 20,
            approved_by=(long,) * 20,
            evidence=(long,) * 50,
            thread=(Exchange(by=long, question=long, at=NOW, answer=long),) * 50,
            needed=20,
            deadline=NOW,
            requester_counts=False,
        )
    )
    header, _ = made["blocks"]

    assert len(header["text"]["text"]) <= 150
    assert all(0 < len(text) <= 3000 for text in texts(made["blocks"]))
    assert sum(len(text) for text in texts(made["blocks"])) <= 9_300
    assert len(made["text"]) <= 1_000
    assert len(json.dumps(made["metadata"], ensure_ascii=False)) <= 4_000
    assert "characters in all; the inbox shows more" in shown(made)


def test_commands_are_whole_or_not_there() -> None:
    lines = [f"temporal {number} {'x' * 500}" for number in range(9)]
    made = message(notice(command=lines[0], others=tuple(lines[1:])))

    posted = [
        line for text in texts(made["blocks"]) for line in text.splitlines() if line.startswith("temporal")
    ]
    assert posted == lines[: len(posted)]
    assert posted


def test_a_message_is_the_same_for_every_attempt_and_another_one_has_another_key() -> None:
    assert message(notice(**WRITTEN)) == message(notice(**WRITTEN))
    keys = {
        notice_key(notice()),
        notice_key(notice(number=2)),
        notice_key(notice(digest="f" * 64)),
    }
    assert len(keys) == 3


# --- how it is sent -------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as fake:
        yield fake


def webhook(service: FakeService, *steps: Step, secret: str | None = SECRET, path: str = PATH) -> Webhook:
    service.script(path, steps, idempotent=True)
    return Webhook(SecretStr(service.url(path)), None if secret is None else SecretStr(secret))


async def test_a_receiver_can_tell_that_it_was_us_and_now(service: FakeService) -> None:
    assert await webhook(service).post(message(notice()), "key-1") == 200

    (delivery,) = service.to(PATH)
    assert delivery.method == "POST"
    assert delivery.key == "key-1"
    assert delivery.headers["content-type"].startswith("application/json")
    assert delivery.json == message(notice())
    assert verified(delivery, SECRET, clock())
    assert not verified(delivery, "another secret of some length", clock())
    assert not verified(delivery, SECRET, clock() + REPLAY_WINDOW + 5)
    delivery.body = delivery.body.replace(b"r1", b"r2")
    assert not verified(delivery, SECRET, clock())


async def test_an_older_body_under_a_new_timestamp_is_not_verified(service: FakeService) -> None:
    await webhook(service).post(message(notice()), "key-1")

    (delivery,) = service.to(PATH)
    delivery.headers = {**delivery.headers, "x-agent-timestamp": str(int(clock()) + 60)}
    assert not verified(delivery, SECRET, clock())


async def test_without_a_secret_nothing_pretends_to_be_signed(service: FakeService) -> None:
    await webhook(service, secret=None).post({}, "key-1")

    assert not [name for name in service.to(PATH)[0].headers if name.startswith("x-agent")]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (answers(400, "invalid_blocks"), "answered 400 (invalid_blocks)"),
        (answers(401, "bad signature"), "AGENT_NOTIFY_SECRET must be the same"),
        (answers(403, "action_prohibited"), "answered 403 (action_prohibited)"),
        (answers(404, "no_service"), "answered 404 (no_service). There is no such webhook any more"),
        (answers(410, "channel_is_archived"), "set AGENT_NOTIFY_URL to a new one"),
        (answers(422, ""), "answered 422. Check AGENT_NOTIFY_URL"),
    ],
)
async def test_another_4xx_is_final_with_what_to_do(step: Step, words: str, service: FakeService) -> None:
    with pytest.raises(Refused) as refused:
        await webhook(service, step).post({}, "key-1")

    assert words in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, service: FakeService) -> None:
    service.script("/elsewhere", [])
    with pytest.raises(Refused, match="a redirect, which is not followed"):
        await webhook(service, redirects(service.url("/elsewhere"), status)).post({}, "key-1")

    assert service.deliveries("/elsewhere") == 0


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int, service: FakeService) -> None:
    with pytest.raises(Trouble, match=f"answered {status}") as trouble:
        await webhook(service, answers(status, "later")).post({}, "key-1")

    assert trouble.value.wait is None


@pytest.mark.parametrize("status", [408, 409, 429, 503])
async def test_a_wait_that_the_receiver_asks_for_is_kept_in_both_forms(
    status: int, service: FakeService
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    steps = [answers(status, headers={"retry-after": value}) for value in ("7", date, "9999", "soon")]
    hook = webhook(service, *steps)
    waits = []
    for _ in steps:
        with pytest.raises(Trouble) as trouble:
            await hook.post({}, "key-1")
        waits.append(trouble.value.wait)

    seconds, by_date, capped, none = waits
    assert seconds == 7
    assert by_date is not None
    assert 20 < by_date <= 30
    assert capped == LONGEST_WAIT
    assert none is None


@pytest.mark.parametrize("step", [drops("request"), drops("effect")], ids=["before", "after"])
async def test_an_answer_that_is_lost_is_tried_again_and_the_key_tells_of_it(
    step: Step, service: FakeService
) -> None:
    hook = webhook(service, step)
    with pytest.raises(Trouble, match="no answer from the webhook"):
        await hook.post(message(notice()), "key-1")
    await hook.post(message(notice()), "key-1")

    assert (service.deliveries(PATH), service.effects(PATH)) == (2, 1)


async def test_a_receiver_that_hangs_is_given_up(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.webhook, "POST_SECONDS", 0.2)

    with pytest.raises(Trouble, match="did not answer within"):
        await webhook(service, holds(answers())).post({}, "key-1")


async def test_no_connection_is_tried_again() -> None:
    with FakeService() as gone:
        url = gone.url(PATH)

    with pytest.raises(Trouble, match="no answer from the webhook"):
        await Webhook(SecretStr(url)).post({}, "key-1")


async def test_of_a_long_answer_only_the_beginning_is_read(service: FakeService) -> None:
    """Its second half never comes: whoever waited for it would see a lost connection."""
    step = answers(400, "x" * 1_000_000)
    half = replace(step, response=replace(step.response, sent="half_body"))
    with pytest.raises(Refused) as refused:
        await webhook(service, half).post({}, "key-1")

    assert len(str(refused.value)) < 500


async def test_cookies_of_a_receiver_are_not_kept(service: FakeService) -> None:
    hook = webhook(service, answers(headers={"set-cookie": "session=1"}))
    await hook.post({}, "key-1")
    await hook.post({}, "key-2")

    assert "cookie" not in service.to(PATH)[1].headers


def parts_of(url: str) -> list[str]:
    return [
        url,
        PATH,
        "hunter2hunter2hunter2",
        "T0AAAAAAA",
        url.removeprefix("http://").partition("/")[0],
        SECRET,
    ]


@pytest.mark.parametrize("status", [302, 400, 404, 500])
async def test_an_error_never_tells_the_url_or_the_secret(status: int, service: FakeService) -> None:
    """Also where the receiver repeats them, as a page that says what was not found does."""
    url = service.url(PATH)
    echo = f"no {url} nor {PATH} nor {SECRET} here; password=swordfish"
    with pytest.raises((Refused, Trouble)) as error:
        await webhook(service, answers(status, echo, {"location": url})).post({}, "key-1")

    told = repr(error.value) + str(error.value)
    assert [part for part in [*parts_of(url), "swordfish"] if part in told] == []
    assert error.value.__cause__ is None


async def test_the_words_of_the_http_client_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its errors quote what was requested."""

    def broken(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError(f"lost {request.url}", request=request)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(broken))
    monkeypatch.setattr(activities.webhook, "_new_client", lambda: client)
    with pytest.raises(Trouble, match="ReadError") as error:
        await Webhook(SecretStr("http://127.0.0.1/hunter2")).post({}, "key-1")

    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["http://hunter2.invalid:1/hunter2", "http://127.0.0.1:1/hunter2", "http://[::1/hunter2"]
)
async def test_an_error_without_an_answer_never_tells_the_url(url: str) -> None:
    with pytest.raises((Refused, Trouble)) as error:
        await Webhook(SecretStr(url)).post({}, "key-1")

    assert "hunter2" not in str(error.value)
    assert error.value.__suppress_context__


# --- on a server ----------------------------------------------------------------------------------------------


@workflow.defn(sandboxed=False)
class OneNoticeWorkflow:
    """Sends one notice as a run does."""

    @workflow.run
    async def run(self, given: Notice) -> None:
        await workflow.execute_activity("agent.notify", given, **notice_options(Priority()))


class Post:
    """A task queue on which notices are sent."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.queue = f"notices-{secrets.token_hex(6)}"

    @asynccontextmanager
    async def worker(self, hook: Webhook | None) -> AsyncIterator[None]:
        async with Worker(
            self.client,
            task_queue=self.queue,
            workflows=[OneNoticeWorkflow],
            activities=[NotifyActivities(hook).notify],
        ):
            yield

    async def send(self, given: Notice) -> WorkflowHandle[Any, None]:
        return await self.client.start_workflow(
            OneNoticeWorkflow.run, given, id=f"notice-{secrets.token_hex(6)}", task_queue=self.queue
        )


@pytest.fixture
def post(temporal: WorkflowEnvironment) -> Post:
    return Post(temporal.client)


async def failure(run: WorkflowHandle[Any, None]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await run.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    return failed.value.cause.cause


async def history(run: WorkflowHandle[Any, None]) -> bytes:
    """Everything that the server keeps of a run, as it keeps it."""
    return b"".join([event.SerializeToString() async for event in run.fetch_history_events()])


async def test_temporal_tries_again_when_the_receiver_said_and_the_effect_happens_once(
    post: Post, service: FakeService
) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    ahead = clock() - monotonic()
    later = answers(503, "maintenance", {"Retry-After": format_datetime(at, usegmt=True)})
    async with post.worker(webhook(service, later, drops("effect"))):
        await (await post.send(notice())).result()

    first, second, third = service.to(PATH)
    assert service.effects(PATH) == 1
    assert first.at + ahead < at.timestamp() <= second.at + ahead + 0.1
    assert {delivery.key for delivery in (first, second, third)} == {notice_key(notice())}
    assert first.body == second.body == third.body
    assert all(verified(delivery, SECRET, clock()) for delivery in (first, second, third))
    assert first.headers["x-agent-signature"] != second.headers["x-agent-signature"]


def test_messages_that_were_put_off_together_come_back_apart() -> None:
    """And by more at every attempt, since few are taken at a time."""
    keys = [notice_key(notice(digest=hashlib.sha256(bytes([number])).hexdigest())) for number in range(100)]
    for attempt, widest in ((1, 1), (4, 8), (30, LONGEST_WAIT)):
        delays = sorted(spread(key, attempt) for key in keys)
        assert delays[0] >= 0
        assert delays[-1] <= widest
        # However they are cut into tenths, no tenth holds more than a third of them.
        assert max(sum(low <= delay * 10 / widest < low + 1 for delay in delays) for low in range(10)) <= 33


async def test_a_final_word_of_the_receiver_is_not_tried_again(post: Post, service: FakeService) -> None:
    async with post.worker(webhook(service, answers(404, "no_service"))):
        failed = await failure(await post.send(notice()))

    assert failed.type == "NotifyRefused"
    assert "answered 404 (no_service)" in failed.message
    assert service.deliveries(PATH) == 1


async def test_a_worker_without_the_webhook_says_so_and_leaves_it_to_another(
    post: Post, service: FakeService
) -> None:
    async with post.worker(None):
        failed = await failure(await post.send(notice()))
        assert "set AGENT_NOTIFY_URL on every worker" in failed.message
        run = await post.send(notice())
        async with asyncio.timeout(10):
            while not (await run.describe()).raw_description.pending_activities:
                await asyncio.sleep(0.02)
    async with post.worker(webhook(service)):
        await run.result()

    assert service.effects(PATH) == 1


async def test_history_never_holds_the_url_or_the_secret(post: Post, service: FakeService) -> None:
    url = service.url(PATH)
    async with post.worker(webhook(service, answers(500, f"{url} failed"), answers(404, f"no {url}"))):
        run = await post.send(notice())
        await failure(run)

    kept = (await history(run)).decode(errors="replace")
    assert "answered 404" in kept
    assert [part for part in parts_of(url) if part in kept] == []


def test_an_attempt_ends_before_temporal_ends_it() -> None:
    assert timedelta(seconds=POST_SECONDS + 1) <= NOTICE_TIMEOUT


# --- the command ----------------------------------------------------------------------------------------------


async def test_the_webhook_can_be_tried_from_the_command_line(house: House, service: FakeService) -> None:
    service.script(PATH, [answers(), answers(404, f"no_service at {PATH}")])
    given = {"AGENT_NOTIFY_URL": service.url(PATH), "AGENT_NOTIFY_SECRET": SECRET}

    posted = await starter(house, "notify", "--test", **given)
    refused = await starter(house, "notify", "--test", "--json", **given)

    assert (posted.code, refused.code) == (0, 1)
    assert "took the test message" in posted.out
    assert refused.json["posted"] is False
    assert "answered 404 (no_service at ***)" in refused.json["reason"]
    assert not [
        part for part in parts_of(service.url(PATH)) if part in refused.out + refused.err + posted.out
    ]
    first, second = service.to(PATH)
    assert verified(first, SECRET, clock())
    assert first.key != second.key
    assert "a test of this webhook" in shown(first.json)


async def test_without_a_webhook_there_is_nothing_to_try(house: House) -> None:
    refused = await starter(house, "notify", "--test")

    assert (refused.code, "AGENT_NOTIFY_URL is not set" in refused.err) == (2, True)


def documented_check() -> Any:
    document = (ROOT / "docs/notifications.md").read_text()
    [source] = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "docs/notifications.md", "exec"), names)
    return names["is_ours"]


async def test_the_check_in_the_document_works_as_it_stands(service: FakeService) -> None:
    await webhook(service).post(message(notice()), "key-1")
    (delivery,) = service.to(PATH)
    is_ours = documented_check()
    headers = {"X-Agent-Timestamp": "", **{name.title(): value for name, value in delivery.headers.items()}}
    old = str(int(clock()) - 301)

    assert is_ours(SECRET, headers, delivery.body)
    assert not is_ours("another", headers, delivery.body)
    assert not is_ours(SECRET, headers, delivery.body + b" ")
    assert not is_ours(SECRET, {**headers, "X-Agent-Timestamp": str(int(clock()) + 1)}, delivery.body)
    resigned = activities.webhook.signature(SecretStr(SECRET), old, delivery.body)
    assert not is_ours(SECRET, {"X-Agent-Timestamp": old, "X-Agent-Signature": resigned}, delivery.body)
