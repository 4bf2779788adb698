"""Watch what happens to your calls, and stand between them and the network.

What you learn: observers, which are told when and how long but never what was said; a middleware,
which sees each attempt; and `prepare`, which gives a request as data.
"""

from __future__ import annotations

from acechat import CallEvent, CallFinished, CallNext, Client, HTTPRequest, HTTPResponse

kept: dict[bytes | None, bytes] = {}


def watch(event: CallEvent) -> None:
    match event:
        case CallFinished(elapsed=seconds, usage=usage):
            print(f"  {usage.total_tokens if usage else 0} tokens in less than {seconds:.0f} + 1 s")
        case _:
            print(f"  {type(event).__name__}")


async def remember(request: HTTPRequest, call_next: CallNext) -> HTTPResponse:
    if request.body not in kept:
        response = await call_next(request)
        kept[request.body] = await response.read()
    return HTTPResponse(kept[request.body])


def main() -> None:
    with Client(observers=[watch], middleware=[remember]) as client:
        for _ in range(2):  # the second answer is remembered: nothing is sent
            print(client.chat("Hello").text)
        print(client.prepare("Hello", max_tokens=100).curl())


if __name__ == "__main__":
    main()
