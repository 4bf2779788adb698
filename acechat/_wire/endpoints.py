"""Requests and responses of the other endpoints: models, catalog, count_tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from acechat._wire.decode import decode_json
from acechat._wire.lenient import convert
from acechat._wire.request import HTTPRequest, as_sendable_tool, build_request
from acechat.errors import ConfigurationError, ProtocolError
from acechat.types import CatalogModel, MessageLike, Model

__all__ = [
    "PATH",
    "build_count",
    "decode_catalog",
    "decode_count",
    "decode_models",
    "platform_root",
]


def decode_models(body: bytes) -> list[Model]:
    """Decode ``GET /v1/models``: ``{"data": [{"id": …}, …]}``.

    Raises:
        ProtocolError: The body contains no such list.
    """
    value = decode_json(body, "model list")
    entries = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ProtocolError("model list has no array 'data'", body=body)
    return [convert(entry, Model, body) for entry in cast("list[dict[str, Any]]", entries)]


PATH = "/models/catalog/?modality=chat"
"""Path of the catalogue below `platform_root` (docs/api.md#catalogue-and-account)."""


_API_HOST = re.compile(r"^(https?://)api((?:-[a-z]+)?\.acedata\.cloud)$")


def platform_root(api_root: str) -> str:
    """Return the root URL of the account API that belongs to *api_root*.

    ``platform.acedata.cloud`` for AceData's own hosts; the same host for any other.
    """
    scheme, _, rest = api_root.partition("://")
    origin = f"{scheme}://{rest.partition('/')[0]}"
    return _API_HOST.sub(r"\1platform\2", origin) + "/api/v1"


def decode_catalog(body: bytes) -> list[CatalogModel]:
    """Decode ``{"count": …, "items": [{"id": …, "pricing": {…}}, …]}``.

    Raises:
        ProtocolError: The body contains no such list.
    """
    value = decode_json(body, "catalogue")
    entries = cast("dict[str, Any]", value).get("items") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ProtocolError("catalogue has no array 'items'", body=body)
    return [convert(entry, CatalogModel, body) for entry in cast("list[dict[str, Any]]", entries)]


def build_count(
    messages: Sequence[MessageLike],
    *,
    model: str,
    tools: Sequence[Mapping[str, Any] | msgspec.Raw] | None,
) -> HTTPRequest:
    """Build the request that counts the tokens of *messages* and *tools*.

    The endpoint takes Anthropic's message format (docs/api.md#other-endpoints).

    Raises:
        ConfigurationError: A message or tool is malformed.
    """
    plain = cast("list[dict[str, Any]]", msgspec.to_builtins(list(messages)))
    try:
        body = _body(plain, model, tools)
    except (KeyError, TypeError, AttributeError, ProtocolError) as error:
        raise ConfigurationError(
            f"cannot count the tokens of a malformed message or tool: {error!r}"
        ) from None
    return build_request("/messages/count_tokens", body)


def _body(
    plain: list[dict[str, Any]],
    model: str,
    tools: Sequence[Mapping[str, Any] | msgspec.Raw] | None,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in plain if message["role"] != "system"],
    }
    system = [block for m in plain if m["role"] == "system" for block in _blocks(m.get("content"))]
    if system:
        body["system"] = system
    if tools:
        body["tools"] = [_tool(as_sendable_tool(tool)) for tool in tools]
    return body


def decode_count(body: bytes) -> int:
    """Decode ``{"input_tokens": 11}``.

    Raises:
        ProtocolError: The body has another form.
    """
    value = decode_json(body, "token count")
    count = cast("dict[str, Any]", value).get("input_tokens") if isinstance(value, dict) else None
    if type(count) is not int:
        raise ProtocolError("token count has no integer 'input_tokens'", body=body)
    return count


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if message["role"] == "tool":
        result = {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id", ""),
            "content": _blocks(content),
        }
        return {"role": "user", "content": [result]}
    blocks = _blocks(content)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = decode_json(
            function.get("arguments", "").encode() or b"{}", "tool call arguments"
        )
        blocks.append(
            {"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments}
        )
    return {"role": message["role"], "content": blocks}


def _blocks(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    if not content:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_image(part) if part.get("type") == "image_url" else part for part in content]


def _image(part: dict[str, Any]) -> dict[str, Any]:
    """Convert an image or a PDF, whose type of block is that of its data URL."""
    image = part["image_url"]
    url: str = image if isinstance(image, str) else image["url"]
    cache = {key: part[key] for key in ("cache_control",) if key in part}
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}} | cache
    head, _, data = url.partition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    block = "document" if kind == "application/pdf" else "image"
    source = {"type": "base64", "media_type": kind, "data": data}
    return {"type": block, "source": source} | cache


def _tool(tool: Mapping[str, Any] | msgspec.Raw) -> dict[str, Any]:
    plain = msgspec.json.decode(tool) if isinstance(tool, msgspec.Raw) else tool
    function = plain["function"]
    schema: Any = function.get("parameters") or {"type": "object", "properties": {}}
    named = {key: function[key] for key in ("name", "description") if key in function}
    cache = {key: plain[key] for key in ("cache_control",) if key in plain}
    return named | {"input_schema": schema} | cache
