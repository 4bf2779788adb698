"""Handle errors.

Shows: every error is an `AceChatError`, its class gives the cause; `code` and `trace_id` are for
support; `attempts` lists the attempts and which of them may be billed.
"""

from __future__ import annotations

import asyncio

from acechat import AceChatError, AsyncClient, AuthenticationError, BadRequestError, RetryPolicy


async def main() -> None:
    async with AsyncClient("a-wrong-token") as unauthorized:
        try:
            await unauthorized.chat("Hello")
        except AuthenticationError as error:
            print("rejected:", error.status, error.code, "trace", error.trace_id)

    patient = RetryPolicy(max_attempts=2, base_delay=0.1)
    async with AsyncClient(retries=patient) as client:
        try:
            await client.chat("Hello", temperature=3)
        except BadRequestError as error:
            print("invalid:", error.message)

        unreachable = AsyncClient(base_url="http://localhost:9", retries=patient)
        try:
            await unreachable.chat("Hello")
        except AceChatError as error:
            for attempt in error.attempts:
                print(f"attempt {attempt.number}: {attempt.failure}, {attempt.error}")

        print((await client.chat("Still here?")).text)


if __name__ == "__main__":
    asyncio.run(main())
