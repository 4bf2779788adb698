"""A whole answer as most of them are: decoded in one pass over its bytes.

What makes an answer a special case is decoded along with it: its keys may stand anywhere, and to
look for them in 200 KB costs as much as decoding does.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from acechat.types import AssistantMessage, ChatCompletion, Choice, FinishReason, ToolCall, Usage

__all__ = ["decode_told"]


class _Message(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    name: str | None = None
    reasoning: Any = None
    """Some channels call the thoughts so."""


class _Choice(Struct):
    index: int = 0
    message: _Message = _Message()
    finish_reason: FinishReason | None = None
    logprobs: Any = None


class _Told(Struct):
    choices: list[_Choice]
    id: str = ""
    object: str = "chat.completion"
    created: int | None = None
    model: str = ""
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    trace_id: Any = None

    # Of an answer that is none.
    error: Any = None
    success: Any = None
    type: Any = None


_decode = msgspec.json.Decoder(_Told).decode


def decode_told(body: bytes) -> tuple[ChatCompletion, Any] | None:
    """Decode a whole answer and its trace id; return None for one that needs a second look.

    Raises:
        UNREADABLE: As the typed decoder does.
    """
    told = _decode(body)
    if told.error is not None or told.success is not None or told.type is not None:
        return None
    choices: list[Choice] = []
    for choice in told.choices:
        message = choice.message
        if message.reasoning:
            return None
        said = AssistantMessage(
            content=message.content,
            reasoning_content=message.reasoning_content,
            refusal=message.refusal,
            tool_calls=message.tool_calls,
            name=message.name,
        )
        choices.append(Choice(choice.index, said, choice.finish_reason, choice.logprobs))
    completion = ChatCompletion(
        choices=choices,
        id=told.id,
        object=told.object,
        created=told.created,
        model=told.model,
        usage=told.usage,
        system_fingerprint=told.system_fingerprint,
        service_tier=told.service_tier,
    )
    return completion, told.trace_id
