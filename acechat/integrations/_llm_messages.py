"""Convert the prompts of `llm` to requests, and completions and deltas to its events."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Iterable, Iterator
from typing import Any

import llm
import msgspec
from llm.parts import (
    AttachmentPart,
    Message,
    StreamEvent,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

from acechat import ChatCompletion, Delta
from acechat.integrations._tool_calls import ToolCallNumbers, reasons_by_default

__all__ = ["OUTPUT_TOOL", "Events", "finish", "request_of"]

OUTPUT_TOOL = "output"
"""Name of the tool whose arguments are the value of a schema."""

_FORCED = {"type": "function", "function": {"name": OUTPUT_TOOL}}


def request_of(prompt: llm.Prompt, model: str) -> dict[str, Any]:
    """Return the arguments of `acechat.Client.chat` for *prompt* to *model*."""
    fields: dict[str, Any] = prompt.options.model_dump(exclude_none=True)
    fields["model"] = model
    fields["messages"] = [each for one in prompt.messages for each in _messages_of(one)]
    functions: list[dict[str, Any]] = []
    for tool in prompt.tools:
        if not isinstance(tool, llm.Tool):
            raise llm.ModelError(f"the service has no tool {type(tool).__name__}")
        function = {"name": tool.name, "description": tool.description or ""}
        functions.append(function | {"parameters": tool.input_schema})
    if prompt.schema is not None:
        functions.append({"name": OUTPUT_TOOL, "parameters": prompt.schema})
        # Reasoning excludes a forced call.
        if not (prompt.tools or "reasoning_effort" in fields or reasons_by_default(model)):
            fields["tool_choice"] = _FORCED
    if functions:
        fields["tools"] = [{"type": "function", "function": function} for function in functions]
    return fields


def _messages_of(message: Message) -> Iterable[dict[str, Any]]:
    if len(message.parts) == 1 and message.role != "tool":
        (part,) = message.parts
        if isinstance(part, TextPart):  # as below, and faster
            return ({"role": message.role, "content": part.text},) if part.text else ()
    return _messages_of_parts(message)


def _messages_of_parts(message: Message) -> Iterator[dict[str, Any]]:
    texts: list[str] = []
    attached: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case TextPart():
                texts.append(part.text)
            case AttachmentPart(attachment=llm.Attachment() as attachment):
                attached.append(_part_of(attachment))
            case ToolCallPart():
                function = {"name": part.name, "arguments": json.dumps(part.arguments)}
                calls.append({"type": "function", "id": part.tool_call_id, "function": function})
            case ToolResultPart():
                id_ = part.tool_call_id
                yield {"role": "tool", "tool_call_id": id_, "content": part.output}
                attached += [_part_of(each) for each in part.attachments]
            case _:  # reasoning, which the service does not take back
                pass
    if message.role == "tool" and not attached:
        return
    text = "".join(texts)
    content: Any = text
    if attached:
        content = [*([{"type": "text", "text": text}] if text else []), *attached]
    sent: dict[str, Any] = {"role": "user" if message.role == "tool" else message.role}
    if calls:
        sent["tool_calls"] = calls
    if content or calls:
        yield sent | {"content": content}


def _part_of(attachment: llm.Attachment) -> dict[str, Any]:
    """Return *attachment* as a content part: an image, or a PDF file."""
    kind = attachment.resolve_type() or "image/png"
    if kind.startswith("image/") and attachment.url:
        return {"type": "image_url", "image_url": {"url": attachment.url}}
    data = base64.b64encode(attachment.content_bytes() or b"").decode()
    url = f"data:{kind};base64,{data}"
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    name = f"file{mimetypes.guess_extension(kind) or ''}"
    return {"type": "file", "file": {"filename": name, "file_data": url}}


class Events:
    """Converts the deltas of one stream, or a completion, to events.

    Args:
        structured: Whether the arguments of `OUTPUT_TOOL` are the text of the response.
    """

    def __init__(self, *, structured: bool) -> None:
        self._structured = structured
        self._numbers = ToolCallNumbers()
        self._calls: list[tuple[str, str]] = []  # id and name of each call

    def of_delta(self, delta: Delta) -> Iterator[StreamEvent]:
        """Yield the events of *delta*."""
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            yield StreamEvent(type="reasoning", chunk=reasoning)
        if delta.content:
            yield StreamEvent(type="text", chunk=delta.content)
        for call in delta.tool_calls or ():
            number, begins = self._numbers.add(call)
            name = (call.function.name if call.function else None) or ""
            if begins:
                self._calls.append((call.id or f"call_{number}", name))
            arguments = (call.function.arguments if call.function else None) or ""
            yield from self._of_call(*self._calls[number], arguments, begins=begins)

    def of_completion(self, completion: ChatCompletion) -> Iterator[StreamEvent]:
        """Yield the events of a response that was not streamed."""
        if completion.reasoning:
            yield StreamEvent(type="reasoning", chunk=completion.reasoning)
        if completion.text:
            yield StreamEvent(type="text", chunk=completion.text)
        for call in completion.tool_calls:
            function = call.function
            yield from self._of_call(call.id, function.name, function.arguments, begins=True)

    def _of_call(
        self, call_id: str, name: str, arguments: str, *, begins: bool
    ) -> Iterator[StreamEvent]:
        if self._structured and name == OUTPUT_TOOL:
            if arguments:
                yield StreamEvent(type="text", chunk=arguments)
            return
        if begins:
            yield StreamEvent(type="tool_call_name", chunk=name, tool_call_id=call_id)
        if arguments:
            yield StreamEvent(type="tool_call_args", chunk=arguments, tool_call_id=call_id)


def finish(
    completion: ChatCompletion, response: llm.Response | llm.AsyncResponse, *, structured: bool
) -> None:
    """Record the tool calls, usage and metadata of *completion* in *response*.

    Raises:
        ModelError: The arguments of a tool call are truncated or malformed.
    """
    finish_reason = completion.finish_reason
    if finish_reason == "length" and (completion.tool_calls or structured):
        raise llm.ModelError("truncated at the token limit; raise it with -o max_tokens")
    for call in completion.tool_calls:
        if structured and call.function.name == OUTPUT_TOOL:
            continue
        try:
            arguments = json.loads(call.function.arguments or "{}")
        except ValueError as error:
            raise llm.ModelError(f"malformed arguments of {call.function.name}: {error}") from None
        response.add_tool_call(
            llm.ToolCall(name=call.function.name, arguments=arguments, tool_call_id=call.id)
        )
    usage = completion.usage
    if usage is not None:
        details = {
            "prompt_tokens_details": _numbers_of(usage.prompt_tokens_details),
            "completion_tokens_details": _numbers_of(usage.completion_tokens_details),
        }
        response.set_usage(
            input=usage.prompt_tokens,
            output=usage.completion_tokens,
            details={name: found for name, found in details.items() if found} or None,
        )
    if completion.model:
        response.set_resolved_model(completion.model)
    kept = completion.to_dict()
    kept.pop("choices", None)
    kept["finish_reason"], kept["trace_id"] = finish_reason, completion.trace_id
    response.response_json = kept


def _numbers_of(details: Any) -> dict[str, int]:
    if details is None:
        return {}
    return {name: number for name, number in msgspec.structs.asdict(details).items() if number}
