"""Observe calls, and intercept their requests.

Shows: observers, which receive events with durations but never the content; a middleware, which
handles each attempt; and `prepare`, which returns a request as data.
"""

from __future__ import annotations

from acechat import CallEvent, CallFinished, CallNext, Client, HTTPRequest, HTTPResponse

responses: dict[bytes | None, bytes] = {}


def watch(event: CallEvent) -> None:
    match event:
        case CallFinished(elapsed=seconds, usage=usage):
            print(f"  {usage.total_tokens if usage else 0} tokens in less than {seconds:.0f} + 1 s")
        case _:
            print(f"  {type(event).__name__}")


async def cache(request: HTTPRequest, call_next: CallNext) -> HTTPResponse:
    if request.body not in responses:
        response = await call_next(request)
        responses[request.body] = await response.read()
    return HTTPResponse(responses[request.body])


def main() -> None:
    with Client(observers=[watch], middleware=[cache]) as client:
        for _ in range(2):  # the second response is cached: nothing is sent
            print(client.chat("Hello").text)
        print(client.prepare("Hello", max_tokens=100).curl())


if __name__ == "__main__":
    main()
