"""The activity `agent.model`: one model call of a run, with the transcript that the worker has at hand or reads."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import structlog
from temporalio import activity

from activities.heartbeat import Heartbeater
from activities.model_failures import MODEL_ERRORS, model_failure
from activities.providers.base import Provider, ProviderMissing
from activities.telemetry import CallTelemetry
from activities.time_limit import TimeLimit
from activities.transcripts import DefinitionCache, Encoded, TranscriptCache, read_definition, read_entries
from agents.agent import Definition, ModelApi
from agents.model_call import ModelInput
from agents.reply import Reply
from agents.transcript import Message, ReplyEntry, Result, entry_json, roll

log = structlog.get_logger()

NOT_APPENDED = frozenset({"filtered", "refused"})
"""Replies that the run does not add to its transcript: a person decides what becomes of them."""


LONGEST_CALL = 14 * 60.0
"""Seconds of one attempt, also where the provider trickles: less than `workflows.options.MODEL_TIMEOUT`, after which
nobody would be told why."""


@dataclass(frozen=True)
class Prompt:
    """What one call sends: the transcript so far."""

    transcript: Encoded
    digest: str
    """Rolling digest of its entries."""
    cached: bool
    """Its beginning was at hand."""


class ModelActivities:
    """Calls models."""

    def __init__(
        self,
        providers: Mapping[ModelApi, Provider],
        transcripts: TranscriptCache | None = None,
        telemetry: CallTelemetry | None = None,
    ) -> None:
        self._providers = providers
        self._transcripts = TranscriptCache() if transcripts is None else transcripts
        self._telemetry = CallTelemetry() if telemetry is None else telemetry
        self._definitions = DefinitionCache()

    def remember(self, definition: Definition) -> None:
        """Keep a snapshot at hand for the model calls that name it."""
        self._definitions.remember(definition)

    @activity.defn(name="agent.model")
    async def model(self, given: ModelInput) -> Reply:
        """The model's next reply.

        Raises:
            ApplicationError: As `activities.model_failures` says.
        """
        info = activity.info()
        with structlog.contextvars.bound_contextvars(
            run=info.workflow_id, turn=given.turn, attempt=info.attempt
        ):
            async with Heartbeater() as beat:
                definition = self._definitions.get(given.definition)
                if definition is None:
                    beat.update(phase="reading the definition")
                    definition = await read_definition()
                    self.remember(definition)
                beat.update(phase="reading the transcript")
                provider = self._provider(definition)
                prompt = await self._prompt(given, provider)
                beat.update(phase="waiting for the model")
                reply = await self._asked(given, definition, provider, prompt)
        if given.aside:
            return _text_of(reply)
        if reply.finish not in NOT_APPENDED:
            self._keep(given, provider, prompt, reply)
        return reply

    def _provider(self, definition: Definition) -> Provider:
        provider = self._providers.get(definition.api)
        if provider is None:
            error = ProviderMissing(f"this worker has no access to the API {definition.api!r}")
            raise model_failure(error, definition.model, activity.info().attempt, datetime.now(UTC))
        return provider

    async def _prompt(self, given: ModelInput, provider: Provider) -> Prompt:
        kept = Encoded() if given.start == 0 else self._transcripts.get(given.prefix)
        transcript = kept
        if transcript is None:
            transcript = _extended(Encoded(), provider, await read_entries(0, given.start))
        delta = given.delta
        if delta is None:
            delta = tuple(await read_entries(given.start, given.total))
        digest = given.prefix
        for entry in delta:
            digest = roll(digest, entry_json(entry))
        return Prompt(_extended(transcript, provider, delta), digest, cached=kept is not None)

    async def _asked(
        self, given: ModelInput, definition: Definition, provider: Provider, prompt: Prompt
    ) -> Reply:
        attempt, begun = activity.info().attempt, monotonic()
        chunks = _extended(prompt.transcript, provider, given.aside).chunks
        about = {"model": definition.model, "bytes": prompt.transcript.size, "cached": prompt.cached}
        if given.aside:
            about["aside"] = True
        limit = TimeLimit(LONGEST_CALL, None, drains=True)
        try:
            with self._telemetry.chat(given, definition) as answered:
                asked = provider.complete(definition, chunks, _cache_key(), aside=bool(given.aside))
                reply = await limit.run(asked)
                answered(reply)
        except MODEL_ERRORS as error:
            failure = model_failure(error, definition.model, attempt, datetime.now(UTC))
            log.warning("model call failed", **about, type=failure.type, seconds=_since(begun))
            # Not "from error": it holds the request, which is the whole transcript.
            raise failure from None
        about["model"] = reply.model or definition.model
        said = {"finish": reply.finish, "calls": len(reply.calls), **reply.usage.model_dump()}
        log.info("model call", **about, **said, seconds=_since(begun))
        return reply.model_copy(update={"attempts": attempt})

    def _keep(self, given: ModelInput, provider: Provider, prompt: Prompt, reply: Reply) -> None:
        """Keep the transcript as the run's next call will name it."""
        entry = ReplyEntry(turn=given.turn, reply=reply)
        transcript = _extended(prompt.transcript, provider, [entry])
        self._transcripts.put(roll(prompt.digest, entry_json(entry)), transcript, grown_from=given.prefix)


def _extended(
    transcript: Encoded, provider: Provider, entries: Iterable[Message | ReplyEntry | Result]
) -> Encoded:
    return transcript.extended(provider.encode(entry) for entry in entries)


def _text_of(reply: Reply) -> Reply:
    """The answer to a person's question, without the calls that some models make although none were asked for."""
    finish = "stop" if reply.finish == "calls" else reply.finish
    return reply.model_copy(update={"finish": finish, "calls": (), "items": ()})


def _cache_key() -> str:
    """The run's own name for the provider's prompt cache: short, since providers bound it to 64 characters."""
    run = activity.info().workflow_id
    assert run is not None  # started by a workflow only
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def _since(begun: float) -> float:
    return round(monotonic() - begun, 3)
