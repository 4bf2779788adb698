"""Estimate tokens and cost before anything is charged.

Shows: `prepare()`, which sends nothing; `estimate()`, with the service's own count of the prompt
and the public prices.
"""

from __future__ import annotations

from acechat import Client

MAX_CREDITS = 1


def main() -> None:
    with Client() as client:
        estimate = client.prepare("Write a story.", max_tokens=500).estimate()
        print(estimate.prompt_tokens, "tokens, then up to", estimate.max_completion_tokens)
        print("costs", estimate.min_cost, "to", estimate.max_cost, "credits")
        if estimate.max_cost is not None and estimate.max_cost < MAX_CREDITS:
            print(client.chat("Write a story.", max_tokens=500).text)


if __name__ == "__main__":
    main()
