"""Steps: values that produce the response to one chat request, faults included.

A step is a frozen value that turns a chat request into a plan. Faults are steps that change the
plan of another step, so they nest: ``split(bytes=7, of=stall(0.1, after=2, of=ok("Hi")))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from acechat.emulator import echo as _echo
from acechat.emulator.completion import (
    ChatRequest,
    ChoiceContent,
    CompletionContent,
    split_words,
)
from acechat.emulator.content.usage import count_usage, usage_cost
from acechat.emulator.plan import Plan, response_plan
from acechat.emulator.wire import JSON_TYPE, error_plan, plain_plan, stream_plan
from acechat.types import FunctionCall, ToolCall

__all__ = ["ECHO", "Step", "call", "fail", "ok", "raw"]


class Step(Protocol):
    """The response to one chat request."""

    def plan(self, chat: ChatRequest, /) -> Plan:
        """Return the actions of the response to *chat*."""
        ...


class _Ok(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    content: ChoiceContent | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    usage: Mapping[str, Any] | None = None
    cost: float | UnsetType | None = UNSET
    finish_reason: str | None = None
    ensure_ascii: bool = True
    json: str | None = None

    def plan(self, chat: ChatRequest, /) -> Plan:
        completion = self._completion(chat)
        return stream_plan(completion) if chat.request.stream else plain_plan(completion)

    def _completion(self, chat: ChatRequest) -> CompletionContent:
        echo = _echo.echo(chat)
        choices = tuple(
            self._choice(chat, index, content) for index, content in enumerate(echo.choices)
        )
        usage = self.usage or count_usage(chat.fields, choices)
        model = self.model or echo.model
        cost = None if self.cost is UNSET else self.cost
        if self.cost is UNSET and self.usage is None and chat.report_cost:
            cost = usage_cost(model, usage)
        if cost is not None:
            usage = {**usage, "cost": {"amount": cost, "currency": "credits", "list_amount": cost}}
        return CompletionContent(
            id=self.id or echo.id,
            created=echo.created if self.created is None else self.created,
            model=model,
            choices=choices,
            usage=usage,
            ensure_ascii=self.ensure_ascii,
        )

    def _choice(self, chat: ChatRequest, index: int, echoed: ChoiceContent) -> ChoiceContent:
        content = self.content or echoed
        if self.json is not None:
            content = _echo.with_json(chat, self.json, content)
        calls = tuple(
            ToolCall(
                id=call.id or _echo.call_id(chat, index, number),
                type=call.type,
                function=call.function,
            )
            for number, call in enumerate(content.tool_calls)
        )
        return ChoiceContent(
            text=content.text,
            reasoning=content.reasoning,
            tool_calls=calls,
            finish_reason=self.finish_reason or content.finish_reason,
        )


ECHO = _Ok()
"""The step of a request for which none is scripted."""


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
    cost: float | UnsetType | None = UNSET,
    ensure_ascii: bool = True,
) -> Step:
    """Return a completion; with *n* > 1, all choices are equal.

    Args:
        text: The complete text, or the deltas of a stream. None: no text if there is *reasoning* or
            *tool_calls*, otherwise the echo.
        json: A value for an ``output_type``: sent as the arguments of the tool that the request
            forces, otherwise as text.
        reasoning: The complete reasoning, or its deltas. Empty: none.
        tool_calls: Structs (`ToolCall`), or pairs of name and arguments. Arguments of type `str`
            are sent unchanged, valid JSON or not. A call without an id gets one.
        finish_reason: None: ``"tool_calls"`` if there are tool calls, otherwise ``"stop"``.
        id: The id of the completion. None: a hash of the request.
        created: Seconds since 1970. None: the value in the service's sample.
        model: The model that the completion names. None: the requested model.
        usage: The JSON object of the usage. None: tokens are counted by an estimate.
        cost: The cost in the usage, in credits. None: not reported. Unset: by the prices of the
            catalogue; not reported with a *usage* or for a model without a price.
        ensure_ascii: Escape non-ASCII characters in the JSON; False sends them as UTF-8.
    """
    content = None
    if text is not None or reasoning or tool_calls or json is not UNSET:
        calls = tuple(_as_call(call) for call in tool_calls)
        content = ChoiceContent(
            text=_as_chunks(text or ()),
            reasoning=_as_chunks(reasoning),
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
        )
    return _Ok(
        content=content,
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
    """Call one tool: ``call("weather", city="Paris")``. `ok` takes several calls, and text."""
    return ok(tool_calls=[(tool, arguments)])


def _as_chunks(text: str | Sequence[str]) -> tuple[str, ...]:
    return split_words(text) if isinstance(text, str) else tuple(text)


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

    def plan(self, chat: ChatRequest, /) -> Plan:
        return error_plan(self.status, self.code, self.message, chat.trace_id, dict(self.headers))


def fail(
    status: int,
    code: str | None = None,
    message: str | None = None,
    *,
    retry_after: float | str | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
) -> Step:
    """Fail with an error response, for plain and for streamed requests.

    Args:
        status: The HTTP status.
        code: The service's error code. None: the usual code of *status*.
        message: The error message. None: the usual message of the code.
        retry_after: Seconds, or a date as text, for ``Retry-After``. None: no such header.
        headers: More headers; they replace those of the same name.
        body: The body to send instead of the JSON, such as a gateway's HTML page; sent as
            ``text/html`` if it begins with ``<``. None: the service's JSON error.
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
        return response_plan(self.status, self.content_type, self.body, dict(self.headers))


def raw(
    body: bytes | str,
    *,
    status: int = 200,
    content_type: str = "text/event-stream",
    headers: Mapping[str, str] | None = None,
) -> Step:
    """Send *body* unchanged, with its ``Content-Length``: for any response without a step."""
    data = body.encode() if isinstance(body, str) else body
    return _Raw(data, status, content_type, dict(headers or {}))
