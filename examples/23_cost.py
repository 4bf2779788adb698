"""Report costs, and stop at a budget.

Shows: `reply.cost` and `client.meter`, which count the costs that the service reports; `Budget`,
which rejects a call before it is sent; and the public prices.
"""

from __future__ import annotations

import asyncio

from acechat import AsyncClient, Budget, BudgetExceededError, RateLimit

MODEL = "claude-sonnet-4-20250514"


async def main() -> None:
    async with AsyncClient(
        model=MODEL, budget=Budget(tokens=30), rate_limit=RateLimit(requests_per_minute=100)
    ) as client:
        reply = await client.chat("What does it cost to ask?")
        print(reply.text)
        print("cost:", reply.cost or "not reported")

        try:
            while True:
                await client.chat("And now?")
        except BudgetExceededError as error:
            print("stopped:", error)

        print(client.meter.calls, "calls,", client.meter.total_tokens, "tokens")

        prices = {model.id: model.pricing for model in await client.catalog()}
        print("prices:", prices[MODEL])


if __name__ == "__main__":
    asyncio.run(main())
