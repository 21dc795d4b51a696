"""Whatever people send: the trajectory judges every signal as the run did, though a signal has no answer in history."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.deciding import Receipt, edit_to_check
from agents.effect import Dial
from agents.events import Replied
from agents.message import RawMessage
from agents.preview import Preview
from agents.rules import RuleSet
from agents.shown import cards
from console.trajectory.derive import trajectory_of
from console.trajectory.steps import DecisionStep, GateStep, SteerStep
from tests.past import Past, payload
from tests.rules import Run, call, reply
from workflows.publish import CARDS, memo_cards

PEOPLE = ("ann", "bob", "cy", "dora", "zoe")
RULES = RuleSet.model_validate(
    {
        "people": {
            "ann": {"roles": ["manager"]},
            "bob": {"roles": ["manager"]},
            "cy": {},
            "dora": {},
            "zoe": {},
        },
        "rules": [
            {
                "name": "two",
                "tools": ["pay"],
                "terms": {"approvers": ["manager", "dora"], "needed": 2, "requester_counts": False},
            },
            {"name": "one", "tools": ["save"], "terms": {"approvers": ["manager"]}},
        ],
    }
)
GATES = ("t1.c1", "t1.c2", "t1.c3", "t9.c9")
KINDS = ("approve", "deny", "edit", "answer", "ask", "delegate", "skip", "grant")


class Told:
    """The rules' own run, and the history that a server would have of it."""

    def __init__(self) -> None:
        self.run = Run.started(dial=Dial.PROPOSE, rules=RULES)
        request = self.run.state.request.model_copy(update={"requester": "zoe"})
        self.run.state = self.run.state.model_copy(update={"request": request})
        assert self.run.state.definition is not None
        self.past = Past(dial=Dial.PROPOSE, requester="zoe", definition=self.run.state.definition)
        self.run.carry_out()
        asked = reply(call("pay"), call("save"), call("ask_human"))
        self.run.told(Replied(asked))
        self.past.activity("t1.model", "agent.model", None, asked)
        self.digests: dict[str, str] = {}
        self._written: object = None
        self.write()

    def write(self) -> None:
        """The memo, where it has changed."""
        shown = memo_cards(cards(self.run.state, "default"))
        if shown != self._written:
            memo = {"fields": {CARDS: payload(shown)}}
            self.past.add("workflow_properties_modified", upserted_memo=memo)
        self._written = shown
        self.digests |= {gate.id: gate.digest for gate in self.run.state.gates.values()}

    def sends(self, name: str, body: dict[str, Any], fits: bool) -> Receipt:
        self.past.now = self.run.clock
        self.past.signal(name, **body)
        message = RawMessage(name, [("json/plain", payload(body).data)])
        self.run.checked = Preview() if fits else Preview(problem="it does not fit")
        if edit_to_check(self.run.state, message):
            self.past.activity(f"{body['gate']}.edit", "agent.preview", None, self.run.checked)
        receipt = self.run.receives(message)
        self.write()
        return receipt


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, dict[str, Any], bool, str]:
    """A message, whether an edit in it fits its tool, and the gate whose digest it carries."""
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(["say", "pause", "resume", "notify", "launch"]))
        return (
            name,
            {"by": draw(st.sampled_from(PEOPLE)), "text": "x"} if name == "say" else {"by": "ann"},
            True,
            "",
        )
    kind, gate = draw(st.sampled_from(KINDS)), draw(st.sampled_from(GATES))
    body: dict[str, Any] = {"gate": gate, "kind": kind, "by": draw(st.sampled_from(PEOPLE))}
    if draw(st.integers(0, 9)):
        body |= {"reason": "r", "text": "t"}
    if kind == "edit":
        body["arguments"] = {"text": draw(st.sampled_from("xyz"))}
    if kind == "delegate":
        body["to"] = draw(st.sampled_from(PEOPLE))
    if kind == "grant":
        body |= {"kind": "approve", "grant": {"calls": 2, "lasts": 60}}
    of = gate if draw(st.integers(0, 9)) else draw(st.sampled_from(GATES))
    return "decide", body, draw(st.booleans()), of


HANDED = {"gate": "t1.c1", "kind": "delegate", "by": "ann", "to": "bob"}
CHANGED = {"gate": "t1.c1", "kind": "edit", "by": "ann", "arguments": {"text": "y"}}


@example(
    [("decide", HANDED, True, "t1.c1"), ("decide", CHANGED, True, "t1.c1"), ("decide", HANDED, True, "t1.c1")]
)
@settings(max_examples=200, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=25))
def test_every_signal_is_judged_as_the_run_did(sent: list[tuple[str, dict[str, Any], bool, str]]) -> None:
    told = Told()
    receipts = []
    for name, body, fits, of in sent:
        bound = {"digest": told.digests.get(of, "0" * 64)} if of else {}
        receipts.append(told.sends(name, {**body, **bound}, fits))
    found = trajectory_of(told.past.chain)

    judged = [step for step in found.steps if isinstance(step, DecisionStep | SteerStep)]
    assert [step.accepted for step in judged] == [each.accepted for each in receipts]
    # A decision that closes its gate needs no further words.
    told_why = [
        (step, each)
        for step, each in zip(judged, receipts, strict=True)
        if not getattr(step, "closes", False)
    ]
    assert [step.reason for step, _ in told_why] == [each.reason for _, each in told_why]
    still = {step.digest for step in found.steps if isinstance(step, GateStep) and step.closed is None}
    assert still == {gate.digest for gate in told.run.state.gates.values()}
    closed = {step.digest: step.how for step in found.steps if isinstance(step, GateStep) and step.closed}
    decided = {each.digest: each.kind for each in told.run.state.decided}
    # An edit after which the call asks again closes its gate too, though the call is not decided by it.
    asked_again = {digest: how for digest, how in closed.items() if digest not in decided}
    assert {digest: how for digest, how in closed.items() if digest in decided} == decided
    assert set(asked_again.values()) <= {"edit"}
