"""The inbox: what needs a person over all runs, from visibility and memos alone, and deciding right there."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from agents.agent import Agent
from agents.effect import Effect
from agents.rules import RuleSet
from tests.commands import Ended, starter, terminal
from tests.fake_openai import calls, holds, says
from tests.house import SOON, House, decide, until
from tests.planted import memo_card, plant, shown_as
from tests.tools import counted

MARK = "Xq7MarkerXq7"


def now() -> datetime:
    return datetime.now(UTC)


async def inbox(house: House, *words: str, **variables: str) -> Any:
    """The JSON of the inbox of this house's tenant."""
    ended = await starter(house, "inbox", "--tenant", house.queue, "--json", *words, **variables)
    assert (ended.code, ended.err) == (0, "")
    return ended.json


def names(found: Any) -> list[str]:
    """The runs of the gates, in their order, without the tenant."""
    return [line["run"].partition("/")[2] for line in found["gates"]]


# --- which gates, in which order ------------------------------------------------------------------------------


async def test_the_gravest_comes_first_then_the_earliest_deadline_then_the_longest_wait(house: House) -> None:
    soon, late = [(now() + timedelta(hours=hours)).isoformat() for hours in (1, 9)]
    question = {"kind": "question", "risk": "high", "summary": "?", "accepts": ["answer"]}
    await plant(house, "7-low", memo_card(risk="low", deadline=soon))
    await plant(house, "6-question", memo_card(**question, deadline=soon))
    await plant(house, "5-high-new", memo_card(risk="high", waits=timedelta(minutes=1)))
    await plant(house, "4-high-old", memo_card(risk="high", waits=timedelta(hours=1)))
    await plant(house, "3-high-late", memo_card(risk="high", deadline=late))
    await plant(house, "2-high-soon", memo_card(risk="high", deadline=soon, waits=timedelta(seconds=1)))
    await plant(house, "1-critical", memo_card(risk="critical", kind="unknown outcome", accepts=["happened"]))

    assert names(await inbox(house)) == sorted(names(await inbox(house)))
    assert len(names(await inbox(house))) == 7


async def test_a_run_has_a_line_for_each_of_its_gates(house: House) -> None:
    await plant(house, "r", memo_card("t1.c1"), memo_card("t1.c2", digest="cd" * 32), memo_card("t1.c3"))

    assert [line["gate"] for line in (await inbox(house))["gates"]] == ["t1.c1", "t1.c2", "t1.c3"]


async def test_only_gates_of_runs_that_run_are_there(house: House) -> None:
    await plant(house, "open", memo_card())
    parked = {"kind": "failure", "accepts": ["retry"]}
    await plant(house, "parked", memo_card(**parked), phase="parked")
    await plant(house, "paused", memo_card(risk="low"), phase="paused")
    await plant(house, "works", phase="working", memo=[memo_card()])
    for name in ("terminated", "cancelled"):
        run = await plant(house, name, memo_card())
        await run.terminate()
        await shown_as(house, f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Terminated'")

    found = await inbox(house)

    assert sorted(names(found)) == ["open", "parked", "paused"]
    assert found["without_card"] == []


async def test_what_no_run_wrote_into_a_memo_is_no_gate_and_the_run_is_named(house: House) -> None:
    garbage: list[Any] = [
        5,
        "x",
        {"a": 1},
        [None],
        [{"gate": "x"}],
        [memo_card("t1'; echo")],
        [{"gate": [[]]}],
    ]
    for number, memo in enumerate(garbage):
        await plant(house, f"garbage-{number}", phase="waiting", memo=memo)
    await plant(house, "good", memo_card())
    await plant(house, "half", phase="waiting", memo=[None, memo_card("t2.c1")])

    found = await inbox(house)
    screen = await starter(house, "inbox", "--tenant", house.queue)

    assert sorted(names(found)) == ["good", "half"]
    assert found["without_card"] == [f"{house.queue}/garbage-{number}" for number in range(len(garbage))]
    assert f"no card that could be read: {house.queue}/garbage-0" in screen.out
    assert "and 2 more" in screen.out


async def test_a_run_with_as_many_gates_as_a_memo_holds_may_have_more_and_is_named(house: House) -> None:
    await plant(house, "many", *(memo_card(f"t1.c{number}") for number in range(1, 25)))
    screen = await starter(house, "inbox", "--tenant", house.queue)
    found = await inbox(house)

    assert (found["total"], found["cut_off"]) == (20, [f"{house.queue}/many"])
    assert f"More gates may wait in: {house.queue}/many." in screen.out


async def test_a_card_of_a_run_from_before_there_were_rules_is_there(house: House) -> None:
    old = ("gate", "call", "kind", "summary", "reason", "risk", "digest", "since", "deadline")
    await plant(house, "old", {name: memo_card()[name] for name in old})

    [line] = (await inbox(house))["gates"]
    card = await starter(house, "inbox", f"{house.queue}/old")

    assert (line["tool"], line["who"], line["needed"]) == (None, ["anyone"], 1)
    assert [word for word in ("approve", "deny", "end", "edit", "delegate") if f"  {word} " in card.out] == [
        "approve",
        "deny",
        "end",
    ]


async def test_mine_is_what_a_name_or_role_may_decide_and_has_not_approved(house: House) -> None:
    await plant(house, "anyone", memo_card())
    await plant(house, "ann", memo_card(asks=["ann"]))
    await plant(house, "managers", memo_card(asks=["bob", "managers"], needed=2, approved_by=["ann"]))
    await plant(house, "legal", memo_card(asks=["legal"]))

    assert sorted(names(await inbox(house, "--mine", "ann"))) == ["ann", "anyone"]
    assert sorted(names(await inbox(house, "--mine", "managers"))) == ["anyone", "managers"]
    assert sorted(names(await inbox(house, "--mine", "o'brian"))) == ["anyone"]


async def test_mine_of_a_person_in_the_rules_file_is_also_what_their_roles_may_decide(
    house: House, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("people:\n  ann:\n    roles: [managers, legal]\n  bob:\n    roles: [legal]\n")
    for role in ("managers", "legal", "support"):
        await plant(house, role, memo_card(asks=[role]))
    await plant(house, "signed", memo_card(asks=["managers"], needed=2, approved_by=["ann"]))

    mine = [
        sorted(names(await inbox(house, "--mine", who, AGENT_RULES=str(rules))))
        for who in ("ann", "bob", "managers")
    ]

    assert mine == [["legal", "managers"], ["legal"], ["managers", "signed"]]


async def test_overdue_is_past_its_deadline_or_people_were_reminded_of_it(house: House) -> None:
    await plant(
        house, "late", memo_card(deadline=(now() - timedelta(hours=1)).isoformat(), nobody="ask_again")
    )
    await plant(house, "early", memo_card(deadline=(now() + timedelta(hours=1)).isoformat(), nobody="deny"))
    await plant(house, "reminded", memo_card(reminded=2))
    await plant(house, "new", memo_card())
    screen = await starter(house, "inbox", "--tenant", house.queue)

    assert names(await inbox(house, "--overdue")) == ["late", "reminded"]
    assert re.search(r"1 h( \d+ min)? ago +\S+/late ", screen.out)
    assert re.search(r"in (1 h|\d+ min) +\S+/early ", screen.out)


async def test_of_another_tenant_nothing_is_there(house: House) -> None:
    await plant(house, "r", memo_card())
    found = [
        (await starter(house, "inbox", "--tenant", tenant, "--limit", "10000", "--json")).json
        for tenant in (house.queue[:-1], "default")
    ]

    assert found[0]["gates"] == []
    assert {line["tenant"] for line in found[1]["gates"]} <= {"default"}
    assert not [run for run in found[1]["without_card"] if "/" in run]


# --- what it shows --------------------------------------------------------------------------------------------


async def test_a_line_says_what_waits_for_whom_and_since_when_as_of_when(house: House) -> None:
    deadline = (now() + timedelta(days=9, hours=1, minutes=30)).isoformat()
    card = memo_card(
        asks=["managers"],
        needed=2,
        approved_by=["bob"],
        deadline=deadline,
        reminded=1,
        risk="high",
        waits=timedelta(days=2),
    )
    await plant(house, "r1", card)
    before = datetime.now(UTC)
    found = await inbox(house)
    screen = (await starter(house, "inbox", "--tenant", house.queue)).out

    assert before <= datetime.fromisoformat(found["as_of"]) <= datetime.now(UTC)
    assert found["total"] == 1
    assert found["gates"] == [
        {
            "run": f"{house.queue}/r1",
            "agent": "assistant",
            "tenant": house.queue,
            "gate": "t1.c1",
            "kind": "approval",
            "tool": "write_file",
            "risk": "high",
            "who": ["managers"],
            "needed": 2,
            "approved": 1,
            "since": card["since"].replace("+00:00", "Z"),
            "deadline": deadline.replace("+00:00", "Z"),
            "reminded": 1,
            "rung": 0,
        }
    ]
    assert re.match(r"1 gate needs a person, as of \d\d:\d\d:\d\d\n", screen)
    line = next(line for line in screen.splitlines() if house.queue in line)
    assert re.split(r" {2,}", line) == [
        "1", "high", "approval", "write_file", "2 d", "in 9 d 1 h", f"{house.queue}/r1", "t1.c1", "managers",
        "1 of 2", "1 x", "assistant",
    ]  # fmt: skip


async def test_where_nothing_waits_it_says_so_as_of_when(house: House) -> None:
    screen = await starter(house, "inbox", "--tenant", house.queue)

    assert (screen.code, screen.err) == (0, "")
    assert re.fullmatch(r"Nothing here needs a person, as of \d\d:\d\d:\d\d\n", screen.out)


async def test_above_the_limit_the_rest_is_counted(house: House) -> None:
    await plant(house, "r", *(memo_card(f"t1.c{number}") for number in range(1, 6)))
    screen = await starter(house, "inbox", "--tenant", house.queue, "--limit", "2")
    found = await inbox(house, "--limit", "2")

    assert "3 more: ask for them with --limit." in screen.out
    assert (len(found["gates"]), found["total"]) == (2, 5)


@pytest.mark.parametrize("words", [(), ("--json",)])
async def test_nothing_that_a_model_wrote_is_in_the_list(house: House, words: tuple[str, ...]) -> None:
    texts = {
        "summary": f'write_file(path="{MARK}")',
        "preview": MARK,
        "changed": MARK,
        "stated": MARK,
        "reason": f"the service said {MARK}",
        "evidence": [f"t1.c1 read_file({MARK})"],
        "thread": [{"by": "ann", "question": MARK, "at": now().isoformat(), "answer": MARK}],
    }
    await plant(house, "r", memo_card(**texts))
    listed = await starter(house, "inbox", "--tenant", house.queue, *words)
    card = await starter(house, "inbox", f"{house.queue}/r", "t1.c1", *words)

    assert f"{house.queue}/r" in listed.out
    assert MARK not in listed.out + listed.err
    assert card.out.count(MARK) >= len(texts)


async def test_the_listing_of_runs_names_who_is_asked(house: House) -> None:
    await plant(house, "asks", memo_card(asks=["managers", "ann"]))
    await plant(house, "any", memo_card())
    screen = (await starter(house, "list", "--tenant", house.queue)).out

    assert re.search(r"/asks +waiting .* t1\.c1 approval by managers, ann: write_file\(", screen)
    assert re.search(r"/any +waiting .* t1\.c1 approval: write_file\(", screen)


# --- one gate -------------------------------------------------------------------------------------------------


async def test_without_a_terminal_a_run_shows_its_cards_with_the_lines_that_answer_them(house: House) -> None:
    await plant(house, "r", memo_card("t1.c1"), memo_card("t1.c2", digest="cd" * 32))
    run = f"{house.queue}/r"
    both, one = [await starter(house, "inbox", run, *gate) for gate in ((), ("t1.c2",))]
    tenant = await starter(house, "inbox", "r", "t1.c2", "--tenant", house.queue, "--json")

    assert re.findall(r"^\? (\S+) waits: approval", both.out, re.MULTILINE) == ["t1.c1", "t1.c2"]
    assert re.findall(r"^\? (\S+) waits: approval", one.out, re.MULTILINE) == ["t1.c2"]
    assert f"starter.py approve {run} t1.c2 --digest {'cd' * 8}" in one.out
    assert f"temporal workflow signal --address {address(house)} --workflow-id {run}" in one.out
    assert [card["gate"] for card in tenant.json["cards"]] == ["t1.c2"]
    assert tenant.json["cards"][0]["command"].startswith("temporal workflow signal --workflow-id")


def address(house: House) -> str:
    return str(house.client.service_client.config.target_host)


async def test_a_gate_that_does_not_wait_is_told(house: House) -> None:
    await plant(house, "r", memo_card())
    await plant(house, "none")
    ended = await plant(house, "ended", memo_card())
    await ended.terminate()
    told = [
        await starter(house, "inbox", *words)
        for words in (
            (f"{house.queue}/r", "t9.c9"),
            (f"{house.queue}/none",),
            (ended.id,),
            (f"{house.queue}/r", "--mine", "ann"),
        )
    ]

    assert [each.code for each in told] == [1, 1, 1, 2]
    assert f"No gate 't9.c9' waits in {house.queue}/r. Waiting: t1.c1." in told[0].err
    assert f"Nothing waits for a person in {house.queue}/none." in told[1].err
    assert "has ended (terminated)" in told[2].err
    assert "leave them out, or RUN" in told[3].err


# --- deciding right there -------------------------------------------------------------------------------------


async def waiting_at_terminal(house: House, name: str, *replies: Any) -> WorkflowHandle[Any, Any]:
    """A run of this house's tenant that waits to write a file, and is listed as that."""
    house.fake.script([calls(("write_file", {"path": "out.md", "content": "hello"})), *replies])
    run = await house.start("write", id=f"{house.queue}/{name}", tenant=house.queue, dial="propose")
    await until(run, lambda s: s.waiting)
    await shown_as(house, f"WorkflowId = '{run.id}' AND AgentPhase = 'waiting'")
    return run


async def test_one_is_picked_seen_and_decided_right_there(house: House) -> None:
    async with house.worker():
        run = await waiting_at_terminal(house, "pick", says("All written."))
        with terminal(house, "inbox", "--tenant", house.queue) as screen:
            listed = await screen.until("to leave > ")
            screen.type("9")
            await screen.until("'9' is no number of this list.")
            screen.type("1")
            card = await screen.until("[l] later > ")
            screen.type("a")
            await screen.until("Accepted: ")
            await screen.until("Nothing here needs a person")
            screen.type("q")
            code = await screen.ended()
        answer = await run.result()

    assert "hello" not in listed
    assert "content: hello" in card
    assert (code, answer["answer"]) == (0, "All written.")
    assert (house.workspace / "out.md").read_text() == "hello"


async def test_a_question_to_the_agent_comes_back_answered_and_then_it_is_approved_with_an_edit(
    house: House,
) -> None:
    async with house.worker():
        run = await waiting_at_terminal(house, "talk", says("Since you asked for it."), says("All written."))
        with terminal(house, "inbox", run.id) as screen:
            await screen.until("[l] later > ")
            screen.type("?")
            await screen.until("you decide then: ")
            screen.type("Why this file?")
            await screen.until("The agent answered, in the model's own words:")
            await screen.until("Since you asked for it.")
            await screen.until("[l] later > ", 2)
            screen.type("e")
            await screen.until("or nothing more: ")
            screen.type("content=goodbye")
            await screen.until("or nothing more: ", 2)
            screen.type("")
            await screen.until("Approve it like that? [y/N] > ")
            screen.type("y")
            asked = await screen.until("[l] later > ", 3)
            screen.type("a")
            await screen.until("Accepted: ", 3)
            code = await screen.ended()
        answer = await run.result()

    assert "content: goodbye" in asked
    assert (code, answer["answer"]) == (0, "All written.")
    assert (house.workspace / "out.md").read_text() == "goodbye"


async def test_what_somebody_else_decides_meanwhile_is_told(house: House) -> None:
    async with house.worker():
        run = await waiting_at_terminal(house, "race", says("All written."))
        with terminal(house, "inbox", run.id, "t1.c1") as screen:
            await screen.until("[l] later > ")
            await starter(house, "approve", run.id)
            await screen.until("Somebody else has decided it meanwhile.")
            code = await screen.ended()
        await run.result()

    assert code == 0


async def test_what_is_left_for_later_stays_open_with_the_lines_that_answer_it(house: House) -> None:
    await plant(house, "r", memo_card())
    with terminal(house, "inbox", "--tenant", house.queue) as screen:
        await screen.until("to leave > ")
        screen.type("1")
        await screen.until("[l] later > ")
        screen.type("l")
        await screen.until("Left open. These answer it")
        await screen.until("1 gate needs a person")
        screen.type("q")
        code = await screen.ended()

    assert code == 0
    assert names(await inbox(house)) == ["r"]


# --- a run of the real loop -----------------------------------------------------------------------------------


async def test_markers_of_a_real_run_are_in_neither_roll_up(house: House) -> None:
    (house.workspace / f"{MARK}.md").write_text(f"result {MARK}")
    house.fake.script(
        [
            calls(("read_file", {"path": f"{MARK}.md"}), text=f"Let me look, {MARK}."),
            calls(
                ("ask_human", {"question": f"May I, {MARK}?"}),
                ("write_file", {"path": f"{MARK}-2.md", "content": MARK}),
                text=f"Now I write {MARK}.",
            ),
            holds(says(MARK)),
        ]
    )
    async with house.worker():
        run = await house.start(f"task {MARK}", id=f"{house.queue}/mark", tenant=house.queue, dial="propose")
        await until(run, lambda s: len(s.waiting) == 2)
        await shown_as(house, f"WorkflowId = '{run.id}' AND AgentPhase = 'waiting'")
    shown: list[Ended] = [
        await starter(house, command, "--tenant", house.queue, *words)
        for command in ("inbox", "overview")
        for words in ((), ("--json",))
    ]
    found = await inbox(house)
    cards = await starter(house, "inbox", run.id)
    await run.terminate()

    assert [line["gate"] for line in found["gates"]] == ["t2.c2", "t2.c1"]
    assert [line["tool"] for line in found["gates"]] == ["write_file", "ask_human"]
    assert [each.code for each in shown] == [0] * 4
    assert MARK not in "".join(each.out + each.err for each in shown)
    assert f"May I, {MARK}?" in cards.out
    assert f"path: {MARK}-2.md" in cards.out


async def test_a_real_run_is_there_for_those_whom_its_rules_ask_and_overdue_once_its_deadline_has_passed(
    house: House, tmp_path: Path
) -> None:
    pay = counted("pay_inbox", Effect(writes=True, idempotent=False, reversible=False, risk="high"))
    people = {"ann": {"roles": ["manager"]}, "bob": {"roles": ["manager"]}, "cy": {}}
    terms = {"approvers": ["manager"], "needed": 2, "deadline": "4s", "nobody": "ask_again"}
    rules = {"people": people, "rules": [{"name": "payments", "tools": ["*"], "terms": terms}]}
    file = tmp_path / "people.yaml"
    file.write_text(json.dumps({"people": people}))  # JSON is YAML
    tester = Agent(name="tester", instructions="t", tools=("pay_inbox",), rules=RuleSet.model_validate(rules))
    house.fake.script([calls(("pay_inbox", {"text": "x"})), says("paid")])
    async with house.worker(pay, agents=[tester]):
        run = await house.start("pay", id=f"{house.queue}/pay", tenant=house.queue, agent="tester")
        await until(run, lambda s: s.waiting)
        await decide(run, "t1.c1", "approve", by="ann")
    await shown_as(house, f"WorkflowId = '{run.id}' AND AgentWaitingOn = 'manager'")
    mine = {
        who: [
            line["approved"] for line in (await inbox(house, "--mine", who, AGENT_RULES=str(file)))["gates"]
        ]
        for who in people
    }
    async with asyncio.timeout(SOON):
        while not (late := (await inbox(house, "--overdue"))["gates"]):
            await asyncio.sleep(0.2)
    card = await starter(house, "inbox", run.id)
    await run.terminate()

    assert mine == {"ann": [], "bob": [1], "cy": []}
    assert [(line["tool"], line["who"], line["needed"], line["risk"]) for line in late] == [
        ("pay_inbox", ["manager"], 2, "high")
    ]
    assert "manager; 2 different people must approve, so far: ann" in card.out
    assert "if nobody decides by then, it is asked again" in card.out


async def test_the_inbox_needs_no_worker_and_asks_no_run(house: House) -> None:
    await plant(house, "r", memo_card())
    async with asyncio.timeout(10):
        assert names(await inbox(house)) == ["r"]
