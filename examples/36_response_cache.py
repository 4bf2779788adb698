"""Develop without paying twice: keep the responses to equal requests.

Shows: `ResponseCache`, a folder of cassettes; `reply.cached`.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

from acechat import Client, ResponseCache


def main() -> None:
    with (
        TemporaryDirectory() as folder,  # in a project: ".acechat-cache"
        Client(cache=ResponseCache(folder)) as client,
    ):
        for _ in range(2):
            reply = client.chat("Is this sent twice?")
            print(reply.text, "| cached:", reply.cached)


if __name__ == "__main__":
    main()
