"""Tools and content parts in the formats of other APIs, converted or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from acechat.errors import ConfigurationError

__all__ = ["convert_part", "convert_parts", "convert_tool", "convert_tool_choice"]

_SCHEMAS = ("input_schema", "inputSchema", "parameters")
"""Members with the JSON Schema of the arguments: Anthropic's, MCP's, OpenAI's."""

_CHOICES = {"auto": "auto", "any": "required", "required": "required", "none": "none"}

_BLOCKS = {
    "tool_use": 'send {"role": "assistant", "tool_calls": [...]}, such as reply.message',
    "tool_result": 'send {"role": "tool", "tool_call_id": ..., "content": ...}',
    "function_call": 'send {"role": "assistant", "tool_calls": [...]}, such as reply.message',
    "function_call_output": 'send {"role": "tool", "tool_call_id": ..., "content": ...}',
    "thinking": "leave it out: the service does not read reasoning",
    "redacted_thinking": "leave it out: the service does not read reasoning",
}
"""Content parts that this API has in another place."""


def convert_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON of *tool* in the format of this API.

    Raises:
        ConfigurationError: It is none of a function.
    """
    if isinstance(tool.get("function"), Mapping):
        return tool
    kind, name = tool.get("type", "custom"), tool.get("name")
    schema = next((tool[key] for key in _SCHEMAS if key in tool), None)
    if kind in {"function", "custom"} and isinstance(name, str) and (schema or kind == "function"):
        function = {key: tool[key] for key in ("name", "description", "strict") if key in tool}
        function["parameters"] = schema
        rest = {key: tool[key] for key in ("cache_control",) if key in tool}
        return {"type": "function", "function": function, **rest}
    if str(kind).startswith("web_search"):
        raise ConfigurationError(
            f"the tool {kind!r} is not sent in tools=: pass web_search_options={{}}"
        )
    shown = repr(kind) if "type" in tool else f"with the members {', '.join(map(repr, tool))}"
    raise ConfigurationError(
        f"the tool {shown} is not a function: pass a Python function, or "
        '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
    )


def convert_tool_choice(choice: object) -> object:
    """Return *choice* in the format of this API; unknown values unchanged."""
    if isinstance(choice, str):
        return _CHOICES.get(choice, choice)
    if not isinstance(choice, Mapping):
        return choice
    fields = cast("Mapping[str, Any]", choice)
    kind, name = fields.get("type"), fields.get("name")
    if isinstance(name, str) and kind in {"tool", "function"}:
        return {"type": "function", "function": {"name": name}}
    return _CHOICES.get(kind, fields) if isinstance(kind, str) else fields


def convert_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a content part in the format of this API; parts of unknown types unchanged.

    Raises:
        ConfigurationError: This API has no such part, or none inside of a message's content.
    """
    kind = part.get("type")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image_url(part)}}
    if kind == "input_text":
        return {"type": "text", "text": part.get("text", "")}
    if kind == "input_image":
        if not isinstance(url := part.get("image_url"), str):
            raise ConfigurationError("the part 'input_image' has no image_url: use image(...)")
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    if kind in _BLOCKS:
        raise ConfigurationError(f"a message has no part of the type {kind!r}: {_BLOCKS[kind]}")
    return part


def convert_parts(content: list[Any]) -> list[Any]:
    """Return the *content* of a message with each part converted."""
    return [
        convert_part(cast("Mapping[str, Any]", part)) if isinstance(part, Mapping) else part
        for part in content
    ]


def _image_url(part: Mapping[str, Any]) -> str:
    """Return the URL of an image in the format of Anthropic or LangChain."""
    nested: Any = part.get("source")
    source = cast("Mapping[str, Any]", nested) if isinstance(nested, Mapping) else part
    data = source.get("data") or source.get("base64")
    kind = source.get("media_type") or source.get("mime_type")
    if isinstance(data, str) and isinstance(kind, str):
        return f"data:{kind};base64,{data}"
    if isinstance(url := source.get("url"), str):
        return url
    raise ConfigurationError(
        f"the part 'image' has neither data with a media type nor a URL, but {sorted(source)}: "
        "use image(...)"
    )
