"""Use the parts of acechat that most programs use, on a service on localhost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from acechat import APIError, AsyncClient, ChatCompletion, Client, Delta, StreamTruncatedError
from acechat.emulator import Service, ok


@dataclass
class Forecast:
    """Structured output."""

    city: str
    degrees: int


async def temperature(city: str) -> str:
    """Return the temperature in a city."""
    return f"21 degrees in {city}"


def total_tokens(completion: ChatCompletion) -> int:
    """Return the tokens of *completion*; 0 if the service did not report them."""
    return (completion.usage.total_tokens or 0) if completion.usage is not None else 0


async def ask(client: AsyncClient) -> None:
    """Make one call of each kind."""
    reply = await client.chat("Hello", system="Be brief.", temperature=0.2)
    text: str = reply.text
    print(text, total_tokens(reply))

    deltas: list[Delta] = []
    try:
        async with client.stream("Tell me a story") as stream:
            async for delta in stream:
                deltas.append(delta)
    except StreamTruncatedError as error:
        print("truncated after", error.partial)
    except APIError as error:
        print(error.status, error.code, error.trace_id)
    print("".join(delta.content or "" for delta in deltas))

    structured = await client.chat("Forecast for Paris", output_type=Forecast)
    degrees: int = structured.output.degrees
    print(structured.output.city, degrees)

    result = await client.run("How warm is it?", tools=[temperature])
    print(result.completion.text)


def main() -> None:
    """Run both clients."""
    with Service() as service:
        service.script(
            ok("Good day"),
            ok("Once upon a time"),
            ok('{"city": "Paris", "degrees": 21}'),
            ok("Warm"),
            ok("Hello again"),
        )

        async def use() -> None:
            async with AsyncClient(service.token, base_url=service.url) as client:
                await ask(client)

        asyncio.run(use())
        with Client(service.token, base_url=service.url) as blocking:
            print(blocking.chat("Hello").text)


if __name__ == "__main__":
    main()
