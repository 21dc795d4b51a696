"""What a webhook is told of a gate: the input of `agent.notify`."""

from pydantic import BaseModel, ConfigDict

from agents.card import Card
from agents.gate import NoticeKind


class Notice(BaseModel):
    """One message about one gate."""

    model_config = ConfigDict(frozen=True)

    run: str
    agent: str
    tenant: str
    what: NoticeKind
    number: int
    """Of this gate's messages, from 1."""
    card: Card


def notice_key(notice: Notice) -> str:
    """The message's idempotency key: the same over every attempt; another one for the next message of the gate."""
    return f"{notice.card.digest[:32]}-{notice.number}"
