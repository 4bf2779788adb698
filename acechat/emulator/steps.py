"""Steps: what answers one chat request, and what goes wrong meanwhile.

A step is a frozen value that turns what was asked into a plan. Faults are steps that change the
plan of another, so they nest: ``split(bytes=7, of=stall(0.1, after=2, of=ok("Hi")))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct

from acechat.emulator import echo as _echo
from acechat.emulator.completion import Answer, ChatRequest, ChoiceContent, count_usage, in_pieces
from acechat.emulator.errors import error_plan
from acechat.emulator.plan import Plan, answer_with
from acechat.emulator.wire import JSON_TYPE, plain_plan, stream_plan
from acechat.types import FunctionCall, ToolCall

__all__ = ["ECHO", "Step", "call", "fail", "ok", "raw"]


class Step(Protocol):
    """What answers one chat request."""

    def plan(self, asked: ChatRequest, /) -> Plan:
        """Return what is to be done."""
        ...


class _Ok(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    said: ChoiceContent | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    usage: Mapping[str, Any] | None = None
    cost: float | None = None
    finish_reason: str | None = None
    ensure_ascii: bool = True
    json: str | None = None

    def plan(self, asked: ChatRequest, /) -> Plan:
        answer = self._answer(asked)
        return stream_plan(answer) if asked.request.stream else plain_plan(answer)

    def _answer(self, asked: ChatRequest) -> Answer:
        echo = _echo.echo(asked)
        choices = tuple(self._choice(asked, index, said) for index, said in enumerate(echo.choices))
        usage = self.usage or count_usage(asked.fields, choices)
        if self.cost is not None:
            told = {"amount": self.cost, "currency": "credits", "list_amount": self.cost}
            usage = {**usage, "cost": told}
        return Answer(
            id=self.id or echo.id,
            created=echo.created if self.created is None else self.created,
            model=self.model or echo.model,
            choices=choices,
            usage=usage,
            ensure_ascii=self.ensure_ascii,
        )

    def _choice(self, asked: ChatRequest, index: int, echoed: ChoiceContent) -> ChoiceContent:
        said = self.said or echoed
        if self.json is not None:
            said = _echo.told_in_json(asked, self.json, said)
        calls = tuple(
            ToolCall(
                id=call.id or _echo.call_id(asked, index, number),
                type=call.type,
                function=call.function,
            )
            for number, call in enumerate(said.tool_calls)
        )
        return ChoiceContent(
            text=said.text,
            reasoning=said.reasoning,
            tool_calls=calls,
            finish_reason=self.finish_reason or said.finish_reason,
        )


ECHO = _Ok()
"""The step that answers when none is scripted."""


def ok(
    text: str | Sequence[str] | None = None,
    *,
    json: object = UNSET,
    reasoning: str | Sequence[str] = (),
    tool_calls: Sequence[ToolCall | tuple[str, Mapping[str, Any] | str]] = (),
    finish_reason: str | None = None,
    id: str | None = None,  # noqa: A002 - the wire's name
    created: int | None = None,
    model: str | None = None,
    usage: Mapping[str, Any] | None = None,
    cost: float | None = None,
    ensure_ascii: bool = True,
) -> Step:
    """Answer well; with *n* > 1, so many times the same.

    Args:
        text: The answer, as a whole or in the pieces in which a stream sends it. None: nothing
            beside *reasoning* or *tool_calls*; without these, the echo.
        json: A value, as a model would answer for an ``output_type``: as the arguments of the tool
            that must be called, else as text.
        reasoning: The thoughts, as a whole or in pieces. Empty: none.
        tool_calls: Structs (`ToolCall`), or names with arguments. Arguments as text are sent as
            they are, valid or not. A call without an id gets one.
        finish_reason: None: ``"tool_calls"`` if there are any, else ``"stop"``.
        id: None: a hash of the request.
        created: Seconds since 1970. None: that of the sample.
        model: None: what was asked for.
        usage: The JSON of it. None: words are counted.
        cost: What the usage says that it cost, in credits. None: it does not say.
        ensure_ascii: False sends what is not ASCII as UTF-8, unescaped.
    """
    said = None
    if text is not None or reasoning or tool_calls or json is not UNSET:
        calls = tuple(_as_call(call) for call in tool_calls)
        said = ChoiceContent(
            text=_as_pieces(text or ()),
            reasoning=_as_pieces(reasoning),
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
        )
    return _Ok(
        said=said,
        id=id,
        created=created,
        model=model,
        usage=usage,
        cost=cost,
        finish_reason=finish_reason,
        ensure_ascii=ensure_ascii,
        json=None if json is UNSET else msgspec.json.encode(json).decode(),
    )


def call(tool: str, /, **arguments: Any) -> Step:
    """Call one tool: ``call("weather", city="Paris")``; `ok` can call several, and speak, too."""
    return ok(tool_calls=[(tool, arguments)])


def _as_pieces(text: str | Sequence[str]) -> tuple[str, ...]:
    return in_pieces(text) if isinstance(text, str) else tuple(text)


def _as_call(call: ToolCall | tuple[str, Mapping[str, Any] | str]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    name, arguments = call
    text = arguments if isinstance(arguments, str) else dumps(dict(arguments))
    return ToolCall(function=FunctionCall(name=name, arguments=text))


class _Fail(Struct, frozen=True):
    status: int
    code: str | None
    message: str | None
    headers: Mapping[str, str]

    def plan(self, asked: ChatRequest, /) -> Plan:
        return error_plan(self.status, self.code, self.message, asked.trace_id, dict(self.headers))


def fail(
    status: int,
    code: str | None = None,
    message: str | None = None,
    *,
    retry_after: float | str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
) -> Step:
    """Refuse, with the service's error as JSON, whether a stream was asked for or not.

    Args:
        status: HTTP status.
        code: None: the usual one of *status*.
        message: None: the usual one of the code.
        retry_after: Seconds, or a date as text, for ``Retry-After``. None: no such header.
        headers: More headers; they win.
        body: What to send instead of the JSON, such as a gateway's page of HTML; its content type
            is told by how it begins. None: the JSON.
    """
    own = dict(headers or {})
    if retry_after is not None:
        own["Retry-After"] = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
    if body is None:
        return _Fail(status, code, message, own)
    data = body.encode() if isinstance(body, str) else body
    kind = "text/html" if data.lstrip().startswith(b"<") else JSON_TYPE
    return raw(data, status=status, content_type=kind, headers=own)


class _Raw(Struct, frozen=True):
    body: bytes
    status: int
    content_type: str
    headers: Mapping[str, str]

    def plan(self, _: ChatRequest, /) -> Plan:
        return answer_with(self.status, self.content_type, self.body, dict(self.headers))


def raw(
    body: bytes | str,
    *,
    status: int = 200,
    content_type: str = "text/event-stream",
    headers: Mapping[str, str] | None = None,
) -> Step:
    """Send *body* as it is, with its length: recorded answers, and forms nobody foresaw."""
    data = body.encode() if isinstance(body, str) else body
    return _Raw(data, status, content_type, dict(headers or {}))
