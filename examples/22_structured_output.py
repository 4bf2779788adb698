"""Get a response as a value of a type.

Shows: `output_type=`, whose schema is sent to the model; `reply.output`, the value;
`stream.partials()`, the value so far; `OutputError`, if the response does not match the type.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from acechat import AsyncClient, Output, OutputError


class Plan(Struct):
    """A plan for a day out."""

    title: str
    steps: list[str]


async def main() -> None:
    async with AsyncClient() as client:
        conversation = client.conversation()
        plan = (await conversation.send("Plan a picnic.", output_type=Plan)).output
        print(f"{plan.title!r}: {plan.steps}")
        print((await conversation.send("Thank you!")).text)

        async for part in client.stream("Plan a hike.", output_type=Plan).partials():
            print("so far:", part)

        try:
            await client.chat("Hi", output_type=Output(Plan, strategy="prompt", retries=0))
        except OutputError as error:
            print("does not match Plan:", error.text)


if __name__ == "__main__":
    asyncio.run(main())
