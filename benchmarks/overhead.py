"""CPU of a plain call through the integrations: `python -m benchmarks.overhead`.

Each needs its library; rows of libraries that are not installed are left out. The SDK row of
OpenTelemetry is the cost of the same span and metrics, made directly: no observer can cost less.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec

from acechat import AsyncClient
from benchmarks import server

CALLS = 200
ROUNDS = 9
Call = Callable[[], Awaitable[object]]


def opentelemetry_rows(connect: Callable[..., AsyncClient]) -> dict[str, Call]:
    from opentelemetry import trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from acechat.integrations.opentelemetry import OpenTelemetry

    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    plain = connect()
    tracer, meter = tracers.get_tracer("direct"), meters.get_meter("direct")
    histograms = [meter.create_histogram(name) for name in ("duration", "input", "output")]
    labels = {f"label.{number}": "value" for number in range(6)}
    more = {f"attribute.{number}": "value" for number in range(9)}

    async def direct() -> None:
        span = tracer.start_span("chat", kind=trace.SpanKind.CLIENT, attributes=labels)
        await plain.chat("Hello")
        span.set_attributes(more)
        for histogram in histograms:
            histogram.record(1, labels, trace.set_span_in_context(span))
        span.end()

    bare = connect(observers=[OpenTelemetry()])
    full = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    traced = connect(observers=[full])
    return {
        "OpenTelemetry, no SDK": lambda: bare.chat("Hello"),
        "OpenTelemetry SDK, directly": direct,
        "OpenTelemetry with the SDK": lambda: traced.chat("Hello"),
    }


def langchain_rows(connect: Callable[..., AsyncClient]) -> dict[str, Call]:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from acechat.integrations.langchain import ChatAceData

    plain = connect()

    class Direct(BaseChatModel):
        """The least that a chat model can do."""

        _llm_type = "direct"
        _generate = None

        async def _agenerate(self, *_: object, **__: object) -> ChatResult:
            reply = await plain.chat("Hello")
            return ChatResult(generations=[ChatGeneration(message=AIMessage(reply.text))])

    direct, model = Direct(), ChatAceData(async_client=connect())
    return {
        "LangChain, directly": lambda: direct.ainvoke("Hello"),
        "LangChain": lambda: model.ainvoke("Hello"),
    }


async def measure(origin: str) -> dict[str, float]:
    """Return the median CPU of a call, in µs, by the name of the row."""
    async with AsyncExitStack() as stack:
        clients: list[AsyncClient] = []

        def connect(**options: object) -> AsyncClient:
            clients.append(AsyncClient("token", base_url=f"{origin}/plain/40/v1", **options))  # type: ignore[arg-type]
            stack.push_async_callback(clients[-1].aclose)
            return clients[-1]

        plain, observed = connect(), connect(observers=[lambda _: None])
        rows: dict[str, Call] = {
            "plain call": lambda: plain.chat("Hello"),
            "an observer that does nothing": lambda: observed.chat("Hello"),
        }
        if find_spec("opentelemetry") and find_spec("opentelemetry.sdk"):
            rows |= opentelemetry_rows(connect)
        if find_spec("langchain_core"):
            rows |= langchain_rows(connect)
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, call in rows.items():
                began = time.process_time()
                for _ in range(CALLS):
                    await call()
                taken[name].append((time.process_time() - began) / CALLS * 1e6)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def main() -> None:
    with server.running() as origin:
        cost = asyncio.run(measure(origin))
    plain = cost["plain call"]
    for name, cpu in cost.items():
        print(f"{name:32} {cpu:6.0f} µs  {(cpu - plain) / plain:+5.0%}")
    for name, own, below in (
        ("OpenTelemetry", "OpenTelemetry with the SDK", "OpenTelemetry SDK, directly"),
        ("LangChain", "LangChain", "LangChain, directly"),
    ):
        if own in cost:
            print(f"{name}, above its library: {(cost[own] - cost[below]) / plain:+.0%} of a call")


if __name__ == "__main__":
    main()
