"""Read the signature and the docstring of a function: parameters, types, descriptions."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from functools import partial
from math import isfinite
from types import FunctionType, MethodType
from typing import Any, cast, get_args, get_type_hints
from weakref import WeakKeyDictionary

import msgspec
from msgspec import UNSET

from acechat._tools.schema import SchemaMismatchError, convert_hook, schema_of
from acechat.errors import ConfigurationError

__all__ = ["Signature", "describe", "innermost", "read_arguments", "signature_of", "way_of"]

_SECTION = re.compile(
    r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|Attributes)[ ]*:[ ]*$",
    re.MULTILINE,
)


_ARGUMENTS = {"Args", "Arguments", "Parameters"}


_ENTRY = re.compile(r"(\w+)[ ]*(?:\([^)]*\))?[ ]*:[ ]*(.*)")


def describe(function: Any) -> tuple[str, dict[str, str]]:
    """Return the text before the first section, and what ``Args:`` says about each parameter."""
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = function.__call__ if callable(function) else function
    text = inspect.getdoc(function) or ""
    head, *rest = _SECTION.split(text)
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title in _ARGUMENTS:
            return head.strip(), _entries(body)
    return head.strip(), {}


def _entries(body: str) -> dict[str, str]:
    lines = [line for line in body.splitlines() if line.strip()]
    depth = min((_depth(line) for line in lines), default=0)
    entries: dict[str, list[str]] = {}
    text: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line.strip())
        if _depth(line) == depth and entry:
            text = entries.setdefault(entry[1], [])
            line = entry[2]  # noqa: PLW2901 - what it says after its name
        text.append(line.strip())
    return {name: " ".join(filter(None, texts)) for name, texts in entries.items()}


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


_VARIABLE: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


_PYDANTICS = {"pydantic", "annotated_types"}


_PARTIAL: type[partial[Any]] = partial


_SAYS_OTHERWISE = {"__signature__", "__wrapped__"}
"""What `inspect.signature` believes before it looks at a partial itself."""


def innermost(function: Any) -> Any:
    """Return what a partial, which has no name of its own, is part of."""
    while isinstance(function, _PARTIAL):
        function = function.func
    return function


class Signature:
    """What a function takes, and says about it.

    Args:
        name: The tool's.
        hints: The parameters' types.
        defaults: Of those that have one.
        told: What the docstring says about the function, and about each parameter.
    """

    def __init__(
        self,
        name: str,
        hints: dict[str, Any],
        defaults: dict[str, Any],
        told: tuple[str, dict[str, str]],
    ) -> None:
        self.description, texts = told
        # A default that is not sent is left to the function: it may be what no JSON can hold.
        fields = [
            (key, hint, msgspec.field(default_factory=_unset)) if key in defaults else (key, hint)
            for key, hint in hints.items()
        ]
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(struct, dec_hook=convert_hook)
        self._optional = tuple(defaults)
        self.schema = _described(schema_of(struct), hints, defaults, texts)

    def read(self, arguments: str) -> dict[str, Any]:
        """Read the keywords that the model gave."""
        values = msgspec.structs.asdict(read_arguments(self._decoder, arguments))
        for name in self._optional:
            if values[name] is UNSET:
                del values[name]
        return values


def _unset() -> Any:
    return UNSET


def read_arguments(decoder: msgspec.json.Decoder[Any], arguments: str) -> Any:
    try:
        return decoder.decode(arguments)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = f"this is no JSON: {error}"
    raise SchemaMismatchError(reason)


def _described(
    schema: dict[str, Any],
    hints: dict[str, Any],
    defaults: dict[str, Any],
    texts: dict[str, str],
) -> dict[str, Any]:
    """Add to *schema* what its type does not say: descriptions and defaults."""
    schema.pop("title", None)
    for name, known in schema.get("properties", {}).items():
        if name in texts:
            known.setdefault("description", texts[name])
        if name in defaults:
            with suppress(TypeError, ValueError, RecursionError):  # the function's own business
                known["default"] = _sendable(defaults[name], hints[name])
    return schema


def _sendable(default: object, hint: Any) -> Any:
    """Return *default* as a model may send it.

    Raises:
        TypeError: JSON cannot hold it.
        ValueError: The same; or the type does not hold it, as in ``days: int = None``.
    """
    if isinstance(default, float) and not isfinite(default):
        raise ValueError(default)  # it would be told as null
    told = msgspec.json.encode(default)
    msgspec.json.decode(told, type=hint, dec_hook=convert_hook)
    return msgspec.json.decode(told)


def way_of(function: Any) -> tuple[FunctionType | None, object]:
    """Return the function that *function* is made of, and how: what decides its signature.

    A method, and most partials, are made anew each time, but in the same way. None for what is made
    of something else, or says of itself what it takes.
    """
    if type(function) is FunctionType:
        return function, None
    inner: Any = function
    way: tuple[object, ...] = ()
    if type(inner) is _PARTIAL and not _SAYS_OTHERWISE & vars(inner).keys():
        inner, way = inner.func, (len(inner.args), *inner.keywords)
    if type(inner) is MethodType:
        # One that is not documented inherits its docstring, from where only its object knows.
        inner, way = inner.__func__, (way, inner.__doc__ or inspect.getdoc(inner))
    return (inner if type(inner) is FunctionType else None), way


_known: WeakKeyDictionary[FunctionType, dict[object, Signature]] = WeakKeyDictionary()
"""By the way that something is made of a function: whatever is said of it, it takes the same."""


def signature_of(function: Any, name: str) -> Signature:
    """Return what *function*, the tool *name*, takes; the same is read once.

    Raises:
        ConfigurationError: It takes what no model can send, or does not say what it takes.
    """
    inner, way = way_of(function)
    if inner is None:
        return _read_signature(function, name)
    known = _known.setdefault(inner, {})
    signature = known.get(way)
    if signature is None:
        signature = known[way] = _read_signature(function, name)
    return signature


def _read_signature(function: Any, name: str) -> Signature:
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ConfigurationError(f"the tool {name!r} does not tell what it takes") from None
    fixed = cast("partial[Any]", function).keywords if isinstance(function, partial) else {}
    open_ = {key: parameter for key, parameter in taken.items() if key not in fixed}
    for parameter in open_.values():
        _check(parameter, name)
    hints = _hints(function, {key: one.annotation for key, one in open_.items()}, name)
    defaults = {key: one.default for key, one in open_.items() if one.default is not one.empty}
    for key, hint in hints.items():
        if type(defaults.get(key)).__name__ == "FieldInfo" or _speaks_pydantic(hint):
            raise ConfigurationError(
                f"{key!r} of the tool {name!r} is described in pydantic's words, which count in a "
                "pydantic model alone: use Annotated[..., msgspec.Meta(...)]"
            )
    try:
        return Signature(name, hints, defaults, describe(innermost(function)))
    except (ConfigurationError, TypeError, ValueError) as error:
        reason = str(error)
    for key, hint in hints.items():  # which one is it?
        try:
            schema_of(hint)
        except ConfigurationError as error:
            raise ConfigurationError(f"{key!r} of the tool {name!r}: {error.reason}") from None
    raise ConfigurationError(f"the tool {name!r} cannot be told as JSON: {reason}")


def _check(parameter: inspect.Parameter, name: str) -> None:
    """Refuse what no model can send."""
    stars = _VARIABLE.get(parameter.kind)
    if stars:
        reason = f"takes {stars}{parameter.name}, which has no schema"
    elif parameter.kind is parameter.POSITIONAL_ONLY:
        reason = f"takes {parameter.name!r} by position only; tools are called by name"
    elif parameter.annotation is parameter.empty:
        reason = f"does not say of what type {parameter.name!r} is"
    else:
        return
    raise ConfigurationError(f"the tool {name!r} {reason}")


def _speaks_pydantic(hint: Any) -> bool:
    """Whether *hint* has annotations such as pydantic's ``Field(ge=1)``, which msgspec ignores."""
    said = {type(one).__module__.partition(".")[0] for one in getattr(hint, "__metadata__", ())}
    return not said.isdisjoint(_PYDANTICS) or any(map(_speaks_pydantic, get_args(hint)))


def _hints(function: Any, annotations: dict[str, Any], name: str) -> dict[str, Any]:
    """Resolve annotations that are texts where the function was written."""
    inner = inspect.unwrap(innermost(function))
    if not hasattr(inner, "__globals__") and not hasattr(inner, "__func__"):
        inner = inner.__call__  # an object with a method of this name
    names = getattr(inspect.unwrap(inner), "__globals__", {})
    holder = type("annotated", (), {"__annotations__": annotations})
    try:
        return get_type_hints(holder, globalns=names, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"the tool {name!r} names a type that cannot be found from outside: {error}"
        ) from None
