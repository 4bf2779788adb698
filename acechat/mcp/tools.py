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

from acechat import image
from acechat.errors import ConfigurationError
from acechat.types import ContentPart, TextPart

if TYPE_CHECKING:  # the extra
    from mcp.types import CallToolResult, ContentBlock

__all__ = ["Parameters", "parts_of", "repaired", "unique_names"]

_TOOL = re.compile(r"[^a-zA-Z0-9_-]"), 64
_PROPERTY = re.compile(r"[^a-zA-Z0-9_.-]"), 64
_DIGEST = 12
"""Hexadecimal digits: enough to make a collision among a thousand names improbable."""

_REJECTED_AT_TOP = {"anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref", "$dynamicRef"}
"""Anthropic rejects the unions, OpenAI also ``not`` and ``enum``; the service routes to both."""

_INVALID = "acechat-invalid"
"""Key that replaces an invalid schema; its value is the reason."""

_OBJECTS = ("properties", "$defs", "definitions", "patternProperties")
_WRAPPER = "arguments"
_LITERAL = {"const", "enum", "default", "examples"}
_MAX_RESULT = 16 * 2**20
"""Characters of one result; the service rejects requests of 32 MiB."""


def unique_names(
    names: Iterable[str], *, prefix: str = "", rule: tuple[re.Pattern[str], int] = _TOOL
) -> dict[str, str]:
    """Return a name that the service accepts for each of the server's names.

    Punctuation becomes ``_``. A name that is changed further, or would not be unique, ends with a
    digest of the original, so that the result does not depend on the order of the tools.
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
            size += 1  # another tool has this very name
        cleaned[name] = new
        taken.add(new)
    return cleaned


def repaired(tool: dict[str, Any]) -> None:
    """Change a tool of a list so that mcp accepts it.

    mcp rejects the complete list because of one invalid schema. It also validates results against
    ``outputSchema`` in the event loop, where a regular expression can block the process.
    """
    tool.pop("outputSchema", None)
    given = tool.get("inputSchema")
    if given is None:  # of a tool without parameters
        given = {}
    if not isinstance(given, dict):
        tool["inputSchema"] = {"type": "object", _INVALID: f"is not an object: {given!r:.100}"}
        return
    schema = {
        key: value
        for key, value in cast("dict[str, Any]", given).items()
        if value is not None and (value != [] or key not in _OBJECTS)  # PHP encodes {} as []
    }
    kind = schema.get("type", "object")
    invalid: str | None = None
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        invalid = f"has the type {kind!r:.100}, not 'object'"
    for key in _OBJECTS:
        if not isinstance(schema.get(key, {}), dict):
            invalid = f"has {key} that are not an object"
    tool["inputSchema"] = (
        {**schema, "type": "object"} if invalid is None else {"type": "object", _INVALID: invalid}
    )


class Parameters(Struct, frozen=True):
    """The parameters of a tool, in the form that the service accepts."""

    schema: dict[str, Any]
    wrapped: bool = False
    """Whether the arguments are nested in a property ``arguments``: a union at the top level."""

    originals: dict[str, str] = {}
    """Original names of renamed properties, by the new name."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Parameters:
        """Convert the ``inputSchema`` of a tool that was `repaired`.

        Raises:
            ValueError: The schema is invalid or not that of an object.
        """
        if _INVALID in given:
            raise ValueError(f"its inputSchema {given[_INVALID]}")
        schema = dict(given)
        if not _REJECTED_AT_TOP.isdisjoint(schema):
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
            ValueError: The nested arguments are not an object.
        """
        if self.wrapped:
            inner: Any = arguments.get(_WRAPPER, arguments)  # some models omit the wrapper
            if not isinstance(inner, dict):
                raise ValueError(f"{_WRAPPER!r} must be an object")
            return cast("dict[str, Any]", inner)
        return {self.originals.get(name, name): value for name, value in arguments.items()}


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    # "$id" would change the base of the references.
    inner = {key: value for key, value in schema.items() if key not in {"$id", "$schema"}}
    definitions = {key: inner.pop(key) for key in ("$defs", "definitions") if key in inner}
    return {
        "type": "object",
        "properties": {_WRAPPER: _moved(inner)},
        "required": [_WRAPPER],
        **_moved(definitions),
    }


def _moved(value: Any) -> Any:
    """Return a schema whose references point to the new positions of their targets."""
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
    """Convert a result to message parts for the model.

    Raises:
        ValueError: The result is too large.
    """
    size = sum(map(_size, result.content))
    if size > _MAX_RESULT:
        raise ValueError(f"the result has {size:,} characters, more than {_MAX_RESULT:,}")
    parts = [_as_part(block) for block in result.content]
    if result.structured_content is not None:
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        if not _repeats(texts, result.structured_content):
            text = json.dumps(result.structured_content, ensure_ascii=False)
            if size + len(text) > _MAX_RESULT:
                raise ValueError(f"the result has more than {_MAX_RESULT:,} characters")
            parts.append(TextPart(text))
    return parts


def _size(block: ContentBlock) -> int:
    holder: Any = getattr(block, "resource", block)
    return sum(len(getattr(holder, name, None) or "") for name in ("text", "data", "blob"))


def _repeats(texts: list[str], structured: dict[str, Any]) -> bool:
    """Return True if the texts contain the structured content, which servers should repeat.

    The official package wraps values that are not objects in ``{"result": ...}``, and writes each
    item of a list as a separate text.
    """
    values: list[Any] = [structured]
    if structured.keys() == {"result"}:
        values.append(structured["result"])
    decoded: list[Any] = []
    for text in texts:
        decoded.append(text)
        with suppress(ValueError, RecursionError):
            decoded[-1] = json.loads(text)
    return bool(texts) and any(value in (*decoded, *texts, decoded, texts) for value in values)


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
    """Return an image with the type of its bytes, because servers declare wrong types."""
    with suppress(
        ConfigurationError, ValueError
    ):  # another format, such as SVG; ValueError: invalid base64
        return image(b64decode(data))
    return None


def _unsupported(kind: str) -> TextPart:
    return TextPart(f"({kind[:200]}: not supported)")
