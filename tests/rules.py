"""Builders for the rules' tests: a run in any state, told what happens to it in the field's words."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.agent import Definition, ToolSpec
from agents.deciding import Receipt, edit_to_check, receive
from agents.effect import READ, Dial, Effect
from agents.events import (
    Action,
    CallEnded,
    Dispatch,
    Event,
    GateDue,
    Moment,
    Previewed,
    Replied,
    Resolved,
    Started,
)
from agents.failure import Failure, FailureType
from agents.gate import Gate
from agents.loop import apply, decide
from agents.message import RawMessage
from agents.preview import Preview, preview_of
from agents.reply import Finish, ProposedCall, Reply, Usage
from agents.request import Request
from agents.rules import RuleSet
from agents.state import RunState
from agents.tool_call import ToolOutput

DOWN = Failure(type=FailureType.EXHAUSTED, message="down")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def spec(name: str, effect: Effect = READ, **changes: object) -> ToolSpec:
    return ToolSpec(name=name, description=name, parameters=TEXT, effect=effect, **changes)


TOOLS = (
    spec("look"),
    spec("save", Effect(writes=True)),
    spec("pay", Effect(writes=True, idempotent=False, reversible=False, risk="medium")),
    spec("launch", Effect(writes=True, idempotent=False, reversible=False, risk="critical")),
    spec("publish", Effect(writes=True, idempotent=False, reversible=False, risk="medium"), previews=True),
    spec("ask_human", asks_person=True),
)


def definition(**changes: object) -> Definition:
    base = Definition(
        agent="tester",
        instructions="test",
        model="m",
        api="offline",
        tools=TOOLS,
        dial=Dial.SUPERVISED,
        max_turns=50,
        rules=RuleSet(),
    )
    return base.model_copy(update=changes)


PEOPLE: dict[str, object] = {
    "ann": {"roles": ["manager"]},
    "bob": {"roles": ["manager"]},
    "cy": {"roles": ["clerk"]},
    "dot": {"roles": ["director"]},
    "eve": {},
}


def ruled(*tools: str, people: Mapping[str, object] = PEOPLE, **terms: object) -> RuleSet:
    """A rule set with these terms for these tools, or else for `save`."""
    return RuleSet.model_validate({"people": people, "rules": [rule("house rule", *tools, terms=terms)]})


def rule(name: str, *tools: str, **fields: object) -> dict[str, object]:
    """A rule as a rules file has it, for these tools, or else for `save`."""
    return {"name": name, "tools": tools or ["save"], **fields}


def rule_set(*rules: dict[str, object]) -> RuleSet:
    """These rules, and the people."""
    return RuleSet.model_validate({"people": PEOPLE, "rules": rules})


def text(comparison: str, value: object) -> dict[str, object]:
    """A condition on the one argument that the tools take."""
    return {"field": "text", "is": comparison, "value": value}


def nested(depth: int) -> dict[str, Any]:
    """A value so deep."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def call(tool: str, text: str = "x", *, id: str | None = None, problem: str | None = None) -> ProposedCall:
    return ProposedCall(
        id=id or f"p-{tool}-{text}", tool=tool, arguments=json.dumps({"text": text}), problem=problem
    )


def reply(*calls: ProposedCall, text: str = "", finish: Finish | None = None) -> Reply:
    return Reply(
        finish=finish or ("calls" if calls else "stop"),
        text=text,
        calls=calls,
        usage=Usage(input_tokens=10, output_tokens=5),
    )


class Run:
    """A run under test: carries out nothing, but keeps the actions that were asked for."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.clock = NOW
        self.moments = 0
        self.checked = Preview()

    @classmethod
    def requested(cls, *, dial: Dial = Dial.SUPERVISED, requester: str | None = None) -> "Run":
        """A run that knows nothing of its agent yet."""
        request = Request(agent="tester", task="do it", dial=dial, requester=requester)
        return cls(RunState(run="r1", chain="chain-1", request=request))

    @classmethod
    def started(
        cls, *, dial: Dial = Dial.SUPERVISED, requester: str | None = None, **changes: object
    ) -> "Run":
        """A run whose definition is resolved and whose first model call is due."""
        run = cls.requested(dial=dial, requester=requester)
        run.carry_out()
        run.told(Resolved(definition(**changes)))
        return run

    @classmethod
    def asking(
        cls,
        *calls: ProposedCall,
        dial: Dial = Dial.PROPOSE,
        requester: str | None = None,
        **changes: object,
    ) -> "Run":
        """A run whose model has just asked for these calls, or else for one of `save`."""
        run = cls.started(dial=dial, requester=requester, **changes)
        run.carry_out()
        run.told(Replied(reply(*(calls or (call("save"),)))))
        return run

    @classmethod
    def previewed(cls, shown: str | None, tool: str = "publish", **changes: Any) -> "Run":
        """A run at the gate of a call that would do this; None: that could not be found out."""
        run = cls.asking(call(tool), **changes)
        run.carry_out()
        run.told(Previewed("t1.c1", preview_of(shown) if shown else None, None if shown else DOWN))
        return run

    @property
    def gate(self) -> Gate:
        """Its one open gate."""
        (gate,) = self.state.gates.values()
        return gate

    def carry_out(self) -> list[Action]:
        """Start everything that is to be started now."""
        actions = decide(self.state, "execution-1")
        for action in actions:
            self.told(Started(action))
        return actions

    def dispatched(self) -> list[Dispatch]:
        return [action for action in self.carry_out() if isinstance(action, Dispatch)]

    def told(self, event: Event) -> None:
        self.moments += 1
        self.clock += timedelta(seconds=1)
        self.state = apply(self.state, event, Moment(self.clock, f"nonce-{self.moments}"))

    def says(self, name: str, body: object) -> Receipt:
        """A person sends a message."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.receives(RawMessage(name, [("json/plain", data)]))

    def receives(self, message: RawMessage) -> Receipt:
        """A message in any form. What an edit needs to know of its tool is answered by `checked`."""
        self.moments += 1
        wanted = edit_to_check(self.state, message)
        moment = Moment(self.clock, f"nonce-{self.moments}")
        checked = self.checked if wanted else None
        self.state, receipt = receive(self.state, message, moment, checked)
        return receipt

    def decides(self, kind: str, gate: str, **fields: object) -> Receipt:
        """A person answers a gate with its digest."""
        digest = self.state.gates[gate].digest
        return self.says("decide", {"gate": gate, "digest": digest, "kind": kind, "by": "ann", **fields})

    def waits(self, gate: str = "t1.c1", **time: float) -> None:
        """Time passes, and the gate's timer fires."""
        self.clock += timedelta(**time)
        self.told(GateDue(gate))

    def edits(self, text: object, by: str = "ann") -> Receipt:
        """A person changes the arguments of the first call."""
        return self.decides("edit", "t1.c1", by=by, arguments={"text": text})

    def ends(self, call_id: str = "t1.c1", content: str = "ok") -> None:
        """A call in flight ends well."""
        self.told(CallEnded(call_id, ToolOutput(content=content)))

    def is_but_for_rejected(self, before: RunState) -> bool:
        """Whether nothing has changed since but the list of refused messages."""
        return self.state.model_copy(update={"rejected": (), "rejected_total": 0}) == before

    def result(self, call_id: str) -> tuple[str, str]:
        """State and content of a closed call."""
        found = [e for e in self.state.entries if e.kind == "result" and e.call == call_id]
        assert len(found) == 1, f"{call_id} has {len(found)} results"
        return found[0].state, found[0].content
