"""The answer that nobody scripted: it says what was received."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from acechat.emulator._answer import Answer, Asked, Said, count_usage, in_pieces
from acechat.emulator._example import example_of
from acechat.types import FunctionCall, ToolCall

__all__ = ["CREATED", "call_id", "completion_id", "echo", "told_in_json"]

CREATED = 1768619365
"""When every answer began, in seconds since 1970: the first sample's, so that answers are equal."""

_NOT_OPTIONS = {"model", "messages", "stream", "stream_options", "n", "tools", "stop"}


def completion_id(asked: Asked) -> str:
    """Return the id of the answer: the same for the same request, streamed or not."""
    return f"msg_01{asked.fingerprint[:22]}"


def call_id(asked: Asked, choice: int, number: int) -> str:
    """Return the id of a tool call of *choice*, counted from 0."""
    return f"toolu_01{asked.fingerprint[:18]}{choice:02}{number:02}"


def echo(asked: Asked) -> Answer:
    """Say what was received."""
    request = asked.request
    choices = tuple(_say(asked, index) for index in range(int(request.n or 1)))
    return Answer(
        id=completion_id(asked),
        created=CREATED,
        model=request.model,
        choices=choices,
        usage=count_usage(asked.fields, choices),
    )


def told_in_json(asked: Asked, told: str, said: Said) -> Said:
    """Return *said* with the JSON *told*: to the tool that must be called, else as the text.

    The arguments of a tool are an object: what is none goes under the only property that the
    tool's schema has. So does an object, if that is the one that `acechat._output` puts around a
    union.
    """
    forced = _forced(asked)
    if forced is None:
        return msgspec.structs.replace(said, text=in_pieces(told), finish_reason="stop")
    name, schema = forced
    properties = list(cast("dict[str, Any]", schema.get("properties") or {}))
    known: object = json.loads(told)
    around = properties == schema.get("required") == ["value"]
    whole = isinstance(known, dict) and not (around and "value" not in known)
    if not whole and len(properties) == 1:
        told = f"{{{json.dumps(properties[0])}: {told}}}"
    call = ToolCall(function=FunctionCall(name=name, arguments=told))
    return msgspec.structs.replace(said, tool_calls=(call,), finish_reason="tool_calls")


def _say(asked: Asked, index: int) -> Said:
    request = asked.request
    reasoning: tuple[str, ...] = ()
    if request.model.endswith("-thinking") or request.reasoning_effort:
        reasoning = in_pieces(f"The user says {_quote(asked)}. I say it back.")
    call = _wanted_call(asked, index)
    if call:
        return Said(reasoning=reasoning, tool_calls=(call,), finish_reason="tool_calls")
    text, finish_reason = _until_stop(asked, _text(asked, index)), "stop"
    words = in_pieces(text)
    limit = request.max_completion_tokens or request.max_tokens
    if limit and limit < len(words):
        words, finish_reason = words[: int(limit)], "length"
    return Said(text=words, reasoning=reasoning, finish_reason=finish_reason)


def _text(asked: Asked, index: int) -> str:
    messages = asked.request.messages
    last = messages[-1]
    speaker = "The tool" if last.get("role") == "tool" else "You"
    images = [_describe(part) for part in _parts(_subject(asked)) if part.get("type") != "text"]
    shown = f" with {' and '.join(images)}" if images else ""
    facts = [f"{len(messages)} message{'s' if len(messages) > 1 else ''}"]
    names = [_function(tool).get("name", "") for tool in asked.request.tools or []]
    if names:
        facts.append(f"tools: {', '.join(names)}")
    facts += [
        f"{name}={_show(value)}"
        for name, value in asked.fields.items()
        if name not in _NOT_OPTIONS and value is not None
    ]
    if asked.request.n and asked.request.n > 1:
        facts.append(f"answer {index + 1} of {int(asked.request.n)}")
    return f"{speaker} said: {_quote(asked)}{shown} ({', '.join(facts)})"


def _subject(asked: Asked) -> Mapping[str, Any]:
    """Return the message that is answered: a tool's at the end, else the user's last one."""
    messages = asked.request.messages
    if messages[-1].get("role") == "tool":
        return messages[-1]
    spoken = [message for message in messages if message.get("role") == "user"]
    return spoken[-1] if spoken else messages[-1]


def _quote(asked: Asked) -> str:
    texts = [str(part.get("text", "")) for part in _parts(_subject(asked))]
    return f'"{" ".join(filter(None, texts))}"'


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        parts = cast("list[object]", content)
        return [cast("dict[str, Any]", part) for part in parts if isinstance(part, dict)]
    return [{"type": "text", "text": content or ""}]


def _describe(part: Mapping[str, Any]) -> str:
    """Say what can be told of a part without looking at its pixels."""
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


def _until_stop(asked: Asked, text: str) -> str:
    stop = asked.request.stop or []
    found = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop) if word]
    return text[: min((at for at in found if at >= 0), default=len(text))]


def _wanted_call(asked: Asked, index: int) -> ToolCall | None:
    """Return the call that ``tool_choice`` demands; its arguments come from the schema."""
    forced = _forced(asked)
    if forced is None:
        return None
    name, schema = forced
    arguments = json.dumps(example_of(schema) or {})
    return ToolCall(
        id=call_id(asked, index, 0), function=FunctionCall(name=name, arguments=arguments)
    )


def _forced(asked: Asked) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the schema of the tool that must be called."""
    choice, tools = asked.request.tool_choice, asked.request.tools or []
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
