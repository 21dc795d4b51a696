"""`dial explain` and `dial table`: everything that a verdict depends on, and the verdict, without any server."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from agents.agent import Agent, ToolSpec
from agents.effect import READ, Dial, Effect, verdict
from agents.rules import Condition, Override, Rule, RuleSet, Terms
from agents.ruling import CAREFUL
from console.dial.inputs import Installed
from console.dial.outcomes import outcomes
from console.dial.table import table_command
from tests.commands import Ended, starter
from tests.house import House
from tests.processes import ROOT
from tests.test_ruling import NOW

PEOPLE = """
people:
  ann: {roles: [manager]}
  bob: {}
"""
RULES = f"""{PEOPLE}
rules:
  - name: refunds
    tools: [http_post]
    when: {{field: url, is: starts with, value: "https://pay.example/refunds"}}
    terms: {{approvers: [manager], deadline: 4h}}
  - name: notes
    tools: [write_file]
    when: {{field: path, is: starts with, value: notes/}}
    verdict: allow
  - {{name: puts, tools: [http_put], dial: propose}}
  - {{name: no pages, tools: [http_get], verdict: refuse}}
"""
REFUND = json.dumps({"url": "https://pay.example/refunds/7", "body": "{}"})


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return str(path)


async def dial(house: House, *words: str, **changes: str) -> Ended:
    # No server listens there: these commands ask none.
    return await starter(house, "dial", *words, **{"TEMPORAL_ADDRESS": "127.0.0.1:1", **changes})


def fields(text: str) -> dict[str, str]:
    """The fields of an explanation: the label, and the lines beside it."""
    found: dict[str, str] = {}
    label = ""
    for line in text.splitlines()[1:]:
        label = line[:13].strip() or label
        found[label] = f"{found[label]}\n{line[13:]}" if label in found else line[13:]
    return found


# --- explain --------------------------------------------------------------------------------------------------------


async def test_explain_shows_what_goes_in_and_what_comes_out(house: House, rules: str) -> None:
    shown = await dial(house, "explain", "assistant", "http_post", "--args", REFUND, "--rules", rules)

    terms = "manager; within 4 h, else deny"
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0] == "http_post of agent assistant"
    assert fields(shown.out) == {
        "effect": "irreversible non-idempotent write, medium risk\n"
        "writes: yes, reversible: no, idempotent: no, observable: yes, risk: medium",
        "dial": "supervised, the agent's",
        "arguments": REFUND,
        "rules": f"refunds ({rules}): where url starts with 'https://pay.example/refunds': asks {terms}. It holds.",
        "people": "ann (manager)\nbob",
        "verdict": "ask: rule 'refunds': url starts with 'https://pay.example/refunds'",
        "it asks": terms,
        "otherwise": "where no condition holds, it asks anyone",
    }


async def test_explain_without_arguments_says_what_cannot_be_told(house: House, rules: str) -> None:
    shown = fields(
        (await dial(house, "explain", "assistant", "http_post", "--dial", "autonomous", "--rules", rules)).out
    )

    assert shown["dial"] == "autonomous, as --dial says"
    assert shown["arguments"] == "none given: what a rule cannot tell is taken carefully"
    assert shown["rules"].endswith("It cannot be told, and counts.")
    assert (
        shown["verdict"]
        == "ask: rule 'refunds': url starts with 'https://pay.example/refunds' cannot be told"
    )
    assert shown["otherwise"] == "where no condition holds, it goes ahead"


async def test_explain_says_when_a_rule_that_cannot_be_told_does_not_count(house: House, rules: str) -> None:
    shown = fields(
        (await dial(house, "explain", "assistant", "write_file", "--dial", "propose", "--rules", rules)).out
    )

    assert shown["rules"].endswith("lets it go ahead. It cannot be told, and does not count.")
    assert shown["verdict"] == "ask: at dial propose every write asks"
    assert shown["otherwise"] == "where path starts with 'notes/' (rule 'notes'), it goes ahead"


async def test_explain_says_that_no_run_would_make_such_a_call(house: House) -> None:
    shown = await dial(house, "explain", "assistant", "write_file", "--args", '{"path": "a"}')

    assert fields(shown.out)["arguments"] == (
        '{"path": "a"}\nno run would make this call: the arguments do not match the tool\'s schema:\n'
        "arguments: 'content' is a required property"
    )
    assert fields(shown.out)["rules"] == "none speaks of this tool"
    assert fields(shown.out)["people"] == "none are listed: anyone may go by any name"


async def test_explain_without_a_tool_explains_each(house: House) -> None:
    shown = await dial(house, "explain", "assistant")

    heads = [line for line in shown.out.splitlines() if line.endswith(" of agent assistant")]
    assert len(heads) == 7
    assert "a question to a person: nothing is done" in shown.out
    assert "ask: the agent asks" in shown.out


async def test_explain_as_json_holds_the_same(house: House, rules: str) -> None:
    shown = await dial(
        house, "explain", "assistant", "http_post", "--args", REFUND, "--rules", rules, "--json"
    )

    [case] = shown.json
    assert case["effect"] == {
        "writes": True,
        "idempotent": False,
        "reversible": False,
        "risk": "medium",
        "observable": True,
    }
    assert (case["dial"], case["arguments"], case["problem"]) == ("supervised", json.loads(REFUND), None)
    assert case["rules"] == [
        {
            "rule": "refunds",
            "source": rules,
            "when": "url starts with 'https://pay.example/refunds'",
            "says": "asks manager; within 4 h, else deny",
            "holds": True,
            "counts": True,
        }
    ]
    assert case["people"] == {"ann": ["manager"], "bob": []}
    assert (case["verdict"]["says"], case["verdict"]["rule"]) == ("ask", "refunds")
    assert case["verdict"]["terms"]["approvers"] == ["manager"]


async def test_the_rules_file_of_the_settings_holds_where_none_is_named(house: House, rules: str) -> None:
    shown = await dial(house, "explain", "assistant", "http_get", AGENT_RULES=rules)

    assert fields(shown.out)["verdict"] == "refuse: rule 'no pages': every call"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("explain", "asistant"), "There is no agent 'asistant'; installed: assistant."),
        (("table", "asistant"), "There is no agent 'asistant'; installed: assistant."),
        (
            ("explain", "assistant", "http_pst"),
            "Agent 'assistant' has no tool 'http_pst'; it has: list_files, ",
        ),
        (("explain", "assistant", "--args", "{}"), "--args: say which tool they are for"),
        (
            ("explain", "assistant", "http_post", "--args", "[1]"),
            "--args: the arguments must be a JSON object",
        ),
        (("explain", "assistant", "http_post", "--args", "{"), "--args: the arguments are not JSON"),
        (("explain", "assistant", "--rules", "gone.yaml"), "gone.yaml: the rules file cannot be read"),
        (("table", "assistant", "--rules", str(ROOT / "tests")), f"{ROOT / 'tests'}: it is not a file"),
    ],
)
async def test_what_cannot_be_answered_is_told_and_is_bad_usage(
    words: tuple[str, ...], complaint: str, house: House
) -> None:
    refused = await dial(house, *words)

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(complaint)


async def test_mistakes_in_the_rules_are_told_with_their_lines(house: House, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - name: r\n    tools: [http_pst]\n    verdict: ask\n")

    refused = await dial(house, "table", "assistant", "--rules", str(path))

    assert refused.code == 2
    assert refused.err.startswith(
        f"{path}:3: rules[0].tools[0]: there is no tool 'http_pst'; there is: ask_human, "
    )


# --- table ----------------------------------------------------------------------------------------------------------


async def test_the_table_has_a_line_for_each_tool_and_a_column_for_each_dial(house: House) -> None:
    shown = await dial(house, "table", "assistant")

    rows = [line.split(maxsplit=4) for line in shown.out.split("\n\n")[0].splitlines()]
    assert shown.code == 0
    assert rows == [
        ["tool", "propose", "supervised", "autonomous", "effect"],
        ["list_files", "allow", "allow", "allow", "read"],
        ["read_file", "allow", "allow", "allow", "read"],
        ["write_file", "ask", "allow", "allow", "reversible idempotent write, low risk"],
        ["http_get", "allow", "allow", "allow", "read"],
        ["http_put", "ask", "allow", "allow", "reversible idempotent write, low risk"],
        ["http_post", "ask", "ask", "allow", "irreversible non-idempotent write, medium risk"],
        ["ask_human", "ask", "ask", "ask", "question to a person"],
    ]
    assert shown.out.endswith("\nassistant runs at dial supervised unless told otherwise.\n")


async def test_the_table_marks_where_a_rule_looks_at_the_arguments(house: House, rules: str) -> None:
    shown = await dial(house, "table", "assistant", "--rules", rules)

    table, notes, _ = shown.out.split("\n\n")
    rows = {line.split()[0]: line.split("  ") for line in table.splitlines()}
    verdicts = {name: [cell.strip() for cell in cells if cell.strip()][1:4] for name, cells in rows.items()}
    assert verdicts["http_post"] == ["ask *", "ask *", "allow *"]
    assert verdicts["write_file"] == ["ask *", "allow", "allow"]
    assert verdicts["http_put"] == ["ask", "ask", "ask"]
    assert verdicts["http_get"] == ["refuse", "refuse", "refuse"]
    assert notes.splitlines() == [
        "* write_file at dial propose: where path starts with 'notes/' (rule 'notes'), it goes ahead",
        "* http_post: where url starts with 'https://pay.example/refunds' (rule 'refunds'), it asks manager; within 4 h, "
        "else deny",
    ]


async def test_the_table_as_json_holds_the_same(house: House, rules: str) -> None:
    shown = (await dial(house, "table", "assistant", "--rules", rules, "--json")).json

    tools: dict[str, Any] = {row["tool"]: row for row in shown["tools"]}
    assert (shown["agent"], shown["dial"], shown["rules_file"]) == ("assistant", "supervised", rules)
    assert tools["http_post"]["effect"]["risk"] == "medium"
    assert tools["http_post"]["dials"]["autonomous"] == {
        "verdict": "allow",
        "reason": "irreversible non-idempotent write, medium risk: goes ahead at dial autonomous",
        "override": None,
        "depends_on_arguments": True,
        "otherwise": [
            {"verdict": "ask", "rule": "refunds", "when": "url starts with 'https://pay.example/refunds'"}
        ],
    }
    assert tools["http_get"]["dials"]["propose"]["depends_on_arguments"] is False


async def test_the_example_file_has_a_manager_asked_for_large_refunds(house: House) -> None:
    large = json.dumps({"url": "https://payments.example/refunds/large", "body": '{"amount": 250}'})

    [case] = (
        await dial(
            house,
            "explain",
            "assistant",
            "http_post",
            "--json",
            "--args",
            large,
            "--rules",
            "rules.example.yaml",
        )
    ).json

    assert (case["verdict"]["says"], case["verdict"]["terms"]["approvers"]) == ("ask", ["manager"])
    assert case["verdict"]["terms"]["requester_counts"] is False


# --- What arguments may change --------------------------------------------------------------------------------------

LARGE = Condition.model_validate({"field": "amount", "is": ">", "value": 100})
SAVE = Effect(writes=True)


@pytest.mark.parametrize(
    ("effect", "rule", "by_dial"),
    [
        (READ, {"dial": "propose"}, ["allow", "allow", "allow"]),
        (READ, {"verdict": "ask"}, ["allow, ask", "allow, ask", "allow, ask"]),
        (SAVE, {"verdict": "allow"}, ["ask, allow", "allow", "allow"]),
        (SAVE, {"dial": "propose"}, ["ask", "allow, ask", "allow, ask"]),
        (SAVE, {"dial": "autonomous"}, ["ask, allow", "allow", "allow"]),
        (SAVE, {"verdict": "refuse"}, ["ask, refuse", "allow, refuse", "allow, refuse"]),
        (SAVE, {"terms": Terms(approvers=("ann",))}, ["ask, ask", "allow, ask", "allow, ask"]),
    ],
)
def test_what_may_become_of_a_call_is_found_from_its_rules(
    effect: Effect, rule: dict[str, Any], by_dial: list[str]
) -> None:
    spec = ToolSpec(name="t", description="", parameters={}, effect=effect)
    rules = RuleSet(rules=(Rule(name="r", tools=("t",), when=LARGE, **rule),))

    found = {dial: outcomes(spec, dial, rules, NOW) for dial in CAREFUL}

    assert [", ".join([b.says, *(o.ruling.says for o in os)]) for b, os in found.values()] == by_dial
    assert [base.reason for base, _ in found.values()] == [
        verdict(effect, Dial(dial)).reason for dial in CAREFUL
    ]


def test_the_table_marks_what_an_override_lets_go_ahead(capsys: pytest.CaptureFixture[str]) -> None:
    wire = ToolSpec(
        name="wire",
        description="",
        parameters={"type": "object", "properties": {"amount": {}}},
        effect=Effect(writes=True, idempotent=False, reversible=False, risk="critical"),
    )
    override = Override(name="night", by="ann", reason="asleep", until=datetime(9999, 1, 1, tzinfo=UTC))
    rules = RuleSet(
        rules=(
            Rule(name="batch", tools=("wire",), verdict="allow", override=override, agents=("a",)),
            Rule(
                name="small", tools=("wire",), verdict="allow", override=override, agents=("b",), when=LARGE
            ),
        )
    )
    agents = [
        Agent(name=name, instructions="", tools=("wire",), rules=own_rules(rules, name))
        for name in ("a", "b")
    ]
    show = table_command(lambda settings: Installed(agents, {"wire": wire}))

    for name in ("a", "b"):
        with pytest.raises(typer.Exit):
            show(name)

    always, sometimes = capsys.readouterr().out.split("unless told otherwise.\n")[:2]
    cells = "allow !  allow !     allow !"
    assert cells in always
    assert (
        "! wire: rule 'batch': every call, under override 'night' of ann until 9999-01-01 00:00 UTC: asleep"
        in always
    )
    assert "ask *    ask *       ask *" in sometimes
    assert "* wire: where amount > 100 (rule 'small'), it goes ahead under override 'night'" in sometimes


def own_rules(rules: RuleSet, agent: str) -> RuleSet:
    return RuleSet(rules=tuple(rule for rule in rules.rules if agent in rule.agents))
