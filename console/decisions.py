"""Makes a person's decision, signs it where they have a key, and sends it."""

import getpass
from typing import Any

from pydantic import ValidationError

from agents.gate import SHORTEST_DIGEST, Decision
from agents.message import GENERAL
from console.exits import Exit, Trouble
from console.message import Message, Sent, deliver, new_id
from console.session import Session
from console.signing import sign

DIGEST = f"give {SHORTEST_DIGEST} to 64 digits (0-9, a-f) of the digest on the card"


def operating_system_user() -> str:
    """Who decides, unless they say another name.

    Raises:
        Trouble: The system does not tell.
    """
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise Trouble("The system does not say who you are: give your name with --by.", Exit.USAGE) from error


def decision(gate: str, digest: str, kind: str, by: str, **said: Any) -> Decision:
    """A decision that the run can read.

    Args:
        gate: The gate.
        digest: Of what was seen.
        kind: What is decided.
        by: Who decides.
        said: The other fields of a `Decision`; None for those that are not said.

    Raises:
        Trouble: Something is missing, or has the wrong form.
    """
    given = {name: value for name, value in said.items() if value is not None}
    body = {"gate": gate, "digest": digest, "kind": kind, "by": by, "id": new_id(), **given}
    try:
        made = Decision.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        expected = DIGEST if where == "digest" else first["msg"]
        raise Trouble(f"--{where}: {expected}", Exit.USAGE) from error
    if missing := made.lacks():
        raise Trouble(f"{kind} needs --{missing}.", Exit.USAGE)
    return made


def message_of(session: Session, run: str, made: Decision) -> Message:
    """The message that carries a decision, signed where the settings name a key.

    Raises:
        Trouble: The key cannot be used.
    """
    key = session.settings.agent_signing_key
    if key is not None:
        made = sign(run, made, key)
    # Only what was said: a null within a condition or among arguments is said as well.
    body = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Message(GENERAL, {name: value for name, value in body.items() if value is not None})


async def send(session: Session, run: str, made: Decision) -> Sent:
    """Send a decision.

    Raises:
        Trouble: The run has ended, the key cannot be used, or the decision is larger than a run takes.
        RPCError: The server does not take it.
    """
    return await deliver(session, run, message_of(session, run, made))
