"""Descriptions of functions, parameters and fields: docstrings, and texts in ``Annotated``."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from msgspec import Meta

__all__ = ["describe", "described", "field_texts"]

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|Attributes)[ ]*:[ ]*$",
    re.MULTILINE,
)


_ARGUMENTS = {"Args", "Arguments", "Parameters"}


_ENTRY = re.compile(r"(\w+)[ ]*(?:\([^)]*\))?[ ]*:[ ]*(.*)")


def describe(function: Any) -> tuple[str, dict[str, str]]:
    """Return the docstring up to its first section, and the ``Args:`` entry of each parameter."""
    head, *rest = _SECTION.split(_docstring(function))
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title in _ARGUMENTS:
            return head.strip(), _entries(body)
    return head.strip(), {}


def _docstring(function: Any) -> str:
    """Return the docstring of a function, class, or callable object.

    An object of a class that is a decorator has that of the decorated function, like the wrapper
    that `functools.lru_cache` returns. Other objects have that of ``__call__``, else of the class.
    """
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.getdoc(function) or ""
    kind = cast("type[Any]", type(function))
    own = getattr(function, "__doc__", None)
    if isinstance(own, str) and own != kind.__doc__:
        return inspect.cleandoc(own)
    calls = [vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)]
    texts = [getattr(call, "__doc__", None) for call in calls]
    return inspect.cleandoc(next(filter(None, texts), "")) or inspect.getdoc(kind) or ""


def _entries(body: str) -> dict[str, str]:
    lines = [line for line in body.splitlines() if line.strip()]
    depth = min((_depth(line) for line in lines), default=0)
    entries: dict[str, list[str]] = {}
    text: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line.strip())
        if _depth(line) == depth and entry:
            text = entries.setdefault(entry[1], [])
            line = entry[2]  # noqa: PLW2901 - the text after the name
        text.append(line.strip())
    return {name: " ".join(filter(None, texts)) for name, texts in entries.items()}


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def described(kind: Any) -> Any:
    """Return the type *kind* with texts as msgspec's descriptions.

    ``Annotated[str, "text"]`` and ``Annotated[str, Doc("text")]`` (PEP 727) are common in other
    packages; msgspec ignores both.
    """
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        inner, *metadata = parts
        text = _text_in(metadata)
        kept = [one for one in metadata if _text(one) is None]
        if text is not None:
            kept.append(Meta(description=text))
        new = described(inner)
        if new is inner and kept == metadata:
            return kind
        return Annotated[(new, *kept)] if kept else new
    new = tuple(map(described, parts))
    if all(one is other for one, other in zip(new, parts, strict=True)):
        return kind
    origin: Any = Union if get_origin(kind) is UnionType else get_origin(kind)
    return origin[new]


def field_texts(record: Any) -> dict[str, str]:
    """Return the texts in the annotations of the fields of the class *record*, by field."""
    texts: dict[str, str] = {}
    with suppress(NameError, TypeError, AttributeError):  # a forward reference
        origin = get_origin(record) or record
        for name, hint in get_type_hints(origin, include_extras=True).items():
            while get_origin(hint) is not Annotated and len(parts := get_args(hint)) == 1:
                (hint,) = parts  # noqa: PLW2901 - inside of Required[...] or ClassVar[...]
            if get_origin(hint) is Annotated:
                text = _text_in(get_args(hint)[1:])
                if text is not None:
                    texts[name] = text
    return texts


def _text_in(metadata: Any) -> str | None:
    """Return the first text in the *metadata* of an annotation; None if a `Meta` has one."""
    if any(isinstance(one, Meta) and one.description is not None for one in metadata):
        return None
    return next(filter(None, map(_text, metadata)), None)


def _text(metadata: object) -> str | None:
    if isinstance(metadata, str):
        return metadata
    if type(metadata).__name__ != "Doc":  # of typing_extensions, annotated_doc, …
        return None
    text = getattr(metadata, "documentation", None)
    return text if isinstance(text, str) else None
