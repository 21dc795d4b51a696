"""Spans and metrics of model and tool calls, by OpenTelemetry's conventions for generative AI.

Imports the OpenTelemetry API only: where no SDK is set up (see `runtime.telemetry`) all of it does nothing. The names
are literals, since the conventions have no stable package; `docs/telemetry.md` lists them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from urllib.parse import urlsplit

import openai
from opentelemetry import baggage, metrics, trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode
from temporalio import activity

from activities.genai_messages import FINISH_REASONS, input_messages, output_message, shown
from agents.agent import Definition
from agents.ids import parse_run_id
from agents.model_call import ModelInput
from agents.reply import Reply
from agents.tool_call import ToolInput

Labels = dict[str, str | int]
"""Attributes of a span and of its metrics: few values each, so never an id."""

SCOPE = "temporal-agent-platform"
OPENAI = "https://api.openai.com"
PORTS = {"http": 80, "https": 443}

# Source of both: the conventions' advice for these histograms.
TOKEN_BUCKETS = [4**power for power in range(14)]
SECOND_BUCKETS = [0.01 * 2**power for power in range(14)]


class CallTelemetry:
    """What a worker tells of its calls.

    Args:
        show_prompts: Put what people, models and tools say into spans. Never into metrics.
        model_server: Base URL of the model server; None is OpenAI's own.
    """

    def __init__(self, *, show_prompts: bool = False, model_server: str | None = None) -> None:
        self._show_prompts = show_prompts
        self._server = _address(model_server or OPENAI)
        self._tracer = trace.get_tracer(SCOPE)
        meter = metrics.get_meter(SCOPE)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._model_seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECOND_BUCKETS,
        )
        self._tool_seconds = meter.create_histogram(
            "gen_ai.execute_tool.duration",
            unit="s",
            description="The duration of a single tool execution.",
            explicit_bucket_boundaries_advisory=SECOND_BUCKETS,
        )

    @contextmanager
    def chat(self, given: ModelInput, definition: Definition) -> Iterator[Callable[[Reply], None]]:
        """Around one request to a model; call what it gives with the reply."""
        offline = definition.api == "offline"
        labels: Labels = {
            "gen_ai.operation.name": "chat",
            # The flavour of the API, whoever serves it: that is what the conventions ask for.
            "gen_ai.provider.name": "offline" if offline else "openai",
            "gen_ai.request.model": definition.model,
            "gen_ai.agent.name": definition.agent,
            "agent.tenant": _tenant(),
        }
        if not offline:
            labels |= self._server
        own: Labels = {"agent.turn": given.turn}
        if given.aside:
            own["agent.aside"] = True
        name = f"chat {definition.model}"
        with self._operation(name, SpanKind.CLIENT, labels, own, self._model_seconds) as span:
            if self._show_prompts:
                span.set_attribute(
                    "gen_ai.input.messages", input_messages((*(given.delta or ()), *given.aside))
                )
            yield partial(self._answered, span, labels)

    def _answered(self, span: Span, labels: Labels, reply: Reply) -> None:
        usage = reply.usage
        if reply.model:
            labels["gen_ai.response.model"] = reply.model
            span.set_attribute("gen_ai.response.model", reply.model)
        span.set_attribute("gen_ai.response.finish_reasons", [FINISH_REASONS[reply.finish]])
        span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
        span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
        span.set_attribute("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens)
        if self._show_prompts:
            span.set_attribute("gen_ai.output.messages", output_message(reply))
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens:  # not every server counts
                self._tokens.record(tokens, {**labels, "gen_ai.token.type": kind})

    @contextmanager
    def execute_tool(self, given: ToolInput) -> Iterator[Callable[[str], None]]:
        """Around one execution of a tool; call what it gives with what the tool gave back."""
        info = activity.info()
        labels: Labels = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": info.activity_type,
            "gen_ai.tool.type": "function",
            "agent.tenant": _tenant(),
        }
        # Set by `runtime.run_span`: a tool's input does not name the agent.
        if agent := baggage.get_baggage("gen_ai.agent.name"):
            labels["gen_ai.agent.name"] = str(agent)
        own: Labels = {"gen_ai.tool.call.id": info.activity_id}
        name = f"execute_tool {info.activity_type}"
        with self._operation(name, SpanKind.INTERNAL, labels, own, self._tool_seconds) as span:
            if self._show_prompts:
                span.set_attribute("gen_ai.tool.call.arguments", shown(given.arguments))
            yield partial(self._returned, span)

    def _returned(self, span: Span, content: str) -> None:
        if self._show_prompts:
            span.set_attribute("gen_ai.tool.call.result", shown(content))

    @contextmanager
    def _operation(
        self, name: str, kind: SpanKind, labels: Labels, own: Labels, seconds: Histogram
    ) -> Iterator[Span]:
        info = activity.info()
        about: Labels = {"gen_ai.conversation.id": info.workflow_id or "", "agent.attempt": info.attempt}
        begun = monotonic()
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes={**labels, **own, **about},
            # An error's text may quote the conversation.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:  # a call that was cancelled has not succeeded either
                labels["error.type"] = _error_type(error)
                span.set_attribute("error.type", labels["error.type"])
                span.set_status(StatusCode.ERROR)
                raise
            finally:
                seconds.record(monotonic() - begun, labels)


def _tenant() -> str:
    return parse_run_id(activity.info().workflow_id or "").tenant


def _error_type(error: BaseException) -> str:
    """The provider's status where it gave one, otherwise the exception's name."""
    return str(error.status_code) if isinstance(error, openai.APIStatusError) else type(error).__name__


def _address(url: str) -> Labels:
    parts = urlsplit(url)
    return {
        "server.address": parts.hostname or "",
        "server.port": parts.port or PORTS.get(parts.scheme, 0),
    }
