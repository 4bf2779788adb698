"""Ask several questions about a document, which the service may cache.

Shows: `document()`, for PDF and text files; `cache=`, which marks the end of a prefix that later
requests may read at a lower price; the figures of `reply.usage`.
"""

from __future__ import annotations

from pathlib import Path

from acechat import Client, UserMessage, document


def main() -> None:
    manual = UserMessage(content=[document(Path(__file__), cache=True)])
    with Client() as client:
        for question in ("What does it show?", "Which functions does it call?"):
            reply = client.chat(question, messages=[manual])
            print(reply.text)
            if reply.usage:
                print("cache:", reply.usage.cache_read_tokens, reply.usage.cache_write_tokens)


if __name__ == "__main__":
    main()
