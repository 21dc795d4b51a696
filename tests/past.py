"""Builds event histories of runs as the server would have them, in the field's words: for what reads them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.history.v1 import HistoryEvent

from agents.agent import Definition, ToolSpec
from agents.effect import READ, Dial, Effect
from agents.rules import RuleSet
from console.trajectory.derive import History

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NUMBER = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
IRREVERSIBLE = Effect(writes=True, idempotent=False, reversible=False, risk="medium")
GRAVE = Effect(writes=True, idempotent=False, reversible=False, risk="high")


def spec(name: str, effect: Effect = READ, **changes: Any) -> ToolSpec:
    return ToolSpec(name=name, description=name, parameters=NUMBER, effect=effect, **changes)


TOOLS = (
    spec("look"),
    spec("save", Effect(writes=True)),
    spec("pay", IRREVERSIBLE),
    spec("launch", GRAVE),
    spec("ask_human", asks_person=True),
)


def payload(value: Any) -> Payload:
    data = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)
    return Payload(metadata={"encoding": b"json/plain"}, data=data.encode())


def payloads(*values: Any) -> Payloads:
    return Payloads(payloads=[payload(value) for value in values])


def rules(*each: dict[str, Any], **more: Any) -> RuleSet:
    return RuleSet.model_validate({"rules": each, **more})


def card(gate: str, tool: str = "pay", **fields: Any) -> dict[str, Any]:
    """What the memo holds of a gate."""
    call = gate if ".c" in gate else None
    base = {
        "gate": gate,
        "call": call,
        "kind": "approval",
        "summary": f"{tool}(amount=5)",
        "reason": "asks at dial supervised",
        "risk": "medium",
        "digest": digest(gate),
        "since": NOW.isoformat(),
        "deadline": None,
        "tool": tool,
        "rule": None,
        "asks": ["anyone"],
    }
    return {**base, **fields}


def digest(gate: str, times: int = 1) -> str:
    """The digest of a gate that asks for the n-th time."""
    return (gate.encode().hex() + f"{times:02x}").ljust(64, "0")


class Past:
    """A run's history, event by event, on its own clock."""

    def __init__(
        self,
        run: str = "r1",
        *,
        dial: Dial = Dial.SUPERVISED,
        rules: RuleSet | None = None,
        requester: str | None = None,
        tools: Sequence[ToolSpec] = TOOLS,
        at: datetime = NOW,
        definition: Definition | None = None,
    ) -> None:
        self.now = at
        self.events: list[HistoryEvent] = []
        self._cards: dict[str, dict[str, Any]] = {}
        self._turn = 0
        request = {"agent": "tester", "task": "do it", "dial": dial, "requester": requester}
        self.add("workflow_execution_started", workflow_id=run, input=payloads(request))
        self.definition = definition or Definition(
            agent="tester",
            instructions="test",
            model="m",
            api="offline",
            tools=tuple(tools),
            dial=dial,
            max_turns=50,
            rules=rules,
        )
        self.activity("resolve", "agent.resolve", None, self.definition)

    def add(self, kind: str, **attributes: Any) -> int:
        """One event; its id."""
        number = len(self.events) + 1
        event = HistoryEvent(event_id=number, **{f"{kind}_event_attributes": attributes})
        event.event_time.FromDatetime(self.now)
        self.events.append(event)
        return number

    def wait(self, seconds: float) -> "Past":
        """Time goes by."""
        self.now += timedelta(seconds=seconds)
        return self

    def activity(self, name: str, kind: str, given: Any, result: Any) -> None:
        """An activity that is done at once."""
        number = self.begins(name, kind, given)
        self.add("activity_task_completed", scheduled_event_id=number, result=payloads(result))

    def begins(self, name: str, kind: str, given: Any) -> int:
        """An activity that is dispatched; the event's id."""
        number = self.add(
            "activity_task_scheduled", activity_id=name, activity_type={"name": kind}, input=payloads(given)
        )
        self.add("activity_task_started", scheduled_event_id=number, attempt=1)
        return number

    def replies(self, *calls: tuple[str, Any], text: str = "") -> "Past":
        """The next turn's model call, asking for these calls."""
        self._turn += 1
        wanted = [
            {"id": f"p{number}", "tool": tool, "arguments": json.dumps({"amount": amount})}
            for number, (tool, amount) in enumerate(calls)
        ]
        reply = {"finish": "calls" if calls else "stop", "calls": wanted, "text": text}
        given = {"turn": self._turn, "definition": "", "start": 0, "prefix": "", "total": 0, "delta": []}
        self.activity(f"t{self._turn}.model", "agent.model", given, reply)
        return self

    def shows(self, *cards: dict[str, Any]) -> "Past":
        """The memo now holds these cards too; one of a gate that it holds already takes its place."""
        self._cards |= {card["gate"]: card for card in cards}
        return self._memo()

    def hides(self, *gates: str) -> "Past":
        """The memo does not hold these gates any more."""
        self._cards = {gate: card for gate, card in self._cards.items() if gate not in gates}
        return self._memo()

    def _memo(self) -> "Past":
        self.add(
            "workflow_properties_modified",
            upserted_memo={"fields": {"cards": payload([*self._cards.values()])}},
        )
        return self

    def signal(self, name: str, **body: Any) -> "Past":
        """Somebody sends a signal."""
        self.add("workflow_execution_signaled", signal_name=name, input=payloads(body), identity="cli")
        return self

    def decides(self, gate: str, kind: str, *, by: str = "ann", times: int = 1, **fields: Any) -> "Past":
        """Somebody decides by signal, with the digest of what the gate asks for the n-th time."""
        body = {"gate": gate, "digest": digest(gate, times), "kind": kind, "by": by, **fields}
        return self.signal("decide", **body)

    def update(self, *, accepted: bool, reason: str = "", hides: Sequence[str] = (), **body: Any) -> "Past":
        """Somebody decides by update; the memo changes before the answer, as it does."""
        name, number = f"u{len(self.events)}", len(self.events)
        request = {"meta": {"update_id": name}, "input": {"name": "decide", "args": payloads(body)}}
        self.add("workflow_execution_update_accepted", accepted_request=request)
        if hides:
            self.hides(*hides)
        receipt = {"accepted": accepted, "reason": reason}
        self.add(
            "workflow_execution_update_completed",
            meta={"update_id": name},
            accepted_event_id=number,
            outcome={"success": payloads(receipt)},
        )
        return self

    def makes(
        self, call: str, tool: str, amount: Any = 5, *, failure: dict[str, Any] | None = None
    ) -> "Past":
        """A call is dispatched, and done or failed."""
        given = {
            "arguments": json.dumps({"amount": amount}, separators=(",", ":")),
            "key": f"ag1-{call}-{amount}",
            "effect": "non-idempotent write",
            "execution": "e1",
            "timeout_seconds": 60,
            "result_bytes": 1000,
        }
        number = self.begins(call, tool, given)
        if failure is None:
            self.add("activity_task_completed", scheduled_event_id=number, result=payloads({"content": "ok"}))
        else:
            self.add("activity_task_failed", scheduled_event_id=number, failure=failure)
        return self

    def ends(self, answer: str = "done") -> "Past":
        """The run is done."""
        self.add("workflow_execution_completed", result=payloads({"answer": answer}))
        return self

    @property
    def chain(self) -> list[History]:
        """As the server would give it."""
        return [History("e1", self.events)]
