"""Decode JSON that msgspec refuses and other parsers accept, and normalize unusual completions.

The last tier of decoding: a billed response is not lost because a character in it is broken or a
relay renamed a field. Nothing here runs for a response of the usual form.
"""

from __future__ import annotations

import re
from contextlib import suppress
from math import isfinite
from typing import Any, cast

import msgspec

__all__ = [
    "BEFORE_JSON",
    "Halves",
    "decode_repaired",
    "error_of_choice",
    "has_too_many_values",
    "is_empty_error",
    "is_event_stream",
    "normalize_choices",
    "unwrap",
]

_BOM = b"\xef\xbb\xbf"
BEFORE_JSON = _BOM + b" \t\r\n"
"""Bytes that may precede JSON."""

_MAX_DIGITS = 400
"""A longer integer is null: Python refuses 4,300 digits, and parsing takes quadratic time."""

_EVENT_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*(?:data|event|id|retry)?:")
_BYTES = re.compile("[\udc80-\udcff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile(
    "(?:[\ud800-\udbff]|[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?"
    "|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})\\Z"
)
"""The first half of a character at the end of a text: a high surrogate, or an incomplete sequence
of UTF-8, whose bytes ``surrogateescape`` represents as U+DC80 to U+DCFF."""


class Halves(dict[tuple[int, str, int], str]):
    """First halves of characters, by choice, field, and tool call (0 for a text).

    Args:
        one_choice: Whether the index of a choice counts for nothing.
    """

    __slots__ = ("one_choice",)

    def __init__(self, *, one_choice: bool = False) -> None:
        super().__init__()
        self.one_choice = one_choice


_MAX_INDEX_DIGITS, _LARGE, _MAX_HALF = 30, 2**18, 3
"""Digits of an index that is text; bytes of JSON whose values are counted; bytes of a half."""

_MAX_NESTING = 8
"""Levels of content parts inside of each other that are searched for texts."""


def has_too_many_values(data: bytes, most: int = 100_000) -> bool:
    """Return True if *data* has more than *most* values, and more than 256 KB.

    Decoding them to Python's objects, one by one, would occupy the event loop for long. The marks
    between values are counted, within texts, too: one text of 5 MB has 100,000.
    """
    count = 0
    for at in range(0, len(data) if len(data) > _LARGE else 0, _LARGE):
        count += sum(data.count(mark, at, at + _LARGE) for mark in (b",", b"[", b"{"))
        if count > most:
            return True
    return False


def decode_repaired(data: bytes, halves: Halves | None = None) -> Any:
    """Decode JSON to builtins, with mistakes that other parsers accept.

    They are a byte order mark, NaN, raw control characters, lone surrogates, broken UTF-8, and
    integers of any length. NaN, infinity and integers of more than 400 digits become None, and
    U+FFFD replaces bytes that are no character.

    Args:
        data: The JSON.
        halves: Of the characters that earlier events of a stream have begun; changed in place.

    Raises:
        ValueError: *data* is not JSON, or nested too deeply.
    """
    import json  # few programs need it

    try:
        value = json.loads(
            data.removeprefix(_BOM).decode("utf-8", "surrogateescape"),
            strict=False,
            parse_constant=_nothing,
            parse_float=_finite,
            parse_int=_integer,
        )
        if halves is not None and isinstance(value, dict):
            _join_halves(cast("dict[str, Any]", value), halves)
        return _repaired(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if isfinite(value) else None


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def is_event_stream(body: bytes, content_type: str) -> bool:
    """Return True if *body* consists of server-sent events; its bytes count for more than its type.

    Args:
        body: The complete body.
        content_type: As in the headers.
    """
    if body.lstrip(BEFORE_JSON)[:1] in {b"{", b"["} and body.find(b"\ndata:") < 0:
        return False
    return _EVENT_FIELD.match(body) is not None or content_type.lower().startswith(
        "text/event-stream"
    )


def _repaired(value: Any) -> Any:
    """Replace code points that are no characters by U+FFFD, in all strings of decoded JSON."""
    if isinstance(value, str):
        return _characters(value)
    if isinstance(value, list):
        return [_repaired(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {_characters(name): _repaired(item) for name, item in fields.items()}
    return value


def _characters(text: str) -> str:
    if text.isascii() or not _SURROGATE.search(text):
        return text
    joined = _BYTES.sub(
        lambda found: found[0].encode(errors="surrogateescape").decode(errors="replace"),
        _paired(text),
    )
    return _SURROGATE.sub("\ufffd", joined)


def _paired(text: str) -> str:
    """Join surrogates that form a pair; codecs take quadratic time for many that do not."""
    return _PAIR.sub(
        lambda found: found[0].encode("utf-16", "surrogatepass").decode("utf-16"), text
    )


def _join_halves(fields: dict[str, Any], halves: Halves) -> None:
    """Join characters that the service split over two events of a stream.

    Args:
        fields: The decoded event; changed in place.
        halves: The first halves of earlier events; changed in place. A half that is not continued
            stays in front of the next text of its field, and is repaired there.
    """
    for choice in _dicts(fields.get("choices")):
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        number = 0 if halves.one_choice else _number(choice.get("index"))
        texts = cast("dict[str, Any]", delta)
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            _join(texts, name, (number, name, 0), halves)
        for call in _dicts(texts.get("tool_calls")):
            function = call.get("function")
            if isinstance(function, dict):
                position = (number, "tool_calls", _number(call.get("index")))
                _join(cast("dict[str, Any]", function), "arguments", position, halves)


def _join(
    fields: dict[str, Any], name: str, position: tuple[int, str, int], halves: Halves
) -> None:
    text = fields.get(name)
    if not isinstance(text, str) or not text:
        return
    if position in halves:
        text = _paired(halves.pop(position) + text)
    half = _HALF.search(text[-_MAX_HALF:])
    if half is not None:
        halves[position] = half[0]
        text = text[: len(text) - len(half[0])]
    fields[name] = text


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in *value* if it is a list."""
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def _number(index: object) -> int:
    return index if isinstance(index, int) else 0


def is_empty_error(error: object) -> bool:
    """Return True if the members of an ``error`` object are all empty: then it is no error."""
    if not isinstance(error, dict):
        return not error
    return not any(cast("dict[str, Any]", error).values())


def error_of_choice(fields: dict[str, Any]) -> Any:
    """Return the error that a choice contains, or None.

    A gateway whose upstream failed after the head of a response reports it in the choice:
    ``{"finish_reason": "error", "error": {"code": 502}}``.
    """
    for choice in _dicts(fields.get("choices")):
        for place in (choice, *_dicts([choice.get("delta"), choice.get("message")])):
            if not is_empty_error(place.get("error")):
                return place["error"]
        if choice.get("finish_reason") == "error":
            return "the model's response failed"
    return None


def normalize_choices(fields: dict[str, Any], *, wanted: str) -> None:
    """Give the choices of *fields* the usual form, in place.

    ``message`` and ``delta`` replace each other, ``text`` the content; ``reasoning`` is another
    name of ``reasoning_content``; content parts are split into text and reasoning.

    Args:
        fields: The decoded body or event.
        wanted: ``"message"`` for a completion, ``"delta"`` for an event of a stream.
    """
    other = "delta" if wanted == "message" else "message"
    for choice in _dicts(fields.get("choices")):
        message: Any = choice.get(wanted)
        if not message and isinstance(choice.get(other), dict):
            message = choice[wanted] = choice[other]
        if not message and isinstance(choice.get("text"), str):
            message = choice[wanted] = {"content": choice["text"]}
        if isinstance(message, dict):
            _normalize_message(cast("dict[str, Any]", message))
        index = choice.get("index")
        if isinstance(index, str) and index.isdecimal() and len(index) <= _MAX_INDEX_DIGITS:
            choice["index"] = int(index)
        elif not isinstance(index, int | float):
            choice.pop("index", None)
        if is_empty_error(choice.get("error")):
            choice.pop("error", None)


def _normalize_message(message: dict[str, Any]) -> None:
    reasoning: Any = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, dict | list):
        reasoning = "".join(_texts_of(cast("object", reasoning))) or None
    content = message.get("content")
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        text = "".join(
            text for part in parts if not _is_reasoning(part) for text in _texts_of(part)
        )
        thought = "".join(text for part in parts if _is_reasoning(part) for text in _texts_of(part))
        message["content"] = text
        reasoning = reasoning or thought or None
    if reasoning is not None or "reasoning_content" in message:
        message["reasoning_content"] = reasoning
    message.pop("reasoning", None)


def _is_reasoning(part: object) -> bool:
    kind = cast("dict[str, Any]", part).get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind.startswith(("reasoning", "thinking"))


def _texts_of(part: object, depth: int = _MAX_NESTING) -> list[str]:
    """Return the texts of a content part, in any of the forms that services use."""
    if isinstance(part, str):
        return [part]
    if depth == 0:
        return []
    if isinstance(part, list):
        return [text for item in cast("list[Any]", part) for text in _texts_of(item, depth - 1)]
    if isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        for name in ("text", "thinking", "reasoning", "content", "summary"):
            if fields.get(name):
                return _texts_of(fields[name], depth - 1)
    return []


def unwrap(value: object) -> object:
    """Return the object in a list of one, or in a string of JSON; up to three levels deep."""
    for _ in range(3):
        value = _unwrapped_once(value)
    return value


def _unwrapped_once(value: object) -> object:
    if isinstance(value, list):
        items = cast("list[object]", value)
        return items[0] if len(items) == 1 else items
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            return msgspec.json.decode(value)
    return value
