"""Convert tools of MCP servers to tools that the service accepts, and results to message parts."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from acechat._image import image
from acechat.errors import ConfigurationError
from acechat.types import ContentPart, TextPart

if TYPE_CHECKING:  # the extra
    from mcp.types import CallToolResult, ContentBlock

__all__ = ["Parameters", "parts_of", "repaired", "unique_names"]

_TOOL = re.compile(r"[^a-zA-Z0-9_-]"), 64
_PROPERTY = re.compile(r"[^a-zA-Z0-9_.-]"), 64
_DIGEST = 12
"""Hexadecimal digits: enough that no two of a thousand names share them by chance."""

_REFUSED_AT_THE_TOP = {"anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref", "$dynamicRef"}
"""Anthropic refuses the unions, OpenAI also ``not`` and ``enum``; the service routes to both."""

_INVALID = "acechat-invalid"
"""In the place of a schema: what is wrong with it."""

_OBJECTS = ("properties", "$defs", "definitions", "patternProperties")
_WRAPPER = "arguments"
_LITERAL = {"const", "enum", "default", "examples"}
_MOST = 16 * 2**20
"""Characters of one result; the service refuses requests of 32 MiB."""


def unique_names(
    names: Iterable[str], *, prefix: str = "", rule: tuple[re.Pattern[str], int] = _TOOL
) -> dict[str, str]:
    """Return the names that the service accepts, by the servers' own.

    Punctuation becomes ``_``. A name that loses more than that, or that would not be unique, ends
    with a digest of the original, so that it depends on no order.
    """
    forbidden, length = rule
    cleaned = {name: forbidden.sub("_", prefix + name) for name in names}
    sharing = Counter(cleaned.values())
    unchanged = {clean for name, clean in cleaned.items() if clean == prefix + name}
    taken = {clean for clean in unchanged if 0 < len(clean) <= length}
    for name, clean in cleaned.items():
        full = prefix + name
        lossless = full.isascii() and 0 < len(clean) <= length
        if lossless and (sharing[clean] == 1 or clean == full):
            taken.add(clean)
            continue
        digest, size = sha256(full.encode(errors="surrogatepass")).hexdigest(), _DIGEST
        while (new := f"{clean[: length - size - 1]}_{digest[:size]}") in taken:
            size += 1  # another tool is named like that on purpose
        cleaned[name] = new
        taken.add(new)
    return cleaned


def repaired(tool: dict[str, Any]) -> None:
    """Change a tool of a list so that mcp accepts it.

    mcp refuses the complete list for one schema. And it checks results against ``outputSchema`` in
    the event loop, where a pattern can hold the process for ever; a model reads any result.
    """
    tool.pop("outputSchema", None)
    given = tool.get("inputSchema")
    if given is None:  # as a server may write for a tool without parameters
        given = {}
    if not isinstance(given, dict):
        tool["inputSchema"] = {"type": "object", _INVALID: f"is no object: {given!r:.100}"}
        return
    schema = {
        key: value
        for key, value in cast("dict[str, Any]", given).items()
        if value is not None and (value != [] or key not in _OBJECTS)  # PHP writes {} as []
    }
    kind = schema.get("type", "object")
    invalid: str | None = None
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        invalid = f"has the type {kind!r:.100}, not 'object'"
    for key in _OBJECTS:
        if not isinstance(schema.get(key, {}), dict):
            invalid = f"has {key} that are no object"
    tool["inputSchema"] = (
        {**schema, "type": "object"} if invalid is None else {"type": "object", _INVALID: invalid}
    )


class Parameters(Struct, frozen=True):
    """The parameters of a tool, in the form that the service accepts."""

    schema: dict[str, Any]
    wrapped: bool = False
    """Whether all arguments are the property ``arguments``: a schema with a union at its top."""

    originals: dict[str, str] = {}
    """The server's names of properties whose names the service refuses."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Parameters:
        """Convert the ``inputSchema`` of a tool that was `repaired`.

        Raises:
            ValueError: It describes no object, so that no arguments fit it.
        """
        if _INVALID in given:
            raise ValueError(f"its inputSchema {given[_INVALID]}")
        schema = dict(given)
        if not _REFUSED_AT_THE_TOP.isdisjoint(schema):
            return cls(_wrapped(schema), wrapped=True)
        named: dict[str, Any] = schema.get("properties") or {}
        new = unique_names(named, rule=_PROPERTY)
        schema["properties"] = {new[name]: one for name, one in named.items()}
        if isinstance(schema.get("required"), list):
            schema["required"] = [new.get(name, name) for name in schema["required"]]
        return cls(schema, originals={ours: name for name, ours in new.items() if ours != name})

    def restore(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the server expects them.

        Raises:
            ValueError: They are wrapped, and no object.
        """
        if self.wrapped:
            inner: Any = arguments.get(_WRAPPER, arguments)  # some models leave the wrapper out
            if not isinstance(inner, dict):
                raise ValueError(f"{_WRAPPER!r} must be an object")
            return cast("dict[str, Any]", inner)
        return {self.originals.get(name, name): value for name, value in arguments.items()}


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    # "$id" would give the references inside another base.
    inner = {key: value for key, value in schema.items() if key not in {"$id", "$schema"}}
    definitions = {key: inner.pop(key) for key in ("$defs", "definitions") if key in inner}
    return {
        "type": "object",
        "properties": {_WRAPPER: _moved(inner)},
        "required": [_WRAPPER],
        **_moved(definitions),
    }


def _moved(value: Any) -> Any:
    """Return a schema whose references lead to where `_wrapped` puts their targets."""
    if isinstance(value, list):
        return [_moved(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    moved: dict[str, Any] = {}
    for key, one in cast("dict[str, Any]", value).items():
        inside = key == "$ref" and isinstance(one, str) and (one == "#" or one.startswith("#/"))
        if inside and not one.startswith(("#/$defs/", "#/definitions/")):
            moved[key] = f"#/properties/{_WRAPPER}{one[1:]}"
        else:
            moved[key] = one if key in _LITERAL else _moved(one)
    return moved


def parts_of(result: CallToolResult) -> list[ContentPart]:
    """Return what a model gets of a result.

    Raises:
        ValueError: It is too large to be sent.
    """
    size = sum(map(_size, result.content))
    if size > _MOST:
        raise ValueError(f"the result has {size:,} characters, more than {_MOST:,}")
    parts = [_as_part(block) for block in result.content]
    if result.structured_content is not None:
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        if not _repeats(texts, result.structured_content):
            text = json.dumps(result.structured_content, ensure_ascii=False)
            if size + len(text) > _MOST:
                raise ValueError(f"the result has more than {_MOST:,} characters")
            parts.append(TextPart(text))
    return parts


def _size(block: ContentBlock) -> int:
    holder: Any = getattr(block, "resource", block)
    return sum(len(getattr(holder, name, None) or "") for name in ("text", "data", "blob"))


def _repeats(texts: list[str], structured: dict[str, Any]) -> bool:
    """Return whether the texts hold all of the structured content, as servers should repeat it.

    The official package puts what is no object into ``{"result": ...}``, and each item of a list
    into a text of its own.
    """
    values: list[Any] = [structured]
    if structured.keys() == {"result"}:
        values.append(structured["result"])
    read: list[Any] = []
    for text in texts:
        read.append(text)
        with suppress(ValueError, RecursionError):
            read[-1] = json.loads(text)
    return bool(texts) and any(value in (*read, *texts, read, texts) for value in values)


def _as_part(block: ContentBlock) -> ContentPart:
    if block.type == "text":
        return TextPart(block.text)
    if block.type == "image":
        return _as_image(block.data) or _unsupported(f"{block.mime_type} image")
    if block.type == "audio":
        return _unsupported(f"{block.mime_type} audio")
    if block.type == "resource_link":
        return TextPart(f"{block.name}: {block.uri}")
    resource: Any = block.resource
    if (text := getattr(resource, "text", None)) is not None:
        return TextPart(text)
    kind = resource.mime_type or "binary resource"
    return _as_image(resource.blob) or _unsupported(f"{kind} at {resource.uri}")


def _as_image(data: str) -> ContentPart | None:
    """Return an image whose type is read from its bytes: servers declare the wrong one."""
    with suppress(ConfigurationError, ValueError):  # SVG, for one; ValueError: no base64
        return image(b64decode(data))
    return None


def _unsupported(kind: str) -> TextPart:
    return TextPart(f"({kind[:200]}: not supported)")
