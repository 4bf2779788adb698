"""OpenTelemetry: a span and metrics for each call and each tool; needs ``acechat[otel]``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context

from acechat import (
    AceChatError,
    AttemptFailed,
    CallEvent,
    CallFailed,
    ChatCompletion,
    FirstToken,
    HTTPRequest,
    Instrumentation,
    ToolCall,
    ToolResult,
    Usage,
    __version__,
    add_global_observer,
)
from acechat.integrations import _semconv
from acechat.integrations._attributes import (
    Attributes,
    Target,
    attempt_attributes,
    end_attributes,
    find_target,
    metric_labels,
    read_request,
    start_attributes,
)
from acechat.integrations._semconv import Name

__all__ = ["AcechatInstrumentor", "OpenTelemetry"]

_PATH = "/chat/completions"

_SUPPRESSING = (
    cast("Any", otel_context)._SUPPRESS_INSTRUMENTATION_KEY,
    "suppress_instrumentation",
    "suppress_language_model_instrumentation",
)
"""Keys of a context in which no span is made: OpenTelemetry's two, and the one that tracers of
frameworks such as LangChain set while they trace the same call."""


class _Call:
    """The span of one call, and the data of its metrics."""

    __slots__ = ("context", "failure", "first_chunk", "last_chunk", "span", "started", "target")

    def __init__(self, span: trace.Span, context: Context, target: Target) -> None:
        self.span = span
        self.context = context
        self.target = target
        self.started = perf_counter()
        self.first_chunk: float | None = None
        self.last_chunk: float | None = None  # when the last one of the attempt arrived
        self.failure: CallFailed | None = None


_traced: set[tuple[int, int]] = set()
"""The calls in progress and the tracer providers that trace them, so that an observer of a client
and a global one do not trace a call twice."""


class OpenTelemetry(Instrumentation):
    """An observer that makes a span and metrics of each call, and a span of each tool call.

    The span ``chat {model}`` lasts from the start of the call, with all attempts, until the
    response is read. It contains no prompt and no completion unless *capture_content* is true.

    Args:
        tracer_provider: Default None, the global one.
        meter_provider: Default None, the global one.
        capture_content: If true, spans have the messages, tool definitions, arguments and results
            of the call, and the text of its error; default None, the environment variable
            ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``, or False.
        max_content_bytes: The maximum size of each such attribute, in bytes; longer texts are
            truncated. Default 16 KiB. Images are never included.
        propagate: If true, requests have the header ``traceparent`` (or those of the configured
            propagator); default False.

    Example:
        >>> client = AsyncClient(observers=[OpenTelemetry()])
    """

    success_events = False

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        capture_content: bool | None = None,
        max_content_bytes: int = 16 * 2**10,
        propagate: bool = False,
    ) -> None:
        self._provider = tracer_provider or trace.get_tracer_provider()
        self._tracer = trace.get_tracer("acechat", __version__, tracer_provider)
        meter = metrics.get_meter("acechat", __version__, meter_provider)
        self._content = _wanted_by_environment() if capture_content is None else capture_content
        self._most = max_content_bytes
        self._propagate = propagate
        self._calls: dict[int, _Call] = {}
        histogram = partial(
            meter.create_histogram,
            unit="s",
            explicit_bucket_boundaries_advisory=_semconv.DURATION_BUCKETS,
        )
        self._duration = histogram(Name.DURATION_METRIC, description="Duration of a call")
        self._first_chunk = histogram(
            Name.FIRST_CHUNK_METRIC, description="Time until the first content of a stream"
        )
        self._chunk = histogram(
            Name.CHUNK_METRIC, description="Time between two chunks of a stream"
        )
        self._tokens = meter.create_histogram(
            Name.TOKEN_METRIC,
            unit="{token}",
            description="Number of input and output tokens used",
            explicit_bucket_boundaries_advisory=_semconv.TOKEN_BUCKETS,
        )

    def call_started(
        self, call: int, request: HTTPRequest, base_url: str
    ) -> Mapping[str, str] | None:
        """Start the span of a call; return the headers that propagate it."""
        parent = otel_context.get_current()
        key = call, id(self._provider)
        if request.path != _PATH or key in _traced or (parent and _suppressed(parent)):
            return None
        fields = read_request(request)
        target = find_target(fields.model, base_url)
        span = self._tracer.start_span(
            target.span_name, parent, trace.SpanKind.CLIENT, start_attributes(target, fields)
        )
        _traced.add(key)
        context = trace.set_span_in_context(span, parent)
        self._calls[call] = _Call(span, context, target)
        if self._content and span.is_recording():
            span.set_attributes(self._input(request))
        if not self._propagate:
            return None
        headers: dict[str, str] = {}
        propagate.inject(headers, context)
        return headers

    def attempt_started(self, call: int) -> Callable[[], None] | None:
        """Make the span current while the request is sent, for spans of the HTTP client."""
        state = self._calls.get(call)
        if state is None:
            return None
        state.last_chunk = None
        return partial(otel_context.detach, otel_context.attach(state.context))

    def chunks_received(self, call: int, count: int) -> None:
        """Record the time since the last chunk, and 0 for the others of the same network read."""
        state = self._calls.get(call)
        if state is None:
            return
        now = perf_counter()
        last, state.last_chunk = state.last_chunk, now
        took = 0.0 if last is None else now - last
        for _ in range(count - (last is None)):
            self._chunk.record(took, state.target.attributes, state.context)
            took = 0.0

    def __call__(self, event: CallEvent) -> None:
        """Receive an event of a call."""
        state = self._calls.get(event.call)
        if state is None:
            return
        if isinstance(event, CallFailed):
            state.failure = event
        elif isinstance(event, FirstToken):
            state.first_chunk = perf_counter() - state.started
        elif isinstance(event, AttemptFailed) and state.span.is_recording():
            state.span.add_event(Name.ATTEMPT_FAILED, attempt_attributes(event))

    def call_ended(
        self, call: int, completion: ChatCompletion | None, error: AceChatError | None
    ) -> None:
        """End the span of a call, and record its metrics."""
        state = self._calls.pop(call, None)
        if state is None:
            return
        _traced.discard((call, id(self._provider)))
        span, failure = state.span, state.failure
        failed = None if failure is None else failure.error
        model = usage = None
        if completion is not None:
            model, usage = completion.model, completion.usage
        if span.is_recording():
            span.set_attributes(end_attributes(failure, completion, usage, state.first_chunk))
            if self._content and completion is not None and completion.choices:
                messages = _semconv.output_messages(completion)
                encoded = _semconv.encode_capped(messages, self._most)
                span.set_attribute(Name.OUTPUT_MESSAGES, encoded)
            if failed is not None:
                text = str(error) if self._content and error is not None else failed
                span.set_status(trace.StatusCode.ERROR, text)
        self._record(state, usage, model, failed)
        span.end()

    def _record(
        self, state: _Call, usage: Usage | None, model: str | None, failed: str | None
    ) -> None:
        target, context = state.target, state.context
        labels = metric_labels(target.model, target.base_url, model, failed)
        self._duration.record(perf_counter() - state.started, labels.call, context)
        if state.first_chunk is not None:
            self._first_chunk.record(state.first_chunk, labels.call, context)
        if usage is not None:
            if usage.prompt_tokens is not None:
                self._tokens.record(usage.prompt_tokens, labels.input, context)
            if usage.completion_tokens is not None:
                self._tokens.record(usage.completion_tokens, labels.output, context)

    def tool_started(
        self, call: ToolCall
    ) -> Callable[[ToolResult | None, BaseException | None], None] | None:
        """Start the span of a tool call, current while the tool runs; return its end."""
        parent = otel_context.get_current()
        if parent and _suppressed(parent):
            return None
        attributes: Attributes = {
            Name.OPERATION: Name.EXECUTE_TOOL,
            Name.TOOL_NAME: call.function.name,
            Name.TOOL_CALL_ID: call.id,
            Name.TOOL_TYPE: "function",
        }
        span = self._tracer.start_span(
            f"{Name.EXECUTE_TOOL} {call.function.name}", parent, attributes=attributes
        )
        if self._content and span.is_recording():
            span.set_attribute(Name.TOOL_ARGUMENTS, call.function.arguments[: self._most])
        attached = otel_context.attach(trace.set_span_in_context(span, parent))

        def ended(result: ToolResult | None, error: BaseException | None) -> None:
            otel_context.detach(attached)
            if error is not None:
                span.set_attribute(Name.ERROR_TYPE, type(error).__name__)
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            if self._content and result is not None and span.is_recording():
                span.set_attribute(Name.TOOL_RESULT, result.content[: self._most])
            span.end()

        return ended

    def _input(self, request: HTTPRequest) -> Attributes:
        body = request.json()
        messages = [each for each in body.get("messages") or () if isinstance(each, dict)]
        content = {
            Name.SYSTEM_INSTRUCTIONS: _semconv.system_instructions(messages),
            Name.INPUT_MESSAGES: _semconv.input_messages(messages),
            Name.TOOL_DEFINITIONS: body.get("tools"),
        }
        return {
            name: _semconv.encode_capped(value, self._most)
            for name, value in content.items()
            if value
        }


class AcechatInstrumentor:
    """Traces all clients of the process; ``opentelemetry-instrument`` calls it."""

    _remove: Callable[[], None] | None = None

    def instrument(self, **options: Any) -> None:
        """Start, once: *options* are those of `OpenTelemetry`, others are ignored."""
        if AcechatInstrumentor._remove is None:
            known = ("tracer_provider", "meter_provider", "capture_content", "max_content_bytes")
            settings = {name: options[name] for name in (*known, "propagate") if name in options}
            AcechatInstrumentor._remove = add_global_observer(OpenTelemetry(**settings))

    def uninstrument(self, **_: Any) -> None:
        """Stop."""
        remove, AcechatInstrumentor._remove = AcechatInstrumentor._remove, None
        if remove is not None:
            remove()


def _wanted_by_environment() -> bool:
    value = os.environ.get(_semconv.CONTENT_SWITCH, "").strip().lower()
    return value in {"true", "1", "span_only", "span_and_event"}


def _suppressed(context: Context) -> bool:
    return any(context.get(key) for key in _SUPPRESSING)
