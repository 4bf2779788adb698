"""Faults: steps that change what another step does. *of* is that step; None is the echo.

*after* counts the events of a stream, ``[DONE]`` included. Of a plain answer, any *after* above 0
means half of its body.
"""

from __future__ import annotations

import json
from typing import Literal

from msgspec import Struct

from acechat.emulator.completion import ChatRequest
from acechat.emulator.plan import (
    HangUp,
    Head,
    Pieces,
    Plan,
    Reset,
    Send,
    Wait,
    answer_with,
    is_stream,
    parted,
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

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        sent, _ = parted(plan, self.after)
        return sent if is_stream(plan) else [*sent, HangUp()]


def cut(after: int = 3, of: Step | None = None) -> Step:
    """End a stream cleanly after *after* events, before its finish reason.

    A plain answer breaks off after half of its body, which is shorter than its ``Content-Length``.
    """
    return _Cut(after, of or ECHO)


class _Drop(Struct, frozen=True, repr_omit_defaults=True):
    after: int
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        sent = parted(plan, self.after)[0] if self.after else _before_head(plan)
        return [*sent, Reset()]


def drop(after: int = 0, of: Step | None = None) -> Step:
    """Reset the connection after *after* events; 0 is before any byte of the answer."""
    return _Drop(after, of or ECHO)


def _before_head(plan: Plan) -> Plan:
    heads = [at for at, action in enumerate(plan) if isinstance(action, Head)]
    return plan[: heads[0]] if heads else plan


class _Stall(Struct, frozen=True, repr_omit_defaults=True):
    seconds: float
    after: int
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        sent, rest = parted(plan, self.after) if self.after else ([], plan)
        return [*sent, Wait(self.seconds), *rest]


def stall(seconds: float, after: int = 0, of: Step | None = None) -> Step:
    """Pause for *seconds* after *after* events, then go on; 0 is before the status line.

    The pause ends when the client goes away or the service stops.
    """
    return _Stall(seconds, after, of or ECHO)


class _Heartbeats(Struct, frozen=True, repr_omit_defaults=True):
    every: float
    seconds: float
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        if not is_stream(plan):
            return [Wait(self.seconds), *plan]
        sent, rest = parted(plan, 0)
        beat: Plan = [Send(b": PING\n\n"), Wait(self.every)]
        return [*sent, *(beat * round(self.seconds / self.every)), *rest]


def heartbeats(every: float, seconds: float, of: Step | None = None) -> Step:
    """Send ``: PING`` comments, one *every* so many seconds, for *seconds*; then the stream.

    A plain answer is late by *seconds*.
    """
    if every <= 0:
        raise ValueError(f"heartbeats come every so many seconds, more than 0, not {every}")
    return _Heartbeats(every, seconds, of or ECHO)


class _Split(Struct, frozen=True, repr_omit_defaults=True):
    bytes: int
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        return [Pieces(self.bytes), *self.of.plan(asked)]


def split(bytes: int = 7, of: Step | None = None) -> Step:  # noqa: A002 - the unit
    """Write the body in pieces of so many bytes, across the ends of events and of characters."""
    if bytes < 1:
        raise ValueError(f"a piece has a number of bytes, more than 0, not {bytes}")
    return _Split(bytes, of or ECHO)


class _ErrorEvent(Struct, frozen=True, repr_omit_defaults=True):
    code: str
    message: str
    after: int
    form: Literal["data", "event", "bare"]
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        error = envelope(self.code, self.message, asked.trace_id)
        if not is_stream(plan):
            return json_plan({"success": False, **error})
        sent, _ = parted(plan, self.after)
        if self.form == "bare":
            # As new-api writes it: its own kind of error, no "data:", no line end.
            words = {"message": self.message, "type": "new_api_error", "param": ""}
            bare = {"error": words | {"code": self.code}}
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

    *form* is ``data: {"error": …}``, the same named ``event: error``, or JSON without ``data:``
    (contract, 2.4). Instead of a plain answer comes 200 with ``success: false``.
    """
    return _ErrorEvent(code, message, after, form, of or ECHO)


class _Malformed(Struct, frozen=True, repr_omit_defaults=True):
    after: int
    data: str
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        plan = self.of.plan(asked)
        if not is_stream(plan):
            return answer_with(200, JSON_TYPE, self.data.encode(), {})
        sent, rest = parted(plan, self.after)
        return [*sent, Send(f"data: {self.data}\n\n".encode(), event=True), *rest]


def malformed(after: int = 0, data: str = "{not json", of: Step | None = None) -> Step:
    """Put an event of broken JSON after *after* events; a plain answer becomes *data*."""
    return _Malformed(after, data, of or ECHO)


class _Pace(Struct, frozen=True, repr_omit_defaults=True):
    seconds: float
    of: Step

    def plan(self, asked: ChatRequest, /) -> Plan:
        sent, rest = parted(self.of.plan(asked), 1)
        for action in rest:
            if isinstance(action, Send) and action.event:
                sent.append(Wait(self.seconds))
            sent.append(action)
        return sent


def pace(seconds: float, of: Step | None = None) -> Step:
    """Wait *seconds* between the events of a stream; a plain answer is not changed."""
    return _Pace(seconds, of or ECHO)
