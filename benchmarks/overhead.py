"""CPU of a plain call through the integrations: `python -m benchmarks.overhead`.

Each needs its library; rows of libraries that are not installed are left out. A library costs CPU
of its own, whoever calls it, so there are two figures: the *total*, and the part *above the
library*, which is acechat's. The row "by hand" is the same work without the integration: the same
span with the same attributes and measurements, or the same message with the same fields, made of
constants. The bar is 10 % of a plain call above that.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec
from types import FrameType
from typing import Any

from acechat import AsyncClient
from benchmarks import server

CALLS = 50
ROUNDS = 60
"""Many short rounds, so that other programs disturb few of them; shorter ones would measure the
processor's caches, which each row finds filled by another."""
BAR = 0.10
Call = Callable[[], Awaitable[object]]
Connect = Callable[..., AsyncClient]


async def opentelemetry_rows(connect: Connect) -> dict[str, Call]:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from acechat.integrations.opentelemetry import OpenTelemetry

    # The attributes and labels of one real call.
    exporter, reader, providers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    providers.add_span_processor(SimpleSpanProcessor(exporter))
    observer = OpenTelemetry(tracer_provider=providers, meter_provider=MeterProvider([reader]))
    await connect(observers=[observer]).chat("Hello")
    (made,) = exporter.get_finished_spans()
    points: Any = reader.get_metrics_data()
    recorded = [
        (metric.name, dict(point.attributes), point.sum)
        for metric in points.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    ]
    attributes = dict(made.attributes or {})
    shared = attributes.keys() & recorded[0][1].keys() - {"gen_ai.response.model"}
    before = {name: attributes.pop(name) for name in shared}

    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    plain = connect()
    tracer, meter = tracers.get_tracer("by hand"), meters.get_meter("by hand")
    histograms = {name: meter.create_histogram(name, unit="s") for name, *_ in recorded}
    measurements = [(histograms[name].record, value, labels) for name, labels, value in recorded]

    async def by_hand() -> None:
        parent = contexts.get_current()
        span = tracer.start_span(made.name, parent, trace.SpanKind.CLIENT, before)
        context = trace.set_span_in_context(span, parent)
        token = contexts.attach(context)
        await plain.chat("Hello")
        contexts.detach(token)
        if span.is_recording():
            span.set_attributes(attributes)
        for record, value, labels in measurements:
            record(value, labels, context)
        span.end()

    bare = connect(observers=[OpenTelemetry()])
    full = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    traced = connect(observers=[full])
    return {
        "OpenTelemetry without an SDK": lambda: bare.chat("Hello"),
        "OpenTelemetry SDK, by hand": by_hand,
        "OpenTelemetry with the SDK": lambda: traced.chat("Hello"),
    }


async def langchain_rows(connect: Connect) -> dict[str, Call]:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from acechat.integrations.langchain import ChatAceData

    plain, model = connect(), ChatAceData(async_client=connect())
    made: Any = await model.ainvoke("Hello")
    facts = {"usage_metadata": made.usage_metadata, "response_metadata": made.response_metadata}
    names = ("model_name", "model_provider", "finish_reason", "id")
    metadata = {name: made.response_metadata.get(name) for name in names}
    sent = [{"role": "user", "content": "Hello"}]

    identity = dict(model._identifying_params)

    class ByHand(ChatAceData):
        """The least work for the same message, by a model with the same fields."""

        _get_ls_params = BaseChatModel._get_ls_params

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return identity

        async def _agenerate(
            self,
            messages: Any,  # noqa: ARG002 - LangChain looks at the names
            stop: Any = None,  # noqa: ARG002
            run_manager: Any = None,  # noqa: ARG002
            **_: object,
        ) -> ChatResult:
            reply = await plain.chat(messages=sent)
            message = AIMessage(
                reply.text, **facts, additional_kwargs={}, tool_calls=[], invalid_tool_calls=[]
            )
            info = {"finish_reason": reply.finish_reason}
            generation = ChatGeneration(message=message, generation_info=info)
            return ChatResult(generations=[generation], llm_output=metadata)

    by_hand = ByHand()
    return {
        "LangChain, by hand": lambda: by_hand.ainvoke("Hello"),
        "LangChain": lambda: model.ainvoke("Hello"),
    }


async def llm_rows(connect: Connect) -> dict[str, Call]:
    import llm

    from acechat.integrations.llm import AceDataAsyncModel

    plain = connect()

    class ByHand(llm.AsyncKeyModel):
        """The least work for the same response."""

        model_id = "by-hand"
        needs_key = "by-hand"

        async def execute(  # type: ignore[override]
            self, prompt: llm.Prompt, *, response: Any, **_: Any
        ) -> AsyncGenerator[str, None]:
            sent = [{"role": each.role, "content": prompt.prompt} for each in prompt.messages]
            reply = await plain.chat(messages=sent)
            yield reply.text
            response.set_usage(
                input=reply.usage.prompt_tokens, output=reply.usage.completion_tokens
            )
            response.set_resolved_model(reply.model)
            response.response_json = reply.to_dict()

    model, by_hand = AceDataAsyncModel("claude-opus-4-20250514"), ByHand()

    async def ask(of: Any) -> str:
        response = of.prompt("Hello", key="token", stream=False)
        text: str = await response.text()
        return text

    return {"llm, by hand": lambda: ask(by_hand), "llm": lambda: ask(model)}


LIBRARIES = {
    "opentelemetry.sdk": opentelemetry_rows,
    "langchain_core": langchain_rows,
    "llm": llm_rows,
}
COMPARED = {
    "OpenTelemetry with the SDK": "OpenTelemetry SDK, by hand",
    "LangChain": "LangChain, by hand",
    "llm": "llm, by hand",
}


async def measure(
    origin: str, calls: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the CPU of a call in each round, in µs, and its bytecodes, by the name of the row."""
    os.environ["ACEDATACLOUD_API_BASE_URL"] = base_url = f"{origin}/plain/40/v1"
    async with AsyncExitStack() as stack:

        def connect(**options: Any) -> AsyncClient:
            client = AsyncClient("token", base_url=base_url, **options)
            stack.push_async_callback(client.aclose)
            return client

        plain, observed = connect(), connect(observers=[lambda _: None])
        rows: dict[str, Call] = {
            "plain call": lambda: plain.chat("Hello"),
            "an observer that does nothing": lambda: observed.chat("Hello"),
        }
        for library, made in LIBRARIES.items():
            if find_spec(library.partition(".")[0]) and find_spec(library):
                rows |= await made(connect)
        executed = {name: await bytecodes(call) for name, call in rows.items()}
        taken: dict[str, list[float]] = {name: [] for name in rows}
        gc.collect()
        gc.freeze()
        for _ in range(rounds + 1):
            for name, call in random.sample(list(rows.items()), len(rows)):
                began = time.process_time()
                for _ in range(calls):
                    await call()
                taken[name].append((time.process_time() - began) / calls * 1e6)
    return {name: times[1:] for name, times in taken.items()}, executed


async def bytecodes(call: Call) -> int:
    """Return how many instructions of Python a call executes; no other program affects it."""
    counted = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    fewest = sys.maxsize
    for _ in range(8):
        counted = 0
        sys.settrace(trace)
        try:
            await call()
        finally:
            sys.settrace(None)
        fewest = min(fewest, counted)
    return fewest


def above(taken: dict[str, list[float]], name: str, floor: str) -> float:
    """Return the median, over rounds, of the CPU above *floor*, as a part of a plain call."""
    each = zip(taken[name], taken[floor], taken["plain call"], strict=True)
    return statistics.median((cpu - below) / plain for cpu, below, plain in each)


def main(calls: int = CALLS, rounds: int = ROUNDS) -> None:
    with server.running() as origin:
        taken, executed = asyncio.run(measure(origin, calls, rounds))
    for name, times in taken.items():
        total = above(taken, name, "plain call")
        print(f"{name:32} {statistics.median(times):6.0f} µs  {total:+5.0%}", end="")
        print(f" {executed[name]:8,} bytecodes")
    for name, floor in COMPARED.items():
        if name not in taken:
            continue
        total, share = above(taken, name, "plain call"), above(taken, name, floor)
        counted = (executed[name] - executed[floor]) / executed["plain call"]
        print(f"{name}: {total:+.0%} of a plain call in total, {share:+.1%} above its", end=" ")
        print(f"library ({counted:+.1%} in bytecodes);", end=" ")
        print(f"the bar of {BAR:.0%} is {'met' if share <= BAR else 'MISSED'}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
