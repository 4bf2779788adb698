"""Use acechat without asyncio, in a script, a thread or a notebook.

Shows: `Client` has the methods of `AsyncClient`, and each blocks. Ctrl-C ends a waiting call.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from acechat import APIError, Client


def main() -> None:
    with Client() as client:
        print(client.chat("Hello").text)

        for delta in client.stream("Tell me a story"):
            print(delta, end="", flush=True)
        print()

        with ThreadPoolExecutor(4) as threads:
            for reply in threads.map(client.chat, ["one", "two", "three", "four"]):
                print(reply.text)

        try:
            client.chat("Hello", n=1000)
        except APIError as error:
            print("rejected:", error.status, error.code, error.message)


if __name__ == "__main__":
    main()
