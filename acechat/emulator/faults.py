"""Faults: steps that change the response of another step, *of*. None: the echo.

*after* counts the events of a stream, ``[DONE]`` included. In a plain response, any *after* above
0 means half of its body.
"""

from __future__ import annotations

import json
from typing import Literal

from msgspec import Struct

from acechat.emulator.completion import ChatRequest
from acechat.emulator.plan import (
    ChunkSize,
    Close,
    Head,
    Plan,
    Reset,
    Send,
    Wait,
    is_stream,
    response_plan,
    split_after,
)
from acechat.emulator.steps import ECHO, Step
from acechat.emulator.wire import JSON_TYPE, as_event, envelope, json_plan

__all__ = [
    "cut",
    "drop",
    "error_event",
    "heartbeats",
    "malformed",
    "pace",
    "split",
    "stall",
]


class _Cut(Struct, frozen=True, repr_omit_defaults=True):
    after: int
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        sent, _ = split_after(plan, self.after)
        return sent if is_stream(plan) else [*sent, Close()]


def cut(after: int = 3, of: Step | None = None) -> Step:
    """End a stream cleanly after *after* events, before its finish reason.

    A plain response is truncated after half of its body, short of its ``Content-Length``.
    """
    return _Cut(after, of or ECHO)


class _Drop(Struct, frozen=True, repr_omit_defaults=True):
    after: int
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        sent = split_after(plan, self.after)[0] if self.after else _before_head(plan)
        return [*sent, Reset()]


def drop(after: int = 0, of: Step | None = None) -> Step:
    """Reset the connection after *after* events; 0 is before any byte of the response."""
    return _Drop(after, of or ECHO)


def _before_head(plan: Plan) -> Plan:
    heads = [at for at, action in enumerate(plan) if isinstance(action, Head)]
    return plan[: heads[0]] if heads else plan


class _Stall(Struct, frozen=True, repr_omit_defaults=True):
    seconds: float
    after: int
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        sent, rest = split_after(plan, self.after) if self.after else ([], plan)
        return [*sent, Wait(self.seconds), *rest]


def stall(seconds: float, after: int = 0, of: Step | None = None) -> Step:
    """Pause for *seconds* after *after* events, then continue; 0 is before the status line.

    The pause ends early when the client disconnects or the service stops.
    """
    return _Stall(seconds, after, of or ECHO)


class _Heartbeats(Struct, frozen=True, repr_omit_defaults=True):
    every: float
    seconds: float
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        if not is_stream(plan):
            return [Wait(self.seconds), *plan]
        sent, rest = split_after(plan, 0)
        beat: Plan = [Send(b": PING\n\n"), Wait(self.every)]
        return [*sent, *(beat * round(self.seconds / self.every)), *rest]


def heartbeats(every: float, seconds: float, of: Step | None = None) -> Step:
    """Send a ``: PING`` comment every *every* seconds, for *seconds*; then the stream.

    A plain response is delayed by *seconds*.

    Raises:
        ValueError: *every* is not greater than 0.
    """
    if every <= 0:
        raise ValueError(f"every must be greater than 0 seconds, not {every}")
    return _Heartbeats(every, seconds, of or ECHO)


class _Split(Struct, frozen=True, repr_omit_defaults=True):
    bytes: int
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        return [ChunkSize(self.bytes), *self.of.plan(chat)]


def split(bytes: int = 7, of: Step | None = None) -> Step:  # noqa: A002 - the unit
    """Write the body in chunks of *bytes* bytes, which may split events and UTF-8 characters.

    Raises:
        ValueError: *bytes* is less than 1.
    """
    if bytes < 1:
        raise ValueError(f"bytes must be at least 1, not {bytes}")
    return _Split(bytes, of or ECHO)


class _ErrorEvent(Struct, frozen=True, repr_omit_defaults=True):
    code: str
    message: str
    after: int
    form: Literal["data", "event", "bare"]
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        error = envelope(self.code, self.message, chat.trace_id)
        if not is_stream(plan):
            return json_plan({"success": False, **error})
        sent, _ = split_after(plan, self.after)
        if self.form == "bare":
            # The format of new-api: its own type of error, no "data:", no line end.
            fields = {"message": self.message, "type": "new_api_error", "param": ""}
            bare = {"error": fields | {"code": self.code}}
            return [*sent, Send(json.dumps(bare).encode(), event=True)]
        name = b"event: error\n" if self.form == "event" else b""
        return [*sent, Send(name + as_event(error), event=True)]


def error_event(
    code: str = "api_error",
    message: str = "fetch failed",
    after: int = 0,
    form: Literal["data", "event", "bare"] = "data",
    of: Step | None = None,
) -> Step:
    """End a stream with an error after *after* events.

    A plain response is replaced by status 200 with ``success: false``.

    Args:
        code: The error code.
        message: The error message.
        after: The number of events before the error.
        form: ``"data"``: ``data: {"error": …}``; ``"event"``: the same, after ``event: error``;
            ``"bare"``: JSON without ``data:`` (docs/api.md#streams).
        of: The step whose stream fails. None: the echo.
    """
    return _ErrorEvent(code, message, after, form, of or ECHO)


class _Malformed(Struct, frozen=True, repr_omit_defaults=True):
    after: int
    data: str
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        plan = self.of.plan(chat)
        if not is_stream(plan):
            return response_plan(200, JSON_TYPE, self.data.encode(), {})
        sent, rest = split_after(plan, self.after)
        return [*sent, Send(f"data: {self.data}\n\n".encode(), event=True), *rest]


def malformed(after: int = 0, data: str = "{not json", of: Step | None = None) -> Step:
    """Insert an event of invalid JSON after *after* events; a plain response becomes *data*."""
    return _Malformed(after, data, of or ECHO)


class _Pace(Struct, frozen=True, repr_omit_defaults=True):
    seconds: float
    of: Step

    def plan(self, chat: ChatRequest, /) -> Plan:
        sent, rest = split_after(self.of.plan(chat), 1)
        for action in rest:
            if isinstance(action, Send) and action.event:
                sent.append(Wait(self.seconds))
            sent.append(action)
        return sent


def pace(seconds: float, of: Step | None = None) -> Step:
    """Wait *seconds* between the events of a stream; a plain response is unchanged."""
    return _Pace(seconds, of or ECHO)
