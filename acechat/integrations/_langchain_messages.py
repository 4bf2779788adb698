"""Convert LangChain's messages to requests, and completions and deltas to LangChain's messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    convert_to_openai_messages,
)
from langchain_core.messages import ToolCall as LangChainToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from acechat import (
    ChatCompletion,
    Choice,
    Delta,
    OutputError,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from acechat.integrations._tool_calls import ToolCallNumbers

__all__ = [
    "as_request_messages",
    "chunk_of",
    "last_chunk_of",
    "result_of",
]

_NOT_SENT = {
    "thinking", "redacted_thinking", "reasoning", "reasoning_content", "tool_call",
    "tool_call_chunk", "invalid_tool_call", "non_standard",
}  # fmt: skip
"""Blocks of earlier completions that are not sent back; tool calls are, in their own field."""

_ROLES: dict[type[BaseMessage], str] = {HumanMessage: "user", SystemMessage: "system"}


def as_request_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Return *messages* as the API's JSON."""
    sent: list[dict[str, Any]] = []
    for message in messages:
        role = _ROLES.get(type(message))
        plain = role is not None and not message.additional_kwargs and message.name is None
        if plain and isinstance(message.content, str):  # as below, and 20 times faster
            sent.append({"role": role, "content": message.content})
            continue
        if isinstance(message.content, list):
            kept = [_named(block) for block in message.content if _kind(block) not in _NOT_SENT]
            message = message.model_copy(update={"content": kept})  # noqa: PLW2901
        marks = _cache_marks(message)
        converted = convert_to_openai_messages(
            [message], text_format="block" if marks else "string"
        )
        if marks:
            _add_marks(converted, marks)
        sent += converted
    return sent


def _kind(block: str | dict[Any, Any]) -> object:
    return block.get("type") if isinstance(block, dict) else "text"


def _named(block: str | dict[Any, Any]) -> str | dict[Any, Any]:
    """Return *block*; with a file name if it is a file without one, which the service requires."""
    if not isinstance(block, dict) or block.get("type") != "file" or "file" in block:
        return block
    if any("filename" in (block.get(key) or ()) for key in ("extras", "metadata")):
        return block
    kind = str(block.get("mime_type", "")).rpartition("/")[2]
    return {"filename": f"file.{kind}"} | block


def _cache_marks(message: BaseMessage) -> dict[str, Any]:
    """Return the *cache_control* of the texts of *message*, which LangChain's function drops."""
    if not isinstance(message.content, list):
        return {}
    blocks = (block for block in message.content if isinstance(block, dict))
    return {
        block["text"]: block["cache_control"]
        for block in blocks
        if block.get("type") == "text" and block.get("cache_control")
    }


def _add_marks(converted: list[dict[str, Any]], marks: dict[str, Any]) -> None:
    for message in converted:
        for part in message.get("content") or ():
            if isinstance(part, dict) and part.get("text") in marks:
                part["cache_control"] = marks[part["text"]]


def _usage_of(usage: Usage | None) -> UsageMetadata | None:
    """Return the tokens in LangChain's form; None if not reported."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    prompt, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    found = UsageMetadata(
        input_tokens=prompt,
        output_tokens=written,
        total_tokens=prompt + written if usage.total_tokens is None else usage.total_tokens,
    )
    inside, outside = InputTokenDetails(), OutputTokenDetails()
    if (details := usage.prompt_tokens_details) is not None:
        if details.cached_tokens is not None:
            inside["cache_read"] = details.cached_tokens
        created = details.cache_write_tokens
        created = details.cached_creation_tokens if created is None else created
        if created is not None:
            inside["cache_creation"] = created
        if details.audio_tokens is not None:
            inside["audio"] = details.audio_tokens
    if (parts := usage.completion_tokens_details) is not None:
        if parts.reasoning_tokens is not None:
            outside["reasoning"] = parts.reasoning_tokens
        if parts.audio_tokens is not None:
            outside["audio"] = parts.audio_tokens
    if inside:
        found["input_token_details"] = inside
    if outside:
        found["output_token_details"] = outside
    return found


def _metadata_of(completion: ChatCompletion, finish_reason: str | None) -> dict[str, Any]:
    """Return the *response_metadata* of a completion."""
    facts: dict[str, Any] = {
        "model_name": completion.model,
        "model_provider": "acedatacloud",
        "id": completion.id,
    }
    if finish_reason is not None:
        facts["finish_reason"] = finish_reason
    if (trace_id := completion.trace_id) is not None:
        facts["trace_id"] = trace_id
    if completion.system_fingerprint is not None:
        facts["system_fingerprint"] = completion.system_fingerprint
    if completion.service_tier is not None:
        facts["service_tier"] = completion.service_tier
    if completion.cost is not None and completion.cost.amount is not None:
        facts["cost"] = {
            "amount": str(completion.cost.amount),
            "currency": completion.cost.currency,
        }
    return facts


def _message_of(
    completion: ChatCompletion, choice: Choice, usage: UsageMetadata | None
) -> AIMessage:
    """Return the message of one choice."""
    message = choice.message
    calls: list[LangChainToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in message.tool_calls or ():
        _parse_call(call, calls, invalid)
    more: dict[str, Any] = {}
    if message.reasoning_content:
        more["reasoning_content"] = message.reasoning_content
    if message.refusal:
        more["refusal"] = message.refusal
    return AIMessage(
        content=message.content or "",
        additional_kwargs=more,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage,
        response_metadata=_metadata_of(completion, choice.finish_reason),
    )


def _parse_call(
    call: ToolCall, calls: list[LangChainToolCall], invalid: list[InvalidToolCall]
) -> None:
    text = call.function.arguments
    try:
        arguments = json.loads(text or "{}")
        if not isinstance(arguments, dict):
            raise ValueError("the arguments are not an object")  # noqa: TRY301, TRY004 - as below
    except ValueError as error:
        wrong = InvalidToolCall(
            type="invalid_tool_call",
            id=call.id,
            name=call.function.name,
            args=text,
            error=str(error),
        )
        invalid.append(wrong)
    else:
        calls.append(
            LangChainToolCall(type="tool_call", id=call.id, name=call.function.name, args=arguments)
        )


def _check_not_truncated(completion: ChatCompletion, options: dict[str, Any]) -> None:
    """Raise `OutputError` if JSON of the model was truncated at the token limit.

    LangChain's parsers complete truncated JSON silently, and would run a tool with half of its
    arguments, or return half of a structured output.
    """
    if completion.finish_reason != "length":
        return
    structured = options.get("response_format") or {"type": "text"}
    if completion.tool_calls:
        text = completion.tool_calls[-1].function.arguments
    elif structured.get("type") != "text":
        text = completion.text
    else:
        return
    message = "truncated at the token limit; raise max_tokens"
    raise OutputError(message, text=text, completion=completion)


def result_of(completion: ChatCompletion, arguments: dict[str, Any]) -> ChatResult:
    """Return the result of a complete response to *arguments*."""
    _check_not_truncated(completion, arguments)
    usage = _usage_of(completion.usage)
    generations = [
        ChatGeneration(
            message=_message_of(completion, choice, None if number else usage),  # once for all
            generation_info={"finish_reason": choice.finish_reason},
        )
        for number, choice in enumerate(completion.choices)
    ]
    output: dict[str, Any] = {"model_name": completion.model, "token_usage": usage or {}}
    return ChatResult(generations=generations, llm_output=output)


def chunk_of(calls: ToolCallNumbers, delta: Delta) -> ChatGenerationChunk | None:
    """Return *delta* as a chunk; None if it has no content, or is of another choice."""
    reasoning = delta.reasoning_content or delta.reasoning
    if delta.index or not (delta.content or reasoning or delta.tool_calls or delta.refusal):
        return None
    more: dict[str, Any] = {}
    if reasoning:
        more["reasoning_content"] = reasoning
    if delta.refusal:
        more["refusal"] = delta.refusal
    message = AIMessageChunk(
        content=delta.content or "",
        additional_kwargs=more,
        tool_call_chunks=[_call_chunk(calls, call) for call in delta.tool_calls or ()],
    )
    return ChatGenerationChunk(message=message)


def _call_chunk(calls: ToolCallNumbers, call: ToolCallDelta) -> ToolCallChunk:
    number, begins = calls.add(call)
    return ToolCallChunk(
        type="tool_call_chunk",
        index=number,
        id=call.id if begins else None,
        name=call.function.name if begins and call.function else None,
        args=call.function.arguments if call.function else None,
    )


def last_chunk_of(completion: ChatCompletion, arguments: dict[str, Any]) -> ChatGenerationChunk:
    """Return the chunk with the usage and metadata."""
    _check_not_truncated(completion, arguments)
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=_usage_of(completion.usage),
            response_metadata=_metadata_of(completion, completion.finish_reason),
            chunk_position="last",
        ),
        generation_info={"finish_reason": completion.finish_reason},
    )
