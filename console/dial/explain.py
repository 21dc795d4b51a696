"""The command `dial explain`: everything that a verdict depends on, and the verdict."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from agents.agent import ToolSpec
from agents.arguments import BadArguments, parsed, problem_of
from agents.effect import Dial
from agents.rules import ANYONE, Rule
from agents.ruling import holds, rule_on
from console.dial.inputs import Inputs, ReadCatalog, Rules, chosen_dial, inputs_of
from console.dial.outcomes import outcomes, ruling_text
from console.dial.screen import screen, show_field
from console.dial.table import STYLES
from console.dial.terms import terms_text
from console.exits import Exit, Trouble, finish
from console.session import AsJson
from console.text import document, plain

HOLDS = {True: "holds", False: "does not hold", None: "cannot be told"}


def explain_command(read_catalog: ReadCatalog) -> Callable[..., None]:
    """The command.

    Args:
        read_catalog: Reads what is installed.
    """

    def explain(
        agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.", show_default=False)],
        tool: Annotated[
            str | None, typer.Argument(metavar="[TOOL]", help="One of its tools; otherwise all of them.")
        ] = None,
        *,
        args: Annotated[
            str | None, typer.Option(metavar="JSON", help="The call's arguments, as a JSON object.")
        ] = None,
        dial: Annotated[Dial | None, typer.Option(help="The run's dial; otherwise the agent's.")] = None,
        rules: Rules = None,
        as_json: AsJson = False,
    ) -> None:
        """Say what becomes of a call, and why: effect, dial, arguments and rules in, the verdict out. Needs no server."""

        async def command() -> Exit:
            inputs = inputs_of(read_catalog, agent, rules)
            specs = _chosen(inputs, tool, args)
            used, whose = chosen_dial(dial, inputs.agent)
            cases = [Case(inputs, spec, used, whose, args) for spec in specs]
            if as_json:
                typer.echo(document([case.document() for case in cases]))
            else:
                for number, case in enumerate(cases):
                    case.show(screen(), below=number > 0)
            return Exit.DONE

        finish(command())

    return explain


def _chosen(inputs: Inputs, tool: str | None, args: str | None) -> tuple[ToolSpec, ...]:
    if tool is None and args is not None:
        raise Trouble(
            "--args: say which tool they are for, as in `dial explain AGENT TOOL --args JSON`", Exit.USAGE
        )
    found = tuple(spec for spec in inputs.specs if tool in (None, spec.name))
    if tool is not None and not found:
        known = ", ".join(spec.name for spec in inputs.specs) or "none"
        raise Trouble(f"Agent {inputs.agent.name!r} has no tool {tool!r}; it has: {known}.", Exit.USAGE)
    return found


class Case:
    """One call that somebody asks about.

    Raises:
        Trouble: The arguments are no JSON object.
    """

    def __init__(self, inputs: Inputs, spec: ToolSpec, dial: Dial, whose: str, args: str | None) -> None:
        self._inputs, self._spec, self._dial, self._whose = inputs, spec, dial, whose
        self._args = args
        try:
            self._arguments = {} if args is None else parsed(args)
        except BadArguments as error:
            raise Trouble(f"--args: {error}", Exit.USAGE) from None
        self._problem = None if args is None else problem_of(spec.parameters, args)
        self._ruling = rule_on(spec, dial, inputs.rules, self._arguments, inputs.now)

    def show(self, out: Console, *, below: bool) -> None:
        """Print it for people.

        Args:
            out: Where.
            below: Something stands above it.
        """
        ruling = self._ruling
        verdict = Text.assemble((ruling.says, f"bold {STYLES[ruling.says]}"), f": {plain(ruling.reason)}")
        out.print(
            Text(("\n" if below else "") + f"{self._spec.name} of agent {self._inputs.agent.name}", "bold")
        )
        show_field(out, "effect", _texts(self._effect()))
        show_field(out, "dial", _texts([f"{self._dial}, {self._whose}"]))
        show_field(out, "arguments", _texts(self._given()))
        rules = [self._rule(rule) for rule in self._speaking()]
        show_field(out, "rules", _texts(rules or ["none speaks of this tool"]))
        show_field(out, "people", _texts(self._people()))
        show_field(out, "verdict", [verdict])
        show_field(out, "it asks", _texts([terms_text(ruling.terms)] if ruling.says == "ask" else []))
        show_field(out, "otherwise", _texts(self._otherwise()))

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        inputs, spec = self._inputs, self._spec
        return {
            "agent": inputs.agent.name,
            "tool": spec.name,
            "effect": spec.effect.model_dump(mode="json"),
            "asks_person": spec.asks_person,
            "dial": self._dial,
            "arguments": None if self._args is None else self._arguments,
            "problem": self._problem,
            "rules": [self._rule_document(rule) for rule in self._speaking()],
            "rules_version": inputs.rules.version,
            "people": {name: list(person.roles) for name, person in inputs.rules.people.items()},
            "verdict": self._ruling.model_dump(mode="json"),
            "otherwise": self._otherwise(),
        }

    def _effect(self) -> list[str]:
        if self._spec.asks_person:
            return ["a question to a person: nothing is done"]
        effect = self._spec.effect
        told = {
            "writes": effect.writes,
            "reversible": effect.reversible,
            "idempotent": effect.idempotent,
            "observable": effect.observable,
        }
        words = [f"{name}: {'yes' if value else 'no'}" for name, value in told.items()]
        return [str(effect), ", ".join([*words, f"risk: {effect.risk}"])]

    def _given(self) -> list[str]:
        if self._args is None:
            return ["none given: what a rule cannot tell is taken carefully"]
        problem = f"no run would make this call: {self._problem}" if self._problem else ""
        return [self._args, *problem.splitlines()]

    def _speaking(self) -> list[Rule]:
        return [r for r in self._inputs.rules.rules if self._spec.name in r.tools or "*" in r.tools]

    def _rule(self, rule: Rule) -> str:
        held = holds(rule.when, self._arguments)
        where = f"where {rule.when}" if rule.when else "every call"
        counts = "" if held is not None else ", and counts" if self._counts(rule) else ", and does not count"
        return f"{rule.name} ({self._inputs.source(rule)}): {where}: {_says(rule)}. It {HOLDS[held]}{counts}."

    def _counts(self, rule: Rule) -> bool:
        return rule.name in self._ruling.rules

    def _rule_document(self, rule: Rule) -> dict[str, Any]:
        return {
            "rule": rule.name,
            "source": self._inputs.source(rule),
            "when": str(rule.when) if rule.when else None,
            "says": _says(rule),
            "holds": holds(rule.when, self._arguments),
            "counts": self._counts(rule),
        }

    def _people(self) -> list[str]:
        people = self._inputs.rules.people
        return [
            f"{name} ({', '.join(person.roles)})" if person.roles else name for name, person in people.items()
        ] or [f"none are listed: {ANYONE} may go by any name"]

    def _otherwise(self) -> list[str]:
        """What it would be with arguments for which a rule holds that does not now, or the other way round."""
        base, others = outcomes(self._spec, self._dial, self._inputs.rules, self._inputs.now)
        now = ruling_text(self._ruling)
        told = [str(other) for other in others if ruling_text(other.ruling) != now]
        return (
            told if ruling_text(base) == now else [f"where no condition holds, it {ruling_text(base)}", *told]
        )


def _texts(lines: Sequence[str]) -> list[Text]:
    return [Text(plain(line)) for line in lines]


def _says(rule: Rule) -> str:
    asks = f"asks {terms_text(rule.terms)}" if rule.terms else "asks"
    if rule.verdict == "allow":
        override = rule.override
        under = f" under override {override.name!r} of {override.by}" if override else ""
        return f"lets it go ahead{under}"
    if rule.verdict == "refuse":
        return "refuses"
    if rule.dial is not None:
        return f"sets dial {rule.dial}" + (f", and if that asks, {asks}" if rule.terms else "")
    return asks
