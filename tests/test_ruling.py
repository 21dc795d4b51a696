"""The verdict on a call: what rules, dial, effect and arguments make of it, and why, in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.agent import ToolSpec
from agents.effect import READ, Dial, Effect, verdict
from agents.rules import Condition, Override, Rule, RuleSet, Rung, Terms
from agents.ruling import CAREFUL, Ruling, holds, rule_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAVE = Effect(writes=True)
REFUND = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
WIRE = Effect(writes=True, idempotent=False, reversible=False, risk="critical")
MANAGER = Terms(approvers=("manager",))
OVER_100 = {"field": "amount", "is": ">", "value": 100}
MISSING = object()


def spec(effect: Effect = REFUND, **changes: Any) -> ToolSpec:
    return ToolSpec(name="refund", description="", parameters={}, effect=effect, **changes)


def rule(name: str = "r", **changes: Any) -> Rule:
    return Rule(name=name, **{"tools": ("refund",), **changes})


def when(field: str, comparison: str, value: Any) -> Condition:
    return Condition.model_validate({"field": field, "is": comparison, "value": value})


def ruled(
    *rules: Rule,
    effect: Effect = REFUND,
    dial: Dial = Dial.AUTONOMOUS,
    now: datetime = NOW,
    tool: ToolSpec | None = None,
    default: Terms | None = None,
    **arguments: Any,
) -> Ruling:
    rule_set = RuleSet(rules=rules, default=default or Terms())
    return rule_on(tool or spec(effect), dial, rule_set, arguments, now)


def override(until: datetime = NOW + timedelta(days=1)) -> Override:
    return Override(name="night batch", by="ann", reason="nobody is awake", until=until)


# --- Without rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [READ, SAVE, REFUND, WIRE], ids=str)
@pytest.mark.parametrize("dial", Dial)
def test_without_rules_the_dial_decides(effect: Effect, dial: Dial) -> None:
    by_dial = verdict(effect, dial)

    ruling = ruled(effect=effect, dial=dial)

    assert ruling == Ruling(says=by_dial.says, reason=by_dial.reason, dial=dial)


def test_a_question_to_a_person_asks_at_every_dial() -> None:
    ruling = ruled(tool=spec(READ, asks_person=True))

    assert (ruling.says, ruling.reason, ruling.rule) == ("ask", "the agent asks", None)


def test_a_gate_of_which_no_rule_speaks_has_the_default_terms() -> None:
    assert ruled(effect=WIRE, default=MANAGER).terms == MANAGER


# --- One rule -------------------------------------------------------------------------------------------------------


def test_a_rule_with_terms_asks_and_says_which_comparison_matched() -> None:
    large = rule("large refunds", when=OVER_100, terms=MANAGER)

    ruling = ruled(large, amount=250)

    assert ruling == Ruling(
        says="ask",
        reason="rule 'large refunds': amount > 100",
        dial=Dial.AUTONOMOUS,
        rules=("large refunds",),
        rule="large refunds",
        terms=MANAGER,
    )
    assert ruled(large, amount=100).says == "allow"


def test_a_rule_for_every_call_says_so() -> None:
    assert ruled(rule(verdict="ask")).reason == "rule 'r': every call"


def test_a_rule_speaks_of_the_tools_that_it_names() -> None:
    assert ruled(rule(tools=("wire",), verdict="refuse")).rules == ()


def test_a_rule_for_all_tools_speaks_of_each() -> None:
    assert ruled(rule(tools=("*",), verdict="refuse")).says == "refuse"


def test_a_rule_that_sets_a_dial_takes_the_place_of_the_runs() -> None:
    ruling = ruled(rule(dial="propose"), effect=SAVE)

    assert (ruling.says, ruling.dial, ruling.rule) == ("ask", Dial.PROPOSE, "r")
    assert ruling.reason == "rule 'r': every call; at dial propose every write asks"


def test_a_dial_that_changes_nothing_decided_nothing() -> None:
    ruling = ruled(rule(dial="propose"), effect=WIRE)

    assert (ruling.says, ruling.dial, ruling.rule, ruling.rules) == ("ask", Dial.PROPOSE, None, ("r",))
    assert ruling.reason == verdict(WIRE, Dial.PROPOSE).reason


def test_a_rule_that_allows_lets_a_call_pass_that_the_dial_would_ask_for() -> None:
    ruling = ruled(rule(verdict="allow"), dial=Dial.PROPOSE)

    assert (ruling.says, ruling.rule, ruling.override) == ("allow", "r", None)


@pytest.mark.parametrize("dial", Dial)
def test_a_read_asks_only_where_a_rule_asks(dial: Dial) -> None:
    assert ruled(rule(dial="propose"), effect=READ, dial=dial).says == "allow"
    assert ruled(rule(dial="propose", terms=MANAGER), effect=READ, dial=dial).says == "allow"
    assert ruled(rule(terms=MANAGER), effect=READ, dial=dial).says == "ask"
    assert ruled(rule(verdict="ask"), effect=READ, dial=dial).says == "ask"
    assert ruled(rule(verdict="refuse"), effect=READ, dial=dial).says == "refuse"


def test_a_question_goes_to_those_whom_a_rule_names() -> None:
    question = spec(READ, asks_person=True)

    assert ruled(rule(terms=MANAGER), tool=question).terms == MANAGER
    assert ruled(rule(dial="autonomous", terms=MANAGER), tool=question).terms == MANAGER
    assert ruled(rule(verdict="allow"), tool=question).says == "ask"


# --- Several rules --------------------------------------------------------------------------------------------------


def test_a_refusal_wins_over_all_else() -> None:
    rules = (
        rule("a", verdict="allow"),
        rule("b", terms=MANAGER),
        rule("c", dial="autonomous"),
        rule("d", verdict="refuse"),
    )

    ruling = ruled(*rules)

    assert (ruling.says, ruling.rule, ruling.rules) == ("refuse", "d", ("a", "b", "c", "d"))
    assert ruled(*rules, tool=spec(READ, asks_person=True)).says == "refuse"


def test_a_rule_that_asks_wins_over_one_that_sets_a_dial_and_one_that_allows() -> None:
    assert (
        ruled(rule("a", verdict="allow"), rule("b", dial="autonomous"), rule("c", verdict="ask")).rule == "c"
    )


def test_the_most_careful_dial_wins_also_over_a_rule_that_allows() -> None:
    ruling = ruled(
        rule("a", verdict="allow"), rule("b", dial="supervised"), rule("c", dial="propose"), effect=SAVE
    )

    assert (ruling.says, ruling.dial, ruling.rule) == ("ask", Dial.PROPOSE, "c")


def test_the_terms_are_those_of_the_first_rule_that_has_any() -> None:
    two = Terms(approvers=("board",), needed=2)
    rules = (rule("a", verdict="ask"), rule("b", terms=MANAGER), rule("c", terms=two))

    assert ruled(*rules).terms == MANAGER
    assert ruled(rules[0], rules[2], rules[1]).terms == two


# --- Grave calls ----------------------------------------------------------------------------------------------------


def test_a_grave_call_passes_under_an_override_which_is_named() -> None:
    ruling = ruled(rule("batch", verdict="allow", override=override()), effect=WIRE)

    assert (ruling.says, ruling.rule, ruling.override) == ("allow", "batch", "night batch")
    assert ruling.reason == (
        "rule 'batch': every call, under override 'night batch' of ann until 2026-01-02 00:00 UTC: nobody is awake"
    )


def test_an_override_that_has_expired_lets_nothing_pass() -> None:
    batch = rule("batch", verdict="allow", override=override(NOW))

    ruling = ruled(batch, effect=WIRE)

    assert (ruling.says, ruling.rule, ruling.override) == ("ask", None, None)
    assert ruling.reason.endswith(
        "; rule 'batch' would let it go ahead, but override 'night batch' of ann until 2026-01-01 00:00 UTC has expired"
    )
    assert ruled(batch, effect=WIRE, now=NOW - timedelta(seconds=1)).says == "allow"


def test_another_rules_override_that_holds_still_lets_it_pass() -> None:
    expired, holding = (override(NOW + timedelta(days=days)) for days in (-1, 1))

    ruling = ruled(
        rule("a", verdict="allow", override=expired),
        rule("b", verdict="allow"),
        rule("c", verdict="allow", override=holding),
        effect=WIRE,
    )

    assert (ruling.says, ruling.rule) == ("allow", "c")


def test_an_override_is_not_named_where_none_is_needed() -> None:
    assert ruled(rule(verdict="allow", override=override()), effect=REFUND).override is None


# --- Comparisons ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "comparison", "value", "told"),
    [
        (100, ">", 100, False),
        (100.01, ">", 100, True),
        (100, ">=", 100, True),
        (99, "<", 100, True),
        (100, "<=", 99.5, False),
        ("2026-02-01", ">", "2026-01-31", True),
        ("9", ">", 100, None),
        (9, ">", "100", None),
        (True, ">", 0, None),
        (None, ">", 0, None),
        (float("nan"), ">", 0, None),
        ([1], ">", 0, None),
        (1, "=", 1.0, True),
        (1, "=", True, None),
        (True, "=", True, True),
        ("a", "=", "A", False),
        ("a", "!=", "b", True),
        (1, "!=", "1", None),
        (None, "=", None, True),
        ("a", "=", None, False),
        ("a", "!=", None, True),
        (None, "=", "a", None),
        ([1, 2], "=", [1, 2], True),
        ([1], "=", [True], False),
        ({"a": 1, "b": 2}, "=", {"b": 2, "a": 1}, True),
        ([2**60], "=", [1], None),
        ("b", "in", ["a", "b"], True),
        ("c", "in", ["a", "b"], False),
        ("c", "in", ["a", 1], False),
        (1, "in", ["1"], None),
        (1, "in", [], False),
        ("c", "not in", ["a"], True),
        ("a", "not in", ["a"], False),
        (1, "not in", ["1"], None),
        ("abc", "contains", "b", True),
        ("abc", "contains", 1, None),
        (["a", "b"], "contains", "b", True),
        (["a", "b"], "contains", "c", False),
        (["a"], "contains", 1, None),
        ([], "contains", 1, False),
        ({"a": 1}, "contains", "a", None),
        ("https://x/y", "starts with", "https://x/", True),
        ("http://x/y", "starts with", "https://x/", False),
        (["h"], "starts with", "h", None),
        ("a@x.org", "ends with", "@x.org", True),
        (5, "ends with", "5", None),
        (MISSING, "=", None, None),
        (MISSING, "in", [], None),
    ],
)
def test_a_comparison_says_yes_no_or_that_it_cannot_be_made(
    given: Any, comparison: str, value: Any, told: bool | None
) -> None:
    arguments = {} if given is MISSING else {"x": given}

    assert holds(when("x", comparison, value), arguments) is told


def test_a_field_may_be_inside_another() -> None:
    city = when("address.city", "=", "Porto")

    assert holds(city, {"address": {"city": "Porto"}}) is True
    assert holds(city, {"address": {"city": "Faro"}}) is False
    assert holds(city, {"address": "Porto"}) is None
    assert holds(city, {"address": {}}) is None


YES, NO, UNKNOWN = (when("x", "=", value) for value in (1, 2, "1"))


@pytest.mark.parametrize(
    ("parts", "all_hold", "any_holds"),
    [
        ((YES, YES), True, True),
        ((YES, NO), False, True),
        ((NO, NO), False, False),
        ((YES, UNKNOWN), None, True),
        ((NO, UNKNOWN), False, None),
        ((UNKNOWN, UNKNOWN), None, None),
    ],
)
def test_all_and_any_know_what_cannot_be_told(
    parts: tuple[Condition, ...], all_hold: bool | None, any_holds: bool | None
) -> None:
    for order in (parts, parts[::-1]):
        assert holds(Condition(all=order), {"x": 1}) is all_hold
        assert holds(Condition(any=order), {"x": 1}) is any_holds


def test_the_reason_names_the_part_that_matched() -> None:
    far = when("country", "not in", ["PT", "ES"])
    either = rule(
        "far or large", when=Condition(any=(Condition.model_validate(OVER_100), far)), terms=MANAGER
    )
    both = rule("both", when=Condition(all=(either.when, far)), terms=MANAGER)  # type: ignore[arg-type]

    assert ruled(either, amount=5, country="FR").reason == "rule 'far or large': country not in ['PT', 'ES']"
    assert ruled(either, country="PT").reason == "rule 'far or large': amount > 100 cannot be told"
    assert (
        ruled(both, amount=500, country="FR").reason
        == "rule 'both': (amount > 100 or country not in ['PT', 'ES']) and country not in ['PT', 'ES']"
    )


def test_a_reason_stays_short_however_long_the_list_in_the_rule() -> None:
    many = rule(when=when("x", "in", [f"name-{number}" for number in range(1000)]), verdict="refuse")

    assert len(ruled(many, x="name-7").reason) < 350


# --- What cannot be told is taken carefully -------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [{"verdict": "refuse"}, {"verdict": "ask"}, {"terms": MANAGER}])
def test_a_strict_rule_counts_where_its_comparison_cannot_be_made(strict: dict[str, Any]) -> None:
    ruling = ruled(rule("large", when=OVER_100, **strict), effect=SAVE, amount="250")

    assert (ruling.says, ruling.rule) == (strict.get("verdict", "ask"), "large")
    assert ruling.reason == "rule 'large': amount > 100 cannot be told"


def test_a_loosening_rule_does_not_count_where_its_comparison_cannot_be_made() -> None:
    small = rule("small", when={"field": "amount", "is": "<", "value": 10}, verdict="allow")

    assert ruled(small, dial=Dial.PROPOSE, amount=5).says == "allow"
    assert ruled(small, dial=Dial.PROPOSE, amount="5").says == "ask"
    assert ruled(small, dial=Dial.PROPOSE).rules == ()


@pytest.mark.parametrize("run", Dial)
@pytest.mark.parametrize("set_by_rule", Dial)
def test_a_dial_whose_comparison_cannot_be_made_counts_only_if_it_is_more_careful(
    run: Dial, set_by_rule: Dial
) -> None:
    ruling = ruled(rule(when=OVER_100, dial=set_by_rule), dial=run)

    assert ruling.dial == min(run, set_by_rule, key=CAREFUL.index)


def test_a_rule_that_changes_no_dial_brings_its_terms_also_where_it_cannot_be_told() -> None:
    assert ruled(rule(when=OVER_100, dial="supervised", terms=MANAGER), dial=Dial.SUPERVISED).terms == MANAGER


def test_a_dial_that_another_rule_loosened_is_taken_back_by_one_that_cannot_be_told() -> None:
    ruling = ruled(
        rule("a", dial="autonomous"), rule("b", when=OVER_100, dial="supervised"), dial=Dial.PROPOSE
    )

    assert ruling.dial is Dial.SUPERVISED


# --- What holds of any rules ----------------------------------------------------------------------------------------

EFFECTS = st.builds(
    Effect,
    writes=st.booleans(),
    idempotent=st.booleans(),
    reversible=st.booleans(),
    risk=st.sampled_from(("low", "medium", "high", "critical")),
)
DIALS = st.sampled_from(list(Dial))
COMPARISONS = st.builds(
    when,
    st.sampled_from(("amount", "to")),
    st.sampled_from(("=", "!=", "<", ">", "starts with", "contains")),
    st.sampled_from((0, 100, "ann", None, True)),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(lambda parts: Condition(all=tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: Condition(any=tuple(parts)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)
OVERRIDES = st.builds(override, st.sampled_from((NOW - timedelta(days=1), NOW, NOW + timedelta(days=1))))
WORDS = st.one_of(
    st.just({"verdict": "refuse"}),
    st.just({"verdict": "ask"}),
    st.just({"terms": MANAGER}),
    st.just({"terms": Terms(approvers=("ann",), escalate=(Rung(after=60, to=("bob",)),))}),
    st.builds(lambda dial: {"dial": dial}, DIALS),
    st.builds(lambda dial: {"dial": dial, "terms": MANAGER}, DIALS),
    st.builds(lambda given: {"verdict": "allow", "override": given}, st.none() | OVERRIDES),
)
RULES = st.lists(
    st.tuples(st.sampled_from((("refund",), ("*",), ("wire",))), st.none() | CONDITIONS, WORDS), max_size=5
).map(
    lambda all: tuple(
        rule(f"r{n}", tools=tools, when=when, **words) for n, (tools, when, words) in enumerate(all)
    )
)
ARGUMENTS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from((0, 500, "ann", None, True)) for name in ("amount", "to")}
)
PATIENT = settings(deadline=None)  # the machine may be busy
STRICTNESS = {"allow": 0, "ask": 1, "refuse": 2}


@PATIENT
@given(EFFECTS)
def test_without_rules_a_more_careful_dial_never_asks_less(effect: Effect) -> None:
    strictness = [STRICTNESS[ruled(effect=effect, dial=dial).says] for dial in CAREFUL]

    assert strictness == sorted(strictness, reverse=True)


@PATIENT
@given(EFFECTS, DIALS, RULES, ARGUMENTS, st.randoms(use_true_random=False))
def test_what_becomes_of_a_call_does_not_depend_on_the_order_of_the_rules(
    effect: Effect, dial: Dial, rules: tuple[Rule, ...], arguments: dict[str, Any], chance: Any
) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)

    one, other = (ruled(*order, effect=effect, dial=dial, **arguments) for order in (rules, shuffled))

    assert (one.says, one.dial, set(one.rules)) == (other.says, other.dial, set(other.rules))


@PATIENT
@given(EFFECTS, DIALS, RULES, ARGUMENTS)
def test_a_rule_that_refuses_every_call_wins_over_any_rules(
    effect: Effect, dial: Dial, rules: tuple[Rule, ...], arguments: dict[str, Any]
) -> None:
    assert ruled(*rules, rule("no", verdict="refuse"), effect=effect, dial=dial, **arguments).says == "refuse"


@PATIENT
@given(EFFECTS, DIALS, RULES, ARGUMENTS)
def test_a_grave_call_never_goes_ahead_without_an_override_that_holds(
    effect: Effect, dial: Dial, rules: tuple[Rule, ...], arguments: dict[str, Any]
) -> None:
    ruling = ruled(*rules, effect=effect, dial=dial, **arguments)

    holding = {each.name for each in rules if each.override and each.override.until > NOW}
    if effect.grave and ruling.says == "allow":
        assert ruling.override == "night batch"
        assert ruling.rule in holding
    else:
        assert ruling.override is None


@PATIENT
@given(EFFECTS, DIALS, RULES, ARGUMENTS, st.sampled_from(("amount", "to")))
def test_what_cannot_be_told_never_makes_a_ruling_less_strict_than_any_value_would(
    effect: Effect, dial: Dial, rules: tuple[Rule, ...], arguments: dict[str, Any], hidden: str
) -> None:
    def strictness(**given: Any) -> int:
        # One comparison for each rule: over several, "what any value would" is more than three values can say.
        single = [each for each in rules if each.when is None or each.when.field == hidden]
        return STRICTNESS[ruled(*single, effect=effect, dial=dial, **given).says]

    others = {name: value for name, value in arguments.items() if name != hidden}
    untold = strictness(**others)

    assert untold >= max(strictness(**others, **{hidden: value}) for value in (0, 500, "ann", "", None, True))


@PATIENT
@given(EFFECTS, DIALS, RULES, ARGUMENTS)
def test_one_ruling_in_any_process_and_under_any_clock_before_the_expiry(
    effect: Effect, dial: Dial, rules: tuple[Rule, ...], arguments: dict[str, Any]
) -> None:
    stored = RuleSet.model_validate_json(RuleSet(rules=rules).model_dump_json(by_alias=True))

    one = ruled(*rules, effect=effect, dial=dial, **arguments)
    other = rule_on(spec(effect), dial, stored, arguments, NOW + timedelta(hours=1))

    assert one == other
    assert one.digest == other.digest
