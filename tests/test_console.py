"""The command line: what each command prints, sends and ends with, on a real server with real workers."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from typer.testing import CliRunner

from agents.status import Status
from runtime.server_process import temporal_binary
from starter import app
from tests.commands import ROOT, Ended, printed, started, starter, terminal
from tests.embedded import environment, free_port
from tests.fake_openai import calls, error, holds, says
from tests.house import SOON, House, status, until

WRITE = [calls(("write_file", {"path": "out.md", "content": "hello"})), says("All written.")]


def pasted(line: str, house: House) -> Ended:
    """A printed line, pasted into a shell in this project's folder."""
    with environment(TEMPORAL_ADDRESS=address(house)):
        done = subprocess.run(["/bin/sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=SOON)
    return Ended(done.returncode, done.stdout, done.stderr)


def address(house: House) -> str:
    return str(house.client.service_client.config.target_host)


def line_with(text: str, words: str) -> str:
    """The printed line that holds these words, as one would copy it."""
    found = next(line for line in text.splitlines() if words in line)
    return found[re.search(r"\S*(python|temporal) ", found).start() :]  # type: ignore[union-attr]


async def waiting(house: House, id: str, dial: str = "propose") -> tuple[WorkflowHandle[Any, Any], Status]:
    """A run that waits for a person before it writes."""
    run = await house.start("write", id=id, dial=dial)
    return run, await until(run, lambda s: s.waiting)


# --- usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says_"),
    [
        ("run assistant", "task: give it in quotes"),
        ("run assistant x --task-file y", "task: give it in quotes"),
        ("run assistant --task-file /no/such/file", "No such file"),
        ("run assistant '' ", "task: it is empty"),
        ("run assistant x --id 'a b'", "run id 'a b'"),
        ("run assistant x --id acme/r1 --tenant other", "run id 'acme/r1'"),
        ("run assistant x --tenant Acme", "tenant 'Acme'"),
        ("run assistant x --dial full", "--dial"),
        ("run assistant x --metadata nope", "NAME=VALUE"),
        ("run assistant x --turns 0", "--turns"),
        ("run '' x", "agent: String should have at least 1 character"),
        ("status 'a b'", "run id 'a b'"),
        ("status default/r1", "ids of tenant 'default' have no '/'"),
        ("deny r1 t1.c1", "--reason"),
        ("decide r1 t1.c1 perhaps", "perhaps"),
        ("list --phase sleeping", "there is queued, working"),
        ("list --tenant 'x y'", "--tenant 'x y'"),
        ("list --limit 0", "--limit"),
        ("nonsense", "No such command"),
    ],
)
def test_bad_usage_is_told_and_ends_with_2_before_anything_is_sent(words: str, says_: str) -> None:
    ended = CliRunner().invoke(app, words)

    assert ended.exit_code == 2
    assert says_ in re.sub(r"\s+", " ", ended.output.replace("│", ""))
    assert "Traceback" not in ended.output


@pytest.mark.parametrize("words", ["status r1", "list", "run assistant x", "approve r1", "trajectory r1"])
async def test_a_server_that_is_not_there_ends_with_4(house: House, words: str) -> None:
    ended = await starter(house, *words.split(), TEMPORAL_ADDRESS=f"127.0.0.1:{free_port()}")

    assert ended.code == 4
    assert "Cannot reach Temporal at 127.0.0.1:" in ended.err
    assert "Traceback" not in ended.err


async def test_a_bad_setting_ends_with_2_and_names_its_variable(house: House) -> None:
    ended = await starter(house, "list", AGENT_MODEL_API="soap")

    assert (ended.code, ended.out) == (2, "")
    assert "AGENT_MODEL_API is 'soap'" in ended.err


@pytest.mark.parametrize("command", ["status", "watch", "approve", "cancel", "trajectory"])
async def test_a_run_that_is_not_there_ends_with_1(house: House, command: str) -> None:
    ended = await starter(house, command, f"none-{house.queue}")

    assert ended.code == 1
    assert f"There is no run 'none-{house.queue}'" in ended.err


async def test_a_workflow_that_is_no_run_is_not_taken_for_one(house: House) -> None:
    id = f"odd-{house.queue}"
    await house.client.start_workflow("Other", id=id, task_queue=house.queue)
    ended = await starter(house, "status", id)

    assert ended.code == 1
    assert "is a workflow of type 'Other', not a run" in ended.err


# --- run ------------------------------------------------------------------------------------------------------


async def test_a_run_is_told_step_by_step_to_its_answer(house: House) -> None:
    (house.workspace / "a.md").write_text("This is a.")
    house.fake.script([calls(("read_file", {"path": "a.md"}), text="Let me look."), says("It is a.")])
    async with house.worker():
        ended = await starter(house, "run", "assistant", "what is it?", "--id", f"told-{house.queue}")

    steps = [re.sub(r"^\S+\s+|\d+\.\d+ s|tokens .*", "", line).split() for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Started run told-{house.queue}\n")
    assert ["✓", "t1.c1", 'read_file(path="a.md")', "done", ",", "10", "bytes"] in steps
    assert (
        ended.out.index("Let me look.") < ended.out.index("read_file") < ended.out.index("✓ done\n  It is a.")
    )


async def test_a_run_that_fails_ends_with_1_and_says_why(house: House) -> None:
    async with house.worker():
        ended = await starter(house, "run", "nobody", "x")

    assert ended.code == 1
    assert "✗ failed: unknown agent 'nobody'; installed: assistant" in ended.out


async def test_the_request_is_as_the_options_say(house: House) -> None:
    house.fake.script([says("ok")])
    (house.workspace / "task.json").write_text('{"topic": "tea", "words": 9}')
    async with house.worker():
        ended = await starter(
            house, "run", "assistant", "--task-file", str(house.workspace / "task.json"),
            "--id", f"full-{house.queue}", "--tenant", "acme", "--dial", "autonomous", "--turns", "7",
            "--priority", "2", "--metadata", "team=blue", "--requester", "ann",
        )  # fmt: skip
    run = house.client.get_workflow_handle(f"acme/full-{house.queue}")
    event = await anext(run.fetch_history_events())
    given = event.workflow_execution_started_event_attributes

    assert ended.code == 0
    assert json.loads(given.input.payloads[0].data) == {
        "agent": "assistant",
        "task": {"topic": "tea", "words": 9},
        "tenant": "acme",
        "dial": "autonomous",
        "budget": {"turns": 7},
        "requester": "ann",
        "priority": 2,
        "metadata": {"team": "blue"},
    }
    assert (given.priority.priority_key, given.priority.fairness_key) == (2, "acme")
    assert given.workflow_task_timeout.seconds == 2
    assert not given.workflow_execution_timeout.seconds
    assert "topic" in await (await run.describe()).static_summary()


async def test_the_task_can_come_from_standard_input(house: House) -> None:
    house.fake.script([says("ok")], task="make tea")
    async with house.worker():
        ended = await starter(house, "run", "assistant", "--task-file", "-", stdin="make tea\n")

    assert ended.code == 0


async def test_an_open_id_is_attached_to_and_a_closed_one_refused_unless_again(house: House) -> None:
    house.fake.script(WRITE)
    id = f"twice-{house.queue}"
    async with house.worker():
        run, _ = await waiting(house, id)
        attached = await starter(house, "run", "assistant", "other", "--id", id)
        await starter(house, "approve", id)
        await run.result()
        refused = await starter(house, "run", "assistant", "other", "--id", id)
        house.fake.script([says("once more")])
        again = await starter(house, "run", "assistant", "other", "--id", id, "--again")

    assert (attached.code, refused.code, again.code) == (3, 1, 0)
    assert f"Attached to run {id}, started at " in attached.out
    assert "So far: turn 1, calls closed: 0." in attached.out
    assert "✓ model" not in attached.out
    assert "--again" in refused.err
    assert f"starter.py trajectory {id}" in refused.err
    assert "once more" in again.out


async def test_of_two_that_start_one_id_at_once_one_attaches(house: House) -> None:
    house.fake.script([says("ok")])
    words = ("run", "assistant", "x", "--id", f"race-{house.queue}", "--detach", "--json")
    both = await asyncio.gather(starter(house, *words), starter(house, *words))

    assert [ended.code for ended in both] == [0, 0]
    assert sorted(ended.json["attached"] for ended in both) == [False, True]
    assert len({ended.json["execution"] for ended in both}) == 1


async def test_generated_ids_name_agent_and_task_and_never_collide(house: House) -> None:
    words = ("run", "assistant", "Größe der *Docs*?", "--detach", "--json")
    ids = [(await starter(house, *words)).json["run"] for _ in range(2)]

    assert all(re.fullmatch(r"assistant-gr-e-der-docs-[0-9a-f]{8}", id) for id in ids)
    assert ids[0] != ids[1]


async def test_with_json_a_run_prints_one_document_and_that_is_its_status(house: House) -> None:
    house.fake.script([says("ok")])
    async with house.worker():
        ended = await starter(house, "run", "assistant", "x", "--json", "--id", f"json-{house.queue}")
        shown = await house.client.get_workflow_handle(f"json-{house.queue}").query("status")

    assert ended.json == shown
    assert "Started run" in ended.err


async def test_without_a_worker_the_run_waits_and_says_how_to_start_one(house: House) -> None:
    house.fake.script([says("ok")])
    async with started(house, "run", "assistant", "x") as out:
        await printed(out, "No worker takes the run's next step")
        assert "worker.py" in out.read_text()
        async with house.worker():
            await printed(out, "✓ done")

    assert out.read_text().count("No worker") == 1


# --- deciding -------------------------------------------------------------------------------------------------


async def test_without_a_terminal_a_waiting_run_ends_with_3_and_lines_that_work_as_pasted(
    house: House,
) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        ended = await starter(
            house, "run", "assistant", "write", "--dial", "propose", "--id", f"w-{house.queue}"
        )
        done = await asyncio.to_thread(pasted, line_with(ended.out, "starter.py approve"), house)
        await house.client.get_workflow_handle(f"w-{house.queue}").result()

    assert ended.code == 3
    assert "content: hello" in ended.out
    assert (done.code, done.err) == (0, "")
    assert "Accepted: approve by " in done.out
    assert (house.workspace / "out.md").read_text() == "hello"


async def test_without_a_terminal_every_open_card_is_shown(house: House) -> None:
    house.fake.script([calls(("ask_human", {"question": "Tea?"}), ("ask_human", {"question": "Milk?"}))])
    async with house.worker():
        ended = await starter(house, "run", "assistant", "ask", "--id", f"all-{house.queue}")
        await house.client.get_workflow_handle(f"all-{house.queue}").terminate()

    assert ended.code == 3
    assert re.findall(r"^\? (t1\.c\d) waits: question, since", ended.out, re.MULTILINE) == ["t1.c1", "t1.c2"]


async def test_the_temporal_line_works_as_pasted_also_where_no_variable_names_the_server(
    house: House,
) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"t-{house.queue}")
        shown = await starter(house, "status", run.id)
        line = line_with(shown.out, "workflow signal")
        assert f"--address {address(house)}" in line
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", line],
            cwd=ROOT,
            capture_output=True,
            env={"PATH": os.environ["PATH"]},
        )
        await run.result()

    assert done.returncode == 0


async def test_the_first_decision_counts_and_the_next_is_refused_with_1(house: House) -> None:
    house.fake.script(
        [calls(("write_file", {"path": "a", "content": "a"}), ("ask_human", {"question": "Sure?"}))]
    )
    async with house.worker():
        run, _ = await waiting(house, f"first-{house.queue}")
        digest = (await status(run)).waiting[0].digest
        first = await starter(house, "approve", run.id, "t1.c1", "--by", "ann", "--json")
        second = await starter(
            house, "deny", run.id, "t1.c1", "--by", "bob", "--reason", "no", "--digest", digest
        )
        await run.terminate()

    assert first.code == 0
    assert first.json == {
        "run": run.id,
        "gate": "t1.c1",
        "accepted": True,
        "reason": "approve by ann",
        "door": "update",
    }
    assert second.code == 1
    assert "Refused: already decided by ann" in second.out


async def test_a_decision_is_bound_to_the_card_that_was_seen(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"bound-{house.queue}")
        other = await starter(house, "approve", run.id, "--digest", "0123456789abcdef")
        short = await starter(house, "approve", run.id, "--digest", "0123")
        shown = await status(run)
        await run.terminate()

    assert (other.code, short.code) == (1, 2)
    assert "the digest is not that of what t1.c1 asks now" in other.out
    assert f"--digest {shown.waiting[0].digest[:16]}" in other.out
    assert "--digest: give 16 to 64 digits" in short.err
    assert shown.phase == "waiting"


async def test_a_gate_need_not_be_named_while_only_one_waits(house: House) -> None:
    house.fake.script(
        [calls(("ask_human", {"question": "Tea?"}), ("ask_human", {"question": "Milk?"})), says("thanks")]
    )
    async with house.worker():
        run = await house.start(id=f"one-{house.queue}")
        await until(run, lambda s: len(s.waiting) == 2)
        unclear = await starter(house, "answer", run.id, "yes")
        named = await starter(house, "answer", run.id, "t1.c2", "no")
        only = await starter(house, "answer", run.id, "yes")
        none = await starter(house, "answer", run.id, "yes")
        await run.result()

    assert [ended.code for ended in (unclear, named, only, none)] == [1, 0, 0, 1]
    assert "2 gates wait" in unclear.err
    assert "t1.c1, t1.c2" in unclear.err
    assert "Tea?" in only.out
    told = house.fake.requests[1].raw.decode()
    assert '"yes"' in told
    assert '"no"' in told


async def test_a_denial_tells_the_model_why(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"deny-{house.queue}")
        ended = await starter(house, "deny", run.id, "--reason", "wrong folder", "--by", "ann")
        await run.result()

    assert ended.code == 0
    assert "Denied by ann: wrong folder" in house.fake.requests[1].raw.decode()


async def test_the_general_form_decides_at_any_gate(house: House) -> None:
    house.fake.script([error(401), says("ok")])
    async with house.worker():
        run = await house.start(id=f"any-{house.queue}")
        await until(run, lambda s: s.phase == "parked")
        wrong = await starter(house, "decide", run.id, "t1.model", "approve")
        missing = await starter(house, "decide", run.id, "t1.model", "give_result")
        retried = await starter(house, "decide", run.id, "t1.model", "retry")
        await run.result()

    assert [ended.code for ended in (wrong, missing, retried)] == [1, 2, 0]
    assert "it takes retry, delegate, end" in wrong.out
    assert "starter.py decide" in wrong.out
    assert "give_result needs --result" in missing.err


async def test_while_no_worker_answers_a_decision_is_sent_as_a_signal(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"signal-{house.queue}")
    sent = await starter(house, "approve", run.id, "--json")
    async with house.worker():
        result = await run.result()

    assert sent.code == 0
    assert (sent.json["accepted"], sent.json["door"]) == (None, "signal")
    assert "content: hello" in sent.err
    assert result["answer"] == "All written."


async def test_a_run_that_has_ended_takes_no_decision_and_no_cancellation(house: House) -> None:
    house.fake.script([says("ok")])
    async with house.worker():
        run = await house.start(id=f"over-{house.queue}")
        await run.result()
        decided = await starter(house, "approve", run.id)
        cancelled = await starter(house, "cancel", run.id)

    assert (decided.code, cancelled.code) == (1, 1)
    assert f"The run {run.id} has ended (done)" in decided.err
    assert f"The run {run.id} has ended (done)" in cancelled.err


async def test_a_run_is_cancelled(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"cancel-{house.queue}")
        ended = await starter(house, "cancel", run.id)
        shown = await until(run, lambda s: s.phase == "cancelled")
        followed = await starter(house, "watch", run.id)

    assert (ended.code, followed.code) == (0, 1)
    assert shown.waiting == ()
    assert "✗ cancelled" in followed.out


# --- at a terminal --------------------------------------------------------------------------------------------


async def test_a_person_at_the_terminal_approves_right_there(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        with terminal(house, "run", "assistant", "write", "--dial", "propose") as screen:
            await screen.until("[l] later > ")
            screen.type("z")
            await screen.until("'z' is none of these.")
            screen.type("a")
            text = await screen.until("✓ done")
            code = await screen.ended()

    assert code == 0
    assert "content: hello" in text
    assert re.search(r"✓ t1\.c1  approved by \S+ \(update\)", text)


async def test_what_was_typed_before_the_card_was_shown_answers_nothing(house: House) -> None:
    house.fake.script([holds(WRITE[0]), WRITE[1]])
    id = f"early-{house.queue}"
    async with house.worker():
        with terminal(house, "run", "assistant", "write", "--dial", "propose", "--id", id) as screen:
            await screen.until("model  turn 1")
            screen.type("a")
            house.fake.release()
            await screen.until("[l] later > ")
            screen.type("d")
            await screen.until("Why not?")
            screen.type("I looked at it")
            await screen.until("✓ done")

    assert "I looked at it" in house.fake.requests[1].raw.decode()


async def test_the_prompt_notices_that_somebody_else_has_decided(house: House) -> None:
    house.fake.script(WRITE)
    id = f"else-{house.queue}"
    async with house.worker():
        with terminal(house, "run", "assistant", "write", "--dial", "propose", "--id", id) as screen:
            await screen.until("[l] later > ")
            await starter(house, "deny", id, "--by", "bob", "--reason", "no")
            text = await screen.until("✓ done")
            code = await screen.ended()

    assert code == 0
    assert "denied by bob: no (update)" in text


async def test_a_question_is_answered_at_the_terminal(house: House) -> None:
    house.fake.script([calls(("ask_human", {"question": "Tea or coffee?"})), says("thanks")])
    async with house.worker():
        with terminal(house, "run", "assistant", "ask") as screen:
            await screen.until("Tea or coffee?")
            await screen.until("[l] later > ")
            screen.type("a")
            await screen.until("Your answer: ")
            screen.type("tea, please")
            await screen.until("✓ done")

    assert "tea, please" in house.fake.requests[1].raw.decode()


async def test_later_leaves_the_gate_open_and_ctrl_c_leaves_the_run_alone(house: House) -> None:
    house.fake.script(WRITE)
    id = f"later-{house.queue}"
    async with house.worker():
        with terminal(house, "run", "assistant", "write", "--dial", "propose", "--id", id) as screen:
            await screen.until("[l] later > ")
            screen.type("l")
            await screen.until("Left open.")
            screen.press_ctrl_c()
            text = await screen.until("goes on without you")
            code = await screen.ended()
        shown = await status(house.client.get_workflow_handle(id))

    assert code == 130
    assert f"starter.py cancel {id}" in text
    assert shown.phase == "waiting"


async def test_watch_shows_a_run_live_until_it_ends(house: House) -> None:
    house.fake.script([calls(("list_files", {"pattern": "*"})), holds(says("The answer."))])
    async with house.worker():
        run = await house.start(id=f"live-{house.queue}")
        with terminal(house, "watch", run.id) as screen:
            await screen.until("model  turn 2")
            house.fake.release()
            text = await screen.until("The answer.")
            code = await screen.ended()

    assert code == 0
    assert "working, turn 2" in text
    assert "list_files" in text


# --- status and list ------------------------------------------------------------------------------------------


async def test_status_as_json_is_the_querys_own_answer(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"status-{house.queue}")
        ended = await starter(house, "status", run.id, "--json")
        answer = await run.query("status")
        await run.terminate()

    assert (ended.code, ended.err) == (0, "")
    assert ended.json == answer


async def test_with_every_worker_dead_status_says_the_same_from_the_history(house: House) -> None:
    (house.workspace / "a.md").write_text("This is a.")
    house.fake.script(
        [
            calls(("read_file", {"path": "a.md"}), ("read_file", {"colour": "red"})),
            calls(
                ("write_file", {"path": "b.md", "content": "b"}),
                ("http_post", {"url": "http://x.test/", "body": ""}),
            ),
        ]
    )
    async with house.worker():
        run = await house.start("write", id=f"dead-{house.queue}", dial="propose")
        await until(run, lambda s: len(s.waiting) == 2)
        await starter(house, "deny", run.id, "t2.c1", "--reason", "no")
        await run.signal("approve", {"gate": "t9.c9"})
        await until(run, lambda s: s.rejected_total == 1)
        alive = (await starter(house, "status", run.id, "--json")).json
    dead = await starter(house, "status", run.id, "--json")
    await run.terminate()

    told = dead.json
    assert told.pop("partial") == "no worker answers: this is read from the event history"
    assert {**told, "rejected": refused(told)} == {**alive, "rejected": refused(alive)}


def refused(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The refused messages; the run has its own clock for them."""
    return [{name: value for name, value in message.items() if name != "at"} for message in shown["rejected"]]


async def test_a_terminated_run_is_shown_as_terminated_whatever_it_said_last(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"ended-{house.queue}")
        await run.terminate(reason="no longer needed")
        shown = (await starter(house, "status", run.id, "--json")).json
        followed = await starter(house, "watch", run.id)
    row = await listed(house, lambda row: row["phase"] == "terminated")

    assert (shown["phase"], shown["waiting"]) == ("terminated", [])
    assert shown["error"].startswith("no longer needed (by ")
    assert followed.code == 1
    assert row["waiting"] == []


async def listed(house: House, holds_: Callable[[dict[str, Any]], object], *words: str) -> dict[str, Any]:
    """The row of this house's only run in a listing, once it is as described: visibility lags."""
    async with asyncio.timeout(SOON):
        while True:
            runs = (await starter(house, "list", "--json", "--limit", "500", *words)).json["runs"]
            mine = [row for row in runs if house.queue in row["run"]]
            if len(mine) == 1 and holds_(mine[0]):
                return mine[0]


async def test_list_shows_open_and_ended_runs_without_any_worker(house: House) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, shown = await waiting(house, f"list-{house.queue}")
    row = await listed(
        house, lambda row: row["phase"] == "waiting", "--agent", "assistant", "--phase", "waiting"
    )
    screen = await starter(house, "list", "--limit", "500")
    await run.terminate()

    assert row["agent"] == "assistant"
    assert [card["digest"] for card in row["waiting"]] == [shown.waiting[0].digest]
    assert re.search(rf"{run.id} +waiting +assistant +1 .*t1\.c1 approval: write_file\(", screen.out)


async def test_list_tells_tenants_apart_also_before_a_worker_has_seen_a_run(house: House) -> None:
    await house.start(id=f"acme/r-{house.queue}", tenant="acme")
    await house.start(id=f"r-{house.queue}")
    row = await listed(house, lambda row: row["phase"] == "queued", "--tenant", "acme", "--phase", "queued")
    others = (await starter(house, "list", "--json", "--tenant", "default", "--limit", "500")).json["runs"]

    assert row["run"] == f"acme/r-{house.queue}"
    assert [other["run"] for other in others if house.queue in other["run"]] == [f"r-{house.queue}"]
    shown = await starter(house, "status", f"r-{house.queue}", "--tenant", "acme")
    assert shown.code == 0
    assert "no worker answers" in shown.out


async def test_a_paused_run_is_listed_and_shown(
    house: House, pause: Callable[[str], Awaitable[None]]
) -> None:
    house.fake.script(WRITE)
    async with house.worker():
        run, _ = await waiting(house, f"pause-{house.queue}")
        await pause(run.id)
        row = await listed(house, lambda row: row["phase"] == "paused", "--phase", "paused")
        ended = await starter(house, "status", run.id, "--json")
        shown = ended.json
        await run.terminate()

    assert row["closed"] is None
    assert shown["phase"] == "paused"


@pytest.fixture
def pause(house: House) -> Callable[[str], Awaitable[None]]:
    """Pauses a run as an operator does."""

    async def paused(run: str) -> None:
        words = [temporal_binary(), "workflow", "pause", "--address", address(house), "-w", run]
        await asyncio.to_thread(subprocess.run, [*words, "--reason", "test"], check=True, capture_output=True)

    return paused


# --- hostile text ---------------------------------------------------------------------------------------------


async def test_text_of_a_model_cannot_steer_the_terminal(house: House) -> None:
    evil = "\x1b]0;owned\x07\x9b31m[red]bold[/red] \u202eedoc\r over"
    house.fake.script(
        [calls(("write_file", {"path": "out.md", "content": evil}), text=evil), says(evil)], task="write"
    )
    id = f"evil-{house.queue}"
    shown = []
    async with house.worker():
        with terminal(house, "run", "assistant", "write", "--dial", "propose", "--id", id) as screen:
            await screen.until("[l] later > ")
            shown += [
                (await starter(house, "status", id)).out,
                (await starter(house, "status", id, "--json")).out,
            ]
            screen.type("a")
            await screen.until("✓ done")
            shown.append(screen.text)
        shown += [
            (await starter(house, "trajectory", id, *more)).out for more in ((), ("--full",), ("--json",))
        ]

    for text in shown:
        assert not re.search("[\x1b\x07\x9b\u202e]", text), text
        assert "[red]bold[/red]" in text
