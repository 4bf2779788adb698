"""OpenTelemetry: spans and metrics of real calls, read from the SDK's in-memory exporters."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from acechat import AceChatError, AsyncClient, Client, add_global_observer
from acechat.emulator import cut, error_event, fail, ok, stall
from acechat.integrations import _semconv
from acechat.integrations.opentelemetry import AcechatInstrumentor, OpenTelemetry

SECRET = "the-secret-of-the-user"
IMAGE = "data:image/png;base64,iVBORw0KGgo="
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])
KINDS = pytest.mark.parametrize("kind", ["async", "blocking"])


class Telemetry:
    def __init__(self, **options):
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.provider = TracerProvider(sampler=options.pop("sampler", None))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.provider.get_tracer("test")
        self.observer = OpenTelemetry(
            tracer_provider=self.provider, meter_provider=self.meters, **options
        )

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def span(self):
        (span,) = self.spans
        return span

    def points(self):
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        (resource,) = data.resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def telemetry():
    return Telemetry()


@pytest.fixture
def connect(acechat_service):
    """Make a call, async or blocking; return its completion, or None if it failed."""

    def call(kind, method, telemetry, *content, client=None, **options):
        settings = {"api_token": acechat_service.token, "base_url": acechat_service.url}
        settings |= {"observers": [telemetry.observer]} | (client or {})
        with suppress(AceChatError):
            if kind == "blocking":
                with Client(**settings) as blocking:
                    made = getattr(blocking, method)(*content, **options)
                    return made.collect() if method == "stream" else made

            async def main():
                async with AsyncClient(**settings) as opened:
                    made = getattr(opened, method)(*content, **options)
                    return await (made.collect() if method == "stream" else made)

            return asyncio.run(main())
        return None

    return call


@KINDS
@BOTH
def test_a_call_has_one_span_with_the_names_of_the_conventions(
    connect, telemetry, acechat_service, kind, method
):
    reply = connect(kind, method, telemetry, "Hello", temperature=0.5, max_tokens=100, stop="x")

    span = telemetry.span
    attributes = dict(span.attributes)
    assert span.name == "chat claude-sonnet-4-20250514"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert attributes.pop("server.port") == int(acechat_service.url.rpartition(":")[2])
    assert attributes.pop("acedatacloud.trace_id") == reply.trace_id
    assert attributes.pop("acedatacloud.cost.amount") == float(reply.cost.amount)
    assert attributes.pop("acedatacloud.cost.currency") == reply.cost.currency
    first = attributes.pop("gen_ai.response.time_to_first_chunk", None)
    assert (first is not None) == (method == "stream")
    assert attributes.pop("gen_ai.request.stream", None) is (True if method == "stream" else None)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acedatacloud",
        "gen_ai.request.model": "claude-sonnet-4-20250514",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.model": reply.model,
        "gen_ai.response.id": reply.id,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": reply.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": reply.usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
    }
    assert span.end_time - span.start_time < 5e9


@KINDS
@BOTH
def test_the_caller_s_span_is_the_parent_and_is_current_again(connect, telemetry, kind, method):
    with telemetry.tracer.start_as_current_span("handler") as outer:
        connect(kind, method, telemetry, "Hello")
        assert trace.get_current_span() is outer

    chat, handler = telemetry.spans
    assert chat.parent.span_id == handler.context.span_id
    assert chat.context.trace_id == handler.context.trace_id


def test_reading_a_stream_does_not_make_its_span_current(telemetry, acechat_service):
    with Client(
        acechat_service.token, base_url=acechat_service.url, observers=[telemetry.observer]
    ) as client:
        for number, _ in enumerate(client.stream("one two three")):
            with telemetry.tracer.start_as_current_span(f"chunk {number}"):
                pass

    names = [span.name.partition(" ")[0] for span in telemetry.spans]
    assert names.count("chat") == 1
    assert names.count("chunk") > 1
    assert all(span.parent is None for span in telemetry.spans)


def test_concurrent_calls_have_their_own_parents(telemetry, acechat_service):
    async def main():
        async with AsyncClient(
            acechat_service.token, base_url=acechat_service.url, observers=[telemetry.observer]
        ) as client:

            async def one(number):
                with telemetry.tracer.start_as_current_span(f"handler {number}"):
                    await client.chat("Hello", model=f"model-{number}")

            await asyncio.gather(*map(one, range(8)))

    asyncio.run(main())

    handlers = {span.context.span_id: span.name for span in telemetry.spans if not span.parent}
    made = {span.name: handlers[span.parent.span_id] for span in telemetry.spans if span.parent}
    assert made == {f"chat model-{number}": f"handler {number}" for number in range(8)}


@KINDS
@BOTH
def test_retries_are_events_of_one_span(connect, telemetry, acechat_service, kind, method):
    acechat_service.script(fail(429, retry_after=0.01))

    connect(kind, method, telemetry, SECRET)

    span = telemetry.span
    (event,) = span.events
    assert event.name == "acedatacloud.attempt_failed"
    assert event.attributes["error.type"] == "RateLimitError"
    assert event.attributes["http.response.status_code"] == 429
    assert event.attributes["acedatacloud.retry_in"] == 0.01
    assert span.attributes["acedatacloud.attempts"] == 2
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in span.attributes


@KINDS
@BOTH
def test_an_error_sets_the_status_and_type_but_not_its_text(
    connect, telemetry, acechat_service, kind, method
):
    body = json.dumps({"error": {"code": "bad_request", "message": SECRET}})
    acechat_service.script(fail(400, body=body))

    connect(kind, method, telemetry, SECRET)

    span = telemetry.span
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "BadRequestError"
    assert span.attributes["error.type"] == "BadRequestError"
    assert span.attributes["acedatacloud.error.code"] == "bad_request"
    assert span.attributes["acedatacloud.failure"] == "refused"
    assert SECRET not in span.to_json()


@KINDS
def test_a_truncated_stream_is_an_error_with_what_had_arrived(connect, acechat_service, kind):
    telemetry = Telemetry(capture_content=True)
    acechat_service.script(cut(after=4, of=ok("one two three four")))

    connect(kind, "stream", telemetry, "Hello")

    span = telemetry.span
    assert span.attributes["error.type"] in {"StreamTruncatedError", "StreamInterruptedError"}
    assert span.attributes["acedatacloud.may_be_billed"] is True
    (message,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert message["parts"][0]["content"].startswith("one")
    assert message["finish_reason"] == "error"


@KINDS
def test_an_abandoned_stream_ends_its_span_without_an_error(telemetry, acechat_service, kind):
    acechat_service.script(stall(5, after=4, of=ok("one two three four")))
    settings = {"api_token": acechat_service.token, "base_url": acechat_service.url}
    settings["observers"] = [telemetry.observer]

    if kind == "blocking":
        with Client(**settings) as client, client.stream("Hello") as stream:
            next(stream)
    else:

        async def leave():
            async with AsyncClient(**settings) as client, client.stream("Hello") as stream:
                await anext(stream)

        asyncio.run(leave())

    assert telemetry.span.attributes["acedatacloud.failure"] == "cancelled"
    assert telemetry.span.attributes["gen_ai.response.id"]
    assert telemetry.span.status.status_code is StatusCode.UNSET


async def _dropped(client):
    async for _ in client.stream("Hello"):
        break


def test_a_dropped_stream_ends_its_span(telemetry, acechat_service):
    acechat_service.script(stall(5, after=4, of=ok("one two three four")))

    async def main():
        async with AsyncClient(
            acechat_service.token, base_url=acechat_service.url, observers=[telemetry.observer]
        ) as client:
            await _dropped(client)
            gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(main())

    assert telemetry.span.attributes["acedatacloud.failure"] == "cancelled"


def test_a_cancelled_call_ends_its_span(telemetry, acechat_service):
    acechat_service.script(stall(5, after=0, of=ok("never")))

    async def main():
        async with AsyncClient(
            acechat_service.token, base_url=acechat_service.url, observers=[telemetry.observer]
        ) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat("Hello"), 0.2)

    asyncio.run(main())

    assert telemetry.span.attributes["error.type"] == "CancelledError"


def test_no_state_is_kept_after_the_calls(connect, telemetry, acechat_service):
    from acechat.integrations import opentelemetry as module

    acechat_service.script(fail(401), ok("Hi"))
    connect("async", "chat", telemetry, "Hello")
    connect("blocking", "stream", telemetry, "Hello")

    assert len(telemetry.spans) == 2
    assert not module._traced
    assert not telemetry.observer._calls


# content


@KINDS
@BOTH
def test_content_is_left_out_by_default(connect, telemetry, acechat_service, kind, method):
    acechat_service.script(ok(SECRET))

    connect(kind, method, telemetry, SECRET, system=SECRET, user="u")

    assert SECRET not in telemetry.span.to_json()


@KINDS
@BOTH
def test_content_is_captured_on_request(connect, acechat_service, kind, method):
    telemetry = Telemetry(capture_content=True)
    acechat_service.script(ok("Hi", reasoning="Let me think"))
    history = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"},
                                     {"type": "image_url", "image_url": {"url": IMAGE}}]},
        {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ]  # fmt: skip

    connect(kind, method, telemetry, "Hello", messages=history, system="Be brief.")

    attributes = telemetry.span.attributes
    assert json.loads(attributes["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Be brief."}
    ]
    image = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    call = {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"a": 1}}
    response = {"type": "tool_call_response", "id": "c1", "response": "a cat"}
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "What is this?"}, image]},
        {"role": "assistant", "parts": [call]},
        {"role": "tool", "parts": [response]},
        {"role": "user", "parts": [{"type": "text", "content": "Hello"}]},
    ]
    parts = [{"type": "reasoning", "content": "Let me think"}, {"type": "text", "content": "Hi"}]
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": parts, "finish_reason": "stop"}
    ]


@pytest.mark.parametrize(("value", "captured"), [("true", True), ("SPAN_ONLY", True), ("", False)])
def test_the_environment_decides_about_content(
    connect, acechat_service, monkeypatch, value, captured
):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", value)
    telemetry = Telemetry()

    connect("async", "chat", telemetry, "Hello")

    assert ("gen_ai.input.messages" in telemetry.span.attributes) is captured


@pytest.mark.parametrize("size", [64, 1000, 20_000])
@pytest.mark.parametrize("count", [1, 500])
def test_content_is_valid_json_within_its_cap(size, count):
    part = {"type": "text", "content": "é" * 5000}
    messages = [{"role": "user", "parts": [part]}] * count

    encoded = _semconv.encode_capped(messages, size)

    assert len(encoded.encode()) <= size
    assert isinstance(json.loads(encoded), list)


def test_short_content_is_not_changed():
    messages = [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]

    assert json.loads(_semconv.encode_capped(messages, 1000)) == messages


# metrics


@KINDS
def test_metrics_are_recorded(connect, telemetry, kind):
    connect(kind, "stream", telemetry, "Hello")
    connect(kind, "chat", telemetry, "Hello")

    points = telemetry.points()
    assert set(points) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_per_output_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    }
    (duration,) = points["gen_ai.client.operation.duration"]
    assert duration.count == 2
    assert duration.attributes["gen_ai.operation.name"] == "chat"
    assert duration.attributes["gen_ai.response.model"] == "claude-sonnet-4-20250514"
    assert duration.explicit_bounds[0] == 0.01
    assert points["gen_ai.client.operation.time_to_first_chunk"][0].count == 1
    tokens = points["gen_ai.client.token.usage"]
    assert {point.attributes["gen_ai.token.type"] for point in tokens} == {"input", "output"}


@KINDS
def test_the_time_per_chunk_is_recorded_for_each_chunk_after_the_first(
    connect, telemetry, acechat_service, kind
):
    acechat_service.script(stall(0.3, after=4, of=ok(["one ", "two ", "three ", "four"])))

    connect(kind, "stream", telemetry, "Hello")

    events = 8  # the role, an empty text, four words, the finish reason, the usage
    (point,) = telemetry.points()["gen_ai.client.operation.time_per_output_chunk"]
    assert point.count == events - 1
    assert 0.2 <= point.max <= point.sum < 5  # the first read may be late
    assert point.explicit_bounds == tuple(_semconv.DURATION_BUCKETS)
    assert set(point.attributes) == {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
        "server.address", "server.port",
    }  # fmt: skip


@KINDS
def test_the_time_between_attempts_is_no_time_per_chunk(connect, telemetry, acechat_service, kind):
    failing = error_event(after=1)  # after the chunk with the role, before any content
    acechat_service.script(failing, stall(0.5, of=ok(["one ", "two "])))

    reply = connect(kind, "stream", telemetry, "Hello")

    assert reply.text == "one two "
    assert len(acechat_service.requests) == 2
    (point,) = telemetry.points()["gen_ai.client.operation.time_per_output_chunk"]
    assert point.max < 0.5


def test_a_failed_call_is_measured_with_its_error(connect, telemetry, acechat_service):
    acechat_service.script(fail(401))

    connect("async", "chat", telemetry, "Hello")

    (duration,) = telemetry.points()["gen_ai.client.operation.duration"]
    assert duration.attributes["error.type"] == "AuthenticationError"


def test_metrics_are_recorded_for_calls_that_are_not_sampled(connect):
    telemetry = Telemetry(sampler=ALWAYS_OFF, capture_content=True)

    connect("async", "chat", telemetry, "Hello")

    assert telemetry.spans == ()
    assert telemetry.points()["gen_ai.client.operation.duration"][0].count == 1


# the names


NEWER = {"gen_ai.usage.cache_write.input_tokens"}
"""Names that the conventions have and the published package does not, yet."""


def test_the_names_are_those_of_the_conventions():
    from opentelemetry.semconv._incubating.attributes import (
        error_attributes,
        gen_ai_attributes,
        http_attributes,
        server_attributes,
    )
    from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

    modules = [error_attributes, gen_ai_attributes, http_attributes, server_attributes]
    known = {
        value
        for module in [*modules, gen_ai_metrics]
        for value in vars(module).values()
        if isinstance(value, str)
    }
    operations = {each.value for each in gen_ai_attributes.GenAiOperationNameValues}
    used = {value for name, value in vars(_semconv.Name).items() if not name.startswith("_")}
    own = {value for value in used if value.startswith("acedatacloud")}

    assert used - own - known - operations == NEWER - known


# tools


async def weather(city: str) -> str:
    """Forecast the weather."""
    with trace.get_tracer_provider().get_tracer("tool").start_as_current_span("lookup"):
        return f"rain in {city}"


def clock(zone: str) -> str:
    """Return the time."""
    raise LookupError(zone)


@KINDS
@pytest.mark.parametrize("several", [False, True])
def test_each_tool_call_has_a_span(connect, acechat_service, monkeypatch, kind, several):
    telemetry = Telemetry(capture_content=True)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: telemetry.provider)
    calls = [("weather", {"city": "Paris"})]
    calls += [("clock", {"zone": "UTC"})] if several else []
    acechat_service.script(ok(tool_calls=calls), ok("Take one"))

    with telemetry.tracer.start_as_current_span("handler") as handler:
        connect(kind, "run", telemetry, "Umbrella?", tools=[weather, clock])
        assert trace.get_current_span() is handler

    spans = {span.name: span for span in telemetry.spans}
    tool = spans["execute_tool weather"]
    assert tool.kind is SpanKind.INTERNAL
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tool.attributes["gen_ai.tool.name"] == "weather"
    assert tool.attributes["gen_ai.tool.type"] == "function"
    assert tool.attributes["gen_ai.tool.call.id"]
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"city": "Paris"}
    assert tool.attributes["gen_ai.tool.call.result"] == "rain in Paris"
    assert spans["lookup"].parent.span_id == tool.context.span_id
    assert tool.parent.span_id == spans["handler"].context.span_id
    assert len([span for span in telemetry.spans if span.name.startswith("chat")]) == 2
    if several:
        failed = spans["execute_tool clock"]
        assert failed.attributes["error.type"] == "LookupError"
        assert failed.status.status_code is StatusCode.ERROR


def test_arguments_and_results_of_tools_are_left_out_by_default(
    connect, telemetry, acechat_service
):
    calls = [("weather", {"city": SECRET})]
    acechat_service.script(ok(tool_calls=calls), ok("Take one"))

    connect("async", "run", telemetry, "Umbrella?", tools=[weather])

    assert len(telemetry.spans) == 3
    assert not [span for span in telemetry.spans if SECRET in span.to_json()]


# other tracers beside it


@pytest.mark.parametrize(
    "key",
    [
        otel_context._SUPPRESS_INSTRUMENTATION_KEY,
        "suppress_instrumentation",
        "suppress_language_model_instrumentation",
    ],
    ids=["api", "instrumentation", "frameworks"],
)
@KINDS
def test_suppression_is_honoured(connect, telemetry, acechat_service, kind, key):
    calls = [("weather", {"city": "Paris"})]
    acechat_service.script(ok(tool_calls=calls), ok("Take one"))
    token = otel_context.attach(otel_context.set_value(key, value=True))
    try:
        assert connect(kind, "run", telemetry, "Hello", tools=[weather])
    finally:
        otel_context.detach(token)

    assert telemetry.spans == ()
    assert telemetry.points() == {}


@KINDS
@BOTH
def test_the_trace_is_propagated_on_request(connect, acechat_service, kind, method):
    telemetry = Telemetry(propagate=True)
    acechat_service.script(fail(429, retry_after=0.01))

    connect(kind, method, telemetry, "Hello")

    span = telemetry.span.context
    wanted = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    assert [request.headers.get("traceparent") for request in acechat_service.requests] == [
        wanted,
        wanted,
    ]


def test_the_trace_is_not_propagated_by_default(connect, telemetry, acechat_service):
    connect("async", "chat", telemetry, "Hello")

    assert "traceparent" not in acechat_service.requests[0].headers


@pytest.mark.parametrize("size", [10, 2 * 2**20])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_aiohttp_s_instrumentation_beside_it_nests_and_does_not_double(
    connect, telemetry, acechat_service, size
):
    aiohttp_client = pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")
    instrumentor = aiohttp_client.AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.provider)
    try:
        assert connect("async", "chat", telemetry, "x" * size)  # a large body takes aiohttp's path
    finally:
        instrumentor.uninstrument()

    *http, chat = telemetry.spans
    assert chat.name.startswith("chat")
    assert len(http) <= 1
    assert all(span.parent.span_id == chat.context.span_id for span in http)
    assert (
        len([span for span in telemetry.spans if "gen_ai.operation.name" in span.attributes]) == 1
    )


def test_a_call_is_traced_once_by_an_observer_and_a_global_one(connect, telemetry):
    again = OpenTelemetry(tracer_provider=telemetry.provider, meter_provider=telemetry.meters)
    remove = add_global_observer(again)
    try:
        connect("async", "chat", telemetry, "Hello")
    finally:
        remove()

    assert telemetry.span.name.startswith("chat")


def test_the_instrumentor_traces_clients_that_exist_already(telemetry, acechat_service):
    instrumentor = AcechatInstrumentor()
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        instrumentor.instrument(tracer_provider=telemetry.provider, unknown=1)
        instrumentor.instrument(tracer_provider=telemetry.provider)
        try:
            client.chat("Hello")
        finally:
            AcechatInstrumentor().uninstrument()
        client.chat("Hello")

    assert len(telemetry.spans) == 1


def test_opentelemetry_instrument_finds_it(acechat_service):
    pytest.importorskip("opentelemetry.distro", reason="needs opentelemetry-distro")
    program = textwrap.dedent("""
        from acechat import Client

        with Client() as client:
            client.chat("Hello")
    """)
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [command, "--traces_exporter", "console", "--metrics_exporter", "none",
         "--logs_exporter", "none", sys.executable, "-c", program],
        capture_output=True, text=True, check=False, timeout=60,
        env={"ACEDATACLOUD_API_TOKEN": acechat_service.token, "PATH": str(command.parent),
             "ACEDATACLOUD_API_BASE_URL": acechat_service.url},
    )  # fmt: skip

    assert '"name": "chat claude-sonnet-4-20250514"' in done.stdout, done.stderr
