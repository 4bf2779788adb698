"""The content of completions, before it is encoded as JSON or as a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

from acechat.types import ChatCompletionRequest, ToolCall

__all__ = [
    "ChatRequest",
    "ChoiceContent",
    "CompletionContent",
    "count_prompt",
    "count_usage",
    "count_words",
    "split_words",
]

_WORD = re.compile(r"\s*\S+|\s+")


class ChatRequest(Struct, frozen=True):
    """One decoded chat request, as passed to steps."""

    request: ChatCompletionRequest

    fields: dict[str, Any]
    """The request's JSON object, with fields that `ChatCompletionRequest` does not have."""

    fingerprint: str
    """SHA-256 of the request, in hexadecimal; equal for plain and streamed requests."""

    trace_id: str


class ChoiceContent(Struct, frozen=True, kw_only=True):
    """One choice of a completion; text and reasoning are split into the deltas of a stream."""

    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"


class CompletionContent(Struct, frozen=True, kw_only=True):
    """A complete response, sent as one JSON object or as a stream."""

    id: str
    created: int
    model: str
    choices: tuple[ChoiceContent, ...]
    usage: Mapping[str, Any]

    ensure_ascii: bool = True
    """Whether the JSON escapes non-ASCII characters, as Python's ``json`` does by default."""


def split_words(text: str) -> tuple[str, ...]:
    """Split *text* into words, each with the white space before it."""
    return tuple(_WORD.findall(text))


def count_usage(fields: Mapping[str, Any], choices: Sequence[ChoiceContent]) -> dict[str, Any]:
    """Count words as tokens; the keys are those of docs/api.md#usage-fields."""
    prompt = count_prompt(fields)
    reasoning_tokens = sum(count_words("".join(content.reasoning)) for content in choices)
    text_tokens = sum(count_words("".join(content.text)) for content in choices)
    call_tokens = sum(
        count_words(call.function.name) + count_words(call.function.arguments)
        for content in choices
        for call in content.tool_calls
    )
    completion = reasoning_tokens + text_tokens + call_tokens
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
            "reasoning_tokens": reasoning_tokens,
        },
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
        "claude_cache_creation_5_m_tokens": 0,
        "claude_cache_creation_1_h_tokens": 0,
    }


def count_prompt(fields: Mapping[str, Any]) -> int:
    """Count the words of the messages, the system prompt and the tools of a request.

    Takes the format of chat completions and that of Anthropic's Messages, which the endpoint for
    counting tokens uses. An image counts as one word.
    """
    tools = cast("list[dict[str, Any]]", fields.get("tools") or [])
    described = [cast("dict[str, Any]", tool.get("function", tool)) for tool in tools]
    return (
        count_words(fields.get("system"))
        + count_words(fields.get("messages"))
        + sum(count_words([tool.get("name"), tool.get("description")]) for tool in described)
    )


def count_words(value: object) -> int:
    """Count the words in a text, a message, a content part, or a list of these."""
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
