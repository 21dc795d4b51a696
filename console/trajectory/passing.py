"""Under what a call went ahead: a person's approval for the rest of the run, or an override. Pure."""

from datetime import datetime

from agents.arguments import BadArguments, parsed
from agents.rules import RuleSet
from agents.ruling import Ruling, holds, rule_on
from console.trajectory.reading import Reading
from console.trajectory.steps import CallStep, OverrideLine

LET_PASS = frozenset({"approve", "edit"})
"""Decisions after which a call is sent."""


def take_rules(reading: Reading, rules: RuleSet | None) -> None:
    """The run goes by these rules from here on; each override in them is on the trajectory's head."""
    if rules is None:
        return
    reading.rules = rules
    header = reading.header
    header.rules = rules.version
    known = {line.name for line in header.overrides}
    header.overrides += tuple(
        OverrideLine(
            name=override.name, rule=rule.name, by=override.by, until=override.until, reason=override.reason
        )
        for rule in rules.rules
        if (override := rule.override) and override.name not in known
    )


def passes(reading: Reading, call: CallStep, at: datetime) -> None:
    """Write down on a call that is being sent what let it pass, where that was neither the dial nor a decision on it."""
    ruling = ruling_of(reading, call, call.at)
    if ruling is None or was_let_pass(reading, call):
        return
    call.override = ruling.override
    if ruling.override:
        _count(reading, ruling.override, call.id)
    elif ruling.says == "ask" and call.granted is None:
        call.granted = _grant(reading, call, ruling, at)


def ruling_of(reading: Reading, call: CallStep, at: datetime) -> Ruling | None:
    """What the run's rules said of a call; None where they are not known, or did not exist yet."""
    spec, dial = reading.spec(call.tool), reading.dial
    if spec is None or dial is None or reading.rules is None:
        return None
    try:
        return rule_on(spec, dial, reading.rules, parsed(call.arguments), at)
    except BadArguments:
        return None


def was_let_pass(reading: Reading, call: CallStep) -> bool:
    """Whether a person decided that this very call be sent."""
    return any(gate.call == call.id and gate.how in LET_PASS for gate in reading.asked.values())


def _count(reading: Reading, override: str, call: str) -> None:
    header = reading.header
    header.overrides = tuple(
        line.model_copy(update={"calls": (*line.calls, call)})
        if line.name == override and call not in line.calls
        else line
        for line in header.overrides
    )


def _grant(reading: Reading, call: CallStep, ruling: Ruling, at: datetime) -> str | None:
    """Whose approval for the rest of the run let this call pass; it has one call less from here on."""
    if reading.state is None:
        return None
    arguments = parsed(call.arguments)
    grants = list(reading.state.grants)
    for number, grant in enumerate(grants):
        fits = grant.tool == call.tool and grant.ruling == ruling.digest
        if fits and grant.left > 0 and at < grant.until and holds(grant.when, arguments) is True:
            grants[number] = grant.model_copy(update={"left": grant.left - 1})
            reading.state = reading.state.model_copy(update={"grants": tuple(grants)})
            return grant.by
    return None
