"""Who may decide at a gate: people and roles, seats, the requester, signatures."""

from agents import bounds
from agents.gate import Decision, Gate
from agents.rules import ANYONE, RuleSet
from agents.signing import is_signed_by
from agents.state import RunState

DELEGATIONS = 20
"""At one gate: far more than people who would pass it on."""


def seat_of(gate: Gate, person: str) -> str:
    """Whose place a person takes: their own, or that of whoever delegated to them."""
    while person in gate.delegated:
        person = gate.delegated[person]
    return person


def may_not_decide(state: RunState, gate: Gate, decision: Decision) -> str | None:
    """Why this person may not decide at this gate; None where they may."""
    rules = state.rule_set
    if rules is None:
        return None
    if rules.signed and (objection := _not_signed(state.run, rules, decision)):
        return objection
    return _no_say(state, gate, decision.by, rules)


def _not_signed(run: str, rules: RuleSet, decision: Decision) -> str | None:
    person = rules.people.get(decision.by)
    if person is None or person.key is None:
        return (
            f"decisions must be signed, and the rules hold no key of {_shown(decision.by)}; where that is not your name "
            "there, say it with --by"
        )
    if decision.signature is None:
        return (
            f"decisions must be signed: set AGENT_SIGNING_KEY to the key file of {_shown(decision.by)} and send it "
            "with starter.py, or let it print the signed line with --print"
        )
    if not is_signed_by(person.key, run, decision):
        return f"the signature is not that of {_shown(decision.by)}'s key over exactly this decision"
    return None


def _no_say(state: RunState, gate: Gate, by: str, rules: RuleSet) -> str | None:
    requester = state.request.requester
    if not gate.terms.requester_counts and requester and requester in {by, seat_of(gate, by)}:
        return f"{_shown(by)} is the person the run works for, who may not decide here"
    if may_decide(gate, by, rules):
        return None
    return f"{_shown(by)} may not decide here; it asks {', '.join(gate.asks)}"


def may_decide(gate: Gate, by: str, rules: RuleSet) -> bool:
    """Whether somebody is among those whom a gate asks."""
    person = rules.people.get(by)
    # A role is nobody's name: whoever says one as their own has it not.
    mine = {*({by} - rules.roles), *(person.roles if person else ())}
    return ANYONE in gate.asks or bool(mine & set(gate.asks))


def may_not_take_over(state: RunState, gate: Gate, by: str, to: str) -> str | None:
    """Why `by` cannot let `to` decide in their place; None where they can."""
    rules = state.rule_set or RuleSet()
    if ANYONE in gate.asks:
        return "anyone may decide here: tell them"
    if to == ANYONE or to in rules.roles:
        return f"{_shown(to)} is no person"
    if to == by or to in gate.delegated or to == seat_of(gate, by) or may_decide(gate, to, rules):
        return f"{_shown(to)} has a place at this gate already"
    if len(gate.delegated) >= DELEGATIONS:
        return f"it has been passed on {DELEGATIONS} times"
    if rules.people and to not in rules.people:
        known = ", ".join(list(rules.people)[:20])
        return f"the rules know nobody called {_shown(to)}; people: {known}"
    if not gate.terms.requester_counts and to == state.request.requester:
        return f"{_shown(to)} is the person the run works for, who may not decide here"
    return None


def _shown(name: str) -> str:
    return bounds.clip(name, 60)
