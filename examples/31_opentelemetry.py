"""Trace calls and tools with OpenTelemetry.

Shows: the observer of `acechat[otel]`; the spans of a call and of a tool.
"""

from __future__ import annotations

import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from acechat import AsyncClient
from acechat.integrations.opentelemetry import OpenTelemetry


async def weather(city: str) -> str:
    """Forecast the weather."""
    return f"Rain in {city}"


async def main() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    async with AsyncClient(observers=[OpenTelemetry()]) as client:
        print((await client.run("Umbrella in Paris?", tools=[weather])).text)
        print((await client.chat("Hello")).text)
    for span in exporter.get_finished_spans():
        print(span.name, dict(span.attributes or {}).get("gen_ai.usage.output_tokens", ""))


if __name__ == "__main__":
    asyncio.run(main())
