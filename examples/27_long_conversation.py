"""Keep a long conversation within the context window of the model.

Shows: `conversation.trim()`, which removes the oldest turns; `ContextWindowExceededError`, with
the numbers of the service.
"""

from __future__ import annotations

from acechat import Client, ContextWindowExceededError

MAX_TOKENS = 100


def main() -> None:
    with Client() as client:
        conversation = client.conversation(system="Answer in one line.")
        for number in range(8):
            try:
                print(conversation.send(f"Question {number}").text)
            except ContextWindowExceededError as error:
                print("too long:", error.tokens, "of", error.limit, "tokens")
                conversation.trim(error.limit or MAX_TOKENS)
            removed = conversation.trim(MAX_TOKENS, keep=2)
            print(f"{len(removed)} messages removed, {len(conversation.messages)} left")


if __name__ == "__main__":
    main()
