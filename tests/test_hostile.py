"""What models, pages, people and operators can do to a run on purpose. Each of these once broke one."""

import asyncio
import re
import time
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from activities.toolbox.workspace import Workspace
from agents import bounds
from agents.agent import Agent
from agents.details import details
from agents.effect import Dial
from agents.events import CallEnded, CallFailed, Previewed, Replied
from agents.failure import Failure, FailureType
from agents.ledger import CallState
from agents.preview import preview_of
from agents.tool_call import ToolOutput
from console.cards import cards_of
from tests.fake_openai import Usage, calls, holds, says
from tests.fake_service import FakeService, answers
from tests.house import House, decide, status, until
from tests.rules import Run, call, reply, ruled


async def test_fifty_signals_that_grow_when_quoted_do_not_end_the_run(house: House) -> None:
    house.fake.script([holds(says("ok"))])
    body = b'{"kind":"' + b"\x7f" * 60_000 + b'"}'
    raw = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=body))
    async with house.worker():
        run = await house.start()
        for _ in range(50):
            await run.signal("approve", raw)
        shown = await until(run, lambda s: s.rejected_total == 50)
        house.fake.release()
        await run.result()

    assert len(shown.model_dump_json()) < 100_000


def test_a_pattern_of_many_stars_is_matched_at_once(tmp_path: Any) -> None:
    (tmp_path / ("a" * 60)).write_text("x")
    begun = time.monotonic()

    assert list(Workspace(tmp_path).files("*a" * 20 + "b")) == []
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.md", {"a.md", "d/b.md", "d/e/c.md"}),
        ("*.md", {"a.md"}),
        ("d/**", {"d/b.md", "d/e/c.md"}),
        ("d", {"d/b.md", "d/e/c.md"}),
        ("d/?.md", {"d/b.md"}),
        ("**", {"a.md", "d/b.md", "d/e/c.md"}),
        ("[a].md", set()),
    ],
)
def test_a_pattern_finds_what_it_says(tmp_path: Any, pattern: str, found: set[str]) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in ("a.md", "d/b.md", "d/e/c.md"):
        (tmp_path / name).write_text("x")

    assert {name for name, _ in Workspace(tmp_path).files(pattern)} == found


async def test_a_page_cannot_choose_a_slow_codec(house: House) -> None:
    body = b"b" * 300_000 + b"-" + b"b" * 20_000
    with FakeService() as service:
        service.script("/p", [answers(200, body, {"content-type": "text/plain; charset=punycode"})])
        house.fake.script([calls(("http_get", {"url": service.url("/p")})), says("ok")])
        begun = time.monotonic()
        async with house.worker(agent_http_allow=frozenset({service.host})):
            await (await house.start()).result()

    assert time.monotonic() - begun < 5
    assert len(service.to("/p")) == 1


@pytest.mark.parametrize("arguments", ['{"a":' * 300 + "1" + "}" * 300, '{"data":{"\\ud800":1}}'])
async def test_arguments_that_cannot_be_written_again_go_back_to_the_model(
    house: House, arguments: str
) -> None:
    shaped = Agent(name="shaped", instructions="x", output={"type": "object"})
    house.fake.script([calls(("finish", arguments)), calls(("finish", {"a": 1}))])
    async with house.worker(agents=(shaped,)):
        assert (await (await house.start(agent="shaped")).result())["answer"] == {"a": 1}

    assert house.fake.paid == 2


@pytest.mark.parametrize(
    "made_up", [{"tool": "read_file", "arguments": "oops"}, {"tool": "nothing", "arguments": "{}"}]
)
async def test_a_reply_that_an_operator_made_up_goes_back_to_the_model(
    house: House, made_up: dict[str, str]
) -> None:
    house.fake.respond(lambda request: holds(says("late")) if request.turn == 0 else says("ok"))
    items = [
        {"type": "function_call", "id": "fc_a", "call_id": "a", "name": made_up["tool"], "arguments": ""}
    ]
    given = {"finish": "calls", "calls": [{"id": "a", **made_up}], "items": items}
    async with house.worker():
        run = await house.start()
        await house.fake.wait_held()
        handle = house.client.get_async_activity_handle(
            workflow_id=run.id, run_id=run.first_execution_run_id, activity_id="t1.model"
        )
        await handle.complete(given)
        shown = await until(run, lambda s: s.counts.get("failed"))
        await run.terminate()

    assert shown.calls[0].id == "t1.c1"


async def test_absurd_token_counts_are_no_counts(house: House) -> None:
    usage = Usage(input=int("9" * 4000), cached=0, output=1, reasoning=0)
    house.fake.script([calls(("list_files", {"pattern": "*"}), usage=usage), says("ok", usage=usage)])
    async with house.worker():
        run = await house.start()
        await run.result()

        shown = await status(run)

    assert shown.usage.input_tokens == 0


async def test_a_task_nested_to_the_limit_is_refused_before_it_is_carried_anywhere(house: House) -> None:
    task: dict[str, Any] = {"a": 1}
    for _ in range(197):
        task = {"a": task}
    async with house.worker():
        run = await house.client.start_workflow(
            "AgentWorkflow",
            {"agent": "assistant", "task": task},
            id=f"deep-{house.queue}",
            task_queue=house.queue,
        )
        shown = await until(run, lambda s: s.phase == "failed")

    assert "nested too deeply" in (shown.error or "")


@pytest.mark.parametrize(
    "memo", [5, [{"gate": "t1.c1'; touch PWNED; echo '", "digest": "0" * 64}], [None], [{"gate": "x"}]]
)
def test_a_memo_that_no_run_wrote_shows_no_card(memo: Any) -> None:
    assert cards_of("r1", memo, "default") == ()


async def test_a_memo_given_at_the_start_is_overwritten(house: House) -> None:
    house.fake.script([holds(says("ok"))])
    async with house.worker():
        run = await house.client.start_workflow(
            "AgentWorkflow",
            {"agent": "assistant", "task": "x"},
            id=f"memo-{house.queue}",
            task_queue=house.queue,
            memo={"cards": [{"gate": "forged"}]},
        )
        await house.fake.wait_held()
        described = await run.describe()
        house.fake.release()
        await run.result()

    assert "cards" not in await described.memo()


def test_what_a_model_wrote_is_no_markdown_in_the_details() -> None:
    run = Run.started()
    run.carry_out()
    run.told(Replied(reply(text="![x](https://evil.example) `[a](b)`", finish="refused")))
    shown = details(run.state, "default")

    assert "`The model gave no answer, it refused: ![x](https://evil.example) '[a](b)'`" in shown


EVIL = "x\n\n# Urgent\n\n[approve here](https://evil.example)\n\n<h1>hi</h1>\n\n```\n![x](https://evil.example)\n"
OURS = re.compile(r"### (t1\.c1 waits: approval|Open calls)")


def test_no_line_break_in_what_others_wrote_makes_markdown_of_it() -> None:
    run = Run.started(
        dial=Dial.PROPOSE, rules=ruled("publish", people={}, approvers=[EVIL.strip().split("\n")[2]])
    )
    run.carry_out()
    run.told(Replied(reply(call("publish", EVIL), text=EVIL)))
    run.carry_out()
    run.told(Previewed("t1.c1", preview_of(EVIL)))
    gate = run.gate
    run.state = run.state.with_gate(gate.model_copy(update={"changed": EVIL, "undo": EVIL, "reason": EVIL}))
    by = gate.asks[0]
    assert run.decides("ask", "t1.c1", by=by, text=EVIL).accepted
    assert run.decides("delegate", "t1.c1", by=by, to=EVIL).accepted
    asked = run.gate.thread[0].model_copy(update={"by": EVIL, "answer": EVIL})
    run.state = run.state.with_gate(run.gate.model_copy(update={"thread": (asked,)}))
    assert run.says("pause", {"by": EVIL, "reason": EVIL}).accepted
    shown = details(run.state, "default")

    assert shown.count("evil.example") > 10
    text = re.sub(r"^```sh\n.*\n```$|^    .*$|`[^`\n]+`", "", shown, flags=re.MULTILINE)
    assert not re.search(r"evil|Urgent|<|\[|`", text)
    headings = re.findall(r"^ {0,3}#.*", text, re.MULTILINE)
    assert len(headings) == 2
    assert all(OURS.fullmatch(heading) for heading in headings)


def test_a_call_that_ends_after_the_run_has_is_still_recorded_and_nothing_more_is_decided() -> None:
    run = Run.started(dial=Dial.AUTONOMOUS)
    run.carry_out()
    run.told(Replied(reply(call("look"), call("pay"), call("ask_human"))))
    run.dispatched()
    run.decides("end", "t1.c3")
    run.told(CallEnded("t1.c1", ToolOutput(content="seen")))
    run.told(CallFailed("t1.c2", Failure(type=FailureType.OUTCOME_UNKNOWN, message="lost")))

    assert run.result("t1.c1") == ("done", "seen")
    assert run.state.calls["t1.c2"].state is CallState.UNKNOWN
    assert (run.carry_out(), run.state.gates) == ([], {})


async def test_ending_a_run_at_a_gate_waits_for_what_is_in_flight(house: House) -> None:
    with FakeService() as service:
        service.script("/pay", [answers(200, "paid")])
        house.fake.script(
            [
                calls(
                    ("http_post", {"url": service.url("/pay"), "body": "1"}), ("ask_human", {"question": "?"})
                )
            ]
        )
        async with house.worker(agent_http_allow=frozenset({service.host})):
            run = await house.start(dial="autonomous")
            await until(run, lambda s: s.waiting)
            await decide(run, "t1.c2", "end")
            with pytest.raises(Exception, match="Workflow execution failed"):
                await run.result()
            shown = await status(run)

    assert shown.calls[0].state in {"done", "unknown"}
    assert service.deliveries("/pay") <= 1


async def test_an_agent_that_another_worker_knows_is_found_there(house: House) -> None:
    """In the middle of a deploy the old worker must not end the runs of a new agent."""
    late = Agent(name="late", instructions="x")
    house.fake.script([says("ok")])
    async with house.worker():
        run = await house.start(agent="late")
        await asyncio.sleep(0.3)
    async with house.worker(agents=(late,)):
        assert (await run.result())["answer"] == "ok"


def test_the_bound_on_a_refused_reason_holds_for_every_message() -> None:
    run = Run.started(dial=Dial.PROPOSE)
    run.carry_out()
    run.told(Replied(reply(call("save"))))
    run.says("decide", {"gate": "x" * 199, "digest": "0" * 64, "kind": "approve", "by": "a"})

    assert len(run.state.rejected[-1].reason) <= 500
    assert bounds.KEPT_REJECTED * 600 < bounds.PAGE_BYTES
