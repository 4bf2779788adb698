"""The default response: it repeats the request, or makes an example of its schema."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from acechat.emulator.completion import Answer, ChatRequest, ChoiceContent, count_usage, in_pieces
from acechat.types import FunctionCall, ToolCall

__all__ = ["CREATED", "call_id", "completion_id", "echo", "example_of", "told_in_json"]

_LEAST = (("minimum", 0), ("exclusiveMinimum", 1))


_MOST = (("maximum", 0), ("exclusiveMaximum", -1))


_DEEPEST = 20
"""Levels after which a schema that contains itself ends, in null."""


def example_of(schema: Mapping[str, Any]) -> Any:
    """Make a value of *schema*: required properties only, the first of an enum, the least else.

    Patterns, formats and multiples are not looked at.
    """
    return _example(schema, schema, _DEEPEST)


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if not depth:
        return None
    if "$ref" in schema:
        return _example(_resolve(str(schema["$ref"]), root), root, depth - 1)
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf", "oneOf", "allOf"):
        options = cast("list[Any]", schema.get(key) or [])
        if options:
            return options[0] if key == "enum" else _example(options[0], root, depth - 1)
    kind: object = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next(iter(cast("list[object]", kind)), None)
    if kind == "object":
        properties = cast("dict[str, dict[str, Any]]", schema.get("properties") or {})
        names = cast("list[str]", schema.get("required") or [])
        return {name: _example(properties.get(name, {}), root, depth - 1) for name in names}
    if kind == "array":
        return _items(schema, root, depth - 1)
    if kind == "string":
        return "x" * int(schema.get("minLength") or 0)
    if kind in {"integer", "number"}:
        return _number(schema)
    return False if kind == "boolean" else None


def _items(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[Any]:
    """As many items as there must be; those of a tuple have a schema each."""
    each = cast("list[dict[str, Any]]", schema.get("prefixItems") or [])
    rest = schema.get("items")
    more = max(int(schema.get("minItems") or 0) - len(each), 0)
    every = [*each, *[cast("dict[str, Any]", rest) if isinstance(rest, dict) else {}] * more]
    return [_example(item, root, depth) for item in every]


def _number(schema: Mapping[str, Any]) -> float:
    """The number nearest to 0 within the bounds, by whole steps from those that are excluded."""
    least = [schema[key] + step for key, step in _LEAST if key in schema]
    most = [schema[key] + step for key, step in _MOST if key in schema]
    return cast("float", min([max([0, *least]), *most]))


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        key = name.replace("~1", "/").replace("~0", "~")
        inner = cast("Mapping[str, Any]", found).get(key) if isinstance(found, Mapping) else None
        found = cast("Any", inner)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


CREATED = 1768619365
"""When every answer began, in seconds since 1970: the first sample's, so that answers are equal."""


_NOT_OPTIONS = {"model", "messages", "stream", "stream_options", "n", "tools", "stop"}


def completion_id(asked: ChatRequest) -> str:
    """Return the id of the answer: the same for the same request, streamed or not."""
    return f"msg_01{asked.fingerprint[:22]}"


def call_id(asked: ChatRequest, choice: int, number: int) -> str:
    """Return the id of a tool call of *choice*, counted from 0."""
    return f"toolu_01{asked.fingerprint[:18]}{choice:02}{number:02}"


def echo(asked: ChatRequest) -> Answer:
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


def told_in_json(asked: ChatRequest, told: str, said: ChoiceContent) -> ChoiceContent:
    """Return *said* with the JSON *told*: to the tool that must be called, else as the text.

    The arguments of a tool are an object: what is none goes under the only property that the
    tool's schema has. So does an object, if that is the one that
    `acechat._tools.output` puts around a union.
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


def _say(asked: ChatRequest, index: int) -> ChoiceContent:
    request = asked.request
    reasoning: tuple[str, ...] = ()
    if request.model.endswith("-thinking") or request.reasoning_effort:
        reasoning = in_pieces(f"The user says {_quote(asked)}. I say it back.")
    call = _wanted_call(asked, index)
    if call:
        return ChoiceContent(reasoning=reasoning, tool_calls=(call,), finish_reason="tool_calls")
    text, finish_reason = _until_stop(asked, _text(asked, index)), "stop"
    words = in_pieces(text)
    limit = request.max_completion_tokens or request.max_tokens
    if limit and limit < len(words):
        words, finish_reason = words[: int(limit)], "length"
    return ChoiceContent(text=words, reasoning=reasoning, finish_reason=finish_reason)


def _text(asked: ChatRequest, index: int) -> str:
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


def _subject(asked: ChatRequest) -> Mapping[str, Any]:
    """Return the message that is answered: a tool's at the end, else the user's last one."""
    messages = asked.request.messages
    if messages[-1].get("role") == "tool":
        return messages[-1]
    spoken = [message for message in messages if message.get("role") == "user"]
    return spoken[-1] if spoken else messages[-1]


def _quote(asked: ChatRequest) -> str:
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


def _until_stop(asked: ChatRequest, text: str) -> str:
    stop = asked.request.stop or []
    found = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop) if word]
    return text[: min((at for at in found if at >= 0), default=len(text))]


def _wanted_call(asked: ChatRequest, index: int) -> ToolCall | None:
    """Return the call that ``tool_choice`` demands; its arguments come from the schema."""
    forced = _forced(asked)
    if forced is None:
        return None
    name, schema = forced
    arguments = json.dumps(example_of(schema) or {})
    return ToolCall(
        id=call_id(asked, index, 0), function=FunctionCall(name=name, arguments=arguments)
    )


def _forced(asked: ChatRequest) -> tuple[str, dict[str, Any]] | None:
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
