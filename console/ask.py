"""Asks the person at this terminal to decide at a gate, while everything else goes on."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from agents.card import Card
from agents.gate import Decision, DecisionKind
from console.cards import answers_to
from console.decisions import decision, operating_system_user
from console.edit import changed, difference
from console.exits import Trouble
from console.keyboard import Keyboard

LATER = "later"
KEYS: dict[DecisionKind, str] = {
    DecisionKind.APPROVE: "a",
    DecisionKind.EDIT: "e",
    DecisionKind.DENY: "d",
    DecisionKind.ANSWER: "a",
    DecisionKind.ASK: "?",
    DecisionKind.DELEGATE: "o",
    DecisionKind.HAPPENED: "h",
    DecisionKind.DID_NOT_HAPPEN: "n",
    DecisionKind.RETRY: "r",
    DecisionKind.GIVE_RESULT: "g",
    DecisionKind.SKIP: "s",
    DecisionKind.END: "x",
}
WORDS: dict[DecisionKind, str] = {
    DecisionKind.APPROVE: "approve",
    DecisionKind.EDIT: "edit",
    DecisionKind.DENY: "deny",
    DecisionKind.ANSWER: "answer",
    DecisionKind.ASK: "question to the agent",
    DecisionKind.DELEGATE: "other person",
    DecisionKind.HAPPENED: "it happened",
    DecisionKind.DID_NOT_HAPPEN: "it did not",
    DecisionKind.RETRY: "retry",
    DecisionKind.GIVE_RESULT: "give the result",
    DecisionKind.SKIP: "skip",
    DecisionKind.END: "end the run",
}
SAYS: dict[DecisionKind, tuple[str, str]] = {
    DecisionKind.DENY: ("reason", "Why not? The model reads it: "),
    DecisionKind.ANSWER: ("text", "Your answer: "),
    DecisionKind.ASK: ("text", "Your question; the agent answers, and you decide then: "),
    DecisionKind.DELEGATE: ("to", "Who decides in your place? "),
    DecisionKind.HAPPENED: ("result", "What did it give back? The model reads it: "),
    DecisionKind.GIVE_RESULT: ("result", "The result that the model reads: "),
    DecisionKind.END: ("reason", "Why does the run end? "),
}
"""What else these need: the decision's field, and how to ask for it."""

POLL_SECONDS = 0.3


class Overtaken(Exception):
    """Somebody else has decided while the person was asked."""


@dataclass
class Asker:
    """Asks about one card at a time."""

    keyboard: Keyboard
    prompt: Callable[[str], None]
    """Shows a prompt, and again below whatever is printed meanwhile; an empty one ends that."""
    tell: Callable[[str | Text], None]
    still_open: Callable[[Card], Awaitable[bool]]

    async def ask(self, card: Card, arguments: str | None = None) -> Decision | None:
        """The person's decision; None for later, or when somebody else has decided meanwhile.

        Args:
            card: What they are asked.
            arguments: JSON of the call's arguments; without them they are not offered to change any.
        """
        self.keyboard.forget()
        try:
            return await self._ask(card, json.loads(arguments or "null"))
        except (EOFError, Overtaken):
            return None

    async def _ask(self, card: Card, arguments: Any) -> Decision | None:
        kinds = tuple(
            kind
            for kind in answers_to(card)
            if kind is not DecisionKind.EDIT or (arguments and isinstance(arguments, dict))
        )
        choices = ", ".join(f"[{KEYS[kind]}] {WORDS[kind]}" for kind in kinds)
        while True:
            typed = await self._line(card, f"{card.gate}: {choices}, [l] later > ")
            if typed in {"l", LATER}:
                return None
            kind = chosen(typed, kinds)
            if kind is None:
                self.tell(f"{typed!r} is none of these." if typed else "Type one of the letters, then Enter.")
                continue
            said = await self._said(card, kind, arguments)
            if said is None:
                self.tell("Nothing said, nothing decided.")
                continue
            try:
                return decision(card.gate, card.digest, kind, operating_system_user(), **said)
            except Trouble as trouble:
                self.tell(str(trouble))

    async def _said(self, card: Card, kind: DecisionKind, arguments: Any) -> dict[str, Any] | None:
        """The other fields of the decision; None where the person says nothing."""
        if kind is DecisionKind.EDIT:
            after = await self._changed(card, arguments)
            return None if after is None else {"arguments": after}
        field, question = SAYS.get(kind, ("", ""))
        if not field:
            return {}
        said = await self._line(card, question)
        return {field: said} if said else None

    async def _changed(self, card: Card, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments as the person wants them; None where they leave them as they are."""
        after = arguments
        while True:
            typed = await self._line(card, "Change which argument? FIELD=VALUE, or nothing more: ")
            if not typed:
                break
            try:
                after = changed(after, [typed])
            except Trouble as trouble:
                self.tell(str(trouble))
        for line in (changes := difference(arguments, after)):
            self.tell(line)
        if not changes or await self._line(card, "Approve it like that? [y/N] > ") not in {"y", "yes"}:
            return None
        return after

    async def _line(self, card: Card, question: str) -> str:
        self.prompt(question)
        try:
            while True:
                try:
                    return (await self.keyboard.line(POLL_SECONDS)).strip()
                except TimeoutError:
                    if not await self.still_open(card):
                        raise Overtaken from None
        finally:
            self.prompt("")


def chosen(typed: str, kinds: tuple[DecisionKind, ...]) -> DecisionKind | None:
    """The answer that was typed: its letter, its name or its words."""
    typed = typed.strip().lower()
    return next((kind for kind in kinds if typed in {KEYS[kind], str(kind), WORDS[kind]}), None)
