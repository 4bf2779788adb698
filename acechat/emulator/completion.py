"""What the model says, before it is written as JSON or as a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from acechat.types import ChatCompletionRequest, ToolCall

__all__ = [
    "Answer",
    "ChatRequest",
    "ChoiceContent",
    "count_prompt",
    "count_usage",
    "count_words",
    "in_pieces",
]

_PIECE = re.compile(r"\s*\S+|\s+")


class ChatRequest(Struct, frozen=True):
    """One chat request, as the steps see it."""

    request: ChatCompletionRequest

    fields: dict[str, Any]
    """The JSON of the request, with what `ChatCompletionRequest` does not know."""

    fingerprint: str
    """Hexadecimal digits that depend on the request, but not on whether it asks for a stream."""

    trace_id: str


class ChoiceContent(Struct, frozen=True, kw_only=True):
    """One choice of an answer, in the pieces in which it is streamed."""

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer; the same whether it is sent at once or as a stream."""

    id: str
    created: int
    model: str
    choices: tuple[ChoiceContent, ...]
    usage: Mapping[str, Any]

    ensure_ascii: bool = True
    """Whether JSON escapes what is not ASCII, as Python's ``json`` does by default."""


def in_pieces(text: str) -> tuple[str, ...]:
    """Cut *text* into words, each with the white space before it."""
    return tuple(_PIECE.findall(text))


def count_usage(fields: Mapping[str, Any], choices: Sequence[ChoiceContent]) -> dict[str, Any]:
    """Count words as if they were tokens; the keys are those of the contract, 2.2 A."""
    prompt = count_prompt(fields)
    thought = sum(count_words("".join(said.reasoning)) for said in choices)
    spoken = sum(count_words("".join(said.text)) for said in choices)
    called = sum(
        count_words(call.function.name) + count_words(call.function.arguments)
        for said in choices
        for call in said.tool_calls
    )
    completion = thought + spoken + called
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "text_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "completion_tokens_details": {
            "text_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": thought,
        },
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
        "claude_cache_creation_5_m_tokens": 0,
        "claude_cache_creation_1_h_tokens": 0,
    }


def count_prompt(fields: Mapping[str, Any]) -> int:
    """Count the words of the messages, the system prompt and the tools of a request.

    The same for this API's format and for that of Anthropic's Messages, which counting tokens
    takes. An image counts as one word.
    """
    tools = cast("list[dict[str, Any]]", fields.get("tools") or [])
    described = [cast("dict[str, Any]", tool.get("function", tool)) for tool in tools]
    return (
        count_words(fields.get("system"))
        + count_words(fields.get("messages"))
        + sum(count_words([tool.get("name"), tool.get("description")]) for tool in described)
    )


def count_words(value: object) -> int:
    """Count the words in a text, a message, a part of one, or a list of these."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, list):
        return sum(map(count_words, cast("list[object]", value)))
    if isinstance(value, dict):
        part = cast("dict[str, Any]", value)
        if part.get("type") in {"image_url", "image"}:
            return 1
        return count_words([part.get("content"), part.get("text")])
    return 0
