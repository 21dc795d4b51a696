"""The rules file: what people write is read, and every mistake in it is told with its file and line before it counts."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

import catalog
from activities.definitions import DefinitionActivities
from activities.tools import tool_table
from agents.agent import Agent, Definition, ToolSpec
from agents.effect import READ, Dial, Effect
from agents.model_call import ResolveInput
from agents.rulebook import Rulebook
from agents.rules import Condition, Override, Person, Rule, RuleSet, Rung, Terms
from runtime.rules_file import LARGEST, RulesError, checked_rulebook, load_rules
from runtime.settings import Settings
from tests.fake_openai import calls, says
from tests.house import House, decide, until
from tests.processes import ROOT, workers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a rules file into the current folder."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        Path("rules.yaml").write_text(dedent(text).removeprefix("\n"))
        return Path("rules.yaml")

    return written


def complaints(path: Path) -> list[str]:
    with pytest.raises(RulesError) as refused:
        load_rules(path)
    return str(refused.value).splitlines()


# --- What is read ---------------------------------------------------------------------------------------------------


def test_a_rules_file_reads_as_it_is_written(write: Write) -> None:
    path = write("""
        people:
          ann: {roles: [manager]}
          bob: {}
        default: {approvers: [bob]}
        rules:
          - name: large refunds
            agents: [assistant]
            tools: [refund]
            when:
              all:
                - {field: amount, is: ">", value: 100}
                - {field: to, is: not in, value: [ann, "1"]}
            terms:
              approvers: [manager]
              needed: 2
              requester_counts: no
              deadline: 4h
              remind: 90
              escalate: [{after: 30m, to: [bob]}]
              nobody: ask_again
          - name: batch
            tools: ["*"]
            verdict: allow
            override: {name: night, by: ann, reason: asleep, until: 2027-01-31T18:00:00Z}
          - {name: careful, tools: [save], dial: propose}
        """)

    amount = Condition.model_validate({"field": "amount", "is": ">", "value": 100})
    to = Condition.model_validate({"field": "to", "is": "not in", "value": ["ann", "1"]})
    assert load_rules(path) == RuleSet(
        people={"ann": Person(roles=("manager",)), "bob": Person()},
        default=Terms(approvers=("bob",)),
        rules=(
            Rule(
                name="large refunds",
                agents=("assistant",),
                tools=("refund",),
                when=Condition(all=(amount, to)),
                terms=Terms(
                    approvers=("manager",),
                    needed=2,
                    requester_counts=False,
                    deadline=4 * 3600,
                    remind=90,
                    escalate=(Rung(after=1800, to=("bob",)),),
                    nobody="ask_again",
                ),
            ),
            Rule(
                name="batch",
                tools=("*",),
                verdict="allow",
                override=Override(
                    name="night", by="ann", reason="asleep", until=datetime(2027, 1, 31, 18, tzinfo=UTC)
                ),
            ),
            Rule(name="careful", tools=("save",), dial=Dial.PROPOSE),
        ),
    )


def test_values_are_what_yaml_1_2_says_that_they_are(write: Write) -> None:
    values = "[no, on, 2026-01-31, 012, 0x1f, 0o17, 1e3, -.5, true, ~, '5', !!str 5, 12:30, 1_000, =]"

    rules = load_rules(
        write(f"""
        rules: [{{name: r, tools: [t], verdict: ask, when: {{field: x, is: in, value: {values}}}}}]
        """)
    )

    assert rules.rules[0].when is not None
    assert rules.rules[0].when.value == [
        "no", "on", "2026-01-31", 12, 31, 15, 1000.0, -0.5, True, None, "5", "5", "12:30", "1_000", "=",
    ]  # fmt: skip


def test_anchors_save_writing_a_thing_twice(write: Write) -> None:
    path = write("""
        rules:
          - {name: a, tools: [t], terms: &managers {approvers: [manager]}}
          - {name: b, tools: [u], terms: *managers}
        """)

    assert [rule.terms for rule in load_rules(path).rules] == [Terms(approvers=("manager",))] * 2


# --- Mistakes in the file -------------------------------------------------------------------------------------------

RULE = "rules: [{name: r, tools: [t], verdict: ask, when: {field: x, is: in, value: %s}}]"
QUOTE = 'what begins with > or ! must be in quotes, as in is: ">"'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1: it holds nothing"),
        ("# nothing\n", "1: it holds nothing"),
        ("~", "1: it must be fields with values, not None"),
        ("just text", "1: it must be fields with values, not 'just text'"),
        ("rules:\n\t- name: a", "2: it cannot be read as YAML: found character '\\t' that cannot start any token"),
        ("people: {}\nrules: [\n", "3: it cannot be read as YAML: expected the node content, but found '<stream end>'"),
        ("people: [{}\nrules: []\n", "2: it cannot be read as YAML: expected ',' or ']', but got '<scalar>', while "
         "parsing a flow sequence that begins on line 1"),
        ("rules: []\n---\nrules: []", "2: it cannot be read as YAML: but found another document, expected a single "
         "document in the stream that begins on line 1"),
        ("people: {}\nx: \a", "2: YAML allows no character U+0007"),
        ("rules: []\npeople: {}\nrules: []", "3: rules: it is there twice, first on line 1"),
        ("people:\n  ann: {}\n  bob: {}\n  ann: {}", "4: people.ann: it is there twice, first on line 2"),
        ("? [a]\n: 1", "1: a key must be a text"),
        ("rules: *gone", "1: it cannot be read as YAML: found undefined alias 'gone'"),
        ("rules: 3", "1: rules: it must be a list, as in [a, b], not 3"),
        ("rule: []", "1: rule: there is no such field here; there is: rules, people, default"),
        (RULE % "[!!binary aaaa]", "1: rules[0].when.value[0]: 'tag:yaml.org,2002:binary' is not read: " + QUOTE),
        (RULE % "[!!set {a}]", "1: rules[0].when.value[0]: what begins with a tag (tag:yaml.org,2002:set) is not read"),
        (RULE % "[!!int a]", "1: rules[0].when.value[0]: it cannot be carried in JSON: invalid literal for int() with "
         "base 10: 'a'"),
        (RULE % "[9007199254740993]", "1: rules[0].when.value[0]: it cannot be carried in JSON: 9007199254740993 "
         "exceeds safe integer domain for JSON floats"),
        (RULE % "[1e999]", "1: rules[0].when.value[0]: it cannot be carried in JSON: inf is not representable in JCS"),
        (RULE % r'["\ud800"]', "1: rules[0].when.value[0]: it cannot be carried in JSON: input contains non-UTF-8 "
         "codepoints"),
        ("people: {ann: {roles: [bob]}, bob: {}}", "1: 'bob' is a person and a role"),
        ("rules: []\npeople: {anyone: {}}", "2: nobody may be called 'anyone'"),
        ("people:\n  'a,b': {}", "2: people.a,b: a name begins with no space and has no comma and no line break, "
         "not 'a,b'"),
        ("people:\n  ann:\n    key: aaaa", "3: people.ann.key: a key is the base64 of the 32 bytes of an Ed25519 "
         "public key"),
        ("people: {ann: {role: manager}}", "1: people.ann.role: there is no such field here; there is: roles, key"),
        ("default:\n  needed: 0", "2: default.needed: it must be greater than or equal to 1, not 0"),
        ("default:\n  nobody: later", "2: default.nobody: it must be 'deny', 'escalate', 'ask_again' or 'end', "
         "not 'later'"),
        ("default:\n  deadline: 3 weeks", "2: default.deadline: a duration is a number with s, m, h or d, such as "
         "30m or 4h"),
        ("default: {nobody: escalate}", "1: default: nobody: escalate needs an escalation ladder under escalate"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, complaint: str, write: Write) -> None:
    assert complaints(write(text)) == [f"rules.yaml:{complaint}"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("is: >", f"4: rules[0].when.is: {QUOTE}"),
        ("is: !=", f"4: rules[0].when.is: '!=' is not read: {QUOTE}"),
        ("is: >=", "4: it cannot be read as YAML: expected chomping or indentation indicators, but found '='; "
         f"{QUOTE}"),
        ("is: like", "4: rules[0].when.is: it must be '=', '!=', '<', '<=', '>', '>=', 'in', 'not in', 'contains', "
         "'starts with' or 'ends with', not 'like'"),
        ("any: []", "4: rules[0].when.any: it must not be empty"),
        ("was: x", "4: rules[0].when.was: there is no such field here; there is: field, is, value, all, any"),
        ("field: y", "4: rules[0].when.field: it is there twice, first on line 3"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_comparison_is_told_with_its_line(line: str, complaint: str, write: Write) -> None:
    path = write(
        f"rules:\n  - when:\n      field: x\n      {line}\n      value: 1\n    name: r\n    tools: [t]\n    verdict: ask\n"
    )

    assert complaints(path) == [f"rules.yaml:{complaint}"]


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(write: Write) -> None:
    path = write("""
        people:
          ann: {roles: manager}
        rules:
          - name: one
            tools: http_post
            verdict: maybe
          - name: one
            tools: []
            terms:
              needed: 99
              escalat: []
          - tools: [x]
            verdict: ask
            verdict: refuse
            dial: propose
          - just text
          - {name: nothing, tools: [y]}
          - name: batch
            tools: [y]
            verdict: allow
            override: {name: o, by: ann, reason: because, until: 2026-12-31}
          - {name: refused, tools: [y], verdict: refuse, terms: {}}
        """)

    assert complaints(path) == [
        "rules.yaml:2: people.ann.roles: it must be a list, as in [a, b], not 'manager'",
        "rules.yaml:5: rules[0].tools: it must be a list, as in [a, b], not 'http_post'",
        "rules.yaml:6: rules[0].verdict: it must be 'allow', 'ask' or 'refuse', not 'maybe'",
        "rules.yaml:7: rules[1].name: 'one' is the name of rules[0] already, on line 4",
        "rules.yaml:8: rules[1].tools: it must not be empty",
        "rules.yaml:10: rules[1].terms.needed: it must be less than or equal to 20, not 99",
        "rules.yaml:11: rules[1].terms.escalat: there is no such field here; there is: approvers, needed, "
        "requester_counts, deadline, remind, escalate, nobody",
        "rules.yaml:12: rules[2].name: it is missing",
        "rules.yaml:14: rules[2].verdict: it is there twice, first on line 13",
        "rules.yaml:16: rules[3]: it must be fields with values, not 'just text'",
        "rules.yaml:17: rules[4]: a rule says nothing without verdict, dial or terms",
        "rules.yaml:21: rules[5].override.until: it must be a time with its zone, as in 2027-01-31T18:00:00Z, "
        "not '2026-12-31'",
        "rules.yaml:22: rules[6]: terms are for a gate: with verdict refuse none opens",
    ]


def test_two_rules_of_one_name_are_told_with_both_lines(write: Write) -> None:
    rule = "{name: a, tools: [t], verdict: ask}"

    assert complaints(write(f"rules:\n  - {rule}\n  - {rule}\n")) == [
        "rules.yaml:3: rules[1].name: 'a' is the name of rules[0] already, on line 2"
    ]


def test_a_file_that_is_not_there_is_told_with_where_it_is_named(write: Write) -> None:
    assert complaints(Path("gone.yaml")) == [
        "gone.yaml: the rules file cannot be read: No such file or directory; AGENT_RULES or --rules names it"
    ]


def test_only_a_file_of_reasonable_size_in_utf_8_is_read(write: Write, tmp_path: Path) -> None:
    path = write("rules: []\n")

    assert complaints(tmp_path) == [f"{tmp_path}: it is not a file"]
    path.write_bytes(b"#" * (LARGEST + 1))
    assert complaints(path) == ["rules.yaml: it is larger than 64 KiB, the most that a rules file may be"]
    path.write_bytes(b"rules: []\n# caf\xe9")
    assert complaints(path) == ["rules.yaml:2: it is not a text in UTF-8"]
    path.write_bytes(b"\xef\xbb\xbfrules: []\n")
    assert load_rules(path) == RuleSet()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 5000, "nested deeper than 20 levels"),
        ("\n".join(f"{'  ' * n}a:" for n in range(100)), "nested deeper than 20 levels"),
        ("a: &a [*a, *a]", "it is too large with its aliases written out"),
        (
            "\n".join(
                ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15))]
            ),
            "it is too large with its aliases written out",
        ),
    ],
    ids=["brackets", "levels", "a loop", "a bomb"],
)
def test_a_file_that_unfolds_without_end_is_refused_at_once(text: str, complaint: str, write: Write) -> None:
    [told] = complaints(write(text))

    assert told.endswith(f"it cannot be read as YAML: {complaint}")


def test_what_is_told_is_bounded(write: Write) -> None:
    told = complaints(write(f"'{'x' * 900}': 1\nrules: [{', '.join('1' for _ in range(100))}]"))

    assert len(told) == 41
    assert max(map(len, told)) <= 500
    assert told[-1] == "and 61 more"


# --- Rules where they meet agents, tools and people -----------------------------------------------------------------

REFUND = ToolSpec(
    name="refund",
    description="",
    parameters={
        "type": "object",
        "additionalProperties": False,
        "properties": {"amount": {"type": "number"}, "to": {"type": "object"}, "note": {}},
    },
    effect=Effect(writes=True, idempotent=False, reversible=False, risk="medium"),
)
WIRE = REFUND.model_copy(
    update={"name": "wire", "effect": Effect(writes=True, reversible=False, idempotent=False, risk="high")}
)
LOOK = ToolSpec(name="look", description="", parameters={"type": "object", "properties": {}}, effect=READ)
ANYTHING = LOOK.model_copy(
    update={"name": "anything", "parameters": {"type": "object"} | {"additionalProperties": True}}
)
TOOLS = {spec.name: spec for spec in (REFUND, WIRE, LOOK, ANYTHING)}


def agent(name: str = "clerk", tools: tuple[str, ...] = ("refund", "wire", "look"), **changes: Any) -> Agent:
    return Agent(name=name, instructions="", tools=tools, **changes)


def objections(path: Path | None, *agents: Agent) -> list[str]:
    with pytest.raises(RulesError) as refused:
        checked_rulebook(path, agents or (agent(),), TOOLS, NOW)
    return str(refused.value).splitlines()


PEOPLE = "people: {ann: {roles: [manager]}, bob: {roles: [manager]}, eve: {}}\n"
GRAVE = "irreversible non-idempotent write, high risk"


@pytest.mark.parametrize(
    ("rule", "objection"),
    [
        ("tools: [refund, refnd]\n    verdict: ask", "4: rules[0].tools[1]: there is no tool 'refnd'; there is: "
         "anything, look, refund, wire"),
        ("tools: [refund]\n    agents:\n      - clark\n    verdict: ask", "6: rules[0].agents[0]: there is no agent "
         "'clark'; there is: clerk"),
        ("tools: [refund]\n    verdict: ask\n    when:\n      any:\n        - field: amunt\n          is: '>'\n"
         "          value: 1",
         "8: rules[0].when.any[0].field: there is no such parameter: refund has amount, to, note"),
        ("tools: [look]\n    verdict: ask\n    when: {field: a.b, is: '=', value: 1}",
         "6: rules[0].when.field: there is no such parameter: look has none"),
        ("tools: ['*']\n    verdict: ask\n    when: {field: amount, is: '>', value: 1}",
         "6: rules[0].when.field: not every tool has a parameter 'amount'; instead of *, name those that have it: "
         "refund, wire"),
        ("tools: [refund]\n    verdict: ask\n    when: {field: amount, is: '>', value: '100'}",
         "6: rules[0].when.value: 'amount' of refund is of type number: it can never be compared by '>' with '100'"),
        ("tools: [refund]\n    verdict: ask\n    when: {field: amount, is: in, value: ['1', '2']}",
         "6: rules[0].when.value: 'amount' of refund is of type number: it can never be compared by 'in' with "
         "['1', '2']"),
        ("tools: [refund]\n    terms:\n      approvers:\n        - manager\n        - boss",
         "8: rules[0].terms.approvers[1]: 'boss' is nobody under people, and no role that anybody there has"),
        ("tools: [refund]\n    terms:\n      approvers: [eve]\n      escalate:\n        - after: 1h\n          to: [boss]",
         "9: rules[0].terms.escalate[0].to[0]: 'boss' is nobody under people, and no role that anybody there has"),
        ("tools: [refund]\n    terms:\n      approvers: [manager]\n      needed: 3",
         "7: rules[0].terms.needed: it takes 3, and those who could decide are: ann, bob"),
        ("tools: [refund]\n    terms: {needed: 4}",
         "5: rules[0].terms.needed: it takes 4, and those who could decide are: ann, bob, eve"),
        ("tools: [refund, wire]\n    verdict: allow", f"5: rules[0].verdict: it lets wire ({GRAVE}) go ahead without a "
         "person, which takes an override: who answers for it (name, by), the reason, and until when"),
        ("tools: ['*']\n    verdict: allow", f"5: rules[0].verdict: it lets wire ({GRAVE}) go ahead without a "
         "person, which takes an override: who answers for it (name, by), the reason, and until when"),
        ("tools: [wire]\n    verdict: allow\n    override:\n      name: night\n      by: ann\n      reason: because\n"
         "      until: 2026-01-01T00:00:00Z", "10: rules[0].override.until: override 'night' of ann has expired "
         "(2026-01-01 00:00 UTC): have it renewed, or take the rule out"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit_what_there_is_is_refused_with_its_line(
    rule: str, objection: str, write: Write
) -> None:
    path = write("")
    path.write_text(f"{PEOPLE}rules:\n  - name: r\n    {rule}\n")

    assert objections(path) == [f"rules.yaml:{objection}"]


@pytest.mark.parametrize(
    "rule",
    [
        "{name: r, tools: [refund], terms: {approvers: [manager, eve], needed: 3}}",
        "{name: r, tools: [refund], terms: {approvers: [eve], needed: 2, escalate: [{after: 1h, to: [ann]}]}}",
        "{name: r, tools: [refund], verdict: ask, when: {field: note, is: '>', value: '1'}}",
        "{name: r, tools: [refund], verdict: ask, when: {field: to.city, is: '=', value: Porto}}",
        "{name: r, tools: [anything], verdict: ask, when: {field: whatever, is: '=', value: 1}}",
        "{name: r, tools: [wire], verdict: allow, override: {name: n, by: ann, reason: r, until: 2026-01-01T00:00:01Z}}",
        "{name: r, tools: [refund], verdict: allow}",
        "{name: r, tools: ['*'], verdict: refuse}",
    ],
)
def test_a_rule_that_fits_is_taken(rule: str, write: Write) -> None:
    rulebook = checked_rulebook(write(f"{PEOPLE}rules: [{rule}]"), [agent()], TOOLS, NOW)

    assert [each.name for each in rulebook.for_agent("clerk").rules] == ["r"]


def test_a_mistake_that_all_agents_share_is_told_once(write: Write) -> None:
    path = write("people: {ann: {}}\nrules: [{name: r, tools: [refund], terms: {approvers: [boss]}}]")

    assert len(objections(path, agent(), agent("other"))) == 1


def test_without_people_anybody_may_be_named(write: Write) -> None:
    path = write("rules: [{name: r, tools: [refund], terms: {approvers: [boss], needed: 9}}]")

    checked_rulebook(path, [agent()], TOOLS, NOW)


def test_where_decisions_must_be_signed_only_people_with_a_key_count(write: Write) -> None:
    key = "A" * 43 + "="
    path = write(f"""
        people: {{ann: {{roles: [manager], key: {key}}}, bob: {{roles: [manager]}}}}
        default: {{approvers: [bob]}}
        rules: [{{name: r, tools: [refund], terms: {{approvers: [manager], needed: 2}}}}]
        """)

    assert objections(path) == [
        "rules.yaml:3: rules[0].terms.needed: it takes 2, and those who could decide are: ann; the others have no key",
        "rules.yaml:2: default.needed: it takes 1, and those who could decide are: nobody; the others have no key",
    ]


def test_an_agents_own_rules_are_held_to_the_same_without_a_line() -> None:
    rules = RuleSet(
        rules=(
            Rule(name="r", tools=("refnd",), verdict="ask"),
            Rule(name="s", tools=("wire",), verdict="allow"),
            Rule(name="t", tools=("refund",), agents=("other",), verdict="ask"),
        ),
        people={"ann": Person()},
        default=Terms(approvers=("boss",)),
    )

    assert objections(None, agent(rules=rules), agent("other")) == [
        "agent 'clerk': rule 'r': tools[0]: there is no tool 'refnd'; there is: anything, look, refund, wire",
        f"agent 'clerk': rule 's': verdict: it lets wire ({GRAVE}) go ahead without a person, which takes an override: "
        "who answers for it (name, by), the reason, and until when",
        "agent 'clerk': rule 't': agents[0]: there is no agent 'other'; there is: clerk",
        "agent 'clerk': default.approvers[0]: 'boss' is nobody under people, and no role that anybody there has",
    ]


def test_a_value_in_python_that_json_cannot_carry_is_refused() -> None:
    when = Condition.model_validate({"field": "note", "is": "=", "value": 2**60})
    rules = RuleSet(rules=(Rule(name="r", tools=("refund",), when=when, verdict="ask"),))

    [objection] = objections(None, agent(rules=rules))

    assert objection.startswith("agent 'clerk': rule 'r': when.value: JSON cannot carry it everywhere: ")


def test_rules_of_file_and_agent_that_do_not_go_together_are_refused(write: Write) -> None:
    own = RuleSet(rules=(Rule(name="r", tools=("refund",), verdict="ask"),))
    path = write("rules: [{name: r, tools: [refund], verdict: ask, agents: [clerk]}]")

    assert objections(path, agent(rules=own), agent("other", rules=own)) == [
        "agent 'clerk': together with the rules file: two rules are called 'r'"
    ]


def test_a_rule_for_every_tool_is_held_only_to_the_tools_of_its_agents(write: Write) -> None:
    path = write("rules: [{name: r, tools: ['*'], agents: [reader], verdict: allow}]")

    checked_rulebook(path, [agent(), agent("reader", ("look",))], TOOLS, NOW)


# --- The rules of an agent's runs -----------------------------------------------------------------------------------


def rule(name: str, **changes: Any) -> Rule:
    return Rule(name=name, tools=("refund",), verdict="ask", **changes)


def test_the_files_rules_come_first_and_its_word_on_people_and_default_holds() -> None:
    file = RuleSet(
        rules=(rule("a"), rule("b", agents=("other",)), rule("c", agents=("clerk", "other"))),
        people={"ann": Person(roles=("manager",)), "bob": Person()},
        default=Terms(approvers=("ann",)),
    )
    own = RuleSet(
        rules=(rule("d"),), people={"ann": Person(), "eve": Person()}, default=Terms(approvers=("eve",))
    )

    rules = Rulebook(file, {"clerk": agent(rules=own)}).for_agent("clerk")

    assert [each.name for each in rules.rules] == ["a", "c", "d"]
    assert rules.people == {"ann": Person(roles=("manager",)), "bob": Person(), "eve": Person()}
    assert rules.default == Terms(approvers=("ann",))


def test_a_file_that_says_nothing_of_the_default_leaves_it_to_the_agent() -> None:
    own = RuleSet(default=Terms(approvers=("eve",)))

    rulebook = Rulebook(RuleSet(rules=(rule("a"),)), {"clerk": agent(rules=own)})

    assert rulebook.for_agent("clerk").default == Terms(approvers=("eve",))
    assert rulebook.for_agent("gone") == RuleSet(rules=(rule("a"),))


def test_the_version_is_that_of_the_agents_own_rules() -> None:
    file = RuleSet(rules=(rule("a"), rule("b", agents=("other",))))
    assert file.version

    rulebook = Rulebook(file, {})

    assert rulebook.for_agent("clerk").version == RuleSet(rules=(rule("a"),)).version != file.version


async def test_a_runs_snapshot_holds_the_rules_of_its_agent() -> None:
    own = agent(rules=RuleSet(rules=(rule("own"),)))
    rulebook = Rulebook(RuleSet(rules=(rule("file"),)), {"clerk": own})
    remembered: list[Definition] = []
    activities = DefinitionActivities(
        {"clerk": own}, TOOLS, model="m", api="offline", remember=remembered.append, rulebook=rulebook
    )

    definition = await ActivityEnvironment().run(activities.resolve, ResolveInput(agent="clerk"))

    assert definition.rules == rulebook.for_agent("clerk")
    assert [each.name for each in definition.rules.rules] == ["file", "own"]
    assert remembered == [definition]


# --- The file that ships, and the worker ----------------------------------------------------------------------------


def test_the_example_file_fits_the_agents_and_tools_that_ship() -> None:
    tools = {name: each.spec for name, each in tool_table(*catalog.tools(Settings())).items()}

    rulebook = checked_rulebook(ROOT / "rules.example.yaml", catalog.AGENTS, tools, datetime.now(UTC))

    rules = rulebook.for_agent("assistant")
    assert len(rules.rules) >= 5
    assert rules.default == Terms()


async def test_a_worker_does_not_start_with_mistakes_in_its_rules(house: House, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - {name: r, tools: [http_pst], verdict: ask}\n")

    with workers(house, AGENT_RULES=str(path)) as start:
        code = await start().ended()

    assert code == 2
    log = (house.workspace.parent / "worker-0.log").read_text()
    assert f"{path}:2: rules[0].tools[0]: there is no tool 'http_pst'" in log


async def test_a_run_asks_whom_the_file_names_and_goes_by_it_to_its_end(house: House, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
        people: {ann: {roles: [manager]}, eve: {}}
        rules:
          - name: pages
            tools: [write_file]
            when: {field: path, is: ends with, value: .html}
            terms: {approvers: [manager]}
          - name: no archive
            tools: [write_file]
            when: {field: path, is: contains, value: archive}
            verdict: refuse
        """
    )
    written = [("write_file", {"path": name, "content": "x"}) for name in ("a.html", "b.md", "archive/c.md")]
    house.fake.script([calls(*written), says("done")])

    async with house.worker(agent_rules=path):
        run = await house.start()
        shown = await until(run, lambda status: len(status.waiting) == 1 and status.counts.get("done") == 1)
        [card] = shown.waiting
        refused = await decide(run, "t1.c1", "approve", by="eve")
        accepted = await decide(run, "t1.c1", "approve", by="ann")
        await run.result()
        shown = await until(run, lambda status: status.phase == "done")

    assert (card.rule, card.asks, card.reason) == (
        "pages",
        ("manager",),
        "rule 'pages': path ends with '.html'",
    )
    assert (refused["accepted"], accepted["accepted"]) == (False, True)
    assert shown.counts == {"done": 2, "denied": 1}
    assert shown.rules == load_rules(path).version
    assert sorted(file.name for file in house.workspace.iterdir()) == ["a.html", "b.md"]
    assert "Refused: rule 'no archive': path contains 'archive'" in house.fake.requests[1].raw.decode()
