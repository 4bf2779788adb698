"""What the service does, as values: a plan is made, changed and tested without a network.

A plan is a list of actions. Where it ends, the answer ends cleanly. Events of a stream are counted
by the `Send` that holds them, ``[DONE]`` included; comments are no events.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

__all__ = [
    "Action",
    "HangUp",
    "Head",
    "Pieces",
    "Plan",
    "Reset",
    "Send",
    "Until",
    "Wait",
    "Write",
    "answer_with",
    "is_stream",
    "parted",
    "pieced",
]


class Head(Struct, frozen=True):
    """Send the status and the headers. Without ``Content-Length`` the body is chunked."""

    status: int
    headers: dict[str, str]


class Send(Struct, frozen=True):
    """Send bytes of the body, in one write."""

    data: bytes

    event: bool = False
    """Whether these bytes are one event of a stream."""


class Wait(Struct, frozen=True):
    """Do nothing for a while."""

    seconds: float


class Until(Struct, frozen=True):
    """Do nothing until so many seconds after the request had arrived."""

    seconds: float


class Write(Struct, frozen=True):
    """Write bytes to the connection as they are, instead of a head and a body."""

    data: bytes


class Pieces(Struct, frozen=True):
    """Send the whole body in pieces of so many bytes, wherever its events end."""

    bytes: int


class HangUp(Struct, frozen=True):
    """Close the connection, though the answer is not whole."""


class Reset(Struct, frozen=True):
    """Break the connection: the client gets a TCP reset."""


Action: TypeAlias = Head | Send | Wait | Until | Write | Pieces | HangUp | Reset
Plan: TypeAlias = list[Action]


def answer_with(status: int, content_type: str, body: bytes, headers: dict[str, str]) -> Plan:
    """Return the plan of a plain answer; *headers* win over those that it would have."""
    own = {"Content-Type": content_type, "Content-Length": str(len(body))}
    return [Head(status, own | headers), Send(body)]


def is_stream(plan: Plan) -> bool:
    """Whether *plan* answers with server-sent events."""
    heads = (action for action in plan if isinstance(action, Head))
    return any(head.headers.get("Content-Type") == "text/event-stream" for head in heads)


def parted(plan: Plan, after: int) -> tuple[Plan, Plan]:
    """Part *plan* where *after* events are sent, or where half of a plain body is."""
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


def pieced(plan: Plan) -> Plan:
    """Return *plan* as it is written: without `Pieces`, because its bytes are cut into them."""
    sizes = [action.bytes for action in plan if isinstance(action, Pieces)]
    if not sizes:
        return plan
    size = sizes[0]
    written: Plan = []
    waiting = b""
    for action in plan:
        if isinstance(action, Send):
            waiting += action.data
        elif not isinstance(action, Pieces):
            written += [*_cut(waiting, size), action]
            waiting = b""
    return written + _cut(waiting, size)


def _cut(data: bytes, size: int) -> Plan:
    return [Send(data[start : start + size]) for start in range(0, len(data), size)]
