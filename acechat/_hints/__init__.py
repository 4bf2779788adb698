"""Suggestions for names that other clients use, and for misspelled ones.

Nothing here is an alias: each name leads to an error that states acechat's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from acechat._hints.words import (
    CALL_WORDS,
    CHAT,
    CLIENT_ATTRIBUTES,
    CLIENT_WORDS,
    COMPLETION_ATTRIBUTES,
    DELTA_ATTRIBUTES,
    ERROR_ATTRIBUTES,
    NAMES,
    STREAM_ATTRIBUTES,
)

__all__ = [
    "CHAT",
    "CLIENT_ATTRIBUTES",
    "COMPLETION_ATTRIBUTES",
    "DELTA_ATTRIBUTES",
    "ERROR_ATTRIBUTES",
    "STREAM_ATTRIBUTES",
    "NotHere",
    "attribute_error",
    "check_arguments",
    "hint_attributes",
    "import_or_attribute_error",
    "not_awaitable",
    "unknown_option",
    "warn_of_missing_headers",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _close(name: str, known: Iterable[str]) -> str | None:
    """Return the name in *known* that *name* is most likely a misspelling of."""
    from difflib import get_close_matches

    plain = {each.lower().replace("_", ""): each for each in known}
    found = get_close_matches(name.lower().replace("_", ""), plain, 1, 0.75)
    return plain[found[0]] if found else None


_ARGUMENTS = (
    "messages", "system", "model", "output_type", "timeout", "retries", "extra_body",
    "extra_headers",
)  # fmt: skip
"""Arguments of `chat` that are no fields of the request."""


def unknown_option(name: str, options: Iterable[str]) -> str:
    """Return the message for *name*, which is none of the *options* of a request."""
    close = _close(name, [*options, *_ARGUMENTS])
    if name in CALL_WORDS:
        meant = CALL_WORDS[name]
    elif name in CLIENT_WORDS:
        meant = f"an argument of the client, {CLIENT_WORDS[name]}"
    elif close:
        meant = f"{close!r}?"
    else:
        meant = f"extra_body={{{name!r}: ...}}?"
    return f"unknown option {name!r}: did you mean {meant} extra_body= sends any other field"


def check_arguments(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the method *call*, of a client, raise a `TypeError` that suggests an argument."""
    code = cast("Any", call).__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    allowed = frozenset(known)

    @wraps(call)
    def checked(*args: _P.args, **arguments: _P.kwargs) -> _R:
        if not allowed.issuperset(arguments):
            name = next(each for each in arguments if each not in allowed)
            method = call.__name__
            shown = type(args[0]).__name__ if method == "__init__" else method
            raise TypeError(f"{shown}() has no argument {name!r}: {_argument_hint(name, known)}")
        return call(*args, **arguments)

    return checked


def _argument_hint(name: str, known: Iterable[str]) -> str:
    meant = CLIENT_WORDS.get(name)
    close = _close(name, known)
    if meant is None and close:
        meant = f"{close!r}?"
    if meant is None:
        meant = f"chat(..., {name}=...)? Options of a request go to each call, or to conversation()"
    return f"did you mean {meant}"


def attribute_error(
    owner: object, name: str, words: Mapping[str, str], known: Iterable[str] = ()
) -> AttributeError:
    """Return the exception for the missing attribute *name* of *owner*."""
    text = f"{type(owner).__name__!r} object has no attribute {name!r}"
    if meant := words.get(name):
        text = f"{text}: did you mean {meant}"
    elif (close := _close(name, known)) is not None:
        text = f"{text}: did you mean {close!r}?"
    return AttributeError(text, name=name, obj=owner)


class NotHere:
    """An attribute of other clients, such as ``completions`` of ``client.chat``."""

    def __init__(self, path: str, hint: str) -> None:
        self._path = path
        self._hint = hint

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"there is no {self._path}.{name}: did you mean {self._hint}")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise AttributeError(f"there is no {self._path}(): did you mean {self._hint}")


def import_or_attribute_error(module: str, name: str, known: Iterable[str]) -> Exception:
    """Return the exception for the missing *name* of a public *module*.

    ``from module import name`` looks the name up with `hasattr` first. An `AttributeError` would be
    replaced by an `ImportError` without the suggestion, so that look-up gets its `ImportError` now.
    """
    from inspect import currentframe

    text = f"module {module!r} has no attribute {name!r}"
    meant = NAMES.get(name) or (None if name.startswith("__") else _close(name, known))
    if meant is None and name.endswith(("Error", "Exception")):
        meant = "AceChatError, the base of all errors"
    if meant is None:
        return AttributeError(text)
    shown, _, remark = meant.partition(",")
    shown = f"acechat.{shown}" if shown in known or shown in NAMES.values() else shown
    text = f"{text}: did you mean {shown}{',' * bool(remark)}{remark}?"
    frame = currentframe()
    for _ in range(2):  # out of this function, and of the module's __getattr__
        frame = frame and frame.f_back
    if frame is not None and frame.f_code.co_name == "_handle_fromlist":
        return ImportError(text, name=module)
    return AttributeError(text)


def hint_attributes(words: Mapping[str, str]) -> Callable[[_R], _R]:
    """Return a class decorator that gives an error with a hint to each attribute of *words*.

    For classes whose attributes are read for each chunk: Python reads them more slowly if their
    class has a ``__getattr__``.
    """

    def decorate(cls: _R) -> _R:
        for name, hint in words.items():
            setattr(cls, name, _elsewhere(name, hint))
        return cls

    return decorate


def _elsewhere(name: str, hint: str) -> property:
    def read(owner: object) -> NoReturn:
        raise attribute_error(owner, name, {name: hint})

    return property(read, doc=f"Not an attribute: did you mean {hint}\n\n:meta private:")


def not_awaitable(hint: str) -> Callable[[object], NoReturn]:
    """Return an ``__await__`` that raises a `TypeError` with *hint*."""

    def refuse(owner: object) -> NoReturn:
        raise TypeError(f"{type(owner).__name__} cannot be awaited: {hint}")

    return refuse


def warn_of_missing_headers() -> None:
    """Warn if a Starlette response without the content type of a stream iterates over the caller.

    A browser's ``EventSource`` would refuse it. The response is found on the stack, because it
    passes nothing to the iterator.
    """
    from inspect import currentframe

    frame = currentframe()
    for _ in range(5):
        frame = frame and frame.f_back
        response = frame and frame.f_locals.get("self")
        if response is None or not hasattr(response, "body_iterator"):
            continue
        if "text/event-stream" not in response.headers.get("content-type", ""):
            import warnings

            warnings.warn(
                "the response has no content type text/event-stream: pass the headers of the "
                "relay, relay = client.stream(...).sse(); "
                "StreamingResponse(relay, headers=relay.headers)",
                RuntimeWarning,
                stacklevel=3,
            )
        return
