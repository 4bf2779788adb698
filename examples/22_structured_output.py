"""Ask for a value of a type, and get one.

What you learn: `output_type=`, whose schema goes to the model; `reply.output`, a value of it;
`stream.partials()`, which shows it while it is written; `OutputError`, when it has another form.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from acechat import AsyncClient, Output, OutputError


class Plan(Struct):
    """What to do on a day out."""

    title: str
    steps: list[str]


async def main() -> None:
    async with AsyncClient() as client:
        talk = client.conversation()
        plan = (await talk.send("Plan a picnic.", output_type=Plan)).output
        print(f"{plan.title!r}: {plan.steps}")
        print((await talk.send("Thank you!")).text)

        async for part in client.stream("Plan a hike.", output_type=Plan).partials():
            print("so far:", part)

        try:
            await client.chat("Hi", output_type=Output(Plan, strategy="prompt", retries=0))
        except OutputError as error:
            print("this has another form:", error.text)


if __name__ == "__main__":
    asyncio.run(main())
