"""The rules file: which calls ask whom, as people write it. Every mistake is told with its line, all of them at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agents import bounds
from agents.agent import Agent, ToolSpec
from agents.rule_check import Mistake, rule_mistakes
from agents.rulebook import Rulebook
from agents.rules import Condition, Override, Person, Rule, RuleSet, Rung, Terms
from runtime.yaml_tree import QUOTE, Loc, Tree, read_tree

LARGEST = 64 * 1024
"""Bytes of a rules file: its rules are in the snapshot of every run, beside the schemas of its tools."""

SHOWN_VALUE = 60
"""Characters of a wrong value in a message."""

SHOWN_CHARS = 500
"""Of a message."""

SHOWN_MISTAKES = 40
"""Told at once: a screenful."""


class RulesError(Exception):
    """Rules that cannot be used; the text has one line for each mistake, with file and line where it is in a file."""


@dataclass(frozen=True)
class RulesFile:
    """A rules file that has been read."""

    path: Path
    rules: RuleSet
    tree: Tree

    def told(self, loc: Loc, text: str) -> str:
        """A mistake in it, with the line."""
        return _told(self.path, self.tree.line(loc), loc, text)


def load_rules(path: Path) -> RuleSet:
    """The rules in a file, without a look at the agents and tools that they are for.

    Raises:
        RulesError: It cannot be read, or has mistakes.
    """
    return read_rules(path).rules


def read_rules(path: Path) -> RulesFile:
    """The rules in a file, with their lines.

    Raises:
        RulesError: It cannot be read, or has mistakes.
    """
    tree = read_tree(_text(path))
    rules, wrong = _validated(tree)
    mistakes = [(line, _told(path, line, loc, text)) for loc, line, text in [*tree.mistakes, *wrong]]
    if rules is None or mistakes:
        raise _refused([text for _, text in sorted(mistakes, key=lambda mistake: mistake[0])])
    return RulesFile(path, rules, tree)


def checked_rulebook(
    path: Path | None, agents: Sequence[Agent], tools: Mapping[str, ToolSpec], now: datetime
) -> Rulebook:
    """The rules of the file and of the agents, held against what there is.

    Args:
        path: The rules file, if there is one.
        agents: Those that are installed.
        tools: Those that are installed, by name.
        now: For the expiry of overrides.

    Raises:
        RulesError: The file cannot be read, or there are mistakes in it or in an agent's own rules.
    """
    file = None if path is None else read_rules(path)
    by_name = {agent.name: agent for agent in agents}
    rules = RuleSet() if file is None else file.rules
    mistakes = rule_mistakes(rules, agents, tools, now)
    if mistakes:
        raise _refused([_of_whom(mistake, file, by_name) for mistake in mistakes])
    return Rulebook(rules, by_name)


def _refused(texts: Sequence[str]) -> RulesError:
    shown = [bounds.clip(text, SHOWN_CHARS) for text in texts[:SHOWN_MISTAKES]]
    more = [f"and {len(texts) - SHOWN_MISTAKES} more"] if len(texts) > SHOWN_MISTAKES else []
    return RulesError("\n".join([*shown, *more]))


def _of_whom(mistake: Mistake, file: RulesFile | None, agents: Mapping[str, Agent]) -> str:
    if mistake.agent is not None:
        rules = agents[mistake.agent].rules.rules
        match mistake.loc:
            case ("rules", int(index), *rest):
                where = f"rule {rules[index].name!r}: {_path(tuple(rest))}: "
            case _:
                where = f"{_path(mistake.loc)}: " if mistake.loc else ""
        return f"agent {mistake.agent!r}: {where}{mistake.text}"
    assert file is not None
    return file.told(mistake.loc, mistake.text)


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise RulesError(f"{path}: it is not a file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise RulesError(
            f"{path}: the rules file cannot be read: {error.strerror}; AGENT_RULES or --rules names it"
        ) from None
    if len(data) > LARGEST:
        raise RulesError(
            f"{path}: it is larger than {LARGEST // 1024} KiB, the most that a rules file may be"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RulesError(f"{path}:{line}: it is not a text in UTF-8") from None


def _told(path: Path, line: int, loc: Loc, text: str) -> str:
    where = _path(loc)
    return f"{path}:{line}: {where}: {text}" if where else f"{path}:{line}: {text}"


def _path(loc: Loc) -> str:
    """`rules[2].terms.needed`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")


def _validated(tree: Tree) -> tuple[RuleSet | None, list[tuple[Loc, int, str]]]:
    wrong = list(_same_names(tree))
    if tree.data is None and tree.mistakes:
        return None, wrong
    try:
        return RuleSet.model_validate(tree.data), wrong
    except ValidationError as error:
        for each in error.errors(include_url=False):
            loc = tuple(part for part in each["loc"] if part != "[key]")
            # What is wrong with a whole may follow from a mistake within it that has been told.
            told_before = any(place[: len(loc)] == loc for place, _, _ in [*tree.mistakes, *wrong])
            if not told_before:
                wrong.append((loc, tree.line(loc or _about(each["msg"])), _words(each, loc)))
    return None, wrong


def _same_names(tree: Tree) -> Iterator[tuple[Loc, int, str]]:
    rules = tree.data.get("rules") if isinstance(tree.data, dict) else None
    first: dict[str, int] = {}
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            loc = ("rules", index, "name")
            line = tree.line(("rules", first[name], "name"))
            yield loc, tree.line(loc), f"{name!r} is the name of rules[{first[name]}] already, on line {line}"


def _about(message: str) -> Loc:
    """What a mistake of the whole set is about: all but one are of the people."""
    return () if "rules" in message else ("people",)


_FORMS: dict[str, type[BaseModel]] = {
    "rules": Rule,
    "terms": Terms,
    "default": Terms,
    "override": Override,
    "when": Condition,
    "all": Condition,
    "any": Condition,
    "escalate": Rung,
}


def _fields(loc: Loc) -> str:
    """What may stand in the place of this field."""
    around = [part for part in loc[:-1] if isinstance(part, str)]
    form = Person if around[:1] == ["people"] else _FORMS[around[-1]] if around else RuleSet
    return ", ".join(about.alias or name for name, about in form.model_fields.items())


def _words(error: ErrorDetails, loc: Loc) -> str:
    """What pydantic found, for a person who knows YAML and not Python."""
    given = repr(error["input"])
    not_this = f", not {given}" if len(given) <= SHOWN_VALUE else ""
    match error["type"]:
        case "missing":
            return "it is missing"
        case "extra_forbidden":
            return f"there is no such field here; there is: {_fields(loc)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"it must be fields with values{not_this}"
        case "too_short":
            return "it must not be empty"
        case "tuple_type":
            return f"it must be a list, as in [a, b]{not_this}"
        case "string_pattern_mismatch":
            return f"a name begins with no space and has no comma and no line break{not_this}"
        case "literal_error" | "enum" if loc[-1:] == ("is",) and error["input"] == "":
            return QUOTE
        case "literal_error" | "enum":
            return f"it must be {error['ctx']['expected']}{not_this}"
        case "timezone_aware" | "datetime_from_date_parsing" | "datetime_parsing":
            return f"it must be a time with its zone, as in 2027-01-31T18:00:00Z{not_this}"
    text = error["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    return f"{text}{not_this if text.startswith('it must') else ''}"
