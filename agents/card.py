"""Cards: what a person sees of a gate, and the lines that answer it."""

import shlex

from pydantic import AwareDatetime, BaseModel, ConfigDict

from agents.effect import Risk
from agents.gate import SHORTEST_DIGEST, DecisionKind, Exchange, Gate, GateKind
from agents.rules import ANYONE


class Spent(BaseModel):
    """What a run had used when its card was written."""

    model_config = ConfigDict(frozen=True)

    model_calls: int = 0
    tokens: int = 0
    """Input and output."""
    cost: float | None = None
    """In US dollars; None: no price is known."""


class Card(BaseModel):
    """What the person sees of a gate."""

    model_config = ConfigDict(frozen=True)

    gate: str
    call: str | None
    kind: GateKind
    summary: str
    reason: str
    risk: Risk
    digest: str
    since: AwareDatetime
    deadline: AwareDatetime | None
    accepts: tuple[DecisionKind, ...] = ()
    tool: str | None = None
    rule: str | None = None
    asks: tuple[str, ...] = (ANYONE,)
    """Who may decide now."""
    needed: int = 1
    requester_counts: bool = True
    approved_by: tuple[str, ...] = ()
    """Who has approved so far, where several must."""
    preview: str = ""
    changed: str = ""
    stated: str = ""
    """The model's words."""
    evidence: tuple[str, ...] = ()
    undo: str = ""
    thread: tuple[Exchange, ...] = ()
    nobody: str | None = None
    """What happens at the deadline when nobody has decided; None without a deadline."""
    reminded: int = 0
    rung: int = 0
    """Steps of the escalation ladder that have been taken."""
    undelivered: str = ""
    spent: Spent = Spent()
    signed: bool = False
    """Decisions must be signed: the lines below are refused as they stand."""
    shortened: bool = False
    """The memo had no room for all of it: the query `status` has the whole card."""
    command: str
    """The line that answers it, ready to paste into a POSIX shell."""
    others: tuple[str, ...]
    """Lines for the other answers."""


_FIELDS: dict[DecisionKind, tuple[str, str]] = {
    DecisionKind.DENY: ("reason", '"why not"'),
    DecisionKind.ANSWER: ("text", '"your answer"'),
    DecisionKind.ASK: ("text", '"your question to the agent"'),
    DecisionKind.EDIT: ("arguments", '{"all":"of them"}'),
    DecisionKind.DELEGATE: ("to", '"who decides instead"'),
    DecisionKind.HAPPENED: ("result", '"what it gave back"'),
    DecisionKind.GIVE_RESULT: ("result", '"the result"'),
}
_SHORTHANDS = frozenset({DecisionKind.APPROVE, DecisionKind.DENY, DecisionKind.ANSWER})


def command_line(run: str, gate: Gate, kind: DecisionKind, namespace: str) -> str:
    """The `temporal` line that sends this decision, for a POSIX shell; `by` is whoever pastes it."""
    parts = [f'"gate":"{gate.id}","digest":"{gate.digest[:SHORTEST_DIGEST]}"']
    if kind not in _SHORTHANDS:
        parts.append(f'"kind":"{kind}"')
    if kind in _FIELDS:
        field, example = _FIELDS[kind]
        parts.append(f'"{field}":{example}')
    name = str(kind) if kind in _SHORTHANDS else "decide"
    where = "" if namespace == "default" else f" --namespace {shlex.quote(namespace)}"
    return (
        f"temporal workflow signal{where} --workflow-id {shlex.quote(run)} --name {name} "
        f"""--input '{{{",".join(parts)},"by":"'"$(whoami)"'"}}'"""
    )


def card(run: str, gate: Gate, namespace: str, spent: Spent | None = None) -> Card:
    """The card of a gate."""
    lines = [command_line(run, gate, kind, namespace) for kind in gate.accepts]
    return Card(
        gate=gate.id,
        call=gate.call,
        kind=gate.kind,
        summary=gate.summary,
        reason=gate.reason,
        risk=gate.risk,
        digest=gate.digest,
        since=gate.since,
        deadline=gate.deadline,
        accepts=gate.accepts,
        tool=gate.tool,
        rule=gate.rule,
        asks=gate.asks,
        needed=gate.terms.needed,
        requester_counts=gate.terms.requester_counts,
        approved_by=tuple(vote.by for vote in gate.votes),
        preview=gate.preview,
        changed=gate.changed,
        stated=gate.stated,
        evidence=gate.evidence,
        undo=gate.undo,
        thread=gate.thread,
        nobody=gate.terms.nobody if gate.deadline else None,
        reminded=gate.reminded,
        rung=gate.rung,
        undelivered=gate.undelivered,
        spent=spent or Spent(),
        command=lines[0],
        others=tuple(lines[1:]),
    )
