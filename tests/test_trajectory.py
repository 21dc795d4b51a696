"""The trajectory: all that a run did, derived from its event history alone."""

import base64
import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import TimeoutType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from agents import bounds
from agents.effect import Effect
from console.trajectory import chain
from console.trajectory.chain import chain_of, decode, events_of
from console.trajectory.derive import History, trajectory_of
from console.trajectory.steps import (
    CallStep,
    DecisionStep,
    ErrandStep,
    GateStep,
    ModelStep,
    NoteStep,
    Trajectory,
    WaitStep,
)
from console.trajectory.view import trajectory_parts
from runtime.search_attributes import ensure_search_attributes
from tests.commands import printed, started, starter
from tests.conftest import own_arguments, started_server
from tests.fake_openai import calls, error, says
from tests.house import House, decide, until
from tests.tools import counted

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A server on which a short execution may be continued at once."""
    flag = ["--dynamic-config-value", "history.workflowIdReuseMinimalInterval=0"]
    async with await started_server(dev_server_extra_args=[*own_arguments(), *flag]) as environment:
        await ensure_search_attributes(environment.client)
        yield environment


STORY = [
    calls(("list_files", {"pattern": "*"}), ("read_file", {"colour": "red"}), text="Let me look."),
    calls(
        ("write_file", {"path": "b.md", "content": "b"}),
        ("ask_human", {"question": "Which?"}),
        ("write_file", {"path": "c.md", "content": "c"}),
    ),
    error(429, headers={"retry-after": "1"}),
    says("All done."),
]


async def told(house: House, task: str) -> Trajectory:
    """A run with all that people do to one, and its trajectory once every worker is gone."""
    house.fake.script(STORY, task=task)
    async with house.worker():
        run = await house.start(task, dial="propose", id=f"{task}-{house.queue}", requester="zoe")
        cards = {card.gate: card for card in (await until(run, lambda s: len(s.waiting) == 3)).waiting}
        await run.signal("approve", {"gate": "t2.c1", "digest": "0" * 64, "by": "eve"})
        await run.signal("nonsense", "x")
        await until(run, lambda s: s.rejected_total == 2)
        no = {"gate": "t2.c3", "digest": cards["t2.c3"].digest, "by": "bob", "reason": "no"}
        await run.signal("deny", no)
        await until(run, lambda s: len(s.waiting) == 2)
        await decide(run, "t2.c1", "approve")
        await until(run, lambda s: len(s.waiting) == 1)
        await decide(run, "t2.c2", "answer", text="this one")
        await run.result()
    return trajectory_of(await chain_of(house.client, run.id))


def steps(found: Trajectory, kind: type) -> list[Any]:
    return [step for step in found.steps if isinstance(step, kind)]


async def test_it_tells_all_that_a_run_did_with_every_worker_gone(house: House) -> None:
    found = await told(house, "tea")

    assert (found.agent, found.tenant, found.task, found.requester) == ("assistant", "default", "tea", "zoe")
    assert (found.dial, found.model) == ("propose", "fake-model")
    assert found.ending is not None
    assert (found.ending.phase, found.ending.answer) == ("done", "All done.")
    assert [(c.id, c.tool, c.state, c.attempts) for c in steps(found, CallStep)] == [
        ("t1.c1", "list_files", "done", 1),
        ("t1.c2", "read_file", "failed", 0),
        ("t2.c1", "write_file", "done", 1),
        ("t2.c2", "ask_human", "done", 0),
        ("t2.c3", "write_file", "denied", 0),
    ]
    written = steps(found, CallStep)[2]
    assert json.loads(written.arguments) == {"path": "b.md", "content": "b"}
    assert re.fullmatch(r"ag1-[0-9a-f]{32}", written.key)
    assert written.effect == "idempotent write"
    assert steps(found, CallStep)[3].result == "this one"
    assert steps(found, CallStep)[4].result == "Denied by bob: no"


async def test_it_tells_who_decided_what_by_which_door_and_what_was_refused(house: House) -> None:
    found = await told(house, "tea")

    # A gate opens once it is known what its call would do: which of two is first, is chance.
    assert sorted((g.gate, g.asks) for g in steps(found, GateStep)) == [
        ("t2.c1", "approval"),
        ("t2.c2", "question"),
        ("t2.c3", "approval"),
    ]
    assert all(gate.closed for gate in steps(found, GateStep))
    assert sorted((g.gate, g.by, g.how) for g in steps(found, GateStep)) == [
        ("t2.c1", ("ann",), "approve"),
        ("t2.c2", ("ann",), "answer"),
        ("t2.c3", ("bob",), "deny"),
    ]
    assert [(d.door, d.gate, d.answer, d.by, d.said, d.accepted) for d in steps(found, DecisionStep)] == [
        ("signal", "t2.c1", "approve", "eve", None, False),
        ("signal", None, None, None, None, False),
        ("signal", "t2.c3", "deny", "bob", "no", True),
        ("update", "t2.c1", "approve", "ann", None, True),
        ("update", "t2.c2", "answer", "ann", "this one", True),
    ]
    reasons = [d.reason for d in steps(found, DecisionStep) if d.accepted is False]
    assert reasons[0].startswith("the digest is not that of what t2.c1 asks now (")
    assert "unknown message 'nonsense'" in reasons[1]


async def test_it_tells_what_was_paid_and_what_was_waited_for(house: House) -> None:
    found = await told(house, "tea")

    asked = steps(found, ModelStep)
    assert [(m.turn, m.state) for m in asked] == [(1, "done"), (2, "done"), (3, "failed"), (3, "done")]
    assert asked[0].text == "Let me look."
    assert asked[0].calls == ("t1.c1", "t1.c2")
    assert "429" in asked[2].failure
    [wait] = steps(found, WaitStep)
    assert (wait.state, "the model provider asked to wait" in wait.why) == ("over", True)
    assert (found.totals.model_calls, found.totals.model_attempts, found.totals.turns) == (3, 4, 3)
    assert found.totals.input_tokens == sum(m.input_tokens for m in asked) > 0
    assert found.totals.calls == {"done": 3, "failed": 1, "denied": 1}


async def test_a_chain_reads_as_one_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await told(house, "whole")
    (house.workspace / "b.md").unlink()
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)
    parts = await told(house, "parts")

    assert len(whole.executions) == 1
    assert len(parts.executions) > 4
    assert (
        len([note for note in steps(parts, NoteStep) if note.what == "continued"])
        == len(parts.executions) - 1
    )
    assert timeless(parts) == timeless(whole)


def timeless(found: Trajectory) -> list[dict[str, Any]]:
    """The steps without what differs from run to run; gates, whose order does, behind the others."""
    varying = {
        "at",
        "ended",
        "started",
        "closed",
        "until",
        "key",
        "digest",
        "why",
        "input_tokens",
        "failure",
        "reason",
    }
    shown = [
        step
        for step in found.steps
        if not (isinstance(step, NoteStep) and step.what == "continued") and not isinstance(step, ErrandStep)
    ]
    shown.sort(key=lambda step: (step.kind, step.gate) if isinstance(step, GateStep) else ("", ""))
    return [step.model_dump(exclude=varying) for step in shown]


async def test_an_execution_that_is_gone_is_named_and_what_is_left_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "CONTINUE_EVENTS", 0)
    found = await told(house, "gaps")
    lost = found.executions[len(found.executions) // 2].id

    async def events(client: Client, run: str, execution: str) -> AsyncIterator[HistoryEvent]:
        # As the server answers after the retention; to have it forget one takes it half a minute.
        if execution == lost:
            raise RPCError("workflow execution not found", RPCStatusCode.NOT_FOUND, b"")
        async for event in events_of(client, run, execution):
            yield event

    monkeypatch.setattr(chain, "events_of", events)
    left = trajectory_of(await chain_of(house.client, found.run))

    assert [execution.id for execution in left.executions] == [execution.id for execution in found.executions]
    assert [execution.id for execution in left.executions if execution.events is None] == [lost]
    assert [lost in gap for gap in left.gaps] == [True]
    assert [note.what for note in steps(left, NoteStep)].count("gap") == 1
    assert (left.task, left.ending) == ("gaps", found.ending)
    screen = "\n".join(part.plain for part in trajectory_parts(left, NOW, full=False))
    assert f"no history of execution {lost}" in screen


async def test_where_the_beginning_is_gone_that_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(client: Client, run: str, execution: str) -> AsyncIterator[HistoryEvent]:
        raise RPCError("workflow execution not found", RPCStatusCode.NOT_FOUND, b"")
        yield HistoryEvent()

    run = await house.start(id=f"empty-{house.queue}")
    monkeypatch.setattr(chain, "events_of", nothing)
    found = trajectory_of(await chain_of(house.client, run.id))

    assert (found.steps, len(found.gaps)) == ((), 1)


async def reset(client: Client, run: WorkflowHandle[Any, Any], event: int) -> None:
    """Take a run back to the workflow task that ended with this event."""
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=run.id),
        reason="the wrong turn",
        workflow_task_finish_event_id=event,
        request_id="again",
    )
    await client.workflow_service.reset_workflow_execution(request)


async def test_a_reset_is_told_and_followed(house: House) -> None:
    house.fake.script([calls(("save", {"text": "x"})), says("saved")])
    async with house.worker(counted("save", Effect(writes=True))):
        run = await house.start(agent="tester", id=f"reset-{house.queue}", dial="propose")
        await until(run, lambda s: s.waiting)
        async with started(house, "watch", run.id) as out:
            await printed(out, "So far: turn 1")
            await reset(house.client, run, 4)
            await printed(out, "The run was reset to an earlier point.")
            again = house.client.get_workflow_handle(run.id)
            await until(again, lambda s: s.waiting)
            await decide(again, "t1.c1", "approve")
            await printed(out, "✓ done\n  saved")
    found = trajectory_of(await chain_of(house.client, run.id))

    [note] = [step for step in steps(found, NoteStep) if step.what == "reset"]
    assert "the wrong turn" in note.text
    assert found.ending is not None
    assert found.ending.phase == "done"


async def test_the_command_shows_it_and_gives_it_as_one_json_document(house: House) -> None:
    found = await told(house, "shown")
    short, full, document = [
        await starter(house, "trajectory", found.run, *more) for more in ((), ("--full",), ("--json",))
    ]

    assert Trajectory.model_validate(document.json) == found
    assert (document.err, short.code, full.code) == ("", 0, 0)
    assert re.search(r"✓ t2\.c1  write_file\(.*\)  done \S+ s, \d+ bytes", short.out)
    assert "deny by" not in short.out
    assert "denied by bob: no (signal)" in short.out
    assert "approve by eve, refused: the digest is not that of what t2.c1 asks now (" in short.out
    assert "content: b" not in short.out
    assert "content: b" in full.out
    assert short.out.rstrip().endswith("✓ done\n  All done.")


# --- odd histories --------------------------------------------------------------------------------------------


def json_payload(value: Any) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def payloads(*values: Any) -> Payloads:
    return Payloads(payloads=[json_payload(value) for value in values])


def history(*events: tuple[str, dict[str, Any]]) -> list[History]:
    """An execution of these events, after its beginning."""
    made = [HistoryEvent(event_id=1)]
    request = payloads({"agent": "tester", "task": "x"})
    made[0].workflow_execution_started_event_attributes.CopyFrom(
        type(made[0].workflow_execution_started_event_attributes)(workflow_id="r1", input=request)
    )
    for number, (kind, attributes) in enumerate(events, start=2):
        made.append(HistoryEvent(event_id=number, **{f"{kind}_event_attributes": attributes}))
    for event in made:
        event.event_time.FromDatetime(NOW)
    return [History("e1", made)]


def asked(*tools: str) -> list[tuple[str, dict[str, Any]]]:
    """A model call that asks for these tools: events 2 to 4."""
    wanted = [{"id": f"p{n}", "tool": tool, "arguments": '{"text": "x"}'} for n, tool in enumerate(tools)]
    reply = {"finish": "calls", "calls": wanted}
    return [
        ("activity_task_scheduled", {"activity_id": "t1.model", "activity_type": {"name": "agent.model"}}),
        ("activity_task_started", {"scheduled_event_id": 2, "attempt": 1}),
        ("activity_task_completed", {"scheduled_event_id": 2, "result": payloads(reply)}),
    ]


def dispatched(call: str, tool: str) -> tuple[str, dict[str, Any]]:
    return ("activity_task_scheduled", {"activity_id": call, "activity_type": {"name": tool}})


def test_a_result_that_an_operator_gave_by_hand_is_shown_as_it_is() -> None:
    done = ("activity_task_completed", {"scheduled_event_id": 5, "result": payloads("manual")})
    [call] = steps(trajectory_of(history(*asked("pay"), dispatched("t1.c1", "pay"), done)), CallStep)

    assert (call.state, call.result) == ("done", '"manual"')


def test_a_call_that_never_came_back_is_lost_and_its_attempts_are_counted() -> None:
    lost = [
        ("activity_task_started", {"scheduled_event_id": 5, "attempt": 3}),
        (
            "activity_task_timed_out",
            {"scheduled_event_id": 5, "failure": {"message": "activity Heartbeat timeout"}},
        ),
    ]
    [call] = steps(trajectory_of(history(*asked("pay"), dispatched("t1.c1", "pay"), *lost)), CallStep)

    assert (call.state, call.attempts, call.failure) == ("lost", 3, "activity Heartbeat timeout")


def test_a_call_that_is_dispatched_twice_is_one_call_with_all_its_attempts() -> None:
    failed = [
        ("activity_task_started", {"scheduled_event_id": 5, "attempt": 2}),
        ("activity_task_failed", {"scheduled_event_id": 5, "failure": {"message": "down"}}),
        dispatched("t1.c1", "pay"),
        ("activity_task_started", {"scheduled_event_id": 8, "attempt": 1}),
        ("activity_task_completed", {"scheduled_event_id": 8, "result": payloads({"content": "paid"})}),
    ]
    [call] = steps(trajectory_of(history(*asked("pay"), dispatched("t1.c1", "pay"), *failed)), CallStep)

    assert (call.state, call.dispatches, call.attempts, call.result) == ("done", 2, 3, "paid")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (Payloads(), "0 payloads"),
        (payloads(1, 2), "2 payloads"),
        (payloads(None), "not a JSON object"),
        (Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b"{")]), "not JSON"),
        (Payloads(payloads=[Payload(metadata={"encoding": b"x"}, data=b"y")]), "encoding 'x'"),
        (payloads({"gate": "t1.c1", "digest": "0" * 16, "by": "ann"}), "no gate 't1.c1' is open"),
    ],
)
def test_a_message_that_says_nothing_is_told_as_refused(sent: Payloads, reason: str) -> None:
    signal = ("workflow_execution_signaled", {"signal_name": "approve", "input": sent})
    [step] = steps(trajectory_of(history(signal)), DecisionStep)

    assert step.accepted is False
    assert reason in step.reason


@pytest.mark.parametrize(
    ("event", "phase", "why"),
    [
        (
            ("workflow_execution_terminated", {"reason": "enough", "identity": "ops"}),
            "terminated",
            "enough (by ops)",
        ),
        (("workflow_execution_timed_out", {}), "timed out", "the time limit that it was started with"),
        (("workflow_execution_canceled", {}), "cancelled", None),
        (("workflow_execution_failed", {"failure": {"message": "refused"}}), "failed", "refused"),
    ],
)
def test_every_end_is_told(event: tuple[str, dict[str, Any]], phase: str, why: str | None) -> None:
    ending = trajectory_of(history(event)).ending

    assert ending is not None
    assert (ending.phase, ending.error) == (phase, why)


def test_a_run_that_is_not_over_has_no_end() -> None:
    assert trajectory_of(history(*asked("pay"))).ending is None


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            ("workflow_task_timed_out", {"timeout_type": TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE}),
            "was lost in the middle of a step",
        ),
        (
            ("workflow_task_failed", {"identity": "w1", "failure": {"message": "a bug"}}),
            "w1 failed at the run's next step: a bug",
        ),
        (
            (
                "workflow_task_failed",
                {
                    "cause": WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
                    "base_run_id": "e0",
                    "failure": {"message": "why"},
                },
            ),
            "from execution e0: why",
        ),
        (("workflow_execution_cancel_requested", {"identity": "ops"}), "asked for by ops"),
        (("workflow_execution_paused", {"identity": "ops", "reason": "lunch"}), "by ops: lunch"),
    ],
)
def test_what_happens_to_a_run_as_a_whole_is_noted(event: tuple[str, dict[str, Any]], text: str) -> None:
    [note] = steps(trajectory_of(history(event)), NoteStep)

    assert text in note.text


def test_a_gate_that_opened_in_a_part_that_is_gone_is_known_from_the_memo_that_is_handed_on() -> None:
    [part] = history()
    began = part.events[0].workflow_execution_started_event_attributes
    began.continued_execution_run_id = "e0"
    card = {"gate": "t1.c1", "call": "t1.c1", "kind": "approval", "summary": "save()", "reason": "it writes"}
    card |= {"risk": "low", "digest": "0" * 64, "since": NOW.isoformat()}
    began.memo.fields["cards"].CopyFrom(json_payload([card]))
    [gate] = steps(trajectory_of([History("e0", None), part]), GateStep)

    assert (gate.gate, gate.at, gate.closed) == ("t1.c1", NOW, None)


def test_events_that_say_nothing_here_are_passed_over() -> None:
    others = [
        ("marker_recorded", {"marker_name": "patch"}),
        ("workflow_task_scheduled", {}),
        ("nexus_operation_started", {}),
    ]

    assert trajectory_of(history(*others)).steps == ()


class Scrambled(PayloadCodec):
    """A codec, as one that encrypts."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"scrambled"}, data=base64.b64encode(payload.SerializeToString()))
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload.FromString(base64.b64decode(payload.data)) for payload in payloads]


async def test_payloads_are_decoded_as_the_client_does_wherever_they_are() -> None:
    converter = DataConverter(
        payload_converter_class=pydantic_data_converter.payload_converter_class, payload_codec=Scrambled()
    )
    signal = HistoryEvent(event_id=1)
    given = signal.workflow_execution_signaled_event_attributes
    given.input.payloads.extend(await converter.encode([{"gate": "t1.c1"}, 2]))
    memo = HistoryEvent(event_id=2)
    [card] = await converter.encode([["card"]])
    memo.workflow_properties_modified_event_attributes.upserted_memo.fields["cards"].CopyFrom(card)
    for event in (signal, memo):
        await decode(event, converter)

    assert [json.loads(payload.data) for payload in given.input.payloads] == [{"gate": "t1.c1"}, 2]
    opened = memo.workflow_properties_modified_event_attributes.upserted_memo.fields["cards"]
    assert json.loads(opened.data) == ["card"]
