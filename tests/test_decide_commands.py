"""A person decides at a gate: approve, edit, approve for the rest of the run, ask, delegate, by command and by signal."""

import getpass
import json
import subprocess
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text
from temporalio.client import WorkflowHandle
from typer.testing import CliRunner

from activities.toolbox.person import ask_human
from activities.tools import tool
from agents.agent import Agent
from agents.effect import Effect
from agents.rules import Person, Rule, RuleSet, Terms
from console.edit import all_arguments, changed, difference
from console.exits import Trouble
from console.grants import grant
from console.lines import signal_line
from console.signing import public_key, write_new_key
from runtime.connection import Connection
from starter import app
from tests.commands import starter, terminal
from tests.fake_openai import calls, says
from tests.house import House, status, until
from tests.openai_script import Reply
from tests.pasting import line_with, pasted

CALL = {"to": "ann@example.com", "amount": 120, "note": "first\nsecond\nthird", "address": {"city": "Rome"}}


# --- changed arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("amount=90", "amount", 90),
        ("amount=90.5", "amount", 90.5),
        ('amount="90"', "amount", "90"),
        ("amount=null", "amount", None),
        ("to=90", "to", "90"),
        ("to=true", "to", "true"),
        ("to=a=b", "to", "a=b"),
        ("to=", "to", ""),
        ('to="quoted"', "to", '"quoted"'),
        ("address.city=Oslo", "address", {"city": "Oslo"}),
        ("address.zip=0185", "address", {"city": "Rome", "zip": "0185"}),
        ("new=12", "new", 12),
        ("new=twelve", "new", "twelve"),
        ('address={"city": "Oslo"}', "address", {"city": "Oslo"}),
    ],
)
def test_a_changed_argument_stays_a_text_where_it_is_one_and_is_json_otherwise(
    change: str, field: str, value: object
) -> None:
    assert changed(CALL, [change]) == {**CALL, field: value}


def test_changes_leave_the_calls_own_arguments_alone_and_follow_one_another() -> None:
    before = json.loads(json.dumps(CALL))

    assert changed(CALL, ["address.city=Oslo", "address.city=Bergen"])["address"] == {"city": "Bergen"}
    assert before == CALL


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("amount", "write FIELD=VALUE"),
        ("=90", "write FIELD=VALUE"),
        ("amount=ninety", "amount holds 120 now, so its value must be JSON"),
        ("amount=NaN", "must be JSON"),
        ("amount.cents=5", "hold no such object"),
        ("nothing.here=5", "hold no such object"),
    ],
)
def test_what_is_no_change_is_told_before_anything_is_sent(change: str, says: str) -> None:
    with pytest.raises(Trouble, match=says):
        changed(CALL, [change])


def test_all_arguments_come_as_json_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "args.json").write_text('{"a": "ü"}')

    assert all_arguments('{"a": 1}') == {"a": 1}
    assert all_arguments(f"@{tmp_path / 'args.json'}") == {"a": "ü"}
    for wrong in ("[1]", "{", f"@{tmp_path / 'none'}", '{"a": NaN}'):
        with pytest.raises(Trouble, match="--arguments"):
            all_arguments(wrong)


def shown(parts: list[Text]) -> str:
    return "\n".join(part.plain for part in parts)


def test_the_difference_names_each_field_with_what_it_was_and_what_it_is() -> None:
    after = {**CALL, "amount": 90, "note": "first\nsecond!\nthird", "new": [1]}
    after.pop("to")

    assert shown(difference(CALL, after)).split("\n") == [
        "  to:",
        "    - ann@example.com",
        "  amount:",
        "    - 120",
        "    + 90",
        "  note:",
        "      first",
        "    - second",
        "    + second!",
        "      third",
        "  new:",
        "    + [1]",
    ]
    assert difference(CALL, CALL) == []


def test_no_difference_hides_behind_how_values_read() -> None:
    """Spaces at a line's end, 1 and true, and a number that became a text are changes too."""
    assert shown(difference({"a": "x"}, {"a": "x "})) == '  a:\n    - "x"\n    + "x "'
    assert shown(difference({"a": 1}, {"a": True})) == "  a:\n    - 1\n    + true"
    assert shown(difference({"a": 1}, {"a": "1"})) == '  a:\n    - 1\n    + "1"'
    assert shown(difference({"a": None}, {})) == "  a:\n    - null"


# --- approvals for the rest of the run ------------------------------------------------------------------------


def test_a_grant_is_so_many_calls_for_so_long_on_conditions() -> None:
    when = ["amount <= 100", "to ends with @example.com"]

    assert grant(5, "4h", when, CALL) == {
        "calls": 5,
        "lasts": 14400.0,
        "when": {
            "all": [
                {"field": "amount", "is": "<=", "value": 100},
                {"field": "to", "is": "ends with", "value": "@example.com"},
            ]
        },
    }
    assert grant(1, "30m", [], CALL) == {"calls": 1, "lasts": 1800.0}
    assert grant(None, None, [], CALL) is None


@pytest.mark.parametrize(
    ("text", "field", "comparison", "value"),
    [
        ("amount<=100", "amount", "<=", 100),
        ("amount = 100", "amount", "=", 100),
        ("to = 100", "to", "=", "100"),
        ("to != bob", "to", "!=", "bob"),
        ("address.city = Oslo", "address.city", "=", "Oslo"),
        ('to in ["a", "b"]', "to", "in", ["a", "b"]),
        ("to  not  in []", "to", "not in", []),
        ("to starts with a = b", "to", "starts with", "a = b"),
        ("note contains x", "note", "contains", "x"),
        ("amount != null", "amount", "!=", None),
    ],
)
def test_a_condition_is_a_field_a_comparison_and_a_value(
    text: str, field: str, comparison: str, value: object
) -> None:
    given_ = grant(1, "1h", [text], CALL)

    assert given_ is not None
    assert given_["when"] == {"field": field, "is": comparison, "value": value}


@pytest.mark.parametrize(
    ("calls", "lasts", "when", "says"),
    [
        (None, "4h", [], "belong to --for-run"),
        (None, None, ["a = 1"], "belong to --for-run"),
        (3, None, [], "--for-run needs --lasts"),
        (0, "4h", [], "--for-run: "),
        (101, "4h", [], "--for-run: "),
        (3, "soon", [], "--lasts: "),
        (3, "0s", [], "--lasts: "),
        (3, "4h", ["amount"], "write FIELD COMPARISON VALUE"),
        (3, "4h", ["amount ~ 3"], "write FIELD COMPARISON VALUE"),
        (3, "4h", ["amount in 3,4"], "needs a JSON list"),
        (3, "4h", ["amount in 3"], "--when: "),
    ],
)
def test_half_a_grant_is_told_before_anything_is_sent(
    calls: int | None, lasts: str | None, when: list[str], says: str
) -> None:
    with pytest.raises(Trouble, match=says):
        grant(calls, lasts, when, CALL)


# --- lines to paste -------------------------------------------------------------------------------------------

CONNECTION = Connection(cast("Any", None), "127.0.0.1:7233", None, False, "default")
ODD = 'it\'s "quoted"!\n$(id) `id` \\n \\ !! !$ %s ü 漢 🎉 \u202e \x7f'


def argv(line: str) -> list[str]:
    """The words that a POSIX shell makes of a line, after its program."""
    printed = subprocess.run(
        ["/bin/sh", "-c", f"set -- {line}; printf '%s\\0' \"$@\""], capture_output=True, check=True, text=True
    )
    return printed.stdout.split("\0")[1:-1]


def body_in(line: str) -> dict[str, Any]:
    """The message in a printed line, as the run would read it."""
    words = argv(line)
    body: dict[str, Any] = json.loads(words[words.index("--input") + 1])
    return body


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=30, deadline=None)
def test_whatever_is_said_a_printed_line_is_one_line_and_says_exactly_that(text: str) -> None:
    line = signal_line("acme/r1", "say", {"by": "ann", "text": text}, CONNECTION)

    assert len(line.splitlines()) == 1
    assert line.isprintable() or not text.isprintable()
    assert body_in(line) == {"by": "ann", "text": text}


def test_a_printed_line_survives_a_shell_that_expands_exclamation_marks() -> None:
    line = signal_line("r1", "say", {"by": "ann", "text": ODD}, CONNECTION)
    script = f"set -- {line}\nprintf '<%s>' \"$9\"\nexit\n"
    shell = subprocess.run(
        ["bash", "--norc", "--noprofile", "-i"],
        input=script,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HISTFILE": ""},
    )

    assert json.loads(shell.stdout.partition("<")[2].rpartition(">")[0])["text"] == ODD


def test_a_printed_line_names_the_server_and_namespace_where_they_are_not_the_usual_ones() -> None:
    other = Connection(cast("Any", None), "temporal.test:443", None, False, "my ns")

    words = argv(signal_line("acme/r1", "pause", {"by": "ann"}, other))

    assert words == [
        "workflow", "signal", "--address", "temporal.test:443", "--namespace", "my ns",
        "--workflow-id", "acme/r1", "--name", "pause", "--input", '{"by":"ann"}',
    ]  # fmt: skip


# --- usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("ask r1", "Missing argument"),
        ("delegate r1", "--to"),
        ("approve r1 --for-run many", "--for-run"),
        ("deny r1", "--reason"),
        ("decide r1 t1.c1 think", "think"),
    ],
)
def test_bad_usage_ends_with_2(words: str, says: str) -> None:
    ended = CliRunner().invoke(app, words)

    assert ended.exit_code == 2
    assert says in ended.output


# --- on a real server -----------------------------------------------------------------------------------------


@tool(Effect(writes=True, idempotent=False, reversible=False, risk="high"))
async def pay(to: str, amount: int) -> str:
    """Pays somebody."""
    return f"paid {amount} to {to}"


@tool(
    Effect(writes=True, idempotent=False, reversible=False, risk="high"),
    preview=lambda to, amount: f"{to} gets {amount}, and has {1000 + amount} then",
)
async def transfer(to: str, amount: int) -> str:
    """Transfers money, and says beforehand what it would do."""
    return f"sent {amount} to {to}"


def pays(*amounts: int, tool: str = "pay") -> Reply:
    """A reply that asks for payments."""
    return calls(*((tool, {"to": "ann@example.com", "amount": amount}) for amount in amounts))


def agent(*approvers: str, needed: int = 1, people: dict[str, Person] | None = None) -> Agent:
    """An agent that pays, and asks these people."""
    rule = Rule(name="money", tools=("*",), verdict="ask", terms=Terms(approvers=approvers, needed=needed))
    rules = RuleSet(rules=(rule,), people=people or {})
    return Agent(name="payer", instructions="pay", tools=("pay", "transfer", "ask_human"), rules=rules)


PEOPLE = {name: Person(roles=("manager",)) for name in ("ann", "bob", "cleo")}
ASKS_ANN = agent("ann", people=PEOPLE)


def office(house: House, payer: Agent = ASKS_ANN) -> AbstractAsyncContextManager[object]:
    """A worker with that agent."""
    return house.worker(pay, transfer, ask_human, agents=(payer,))


async def waits(house: House, *steps: Reply, gates: int = 1) -> WorkflowHandle[Any, Any]:
    """A run that waits at so many gates."""
    house.fake.script([*steps, says("All done.")])
    run = await house.start("pay", agent="payer", id=f"pay-{house.queue}")
    await until(run, lambda shown: len(shown.waiting) == gates)
    return run


async def test_a_call_goes_ahead_with_the_arguments_that_a_person_has_changed(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120))
        ended = await starter(house, "approve", run.id, "--set", "amount=90", "--by", "ann", "--json")
        await run.result()
        told = house.fake.requests[1].raw.decode()

    assert ended.code == 0
    assert ended.json["accepted"] is True
    assert ended.json["asks_again"] is None
    assert "What changes:\n  amount:\n    - 120\n    + 90" in ended.err
    assert "Accepted: edit by ann: amount: 120" in ended.err
    assert "paid 90 to ann@example.com" in told


async def test_arguments_that_do_not_fit_the_tool_are_refused_with_why_and_the_gate_stays(
    house: House,
) -> None:
    async with office(house):
        run = await waits(house, pays(120))
        ended = await starter(house, "approve", run.id, "--set", 'amount="much"', "--by", "ann")
        whole = await starter(
            house, "decide", run.id, "t1.c1", "edit", "--arguments", '{"amount": 1}', "--by", "ann"
        )
        same = await starter(house, "approve", run.id, "--set", "amount=120", "--by", "ann")
        shown = await status(run)
        await run.terminate()

    assert (ended.code, whole.code, same.code) == (1, 1, 2)
    assert "Refused: " in ended.out
    assert "amount" in ended.out.partition("Refused: ")[2]
    assert f"approve {run.id} t1.c1 --digest {shown.waiting[0].digest[:16]}" in ended.out
    assert "to" in whole.out.partition("Refused: ")[2].partition("\n")[0]
    assert "Nothing changes by that --set" in same.err


async def test_where_the_tool_previews_the_changed_call_is_shown_again_before_it_goes_ahead(
    house: House,
) -> None:
    async with office(house):
        run = await waits(house, pays(120, tool="transfer"))
        ended = await starter(house, "approve", run.id, "--set", "amount=90", "--by", "ann")
        between = await status(run)
        done = await pasted(line_with(ended.out, "starter.py approve"), house)
        await run.result()
        told = house.fake.requests[1].raw.decode()

    assert ended.code == 3
    assert "ann@example.com gets 120, and has 1120 then" in ended.out
    assert "ann@example.com gets 90, and has 1090 then" in ended.out
    assert [call.state for call in between.calls] == ["waiting"]
    assert (done.code, done.err) == (0, "")
    assert "sent 90 to ann@example.com" in told


async def test_at_a_terminal_the_person_says_yes_to_the_changed_call_right_there(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120, tool="transfer"))
        with terminal(house, "approve", run.id, "--set", "amount=90", "--by", "ann") as screen:
            await screen.until("Approve this? [y/N] > ")
            assert "gets 90, and has 1090 then" in screen.text
            screen.type("y")
            await screen.until("Accepted: approve by ann")
            code = await screen.ended()
        await run.result()

    assert code == 0


async def test_at_a_terminal_the_changed_call_waits_on_unless_the_person_says_yes(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120, tool="transfer"))
        with terminal(house, "approve", run.id, "--set", "amount=90", "--by", "ann") as screen:
            await screen.until("Approve this? [y/N] > ")
            screen.type("")
            await screen.until("Left open.")
            code = await screen.ended()
        shown = await status(run)
        await run.terminate()

    assert code == 3
    assert "gets 90" in shown.waiting[0].preview


async def test_an_approval_for_the_rest_of_the_run_lets_only_such_calls_pass(house: House) -> None:
    steps = [pays(120), pays(90), pays(101), pays(80)]
    async with office(house):
        run = await waits(house, *steps)
        ended = await starter(
            house,
            "approve",
            run.id,
            "--for-run",
            "2",
            "--lasts",
            "4h",
            "--when",
            "amount <= 100",
            "--by",
            "ann",
        )
        asked = await until(run, lambda shown: shown.waiting and shown.turn == 3)
        screen = await starter(house, "status", run.id)
        await starter(house, "approve", run.id, "--by", "ann")
        result = await run.result()

    assert ended.code == 0
    assert asked.waiting[0].call == "t3.c1"
    assert "unasked by approval of ann: 1 more of pay where amount <= 100, for 4 h" in screen.out
    assert result["answer"] == "All done."


async def test_a_question_to_the_agent_is_answered_and_the_gate_stays_open(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120), says("Because the invoice says 120."))
        ended = await starter(house, "ask", run.id, "Why so much?", "--by", "ann", "--json")
        shown = await status(run)
        await starter(house, "approve", run.id, "--by", "ann")
        await run.result()

    assert ended.code == 0
    assert ended.json["answer"] == "Because the invoice says 120."
    assert "in the model's own words:\n  Because the invoice says 120." in ended.err
    assert [(each.by, each.question) for each in shown.waiting[0].thread] == [("ann", "Why so much?")]


async def test_only_those_who_are_asked_may_decide_and_they_can_pass_it_on(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120))
        early = await starter(house, "approve", run.id, "--by", "bob")
        passed = await starter(house, "delegate", run.id, "--to", "bob", "--by", "ann")
        then = await starter(house, "approve", run.id, "--by", "bob")
        await run.result()

    assert [ended.code for ended in (early, passed, then)] == [1, 0, 0]
    assert "Refused: bob may not decide here; it asks ann" in early.out
    assert f"starter.py delegate {run.id} t1.c1" in early.out
    assert "Accepted: bob may decide for ann" in passed.out
    assert "Accepted: approve by bob" in then.out


async def test_where_several_must_approve_the_receipt_counts_them(house: House) -> None:
    async with office(house, agent("manager", needed=2, people=PEOPLE)):
        run = await waits(house, pays(120, 130), gates=2)
        first = await starter(house, "approve", run.id, "t1.c1", "--by", "ann")
        again = await starter(house, "approve", run.id, "t1.c1", "--by", "ann")
        screen = await starter(house, "status", run.id)
        second = await starter(house, "approve", run.id, "t1.c1", "--by", "bob")
        late = await starter(
            house, "approve", run.id, "t1.c1", "--by", "cleo", "--digest", body_digest(screen.out)
        )
        await run.terminate()

    assert [ended.code for ended in (first, again, second, late)] == [0, 0, 0, 1]
    assert "Accepted: approve by ann: 1 of 2" in first.out
    assert "already approved by ann" in again.out
    assert "2 different people must approve, so far: ann" in screen.out
    assert "Accepted: approve by bob" in second.out
    assert "already decided by ann, bob" in late.out
    assert f"starter.py status {run.id}" in late.out


def body_digest(text: str) -> str:
    """The digest that the printed lines bind an answer to."""
    return text.partition("--digest ")[2].split()[0]


# --- the plain temporal line of each kind ---------------------------------------------------------------------

EACH_KIND = {
    "approve": (("approve",), "paid 120"),
    "edit": (("approve", "--set", "to=" + ODD), "paid 120 to"),
    "deny": (("deny", "--reason", ODD), "Denied by ann"),
    "end": (("decide", "t1.c1", "end", "--reason", ODD), None),
}


@pytest.mark.parametrize("kind", EACH_KIND)
async def test_the_printed_temporal_line_of_each_kind_decides_when_it_is_pasted(
    house: House, kind: str
) -> None:
    (command, *words), told = EACH_KIND[kind]
    async with office(house):
        run = await waits(house, pays(120))
        ended = await starter(house, command, run.id, *words, "--by", "ann", "--print")
        before = await status(run)
        sent = await pasted(ended.out, house)
        shown = await until(run, lambda shown: not shown.waiting)
        await until(run, lambda shown: shown.phase in {"done", "failed"})

    assert (ended.code, len(ended.out.splitlines())) == (0, 1)
    assert len(before.waiting) == 1
    assert (sent.code, shown.rejected) == (0, ())
    if told:
        assert told in house.fake.requests[1].raw.decode()
    else:
        assert len(house.fake.requests) == 1


async def test_the_printed_lines_to_ask_to_pass_on_and_to_answer_work_when_pasted(house: House) -> None:
    question = calls(("ask_human", {"question": "Sure?"}))
    async with office(house):
        run = await waits(house, pays(120), says("Because."), question)
        for words in (("ask", run.id, ODD), ("delegate", run.id, "--to", "bob")):
            line = (await starter(house, *words, "--by", "ann", "--print", "--json")).json["line"]
            assert (await pasted(line, house)).code == 0
        await until(run, lambda shown: shown.waiting[0].thread and shown.waiting[0].thread[0].answer)
        shown = await status(run)
        await starter(house, "approve", run.id, "--by", "bob")
        await until(run, lambda shown: shown.waiting and shown.waiting[0].kind == "question")
        line = (await starter(house, "answer", run.id, ODD, "--by", "ann", "--print")).out
        assert (await pasted(line, house)).code == 0
        await run.result()

    assert [(each.question, each.answer) for each in shown.waiting[0].thread] == [(ODD, "Because.")]
    assert shown.waiting[0].asks == ("ann", "bob")
    assert json.dumps(ODD, ensure_ascii=False)[1:-1] in house.fake.requests[3].raw.decode()


# --- signed ---------------------------------------------------------------------------------------------------


async def test_where_decisions_must_be_signed_the_settings_key_signs_them_in_every_form(
    house: House, tmp_path: Path
) -> None:
    key = write_new_key(tmp_path / "ann.pem")
    write_new_key(tmp_path / "other.pem")
    signed = agent("ann", people={"ann": Person(key=public_key(key))})
    ours = {"AGENT_SIGNING_KEY": str(tmp_path / "ann.pem")}
    async with office(house, signed):
        run = await waits(house, pays(120, 130), gates=2)
        unsigned = await starter(house, "approve", run.id, "t1.c1", "--by", "ann")
        forged = await starter(
            house, "approve", run.id, "t1.c1", "--by", "ann", AGENT_SIGNING_KEY=str(tmp_path / "other.pem")
        )
        edited = await starter(house, "approve", run.id, "t1.c1", "--set", "to=ü", "--by", "ann", **ours)
        line = await starter(house, "approve", run.id, "t1.c2", "--by", "ann", "--print", **ours)
        await pasted(line.out, house)
        await run.result()
        told = house.fake.requests[1].raw.decode()

    assert [ended.code for ended in (unsigned, forged, edited, line)] == [1, 1, 0, 0]
    assert "decisions must be signed" in unsigned.out
    assert "the signature is not that of ann's key" in forged.out
    assert "paid 120 to" in told
    assert "paid 130 to" in told


# --- asked while a run is followed ----------------------------------------------------------------------------


async def test_whoever_follows_a_run_can_ask_the_agent_and_change_a_call(house: House) -> None:
    house.fake.script([pays(120), says("It is the invoice."), says("All done.")])
    async with office(house, agent()):
        with terminal(house, "run", "payer", "pay") as screen:
            await screen.until("[?] question to the agent, [o] other person, [x] end the run, [l] later > ")
            screen.type("?")
            await screen.until("Your question")
            screen.type("Why 120?")
            await screen.until("It is the invoice.")
            await screen.until("later > ", times=2)
            screen.type("e")
            await screen.until("Change which argument?")
            screen.type("amount=much")
            await screen.until("amount holds 120 now")
            screen.type("amount=90")
            screen.type("")
            await screen.until("Approve it like that? [y/N] > ")
            assert "- 120" in screen.text
            assert "+ 90" in screen.text
            screen.type("y")
            await screen.until("✓ done")
            code = await screen.ended()

    assert code == 0
    assert "paid 90 to ann@example.com" in house.fake.requests[2].raw.decode()


async def test_whoever_follows_a_run_can_pass_a_call_on_and_end_the_run_with_a_reason(house: House) -> None:
    house.fake.script([pays(120)])
    with_rules = agent(getpass.getuser(), people={getpass.getuser(): Person(), "bob": Person()})
    async with office(house, with_rules):
        with terminal(house, "run", "payer", "pay", "--id", f"pay-{house.queue}") as screen:
            await screen.until("later > ")
            screen.type("o")
            await screen.until("Who decides in your place? ")
            screen.type("nobody known")
            await screen.until("the rules know nobody called nobody known")
            await screen.until("later > ", times=2)
            screen.type("x")
            await screen.until("Why does the run end? ")
            screen.type("")
            await screen.until("Nothing said, nothing decided.")
            screen.type("x")
            await screen.until("Why does the run end? ", times=2)
            screen.type("the wrong invoice")
            await screen.until("✗ failed")
            code = await screen.ended()
        shown = await status(house.client.get_workflow_handle(f"pay-{house.queue}"))

    assert code == 1
    assert shown.error == f"ended by {getpass.getuser()} at gate t1.c1: the wrong invoice"


async def test_a_card_that_the_memo_has_no_room_for_is_shown_whole_all_the_same(house: House) -> None:
    to = "x" * 3000
    async with office(house):
        house.fake.script([calls(*[("transfer", {"to": to, "amount": number}) for number in range(1, 8)])])
        run = await house.start("pay", agent="payer", id=f"pay-{house.queue}")
        await until(run, lambda shown: len(shown.waiting) == 7)
        ended = await starter(house, "approve", run.id, "t1.c7", "--by", "ann")
        await run.terminate()

    assert ended.code == 0
    assert "as the tool itself foresees it:\n    xxx" in ended.out


async def test_a_paused_run_takes_decisions_and_says_that_it_is_paused(house: House) -> None:
    async with office(house):
        run = await waits(house, pays(120))
        await starter(house, "pause", run.id, "--by", "ann")
        asked = await starter(house, "ask", run.id, "why?", "--by", "ann", "--json")
        decided = await starter(house, "approve", run.id, "--by", "ann")
        shown = await status(run)
        await run.terminate()

    assert (asked.code, asked.json["answer"]) == (0, None)
    assert "No answer yet" in asked.err
    assert "The run is paused" in decided.out
    assert (shown.phase, shown.waiting) == ("paused", ())
