"""The commands `approve`, `deny`, `answer`, `ask`, `delegate` and `decide`: what a person decides at a gate."""

from typing import Annotated

import typer

from agents.gate import SHORTEST_DIGEST, DecisionKind
from console.deciding import How, Order, run_order
from console.session import AsJson, Run, Tenant

Gate = Annotated[
    str | None,
    typer.Argument(metavar="GATE", help="The gate, such as t3.c1; not needed while only one waits."),
]
GateOrText = Annotated[
    str, typer.Argument(metavar="[GATE]", help="The gate; not needed while only one waits.")
]
TheGate = Annotated[str, typer.Argument(metavar="GATE", help="The gate, such as t3.c1.", show_default=False)]
Digest = Annotated[
    str | None,
    typer.Option(
        help=f"{SHORTEST_DIGEST} or more digits of the card that you saw; a changed one is then refused."
    ),
]
By = Annotated[str | None, typer.Option(help="Who decides; otherwise your user name.")]
Comment = Annotated[str | None, typer.Option(help="Kept with the decision.")]
AsLine = Annotated[
    bool, typer.Option("--print", help="Send nothing: print the `temporal` line that would, signed as it is.")
]


def approve(
    run: Run,
    gate: Gate = None,
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Approve with this argument changed; once for each. VALUE is a text where the argument is one now, "
            "and JSON otherwise.",
        ),
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option("--for-run", metavar="N", help="Let the run make N more calls of this tool unasked."),
    ] = None,
    lasts: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long --for-run holds: 30m, 4h, 2d.")
    ] = None,
    when: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="What must hold of their arguments, such as 'amount <= 100'; repeat it for several.",
        ),
    ] = None,
    digest: Digest = None,
    by: By = None,
    comment: Comment = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Let a call that waits go ahead: as it is, or with changed arguments (--set)."""
    order = Order(
        DecisionKind.APPROVE,
        {"comment": comment},
        changes=tuple(changes or ()),
        calls=calls,
        lasts=lasts,
        when=tuple(when or ()),
    )
    run_order(run, gate, order, How(digest, by, tenant, as_line, as_json))


def deny(
    run: Run,
    gate: Gate = None,
    *,
    reason: Annotated[str, typer.Option(help="Why not: the model reads it.", show_default=False)],
    digest: Digest = None,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Refuse a call that waits, and tell the model why."""
    order = Order(DecisionKind.DENY, {"reason": reason})
    run_order(run, gate, order, How(digest, by, tenant, as_line, as_json))


def answer(
    run: Run,
    gate: GateOrText,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Your answer.", show_default=False)
    ] = None,
    *,
    digest: Digest = None,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question of the agent: `answer RUN "text"`, or `answer RUN GATE "text"` where several wait."""
    where, said = (None, gate) if text is None else (gate, text)
    order = Order(DecisionKind.ANSWER, {"text": said})
    run_order(run, where, order, How(digest, by, tenant, as_line, as_json))


def ask(
    run: Run,
    gate: GateOrText,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Your question to the agent.", show_default=False)
    ] = None,
    *,
    digest: Digest = None,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Ask the agent about a call before you decide: `ask RUN "text"`. It answers, and the gate stays open."""
    where, said = (None, gate) if text is None else (gate, text)
    order = Order(DecisionKind.ASK, {"text": said})
    run_order(run, where, order, How(digest, by, tenant, as_line, as_json))


def delegate(
    run: Run,
    gate: Gate = None,
    *,
    to: Annotated[str, typer.Option(metavar="NAME", help="Who decides instead.", show_default=False)],
    digest: Digest = None,
    by: By = None,
    comment: Comment = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Let another person decide in your place."""
    order = Order(DecisionKind.DELEGATE, {"to": to, "comment": comment})
    run_order(run, gate, order, How(digest, by, tenant, as_line, as_json))


def decide(
    run: Run,
    gate: TheGate,
    kind: Annotated[
        DecisionKind, typer.Argument(metavar="KIND", help="What you decide.", show_default=False)
    ],
    *,
    result: Annotated[
        str | None, typer.Option(help="For happened and give_result: what the model reads.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For deny, skip and end.")] = None,
    text: Annotated[str | None, typer.Option(help="For answer and ask.")] = None,
    arguments: Annotated[
        str | None,
        typer.Option(metavar="JSON|@FILE", help="For edit: all of the call's arguments, as they shall be."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="NAME", help="For delegate.")] = None,
    comment: Comment = None,
    digest: Digest = None,
    by: By = None,
    tenant: Tenant = None,
    as_line: AsLine = False,
    as_json: AsJson = False,
) -> None:
    """Decide at any gate: retry, skip, say what happened, give a result, end the run."""
    said = {"result": result, "reason": reason, "text": text, "to": to, "comment": comment}
    order = Order(kind, said, arguments=arguments)
    run_order(run, gate, order, How(digest, by, tenant, as_line, as_json))
