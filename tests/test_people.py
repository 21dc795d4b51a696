"""Who may decide at a gate: names, roles, steps of the ladder, stand-ins, seats, the requester, signatures."""

import base64
import json
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from agents.authority import DELEGATIONS
from agents.deciding import Receipt
from agents.effect import RISKS
from agents.gate import Decision
from agents.request import BadRequest, parse_request
from agents.rules import MORE, RuleSet
from agents.shown import asked, card_of
from agents.signing import signed_text
from tests.rules import PEOPLE, Run, call, rule, rule_set, ruled, text

KEYS = {name: Ed25519PrivateKey.generate() for name in ("ann", "bob", "cy")}
"""Of cy's the rules hold none."""


def asking(*, requester: str | None = None, **terms: object) -> Run:
    return Run.asking(requester=requester, rules=ruled(**terms))


def approves(run: Run, by: str) -> Receipt:
    return run.decides("approve", "t1.c1", by=by)


def delegates(run: Run, by: str, to: str) -> Receipt:
    return run.decides("delegate", "t1.c1", by=by, to=to)


def is_let_pass(run: Run) -> bool:
    return [d.call.id for d in run.dispatched()] == ["t1.c1"]


# --- names and roles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("approvers", "by", "may"),
    [
        ((), "ann", True),
        ((), "a stranger", True),
        (("ann",), "ann", True),
        (("ann",), "bob", False),
        (("manager",), "bob", True),
        (("manager",), "cy", False),
        (("manager", "eve"), "eve", True),
        (("manager",), "a stranger", False),
        (("manager",), "manager", False),
        (("a stranger",), "a stranger", True),
    ],
)
def test_those_whom_a_gate_names_by_name_or_role_may_decide(
    approvers: tuple[str, ...], by: str, may: bool
) -> None:
    run = asking(approvers=approvers)

    assert approves(run, by).accepted is may
    assert is_let_pass(run) is may


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("approve", {}),
        ("deny", {"reason": "no"}),
        ("edit", {"arguments": {"text": "y"}}),
        ("ask", {"text": "why?"}),
        ("delegate", {"to": "ann"}),
        ("end", {}),
    ],
)
def test_who_may_not_decide_may_not_do_so_in_any_way_and_is_told_who_may(
    kind: str, fields: dict[str, object]
) -> None:
    run = asking(approvers=["manager"])
    gates = run.state.gates
    receipt = run.decides(kind, "t1.c1", by="cy", **fields)

    assert receipt == Receipt(False, "cy may not decide here; it asks manager")
    assert (run.state.gates, run.state.outcome) == (gates, None)


def test_a_question_of_the_agent_goes_to_those_whom_the_rules_name() -> None:
    run = Run.asking(call("ask_human"), rules=ruled("ask_human", approvers=["clerk"]))

    assert not run.decides("answer", "t1.c1", by="ann", text="hm").accepted
    assert run.decides("answer", "t1.c1", by="cy", text="both").accepted


# --- the ladder ---------------------------------------------------------------------------------------------------

LADDER = [{"after": "1h", "to": ["director"]}, {"after": "1h", "to": ["eve"]}]


@pytest.mark.parametrize(("rung", "who"), [(0, "ann"), (1, "ann dot"), (2, "ann dot eve")])
def test_each_step_of_the_ladder_adds_people_and_takes_nobody_away(rung: int, who: str) -> None:
    for by in ("ann", "dot", "eve"):
        run = asking(approvers=["manager"], escalate=LADDER)
        run.state = run.state.with_gate(run.state.gates["t1.c1"].model_copy(update={"rung": rung}))
        assert approves(run, by).accepted is (by in who.split()), by


# --- the person for whom the run works ----------------------------------------------------------------------------


def test_the_requester_may_decide_unless_the_rule_says_otherwise() -> None:
    assert approves(asking(requester="ann"), "ann").accepted

    run = asking(requester="ann", requester_counts=False)
    assert approves(run, "ann").reason == "ann is the person the run works for, who may not decide here"
    assert approves(run, "bob").accepted


def test_where_nobody_requested_the_run_nobody_is_kept_out_as_the_requester() -> None:
    assert approves(asking(requester_counts=False), "ann").accepted


def test_the_requester_decides_neither_through_a_stand_in_nor_as_one() -> None:
    run = asking(requester="ann", requester_counts=False)
    gate = run.state.gates["t1.c1"]
    for delegated in ({"bob": "ann"}, {"ann": "bob"}):
        run.state = run.state.with_gate(gate.model_copy(update={"delegated": delegated}))
        assert not approves(run, next(iter(delegated))).accepted


def test_a_place_cannot_be_passed_on_to_a_requester_who_may_not_decide() -> None:
    why = "ann is the person the run works for, who may not decide here"

    run = asking(requester="ann", approvers=["bob"], requester_counts=False)
    assert delegates(run, "bob", "ann").reason == why
    assert delegates(asking(requester="ann", approvers=["bob"]), "bob", "ann").accepted


# --- passing a place on -------------------------------------------------------------------------------------------


def test_a_stand_in_may_decide_and_the_one_who_asked_for_it_still_may() -> None:
    for by in ("eve", "ann"):
        run = asking(approvers=["ann"])
        assert delegates(run, "ann", "eve") == Receipt(True, "eve may decide for ann")
        assert card_of(run.state, run.state.gates["t1.c1"], "default").asks == ("ann", "eve")
        assert approves(run, by).accepted


def test_passing_a_place_on_decides_nothing_and_asks_for_the_same_digest() -> None:
    run = asking(approvers=["ann"])
    digest = run.state.gates["t1.c1"].digest
    delegates(run, "ann", "eve")

    assert not run.dispatched()
    assert run.state.gates["t1.c1"].digest == digest


def test_where_anyone_may_decide_there_is_no_place_to_pass_on() -> None:
    run = asking()

    assert delegates(run, "ann", "eve") == Receipt(False, "anyone may decide here: tell them")
    assert approves(run, "bob").accepted


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("bob", "bob has a place at this gate already"),
        ("director", "director is no person"),
        ("anyone", "anyone is no person"),
        ("mallory", "the rules know nobody called mallory; people: ann, bob, cy, dot, eve"),
    ],
)
def test_a_place_goes_only_to_people_whom_the_rules_know_and_who_have_none(to: str, why: str) -> None:
    run = asking(approvers=["manager"])

    assert delegates(run, "ann", to) == Receipt(False, why)
    assert run.state.gates["t1.c1"].delegated == {}


def test_where_the_rules_know_nobody_a_place_goes_to_whoever_is_named() -> None:
    run = Run.asking(rules=ruled(people={}, approvers=["ann"]))

    assert delegates(run, "ann", "mallory").accepted


def test_a_place_goes_on_along_a_chain_and_stays_one_place() -> None:
    run = asking(approvers=["ann", "bob"], needed=2)
    delegates(run, "ann", "cy")
    delegates(run, "cy", "dot")
    approves(run, "dot")

    for by in ("cy", "ann"):
        assert approves(run, by) == Receipt(False, "dot has approved in that place already")
    assert approves(run, "bob").accepted
    assert is_let_pass(run)


@pytest.mark.parametrize(
    ("by", "to"), [("ann", "ann"), ("cy", "ann"), ("dot", "ann"), ("ann", "cy"), ("bob", "dot")]
)
def test_who_has_a_place_by_a_chain_gets_no_second_one_and_no_chain_closes(by: str, to: str) -> None:
    run = asking(approvers=["ann", "bob"], needed=2)
    delegates(run, "ann", "cy")
    delegates(run, "cy", "dot")

    assert delegates(run, by, to) == Receipt(False, f"{to} has a place at this gate already")


def test_a_place_is_passed_on_a_bounded_number_of_times() -> None:
    run = Run.asking(rules=ruled(people={}, approvers=["p0"]))
    names = [f"p{n}" for n in range(DELEGATIONS + 2)]
    taken = [delegates(run, by, to) for by, to in pairwise(names)]

    assert [receipt.accepted for receipt in taken] == [True] * DELEGATIONS + [False]
    assert taken[-1].reason == f"it has been passed on {DELEGATIONS} times"
    assert approves(run, names[DELEGATIONS]).accepted


# --- several people -----------------------------------------------------------------------------------------------


def test_a_call_goes_ahead_once_enough_different_people_have_approved_and_not_before() -> None:
    run = asking(approvers=["manager"], needed=2)

    assert approves(run, "ann").reason == "approve by ann: 1 of 2"
    assert (run.dispatched(), list(run.state.gates)) == ([], ["t1.c1"])
    assert approves(run, "bob").reason == "approve by bob"
    assert [d.call.approved_by for d in run.dispatched()] == ["ann, bob"]
    assert run.state.decided[-1].by == "ann, bob"


def test_the_same_person_counts_once_however_often_they_approve() -> None:
    run = asking(approvers=["manager"], needed=2)
    approves(run, "ann")
    again = run.decides("approve", "t1.c1", by="ann", comment="once more", id="another")

    assert again.accepted
    assert again.reason.startswith("already approved by ann at 2026-01-01T")
    assert again.reason.endswith(": 1 of 2")
    assert not run.dispatched()


def test_one_person_is_enough_to_deny_where_several_must_approve() -> None:
    run = asking(approvers=["manager"], needed=3)
    approves(run, "ann")
    run.decides("deny", "t1.c1", by="bob", reason="too much")

    assert run.result("t1.c1") == ("denied", "Denied by bob: too much")


def test_who_has_approved_may_still_deny_while_others_are_missing() -> None:
    run = asking(approvers=["manager"], needed=2)
    approves(run, "ann")

    run.decides("deny", "t1.c1", by="ann", reason="on second thoughts")
    assert run.result("t1.c1") == ("denied", "Denied by ann: on second thoughts")


def test_who_has_approved_is_not_taken_to_repeat_it_under_another_digest() -> None:
    run = asking(approvers=["manager"], needed=2)
    approves(run, "ann")

    assert not run.says("approve", {"gate": "t1.c1", "digest": "0" * 16, "by": "ann"}).accepted


def test_the_card_shows_who_has_approved_so_far() -> None:
    run = asking(approvers=["manager"], needed=2)
    approves(run, "bob")
    card = card_of(run.state, run.state.gates["t1.c1"], "default")

    assert (card.approved_by, card.needed, card.asks) == (("bob",), 2, ("manager",))


# --- whom a run is listed under ---------------------------------------------------------------------------------------

VALUE_BYTES = 2048
"""Of one search attribute: the server ends a run that writes more."""

NAMES = {
    "short": "n{}",
    "long": "{} " + "x" * 88,
    "other scripts": "{}" + "\u6f22" * 95,
    "emoji": "{}" + "\U0001f600" * 95,
    "escaped": "{}" + '\x7f"\\\x01' * 24,
}


def written(value: object) -> int:
    """Bytes of a search attribute as the SDK sends it."""
    return len(json.dumps(value, separators=(",", ":")))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("count", [1, 2, 5, 30, 50])
def test_those_whom_a_run_asks_fit_a_search_attribute_and_where_some_do_not_it_says_so(
    kind: str, count: int
) -> None:
    names = [NAMES[kind].format(number) for number in range(count)]
    run = asking(approvers=names)
    listed = asked(run.state)

    assert written(listed) <= VALUE_BYTES
    assert listed in {tuple(names), (*names[: len(listed) - 1], MORE)}
    if written(names) < 1600:
        assert listed == tuple(names)


@pytest.mark.parametrize("kind", NAMES)
def test_they_fit_with_those_of_many_gates_and_of_steps_and_stand_ins(kind: str) -> None:
    names = [NAMES[kind].format(number) for number in range(50)]
    rules = [
        rule(f"r{n}", "save", when=text("=", f"{n}"), terms={"approvers": [name]})
        for n, name in enumerate(names)
    ]
    ladder = {"approvers": names[:1], "escalate": [{"after": "1h", "to": names[1:]}]}
    run = Run.asking(*(call("save", f"{n}") for n in range(50)), rules=rule_set(*rules))
    assert written(asked(run.state)) <= VALUE_BYTES
    assert asked(run.state)[:2] in {(names[0], names[1]), (names[0], MORE)}

    run = Run.asking(rules=ruled(people={}, **ladder))
    assert asked(run.state) == (names[0],)
    run.waits(hours=2)
    for by, to in pairwise(names[: DELEGATIONS // 2]):
        delegates(run, by, f"{to} too" if kind != "emoji" else to[:90] + "!")
    assert len(run.gate.asks) >= 50
    assert written(asked(run.state)) <= VALUE_BYTES


def test_whatever_a_request_may_say_fits_a_search_attribute() -> None:
    request = parse_request("a" * 40 + "/r", {"agent": "\U0001f600" * 64, "task": "x", "tenant": "a" * 40})

    assert max(written(value) for value in (request.agent, request.tenant, *RISKS)) <= VALUE_BYTES
    for refused in ({"agent": "a" * 65}, {"agent": "a", "tenant": "a" * 41}, {"agent": "a", "tenant": "ü"}):
        with pytest.raises(BadRequest):
            parse_request(f"{refused.get('tenant')}/r", {"task": "x", **refused})


@pytest.mark.parametrize("people", [{"more": {}}, {"ann": {"roles": ["more"]}}, {"anyone": {}}])
def test_nobody_may_be_called_as_what_stands_for_others(people: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="nobody may be called"):
        ruled(people=people)


# --- signatures ---------------------------------------------------------------------------------------------------


def public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def signing() -> Run:
    keys = {name: {"roles": ["manager"], "key": public(KEYS[name])} for name in ("ann", "bob")}
    return Run.asking(rules=RuleSet.model_validate({"people": {**PEOPLE, **keys}}))


def signed(
    run: Run, key: str, *, for_run: str = "r1", kind: str = "approve", **fields: object
) -> dict[str, object]:
    gate = run.state.gates["t1.c1"]
    body = {"gate": gate.id, "digest": gate.digest[:16], "kind": kind, **fields}
    text = signed_text(for_run, Decision.model_validate(body))
    return {**body, "signature": base64.b64encode(KEYS[key].sign(text)).decode()}


def test_a_signed_decision_of_the_one_it_names_counts() -> None:
    run = signing()

    assert run.says("decide", signed(run, "ann", by="ann")).accepted
    assert is_let_pass(run)


def test_a_signature_counts_through_the_shorthand_as_well() -> None:
    run = signing()
    body = signed(run, "ann", by="ann")
    del body["kind"]

    assert run.says("approve", body).accepted


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"signature": None}, "decisions must be signed: set AGENT_SIGNING_KEY to the key file of ann"),
        ({"signature": "AAAA"}, "the signature is not that of ann's key"),
        ({"by": "bob"}, "the signature is not that of bob's key"),
        ({"by": "cy"}, "decisions must be signed, and the rules hold no key of cy"),
        ({"by": "mallory"}, "decisions must be signed, and the rules hold no key of mallory"),
        ({"comment": "and more"}, "the signature is not that of ann's key"),
        ({"kind": "end"}, "the signature is not that of ann's key"),
    ],
)
def test_an_unsigned_or_wrongly_signed_decision_changes_nothing(how: dict[str, object], why: str) -> None:
    run = signing()
    receipt = run.says("decide", {**signed(run, "ann", by="ann"), **how})

    assert not receipt.accepted
    assert receipt.reason.startswith(why)
    assert not run.dispatched()


def test_a_signature_for_another_run_counts_for_none_here() -> None:
    run = signing()

    assert not run.says("decide", signed(run, "ann", by="ann", for_run="r2")).accepted


def test_where_nobody_has_a_key_a_signature_is_not_looked_at() -> None:
    run = Run.asking(rules=ruled())

    assert run.decides("approve", "t1.c1", by="ann", signature="anything").accepted
