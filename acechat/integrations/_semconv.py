"""Names of OpenTelemetry's semantic conventions for GenAI, and messages in their form.

https://github.com/open-telemetry/semantic-conventions-genai; the status is Development, so the
names are in this one table, and `tests/integrations/test_opentelemetry.py` compares them with the
newest ``opentelemetry-semantic-conventions``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from acechat import AssistantMessage, ChatCompletion

__all__ = [
    "CONTENT_SWITCH",
    "DURATION_BUCKETS",
    "TOKEN_BUCKETS",
    "Name",
    "encode_capped",
    "input_messages",
    "output_messages",
    "system_instructions",
]


class Name:
    """Names of attributes and metrics, and their fixed values."""

    OPERATION: Final = "gen_ai.operation.name"
    CHAT: Final = "chat"
    EXECUTE_TOOL: Final = "execute_tool"
    PROVIDER: Final = "gen_ai.provider.name"
    ACEDATACLOUD: Final = "acedatacloud"
    SERVER_ADDRESS: Final = "server.address"
    SERVER_PORT: Final = "server.port"
    ERROR_TYPE: Final = "error.type"

    REQUEST_MODEL: Final = "gen_ai.request.model"
    STREAM: Final = "gen_ai.request.stream"
    CHOICES: Final = "gen_ai.request.choice.count"
    STOP: Final = "gen_ai.request.stop_sequences"
    OUTPUT_TYPE: Final = "gen_ai.output.type"
    RESPONSE_ID: Final = "gen_ai.response.id"
    RESPONSE_MODEL: Final = "gen_ai.response.model"
    FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
    FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
    INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
    OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
    CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
    CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
    REASONING: Final = "gen_ai.usage.reasoning.output_tokens"

    SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
    INPUT_MESSAGES: Final = "gen_ai.input.messages"
    OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
    TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"

    TOOL_NAME: Final = "gen_ai.tool.name"
    TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
    TOOL_TYPE: Final = "gen_ai.tool.type"
    TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
    TOOL_RESULT: Final = "gen_ai.tool.call.result"

    DURATION_METRIC: Final = "gen_ai.client.operation.duration"
    TOKEN_METRIC: Final = "gen_ai.client.token.usage"  # noqa: S105 - the name of a metric
    FIRST_CHUNK_METRIC: Final = "gen_ai.client.operation.time_to_first_chunk"
    CHUNK_METRIC: Final = "gen_ai.client.operation.time_per_output_chunk"
    TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - the name of an attribute

    TRACE_ID: Final = "acedatacloud.trace_id"
    ATTEMPTS: Final = "acedatacloud.attempts"
    FAILURE: Final = "acedatacloud.failure"
    MAY_BE_BILLED: Final = "acedatacloud.may_be_billed"
    COST: Final = "acedatacloud.cost.amount"
    CURRENCY: Final = "acedatacloud.cost.currency"
    ATTEMPT_FAILED: Final = "acedatacloud.attempt_failed"
    ATTEMPT: Final = "acedatacloud.attempt"
    RETRY_IN: Final = "acedatacloud.retry_in"
    ERROR_CODE: Final = "acedatacloud.error.code"
    STATUS: Final = "http.response.status_code"


CONTENT_SWITCH: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable with which all GenAI instrumentations capture content."""

DURATION_BUCKETS: Final = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
]  # fmt: skip
TOKEN_BUCKETS: Final = [4.0**power for power in range(14)]


def system_instructions(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of the system prompt."""
    return [
        part
        for message in messages
        if message.get("role") in {"system", "developer"}
        for part in _content_parts(message.get("content"))
    ]


def input_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a request, without the system prompt."""
    return [
        {"role": message.get("role"), "parts": _parts(message)}
        for message in messages
        if message.get("role") not in {"system", "developer"}
    ]


def output_messages(completion: ChatCompletion) -> list[dict[str, Any]]:
    """Return the messages of a completion."""
    return [
        {
            "role": "assistant",
            "parts": _output_parts(choice.message),
            "finish_reason": choice.finish_reason or "error",
        }
        for choice in completion.choices
    ]


def _output_parts(message: AssistantMessage) -> list[dict[str, Any]]:
    return _parts(cast("dict[str, Any]", msgspec.to_builtins(message)))


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    if message.get("role") == "tool":
        response = message.get("content")
        return [
            {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": response}
        ]
    parts: list[dict[str, Any]] = []
    if reasoning := message.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": reasoning})
    parts += _content_parts(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function.get("name"),
                "arguments": _arguments(function.get("arguments")),
            }
        )
    return parts


def _arguments(text: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError):
        return text


def _content_parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    return [_content_part(part) for part in cast("list[Any]", content or [])]


def _content_part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "content": part}
    if part.get("type") == "text":
        return {"type": "text", "content": part.get("text")}
    image = part.get("image_url")
    url = image.get("url", "") if isinstance(image, dict) else image
    if isinstance(url, str) and url.startswith("data:"):  # the bytes would fill the trace
        kind = url[5:].partition(";")[0]
        return {"type": "blob", "modality": "image", "mime_type": kind, "content": ""}
    if url:
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": str(part.get("type"))}


def encode_capped(value: Any, most: int) -> str:
    """Return *value* as JSON of at most *most* bytes; long texts in it are truncated."""
    encoded = msgspec.json.encode(value)
    limit = most
    while len(encoded) > most and limit > 8:  # noqa: PLR2004 - shorter texts are of no use
        limit //= 2
        encoded = msgspec.json.encode(_truncated(value, limit))
    while len(encoded) > most and isinstance(value, list) and value:
        value = cast("list[Any]", value)[(len(cast("list[Any]", value)) + 1) // 2 :]
        encoded = msgspec.json.encode(_truncated(value, limit))
    return encoded.decode() if len(encoded) <= most else "[]"


def _truncated(value: Any, limit: int) -> Any:
    """Return a copy of JSON *value* whose texts have at most *limit* characters."""
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}…"
    if isinstance(value, list):
        return [_truncated(each, limit) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _truncated(each, limit) for name, each in fields.items()}
    return value
