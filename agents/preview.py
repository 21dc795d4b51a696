"""Previews and freshness: what a person is shown of a call, and what is looked at again right before it is sent."""

from pydantic import BaseModel, ConfigDict, Field

from agents import bounds
from agents.canonical import digest
from agents.effect import Dial
from agents.rules import RuleSet
from agents.ruling import Ruling


class PreviewInput(BaseModel):
    """The input of `agent.preview`."""

    model_config = ConfigDict(frozen=True)

    tool: str
    arguments: str
    """Canonical JSON; for an edit, any JSON object."""
    edited: bool = Field(default=False, exclude_if=lambda value: not value)
    """A person changed the arguments: they are checked against the tool's schema first."""


class Preview(BaseModel):
    """What a call would do, in the tool's words."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    """At most `bounds.PREVIEW_BYTES`; empty for a tool that has no preview."""
    digest: str = ""
    """16 hex digits over the whole text, also where it is longer than what is shown."""
    problem: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """For edited arguments: why they do not fit the tool; nothing was previewed then."""


class Approved(BaseModel):
    """What a tool call was let pass under. Part of its input, and compared with what holds right before it is sent."""

    model_config = ConfigDict(frozen=True)

    agent: str
    dial: Dial
    ruling: str
    """Digest of the ruling."""
    preview: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Digest of the preview that the person saw; None where none was shown."""
    by: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Who approved it, or gave the approval that it passed under."""
    rules: str
    """Version of the run's rule set."""


class Stale(BaseModel):
    """Why a call was not sent: what holds now is not what it was let pass under."""

    model_config = ConfigDict(frozen=True)

    why: str
    """In words, for the person who is asked again."""
    ruling: Ruling
    """By the rules of today."""
    preview: Preview | None = None
    rules: RuleSet | None = None
    """The rules of today, where they are not those of the run."""


def preview_of(text: str) -> Preview:
    """A preview with its digest, cut to what is shown."""
    shown = text.encode(errors="replace")
    if len(shown) > bounds.PREVIEW_BYTES:
        cut = shown[: bounds.PREVIEW_BYTES].decode(errors="ignore")
        text_shown = f"{cut}\n[cut off: {len(shown):,} bytes]"
    else:
        text_shown = shown.decode()
    return Preview(text=text_shown, digest=digest(shown.decode())[:16])
