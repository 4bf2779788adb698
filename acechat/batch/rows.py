"""Rows of the input: their forms, ids and faults. No I/O."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, cast

import msgspec
from msgspec import Struct

from acechat._hints import unknown_option
from acechat._wire.messages import as_sendable
from acechat.batch.inputs.ids import IdTable
from acechat.errors import ConfigurationError
from acechat.types import ChatOptions

__all__ = ["RawRow", "Row", "RowReader"]

_ENDPOINT = "/chat/completions"
_IDS = ("custom_id", "id")
_OPTIONS = ChatOptions.__optional_keys__
_NOT_OPTIONS = {"model", "messages", "stream", "prompt", "system", "extra_body", *_IDS}
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


class RawRow(Struct, frozen=True):
    """One row as it was read."""

    number: int
    """From 0, empty lines not counted."""

    line: int
    """Line of the input, from 1."""

    data: bytes
    """JSON, as it was read or made of the columns."""

    fault: str = ""
    """Why the row could not be read; empty if it could."""

    @property
    def content(self) -> int:
        """Checksum of *data*, by which a changed row is found."""
        return zlib.crc32(self.data)


class Row(Struct, frozen=True, kw_only=True):
    """One row, ready to be sent unless it has a *fault*."""

    number: int
    line: int
    id: str
    content: int
    messages: list[Any] = []
    model: str | None = None
    options: dict[str, Any] = {}
    extra_body: dict[str, Any] | None = None
    images: list[str] = []
    """Paths and URLs of images that are added to the last message."""

    fault: str = ""


class RowReader:
    """Turns the rows of an input into requests, in order.

    Accepted are lines of OpenAI's Batch API, bodies of requests, objects with a *prompt*, and
    strings; with a *template*, any object.

    Args:
        template: Text of the user message with ``{name}`` for the fields of a row; None for none.
        system: The system prompt of rows without one; None for none.
        image_field: The field of a row that names its image, or a list of images; None for none.
    """

    def __init__(
        self,
        template: str | None = None,
        system: str | None = None,
        image_field: str | None = None,
    ) -> None:
        self._template = template
        self._system = system
        self._image_field = image_field
        self._ids = IdTable()

    def read_id(self, raw: RawRow) -> str:
        """Register the id of a row that needs no request, and return it."""
        name: str | None = None
        with suppress(_FaultError, msgspec.DecodeError, UnicodeError, RecursionError):
            name = None if raw.fault else msgspec.json.decode(raw.data, type=_Ids).name()
        try:
            return self._id(raw, name)
        except _FaultError:
            return self._id(raw, None)

    def read(self, raw: RawRow) -> Row:
        """Return the row of *raw*, with its *fault* if it cannot be sent."""
        name: str | None = None
        fields: dict[str, Any] = {}
        fault = raw.fault
        try:
            if not fault:
                value = _decode(raw.data)
                name = _own_id(value)
                images = self._images(value)
                fields = self._request(value) | {"images": images}
        except _FaultError as error:
            fault = str(error)
        try:
            row_id = self._id(raw, name)
        except _FaultError as error:
            fault, row_id = str(error), self._id(raw, None)
        row = Row(number=raw.number, line=raw.line, id=row_id, content=raw.content, fault=fault)
        return row if fault else msgspec.structs.replace(row, **fields)

    def _id(self, raw: RawRow, name: str | None) -> str:
        """Return the id of a row: its own, or one of its content.

        Raises:
            _FaultError: Another row has the same.
        """
        if name is not None:
            if before := self._ids.add(name, raw.line):
                raise _FaultError(f"custom_id {name!r} is that of line {before}, too")
            return name
        name = blake2b(raw.data, digest_size=8).hexdigest()
        if self._ids.add(name, raw.line):
            name = self._ids.numbered(name)
            self._ids.add(name, raw.line)
        return name

    def _request(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a `Row` that make its request.

        Raises:
            _FaultError: It cannot be sent.
        """
        if self._template is not None:
            return {"messages": self._messages([_user(fill(self._template, value))], self._system)}
        body = _body(value)
        system = body.get("system", self._system)
        if "messages" in body:
            messages = body["messages"]
            if not isinstance(messages, list) or not messages:
                raise _FaultError("messages must be a list of at least one message")
            messages = cast("list[Any]", messages)
        elif isinstance(body.get("prompt"), str):
            messages = [_user(body["prompt"])]
        else:
            raise _FaultError('no "prompt", "messages" or "body"')
        model = body.get("model")
        extra = body.get("extra_body")
        if model is not None and not isinstance(model, str):
            raise _FaultError(f"model must be text, not {model!r}")
        if extra is not None and not isinstance(extra, dict):
            raise _FaultError("extra_body must be an object")
        return {
            "messages": self._messages(messages, system),
            "model": model,
            "extra_body": extra,
            "options": _options(body),
        }

    def _images(self, value: dict[str, Any]) -> list[str]:
        """Remove the images from the fields of a row, and return them."""
        if self._image_field is None:
            return []
        given: Any = value.pop(self._image_field, None) or []
        images = cast("list[Any]", given if isinstance(given, list) else [given])
        if not all(isinstance(each, str) for each in images):
            raise _FaultError(f"{self._image_field} must be a path or URL, or a list of them")
        return images

    @staticmethod
    def _messages(messages: list[Any], system: Any) -> list[Any]:
        try:
            sendable = [as_sendable(message) for message in messages]
        except (ConfigurationError, TypeError) as error:
            raise _FaultError(str(error)) from None
        first: Any = messages[0]
        if system is None or first.get("role") in {"system", "developer"}:
            return sendable
        return [{"role": "system", "content": system}, *sendable]


class _FaultError(Exception):
    """A row cannot be sent."""


class _Ids(Struct):
    custom_id: Any = None
    id: Any = None

    def name(self) -> str | None:
        return _own_id({"custom_id": self.custom_id, "id": self.id})


def _decode(data: bytes) -> dict[str, Any]:
    try:
        value: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _FaultError(f"not JSON: {error}") from None
    if isinstance(value, str):
        return {"prompt": value}
    if isinstance(value, list):
        return {"messages": value}
    if not isinstance(value, dict):
        raise _FaultError(f"expected an object, got {data[:40].decode(errors='replace')}")
    return cast("dict[str, Any]", value)


def _own_id(value: Mapping[str, Any]) -> str | None:
    for key in _IDS:
        name = value.get(key)
        if isinstance(name, int) and not isinstance(name, bool):
            return str(name)
        if name is not None and name != "":
            if not isinstance(name, str):
                raise _FaultError(f"{key} must be text, not {name!r}")
            return name
    return None


def _body(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request body of a row, without the envelope of OpenAI's Batch API."""
    method, url = value.get("method", "POST"), value.get("url", _ENDPOINT)
    if method != "POST":
        raise _FaultError(f"method must be POST, not {method!r}")
    if not isinstance(url, str) or not url.rstrip("/").endswith(_ENDPOINT):
        raise _FaultError(f"url must be /v1{_ENDPOINT}, not {url!r}: other endpoints have no batch")
    if "body" not in value:
        return {name: field for name, field in value.items() if name not in {"method", "url"}}
    body = value["body"]
    if not isinstance(body, dict):
        raise _FaultError("body must be an object")
    return cast("dict[str, Any]", body)


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, field in body.items():
        if name in _OPTIONS:
            if field is not None:
                options[name] = field
        elif name not in _NOT_OPTIONS:
            raise _FaultError(unknown_option(name, _OPTIONS))
    return options


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Replace each ``{name}`` of *template* by a field; ``{{`` and ``}}`` are braces.

    Raises:
        _FaultError: The row has no such field.
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        value = fields.get(name)
        if value is None:
            known = ", ".join(sorted(map(str, fields)))
            raise _FaultError(f"no field {name!r} for the template; the row has {known}")
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    return _PLACEHOLDER.sub(replace, template)
