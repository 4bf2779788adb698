"""The usage that the emulator reports: tokens by the text, costs by the catalogue."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil
from typing import Any, cast

import msgspec

from acechat._policy.estimate import estimate_of
from acechat._policy.token_estimate import media_tokens
from acechat.emulator.catalog import CATALOG
from acechat.emulator.completion import ChoiceContent
from acechat.types import CatalogModel

__all__ = ["count_prompt", "count_text", "count_usage", "usage_cost"]

_PIECE = re.compile(
    r" ?(?P<word>[A-Za-z]?[a-z]+|[A-Z]+)|(?P<digits>\d{1,3})"
    r"|(?P<character>[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
    r"|(?P<letter>[^\W\d_])|(?P<marks>(?:[^\w\s]|_)+)|\n+|\s{2,}"
)
_WORD_LENGTH = 9
"""Letters of a word that is one token; longer words have a token for each 7 letters."""

_PER_CHARACTER = {"character": 0.75, "letter": 0.35}
_COUNTED = 50_000
"""Characters of a text that are counted; the rest is taken to be alike."""

_REQUEST, _MESSAGE, _COMPLETION, _CALL = 3, 4, 3, 8
"""Tokens around a request, a message, a completion and a tool call: those of the service's sample
(docs/api.md#streams), 8 for "Hello" and 12 for "Hello! How can I help you today?"."""

_SYSTEM = {"system", "developer"}
_MEDIA = {"image_url", "image", "file", "document"}


def count_text(text: str) -> float:
    """Return about the number of tokens of *text*.

    Of English, Markdown, code and JSON it is within 15 % of OpenAI's o200k_base; of other
    languages it is between o200k_base and cl100k_base, the older one, with 10 % to spare. The
    tokenizer of Claude is not public; the one of Claude 2 is nearer to cl100k_base.
    """
    counted = text[:_COUNTED]
    total = sum(map(_weight, _PIECE.finditer(counted)))
    return total * len(text) / len(counted) if counted else 0.0


def _weight(match: re.Match[str]) -> float:
    kind, length = match.lastgroup, match.end() - match.start()
    if kind == "word":
        return 1 if length <= _WORD_LENGTH else length / 7
    if kind == "marks":
        return max(1, 0.45 * length) if match[0].isascii() else 1.5 * length
    return _PER_CHARACTER.get(kind or "", 1)


def count_prompt(fields: Mapping[str, Any]) -> int:
    """Count the tokens of the messages, the system prompt and the tools of a request.

    Takes the format of chat completions and that of Anthropic's Messages, which the endpoint for
    counting tokens uses. An image has 1,600 tokens, whatever its size.
    """
    tools = cast("list[dict[str, Any]]", fields.get("tools") or [])
    messages = cast("list[dict[str, Any]]", fields.get("messages") or [])
    total = _REQUEST + _content(fields.get("system"))
    for message in messages:  # the system prompt is none for the service
        total += _content(message.get("content"))
        total += 0 if message.get("role") in _SYSTEM else _MESSAGE
    total += sum(_calls(message.get("tool_calls")) for message in messages)
    total += sum(count_text(json.dumps(tool.get("function", tool))) for tool in tools)
    return ceil(total)


def _content(value: object) -> float:
    """Count a text, a content part, or a list of these."""
    if isinstance(value, str):
        return count_text(value)
    if isinstance(value, list):
        return sum(map(_content, cast("list[object]", value)))
    if isinstance(value, dict):
        part = cast("dict[str, Any]", value)
        if part.get("type") in _MEDIA:
            return max(map(media_tokens, _strings(part)), default=0)
        return _content([part.get("content"), part.get("text")])
    return 0


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
        return [text for each in inner for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def _calls(calls: object) -> float:
    each = cast("list[dict[str, Any]]", calls if isinstance(calls, list) else [])
    return sum(_CALL + count_text(json.dumps(call.get("function"))) for call in each)


def count_usage(fields: Mapping[str, Any], choices: Sequence[ChoiceContent]) -> dict[str, Any]:
    """Return the usage of a completion; the keys are those of docs/api.md#usage-fields."""
    prompt = count_prompt(fields)
    reasoning = sum(count_text("".join(content.reasoning)) for content in choices)
    completion = ceil(reasoning) + sum(map(_completion_tokens, choices))
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if isinstance(limit, int) and any(each.finish_reason == "length" for each in choices):
        completion = min(completion, limit * len(choices))
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
            "reasoning_tokens": ceil(reasoning),
        },
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": None,
        "claude_cache_creation_5_m_tokens": 0,
        "claude_cache_creation_1_h_tokens": 0,
    }


def _completion_tokens(content: ChoiceContent) -> int:
    functions = [call.function for call in content.tool_calls]
    calls = sum(_CALL + count_text(each.name) + count_text(each.arguments) for each in functions)
    return ceil(_COMPLETION + count_text("".join(content.text)) + calls)


@cache
def _models() -> list[CatalogModel]:
    return msgspec.convert(CATALOG["items"], list[CatalogModel])


def usage_cost(model: str, usage: Mapping[str, Any]) -> float | None:
    """Return the cost of *usage* by the catalogue, in credits; None without a price of *model*."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    body = {"model": model, "max_tokens": completion}
    estimate = estimate_of(body, prompt, _models())
    cost = estimate.max_cost if completion else estimate.min_cost
    return None if cost is None else round(float(cost), 9)
