"""See what can go wrong, and what is known about it.

What you learn: every error is an `AceChatError`; classes say why, `code` and `trace_id` are for
support, `attempts` says what was tried and what of it may be billed.
"""

from __future__ import annotations

import asyncio

from acechat import AceChatError, AsyncClient, AuthenticationError, BadRequestError, RetryPolicy


async def main() -> None:
    async with AsyncClient("a-wrong-token") as stranger:
        try:
            await stranger.chat("Hello")
        except AuthenticationError as error:
            print("refused:", error.status, error.code, "trace", error.trace_id)

    patient = RetryPolicy(max_attempts=2, base_delay=0.1)
    async with AsyncClient(retries=patient) as client:
        try:
            await client.chat("Hello", temperature=3)
        except BadRequestError as error:
            print("malformed:", error.message)

        nobody = AsyncClient(base_url="http://localhost:9", retries=patient)
        try:
            await nobody.chat("Hello")
        except AceChatError as error:
            for attempt in error.attempts:
                print(f"attempt {attempt.number}: {attempt.failure}, {attempt.error}")

        print((await client.chat("Still here?")).text)


if __name__ == "__main__":
    asyncio.run(main())
