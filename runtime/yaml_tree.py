"""YAML as people write settings in it: plain JSON values, the line of each, and every mistake. Builds no objects.

Of YAML 1.2 it takes what has a JSON form: `no` and `on` are texts, `012` is twelve, a date is a text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from agents.canonical import NotCanonical, canonical_json

DEEPEST = 20
"""Levels of nesting: twice what rules can use, and far from what would exhaust Python's stack."""

MOST_VALUES = 40_000
"""Values, with aliases written out: more than a file of the allowed size can hold without them."""

Loc = tuple[str | int, ...]
TAG = "tag:yaml.org,2002:"
QUOTE = 'what begins with > or ! must be in quotes, as in is: ">"'


@dataclass
class Tree:
    """What a YAML text says."""

    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    """Where each key and list item stands, from 1."""
    mistakes: list[tuple[Loc, int, str]] = field(default_factory=list)
    """Place, line and words."""

    def line(self, loc: Loc) -> int:
        """The line of a value; of what it would be in, where it is missing."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)


def read_tree(text: str) -> Tree:
    """The values of a YAML text with their lines; what is wrong with it is among the mistakes."""
    tree = Tree()
    try:
        node = _Loader(text).get_single_node()
        if node is None:
            tree.mistakes.append(((), 1, "it holds nothing"))
        else:
            tree.data = _Reading(tree).value(node, ())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        tree.mistakes.append(((), line, f"YAML allows no character U+{error.character:04X}"))
    except yaml.MarkedYAMLError as error:
        tree.mistakes.append(_syntax(error, text))
    return tree


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[Loc, int, str]:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    what = f"it cannot be read as YAML: {error.problem or error.context}"
    if error.context_mark and error.context_mark.line + 1 < line:
        what = f"{what}, {error.context} that begins on line {error.context_mark.line + 1}"
    rows = text.splitlines()
    if line <= len(rows) and re.search(r"\bis['\"]?:\s*[>!]", rows[line - 1]):
        what = f"{what}; {QUOTE}"
    return (), line, what


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's reader without its constructors, and with YAML 1.2's idea of numbers and truth."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # so are its stubs
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_NUMBER = list("-+.0123456789")
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _NUMBER),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", _NUMBER),
):
    _Loader.add_implicit_resolver(TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _first)


@dataclass
class _Reading:
    """Turns nodes into values, once for each place where an alias stands."""

    tree: Tree
    count: int = 0

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.count += 1
        if self.count > MOST_VALUES or len(loc) > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem="it is too large with its aliases written out", problem_mark=node.start_mark
            )
        self.tree.lines.setdefault(loc, node.start_mark.line + 1)
        match node:
            case yaml.MappingNode(tag=tag) if tag == TAG + "map":
                return dict(self._items(node, loc))
            case yaml.SequenceNode(tag=tag) if tag == TAG + "seq":
                return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node, loc)
        self._wrong(node, loc, f"what begins with a tag ({node.tag}) is not read")
        return None

    def _items(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, loc, "a key must be a text")
                continue
            place = (*loc, str(key.value))
            if place in self.tree.lines:
                self._wrong(key, place, f"it is there twice, first on line {self.tree.lines[place]}")
                continue
            self.tree.lines[place] = key.start_mark.line + 1
            yield str(key.value), self.value(value, place)

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> Any:
        text = str(node.value)
        try:
            value = _parsed(node.tag, text)
            canonical_json(value)
        except LookupError:
            self._wrong(node, loc, f"{node.tag!r} is not read: {QUOTE}")
        except (NotCanonical, ValueError) as error:
            self._wrong(node, loc, f"it cannot be carried in JSON: {error}")
        else:
            return value
        return None

    def _wrong(self, node: yaml.Node, loc: Loc, text: str) -> None:
        self.tree.mistakes.append((loc, node.start_mark.line + 1, text))


def _parsed(tag: str, text: str) -> Any:
    """The scalar's value.

    Raises:
        LookupError: There is no such type in JSON.
        ValueError: It is not of the type that its tag says.
    """
    match tag.removeprefix(TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
        case "float":
            return float(text)
    raise LookupError(tag)
