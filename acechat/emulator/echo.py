"""The default response: it repeats the request, or fills its schema."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, cast

import msgspec

from acechat.emulator.completion import (
    ChatRequest,
    ChoiceContent,
    CompletionContent,
    split_words,
)
from acechat.emulator.content.example import example_of
from acechat.emulator.content.usage import count_text, count_usage
from acechat.types import FunctionCall, ToolCall

__all__ = ["CREATED", "call_id", "completion_id", "echo", "with_json"]

CREATED = 1768619365
"""``created`` of every completion: that of the first sample, in seconds since 1970."""


_NOT_OPTIONS = {"model", "messages", "stream", "stream_options", "n", "tools", "stop"}


def completion_id(chat: ChatRequest) -> str:
    """Return the completion's id, equal for equal requests, plain or streamed."""
    return f"msg_01{chat.fingerprint[:22]}"


def call_id(chat: ChatRequest, choice: int, number: int) -> str:
    """Return the id of a tool call; *choice* and *number* count from 0."""
    return f"toolu_01{chat.fingerprint[:18]}{choice:02}{number:02}"


def echo(chat: ChatRequest) -> CompletionContent:
    """Return a completion that describes the request."""
    request = chat.request
    choices = tuple(_choice(chat, index) for index in range(int(request.n or 1)))
    return CompletionContent(
        id=completion_id(chat),
        created=CREATED,
        model=request.model,
        choices=choices,
        usage=count_usage(chat.fields, choices),
    )


def with_json(chat: ChatRequest, encoded: str, content: ChoiceContent) -> ChoiceContent:
    """Return *content* with the JSON *encoded* as arguments of the forced tool, or as its text.

    The arguments of a tool are an object. Any other value is put under the only property of the
    tool's schema; so is an object, if that property is the one that `acechat._tools.output` puts
    around a union.
    """
    forced = _forced(chat)
    if forced is None:
        return msgspec.structs.replace(content, text=split_words(encoded), finish_reason="stop")
    name, schema = forced
    properties = list(cast("dict[str, Any]", schema.get("properties") or {}))
    decoded: object = json.loads(encoded)
    around = properties == schema.get("required") == ["value"]
    is_arguments = isinstance(decoded, dict) and not (around and "value" not in decoded)
    if not is_arguments and len(properties) == 1:
        encoded = f"{{{json.dumps(properties[0])}: {encoded}}}"
    call = ToolCall(function=FunctionCall(name=name, arguments=encoded))
    return msgspec.structs.replace(content, tool_calls=(call,), finish_reason="tool_calls")


def _choice(chat: ChatRequest, index: int) -> ChoiceContent:
    request = chat.request
    reasoning: tuple[str, ...] = ()
    if request.model.endswith("-thinking") or request.reasoning_effort:
        reasoning = split_words(f"The user says {_quote(chat)}. I say it back.")
    call = _forced_call(chat, index)
    if call:
        return ChoiceContent(reasoning=reasoning, tool_calls=(call,), finish_reason="tool_calls")
    wanted = _schema_of_text(chat)
    written = _text(chat, index) if wanted is None else json.dumps(example_of(wanted))
    text, finish_reason = _truncate_at_stop(chat, written), "stop"
    words = split_words(text)
    limit = request.max_completion_tokens or request.max_tokens
    if limit:
        totals = list(accumulate(map(count_text, words)))
        if totals and totals[-1] > limit:
            words, finish_reason = words[: bisect_right(totals, limit)], "length"
    return ChoiceContent(text=words, reasoning=reasoning, finish_reason=finish_reason)


def _text(chat: ChatRequest, index: int) -> str:
    messages = chat.request.messages
    last = messages[-1]
    speaker = "The tool" if last.get("role") == "tool" else "You"
    images = [_describe(part) for part in _parts(_subject(chat)) if part.get("type") != "text"]
    shown = f" with {' and '.join(images)}" if images else ""
    facts = [f"{len(messages)} message{'s' if len(messages) > 1 else ''}"]
    names = [_function(tool).get("name", "") for tool in chat.request.tools or []]
    if names:
        facts.append(f"tools: {', '.join(names)}")
    facts += [
        f"{name}={_show(value)}"
        for name, value in chat.fields.items()
        if name not in _NOT_OPTIONS and value is not None
    ]
    if chat.request.n and chat.request.n > 1:
        facts.append(f"answer {index + 1} of {int(chat.request.n)}")
    return f"{speaker} said: {_quote(chat)}{shown} ({', '.join(facts)})"


def _subject(chat: ChatRequest) -> Mapping[str, Any]:
    """Return the message to respond to: a tool's at the end, otherwise the user's last."""
    messages = chat.request.messages
    if messages[-1].get("role") == "tool":
        return messages[-1]
    from_user = [message for message in messages if message.get("role") == "user"]
    return from_user[-1] if from_user else messages[-1]


def _quote(chat: ChatRequest) -> str:
    texts = [str(part.get("text", "")) for part in _parts(_subject(chat))]
    return f'"{" ".join(filter(None, texts))}"'


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        parts = cast("list[object]", content)
        return [cast("dict[str, Any]", part) for part in parts if isinstance(part, dict)]
    return [{"type": "text", "text": content or ""}]


def _describe(part: Mapping[str, Any]) -> str:
    """Return the type and size of a content part, or its URL."""
    source = part.get("image_url")
    url = cast("dict[str, Any]", source).get("url") if isinstance(source, dict) else source
    if not isinstance(url, str):
        return f"a part of type {part.get('type')}"
    if not url.startswith("data:"):
        return url
    kind, _, data = url.removeprefix("data:").partition(",")
    try:
        size = len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return f"{kind.partition(';')[0]}, not base64"
    return f"{kind.partition(';')[0]}, {size} bytes"


def _show(value: object) -> str:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return str(fields.get("type") or "+".join(fields))
    return value if isinstance(value, str) else json.dumps(value)


def _truncate_at_stop(chat: ChatRequest, text: str) -> str:
    stop = chat.request.stop or []
    found = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop) if word]
    return text[: min((at for at in found if at >= 0), default=len(text))]


def _schema_of_text(chat: ChatRequest) -> Any:
    """Return the schema of ``response_format``, with which the text is JSON; None if there is none.

    The service forwards the field, and its Claude models ignore it (docs/api.md#request-fields);
    programs that use it can be tested nevertheless.
    """
    wanted = chat.fields.get("response_format")
    if not isinstance(wanted, dict):
        return None
    fields = cast("dict[str, Any]", wanted)
    if fields.get("type") == "json_object":
        return {"type": "object"}
    schema = fields.get("json_schema")
    if fields.get("type") != "json_schema" or not isinstance(schema, dict):
        return None
    return cast("dict[str, Any]", schema).get("schema", {})


def _forced_call(chat: ChatRequest, index: int) -> ToolCall | None:
    """Return the call that ``tool_choice`` forces, or None; the schema gives its arguments."""
    forced = _forced(chat)
    if forced is None:
        return None
    name, schema = forced
    arguments = example_of({"type": "object", **schema})
    return ToolCall(
        id=call_id(chat, index, 0),
        function=FunctionCall(name=name, arguments=json.dumps(arguments or {})),
    )


def _forced(chat: ChatRequest) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the schema of the forced tool; None if no tool is forced."""
    choice, tools = chat.request.tool_choice, chat.request.tools or []
    functions = {str(_function(tool).get("name", "")): _function(tool) for tool in tools}
    if isinstance(choice, dict):
        name = str(_function(choice).get("name", ""))
    elif choice == "required" and functions:
        name = next(iter(functions))
    else:
        return None
    return name, cast("dict[str, Any]", functions.get(name, {}).get("parameters") or {})


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    return cast("dict[str, Any]", function) if isinstance(function, dict) else {}
