"""Responses as lists of actions, which are built, changed and tested without a network.

The response ends cleanly at the end of its plan. Events of a stream are counted by their `Send`
actions, ``[DONE]`` included; comments are not events.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

__all__ = [
    "Action",
    "ChunkSize",
    "Close",
    "Head",
    "Plan",
    "Reset",
    "Send",
    "Until",
    "Wait",
    "Write",
    "apply_chunk_size",
    "is_stream",
    "response_plan",
    "split_after",
]


class Head(Struct, frozen=True):
    """Send the status and the headers. Without ``Content-Length`` the body is chunked."""

    status: int
    headers: dict[str, str]


class Send(Struct, frozen=True):
    """Send bytes of the body in one write."""

    data: bytes

    event: bool = False
    """Whether *data* is one event of a stream."""


class Wait(Struct, frozen=True):
    """Pause for *seconds*."""

    seconds: float


class Until(Struct, frozen=True):
    """Pause until *seconds* after the request was complete."""

    seconds: float


class Write(Struct, frozen=True):
    """Write raw bytes to the connection, instead of `Head` and `Send`."""

    data: bytes


class ChunkSize(Struct, frozen=True):
    """Send the complete body in writes of *bytes* bytes, regardless of event boundaries."""

    bytes: int


class Close(Struct, frozen=True):
    """Close the connection before the response is complete."""


class Reset(Struct, frozen=True):
    """Reset the connection (TCP RST)."""


Action: TypeAlias = Head | Send | Wait | Until | Write | ChunkSize | Close | Reset
Plan: TypeAlias = list[Action]


def response_plan(status: int, content_type: str, body: bytes, headers: dict[str, str]) -> Plan:
    """Return the plan of a plain response; *headers* replace the default ones."""
    own = {"Content-Type": content_type, "Content-Length": str(len(body))}
    return [Head(status, own | headers), Send(body)]


def is_stream(plan: Plan) -> bool:
    """Return whether *plan* sends server-sent events."""
    heads = (action for action in plan if isinstance(action, Head))
    return any(head.headers.get("Content-Type") == "text/event-stream" for head in heads)


def split_after(plan: Plan, after: int) -> tuple[Plan, Plan]:
    """Split *plan* after *after* events, or after half of a plain body."""
    sends = [(at, action) for at, action in enumerate(plan) if isinstance(action, Send)]
    if is_stream(plan):
        events = [at for at, send in sends if send.event]
        end = events[after] if after < len(events) else len(plan)
        return plan[:end], plan[end:]
    if not sends:
        return plan, []
    at, send = sends[0]
    half = len(send.data) // 2
    first, second = Send(send.data[:half]), Send(send.data[half:])
    return [*plan[:at], first], [second, *plan[at + 1 :]]


def apply_chunk_size(plan: Plan) -> Plan:
    """Return *plan* without `ChunkSize`, its body split into writes of that size."""
    sizes = [action.bytes for action in plan if isinstance(action, ChunkSize)]
    if not sizes:
        return plan
    size = sizes[0]
    written: Plan = []
    unsent = b""
    for action in plan:
        if isinstance(action, Send):
            unsent += action.data
        elif not isinstance(action, ChunkSize):
            written += [*_split(unsent, size), action]
            unsent = b""
    return written + _split(unsent, size)


def _split(data: bytes, size: int) -> Plan:
    return [Send(data[start : start + size]) for start in range(0, len(data), size)]
