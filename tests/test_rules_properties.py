"""What holds of every run, whatever the model asks for, the tools do and people answer: searched by Hypothesis."""

import json
import string
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agents import bounds
from agents.agent import ToolSpec
from agents.canonical import canonical_json, digest
from agents.carry import pack, unpack
from agents.deciding import receive
from agents.effect import Dial, EffectClass
from agents.events import (
    AsideEnded,
    AskAside,
    AskModel,
    CallEnded,
    CallFailed,
    Dispatch,
    GateDue,
    ModelFailed,
    Moment,
    Previewed,
    Replied,
    StopModel,
    TakePreview,
    WaitOver,
    WaitUntil,
)
from agents.failure import Failure, FailureType
from agents.gate import GateKind
from agents.ledger import CallState, idempotency_key
from agents.loop import decide
from agents.message import RawMessage
from agents.preview import Stale, preview_of
from agents.rules import RuleSet
from agents.ruling import Ruling
from agents.status import call_page, status
from agents.tool_call import ToolOutput
from agents.transcript import Result, entry_json, page, roll, start_digest
from tests.rules import NOW, TOOLS, Run, call, reply

NAMES = [tool.name for tool in TOOLS]
FAILURES = [
    FailureType.TOOL_REJECTED,
    FailureType.TOOL_FAILED,
    FailureType.NOT_SENT,
    FailureType.OUTCOME_UNKNOWN,
    FailureType.EXHAUSTED,
]
ANSWERS = {"deny": {"reason": "no"}, "answer": {"text": "yes"}, "happened": {"result": "r"}}
proposed = st.builds(
    call,
    st.sampled_from(NAMES),
    st.text(string.ascii_letters, max_size=3),
    problem=st.sampled_from([None, None, None, "bad arguments"]),
)
replies = st.one_of(
    st.lists(proposed, min_size=1, max_size=6).map(lambda calls: reply(*calls)),
    st.sampled_from([reply(text="the answer"), reply(text=""), reply(text="I", finish="length")]),
    st.sampled_from([reply(text="no", finish="refused"), reply(finish="filtered")]),
)


X = {"field": "text", "is": "=", "value": "x"}
PEOPLE = ("ann", "bob", "cy")
TWO_MANAGERS = RuleSet.model_validate(
    {
        "people": {"ann": {"roles": ["manager"]}, "bob": {"roles": ["manager"]}, "cy": {}},
        "rules": [
            {
                "name": "two managers pay",
                "tools": ["pay"],
                "terms": {"approvers": ["manager"], "needed": 2, "deadline": "1h", "nobody": "ask_again"},
            },
            {"name": "xs are saved freely", "tools": ["save"], "when": X, "dial": "autonomous"},
        ],
    }
)
RULE_SETS = (RuleSet(), TWO_MANAGERS)
AROUND = AskModel | Dispatch | WaitUntil | TakePreview | AskAside


class Life:
    """One run's life, driven by drawn events; checks at each step what must hold at every step."""

    def __init__(self, draw: st.DataObject) -> None:
        self.draw = draw
        dial, rules = draw.draw(st.sampled_from(list(Dial)), "dial"), draw.draw(st.sampled_from(RULE_SETS))
        self.run = Run.started(dial=dial, max_turns=8, rules=rules)
        self.in_flight: list[AROUND] = []
        self.dispatched: list[str] = []
        self.allowed_again: list[str] = []
        self.approvals: dict[str, tuple[str, set[str]]] = {}
        """For each call: the arguments that people approved, and who did."""
        self.granted = 0

    def live(self, steps: int) -> None:
        for _ in range(steps):
            if self.run.state.outcome:
                break
            self.start()
            self.check()
            self.happen()
        self.check()

    def start(self) -> None:
        again = decide(self.run.state, "execution-1")
        actions = self.run.carry_out()
        assert actions == again, "asking again without carrying out must give the same"
        assert not [a for a in decide(self.run.state, "execution-1") if not isinstance(a, WaitUntil)]
        for action in actions:
            if isinstance(action, StopModel):
                continue
            if not isinstance(action, WaitUntil) or action not in self.in_flight:
                self.in_flight.append(action)
            if isinstance(action, Dispatch):
                self.note_dispatch(action)

    def note_dispatch(self, action: Dispatch) -> None:
        """The oracle: no effect before its decision, with exactly what was decided on, and once."""
        name, state = action.call.id, self.run.state
        spec: ToolSpec = next(tool for tool in TOOLS if tool.name == action.call.tool)
        assert not state.paused, f"{name} dispatched while the run was paused"
        if name in self.dispatched:
            assert name in self.allowed_again, f"{name} dispatched twice, and nobody said so"
            self.allowed_again.remove(name)
        assert not spec.asks_person
        self.dispatched.append(name)
        if self.needed(spec, json.loads(action.input.arguments)) == 0:
            return
        arguments, by = self.approvals.get(name, ("", set()))
        if not by and self.granted:
            self.granted -= 1
            return
        assert len(by) >= self.needed(spec, json.loads(arguments or "{}")), f"{name}: {by} is too few"
        assert action.input.arguments == arguments, f"{name}: other arguments than were approved"

    def needed(self, spec: ToolSpec, arguments: dict[str, object]) -> int:
        """How many people this call takes, by this test's own reading of dial and rules."""
        state, effect = self.run.state, spec.effect
        ruled = state.rule_set is not None and bool(state.rule_set.rules)
        if ruled and spec.name == "pay":
            return 2
        dial = Dial.AUTONOMOUS if ruled and spec.name == "save" and arguments == {"text": "x"} else state.dial
        if not effect.writes:
            return 0
        asks = {
            Dial.PROPOSE: True,
            Dial.SUPERVISED: not effect.reversible or effect.risk in {"high", "critical"},
            Dial.AUTONOMOUS: effect.risk == "critical",
        }
        return int(asks[dial])

    def happen(self) -> None:
        others = ["say", "pause"] if self.draw.draw(st.integers(0, 9), "steer") == 0 else []
        choices = [*self.in_flight, *self.run.state.gates, *(["resume"] if self.run.state.paused else others)]
        if not choices:
            return
        item = self.draw.draw(st.sampled_from(choices), "what happens")
        if isinstance(item, str):
            self.decide(item) if item in self.run.state.gates else self.steer(item)
            return
        self.in_flight.remove(item)
        match item:
            case AskModel():
                stopped = self.run.state.model.phase == "stopping"
                ends = st.just(STOPPED) if stopped else st.one_of(replies.map(Replied), model_failures)
                self.run.told(self.draw.draw(ends, "model"))
            case Dispatch(made, _):
                self.run.told(self.tool_end(item))
                gate = self.run.state.gates.get(made.id)
                if gate and gate.kind is GateKind.APPROVAL:  # it was not sent, and asks anew
                    self.approvals.pop(made.id, None)
            case WaitUntil():
                self.run.told(WaitOver())
            case TakePreview(name, _):
                text = self.draw.draw(st.sampled_from(["a", "b", None]), "preview")
                preview = None if text is None else preview_of(text)
                self.run.told(Previewed(name, preview, None if preview else FAILED))
            case AskAside(gate, _, asked, number, _):
                answer = self.draw.draw(st.sampled_from([reply(text="because"), None]), "aside")
                self.run.told(AsideEnded(gate, asked, number, answer, None if answer else FAILED))

    def tool_end(self, action: Dispatch) -> CallEnded | CallFailed:
        name, approved = action.call.id, action.input.approved
        stale = approved is not None and self.draw.draw(st.integers(0, 3), "stale") == 0
        if not stale:
            return self.draw.draw(tool_ends(name, action.call.effect), "tool")
        self.allowed_again.append(name)
        spec = next(tool for tool in TOOLS if tool.name == action.call.tool)
        says = self.draw.draw(st.sampled_from(["ask", "refuse"]))
        ruling = Ruling(says=says, reason="by the rules of today", dial=self.run.state.dial)
        if says == "ask" and self.needed(spec, json.loads(action.input.arguments)) == 2:
            ruling = ruling.model_copy(update={"terms": TWO_MANAGERS.rules[0].terms})
        found = Stale(why="it has changed", ruling=ruling, preview=preview_of("c") if spec.previews else None)
        return CallFailed(name, Failure(type=FailureType.STALE, message="stale", stale=found))

    def steer(self, name: str) -> None:
        policy = self.draw.draw(st.sampled_from(["next_turn", "interrupt"]), "policy")
        body = {"text": "also this", "policy": policy} if name == "say" else {}
        assert self.run.says(name, {"by": "ann", **body}).accepted

    def decide(self, name: str) -> None:
        gate = self.run.state.gates[name]
        if self.draw.draw(st.integers(0, 9), "time passes") == 0:
            self.run.clock += timedelta(hours=2)
            self.run.told(GateDue(name))
            if self.run.state.gates.get(name) != gate:
                self.approvals.pop(name, None)
                return
        kind = self.draw.draw(st.sampled_from([k for k in gate.accepts if k != "end"]), "decision")
        by = self.draw.draw(st.sampled_from(PEOPLE), "who")
        fields = self.fields(kind, name)
        before = self.run.state.calls.get(name)
        receipt = self.run.decides(kind, name, by=by, **fields)
        if not receipt.accepted:
            assert self.run.state.gates[name] == gate, "a refused decision changed the gate"
            return
        if kind == "approve" and before:
            _, people = self.approvals.setdefault(name, (before.arguments, set()))
            people.add(by)
            self.granted += 2 if "grant" in fields and "already" not in receipt.reason else 0
        if kind == "edit":
            asks_again = name in self.run.state.gates
            now = {} if asks_again else {name: (canonical_json(fields["arguments"]), {by})}
            self.approvals = {k: v for k, v in self.approvals.items() if k != name} | now
        if kind in {"retry", "did_not_happen"}:
            self.allowed_again.append(name)

    def fields(self, kind: str, name: str) -> dict[str, object]:
        match kind:
            case "approve" if self.draw.draw(st.integers(0, 5), "grant") == 0:
                return {"grant": {"calls": 2, "lasts": "30d"}}
            case "edit":
                return {"arguments": {"text": self.draw.draw(st.sampled_from(["x", "edited"]))}}
            case "delegate":
                return {"to": self.draw.draw(st.sampled_from(PEOPLE))}
            case "ask":
                return {"text": "why?"}
            case _:
                return ANSWERS.get(kind, {"result": "by hand"} if kind == "give_result" else {})

    def check(self) -> None:
        state = self.run.state
        results = [e.call for e in state.entries if isinstance(e, Result)]
        assert len(results) == len(set(results)), "a call has two results"
        assert state.definition
        rolled = start_digest(state.chain, state.definition.digest, 0)
        for entry in state.entries:
            rolled = roll(rolled, entry_json(entry))
        assert rolled == state.digest
        assert all(g.call is None or g.call in state.calls for g in state.gates.values())
        waiting = {CallState.WAITING, CallState.UNKNOWN}
        if not state.outcome:
            assert {c.id for c in state.calls.values() if c.state in waiting} == {
                g.call for g in state.gates.values() if g.call
            }
        assert unpack(pack(state)) == state
        assert status(state, "default", NOW).turn == state.turn
        assert call_page(state, 0).total == len(results) + len(state.calls)


FAILED = Failure(type=FailureType.EXHAUSTED, message="down")
STOPPED = ModelFailed(Failure(type=FailureType.CANCELLED, message="cancelled"))
model_failures = st.sampled_from(
    [
        ModelFailed(Failure(type=FailureType.EXHAUSTED, message="down")),
        ModelFailed(Failure(type=FailureType.PROVIDER_WAIT, message="later", wait_seconds=5)),
    ]
)


def tool_ends(name: str, effect: EffectClass) -> st.SearchStrategy[CallEnded | CallFailed]:
    kinds = [
        f for f in FAILURES if effect is EffectClass.NON_IDEMPOTENT or f is not FailureType.OUTCOME_UNKNOWN
    ]
    return st.one_of(
        st.just(CallEnded(name, ToolOutput(content="ok"))),
        st.sampled_from(kinds).map(lambda kind: CallFailed(name, Failure(type=kind, message="trouble"))),
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_run_keeps_its_promises_through_any_life(data: st.DataObject) -> None:
    Life(data).live(steps=40)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=20),
    st.lists(
        st.tuples(st.sampled_from(["json/plain", "binary/null", "x"]), st.binary(max_size=60)), max_size=3
    ),
)
def test_no_message_raises_or_changes_more_than_the_list_of_refused(
    name: str, payloads: list[tuple[str, bytes]]
) -> None:
    run = Run.started(dial=Dial.PROPOSE)
    run.carry_out()
    run.told(Replied(reply(call("save"))))
    state, receipt = receive(run.state, RawMessage(name, payloads), Moment(NOW, "nonce"))

    assert not receipt.accepted
    assert state.rejected_total == 1
    assert state.model_copy(update={"rejected": (), "rejected_total": 0}) == run.state


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=4), json_values, min_size=1, max_size=4))
def test_a_digest_does_not_depend_on_the_order_of_fields(value: dict[str, object]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(st.lists(st.tuples(*[st.text(max_size=4)] * 5), min_size=2, max_size=6, unique=True))
def test_a_key_differs_when_anything_it_is_bound_to_differs(
    bound: list[tuple[str, str, str, str, str]],
) -> None:
    keys = [idempotency_key(*parts) for parts in bound]

    assert len(set(keys)) == len(bound)
    assert keys == [idempotency_key(*parts) for parts in bound]


@given(st.lists(st.integers(1, 5000), max_size=12), st.integers(100, 9000))
def test_pages_hold_every_entry_once_and_stay_under_their_size(sizes: list[int], limit: int) -> None:
    entries = [
        Result(call=f"t1.c{n}", provider_id="p", tool="look", state="done", content="x" * size)
        for n, size in enumerate(sizes)
    ]
    start: int | None = 0
    seen = []
    while start is not None:
        got = page(entries, 0, start, limit)
        seen += got.entries
        assert len(got.entries) == 1 or sum(len(entry_json(e)) for e in got.entries) <= limit
        start = got.next

    assert seen == entries
    assert bounds.PAGE_BYTES < 2 * bounds.MIB
