"""Read parameters, types and descriptions from the signature and docstring of a function."""

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

from acechat._tools.descriptions import describe, described
from acechat._tools.repair import decode_repaired
from acechat._tools.schema import SchemaMismatchError, convert_hook, schema_of
from acechat.errors import ConfigurationError

__all__ = [
    "PARAMETER_NAME",
    "Signature",
    "binding_of",
    "check_parameter_name",
    "innermost",
    "read_arguments",
    "signature_of",
]

PARAMETER_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""Names that the service accepts at the top level of a tool's parameters."""


_VARIADIC: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


_PYDANTIC_MODULES = {"pydantic", "annotated_types"}


_PARTIAL: type[partial[Any]] = partial


_SIGNATURE_OVERRIDES = {"__signature__", "__wrapped__"}
"""Attributes that `inspect.signature` prefers to the arguments of a partial."""


def innermost(function: Any) -> Any:
    """Return the function inside of nested partials, which have no name of their own."""
    while isinstance(function, _PARTIAL):
        function = function.func
    return function


class Signature:
    """The parameters and the description of a function that is a tool.

    Args:
        name: Name of the tool.
        hints: Type of each parameter.
        defaults: Default of each optional parameter.
        documentation: Description of the function and of each parameter, see `describe`.

    Raises:
        ConfigurationError: A type has no JSON Schema.
        TypeError: As msgspec raises for a struct of these types.
        ValueError: As above.
    """

    def __init__(
        self,
        name: str,
        hints: dict[str, Any],
        defaults: dict[str, Any],
        documentation: tuple[str, dict[str, str]],
    ) -> None:
        self.description, texts = documentation
        # Arguments not sent are left to the function: JSON may not be able to hold the default.
        fields = [
            (key, hint, msgspec.field(default_factory=_unset)) if key in defaults else (key, hint)
            for key, hint in hints.items()
        ]
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(struct, dec_hook=convert_hook)
        self._optional = tuple(defaults)
        self.schema = _with_documentation(schema_of(struct), hints, defaults, texts)

    def read(self, arguments: str) -> dict[str, Any]:
        """Decode the model's JSON to keywords of the function.

        Raises:
            SchemaMismatchError: It does not match the schema.
        """
        values = msgspec.structs.asdict(read_arguments(self._decoder, arguments))
        for name in self._optional:
            if values[name] is UNSET:
                del values[name]
        return values


def _unset() -> Any:
    return UNSET


def read_arguments(decoder: msgspec.json.Decoder[Any], arguments: str) -> Any:
    try:
        # Some models write null if there are no arguments.
        return decode_repaired(decoder.decode, "{}" if arguments == "null" else arguments)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = f"invalid JSON: {error}"
    raise SchemaMismatchError(reason)


def _with_documentation(
    schema: dict[str, Any],
    hints: dict[str, Any],
    defaults: dict[str, Any],
    texts: dict[str, str],
) -> dict[str, Any]:
    """Add descriptions and defaults to *schema*."""
    schema.pop("title", None)
    for name, known in schema.get("properties", {}).items():
        if name in texts:
            known.setdefault("description", texts[name])
        if name in defaults:
            with suppress(
                TypeError, ValueError, RecursionError
            ):  # JSON cannot represent it: leave it out
                known["default"] = _as_json(defaults[name], hints[name])
    return schema


def _as_json(default: object, hint: Any) -> Any:
    """Convert *default* to JSON values.

    Raises:
        TypeError: JSON cannot represent it.
        ValueError: As above, or the type does not include it, as in ``days: int = None``.
    """
    if isinstance(default, float) and not isfinite(default):
        raise ValueError(default)  # msgspec encodes it as null
    encoded = msgspec.json.encode(default)
    msgspec.json.decode(encoded, type=hint, dec_hook=convert_hook)
    return msgspec.json.decode(encoded)


def binding_of(function: Any) -> tuple[FunctionType | None, object]:
    """Return the plain function inside *function*, and how it is bound: together, a cache key.

    Bound methods and partials are new objects each time, with the same signature. The function is
    None for other callables, and for a partial that overrides its signature: they are not cached.
    """
    if type(function) is FunctionType:
        return function, None
    inner: Any = function
    binding: tuple[object, ...] = ()
    if type(inner) is _PARTIAL and not _SIGNATURE_OVERRIDES & vars(inner).keys():
        inner, binding = inner.func, (len(inner.args), *inner.keywords)
    if type(inner) is MethodType:
        # A method without a docstring inherits one, which depends on the class of its object.
        inner, binding = inner.__func__, (binding, inner.__doc__ or inspect.getdoc(inner))
    return (inner if type(inner) is FunctionType else None), binding


_signatures: WeakKeyDictionary[FunctionType, dict[object, Signature]] = WeakKeyDictionary()
"""Cache by function and `binding_of`; overrides such as a name do not change a signature."""


def signature_of(function: Any, name: str) -> Signature:
    """Return the signature of *function*, the tool *name*; cached.

    Raises:
        ConfigurationError: A parameter has no type, or one that JSON cannot represent.
    """
    inner, binding = binding_of(function)
    if inner is None:
        return _read_signature(function, name)
    cached = _signatures.setdefault(inner, {})
    signature = cached.get(binding)
    if signature is None:
        signature = cached[binding] = _read_signature(function, name)
    return signature


def _read_signature(function: Any, name: str) -> Signature:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"cannot read the parameters of the tool {name!r}: it has no signature"
        ) from None
    fixed = cast("partial[Any]", function).keywords if isinstance(function, partial) else {}
    open_ = {key: parameter for key, parameter in parameters.items() if key not in fixed}
    for parameter in open_.values():
        _check(parameter, name)
    hints = _hints(function, {key: one.annotation for key, one in open_.items()}, name)
    defaults = {key: one.default for key, one in open_.items() if one.default is not one.empty}
    for key, hint in hints.items():
        if type(defaults.get(key)).__name__ == "FieldInfo" or _has_pydantic_constraints(hint):
            raise ConfigurationError(
                f"{key!r} of the tool {name!r} uses pydantic's Field or constraints outside of a "
                "pydantic model, where they have no effect: use Annotated[..., msgspec.Meta(...)]"
            )
    try:
        return Signature(name, hints, defaults, describe(innermost(function)))
    except (ConfigurationError, TypeError, ValueError) as error:
        reason = str(error)
    for key, hint in hints.items():  # find the parameter to name
        try:
            schema_of(hint)
        except ConfigurationError as error:
            raise ConfigurationError(f"{key!r} of the tool {name!r}: {error.reason}") from None
    raise ConfigurationError(f"cannot build a JSON Schema for the tool {name!r}: {reason}")


def _check(parameter: inspect.Parameter, name: str) -> None:
    """Raise ConfigurationError for a parameter that has no JSON Schema."""
    stars = _VARIADIC.get(parameter.kind)
    if stars:
        reason = f"has the parameter {stars}{parameter.name}, which has no JSON Schema"
    elif parameter.kind is parameter.POSITIONAL_ONLY:
        reason = f"has the positional-only parameter {parameter.name!r}; tools take keywords"
    elif parameter.annotation is parameter.empty:
        reason = f"has the parameter {parameter.name!r} without a type annotation"
    else:
        check_parameter_name(parameter.name, name)
        return
    raise ConfigurationError(f"the tool {name!r} {reason}")


def check_parameter_name(parameter: str, name: str) -> None:
    """Raise ConfigurationError if the service would reject the parameter of the tool *name*."""
    if not PARAMETER_NAME.fullmatch(parameter):
        raise ConfigurationError(
            f"the tool {name!r} has the parameter {parameter!r}: rename it, because the service "
            "accepts 1 to 64 ASCII letters, digits, _, . and -"
        )


def _has_pydantic_constraints(hint: Any) -> bool:
    """Return True for annotations such as pydantic's ``Field(ge=1)``, which msgspec ignores."""
    modules = {type(one).__module__.partition(".")[0] for one in getattr(hint, "__metadata__", ())}
    return not modules.isdisjoint(_PYDANTIC_MODULES) or any(
        map(_has_pydantic_constraints, get_args(hint))
    )


def _hints(function: Any, annotations: dict[str, Any], name: str) -> dict[str, Any]:
    """Resolve annotations that are strings in the namespace of the function."""
    inner = inspect.unwrap(innermost(function))
    if not hasattr(inner, "__globals__") and not hasattr(inner, "__func__"):
        inner = inner.__call__  # an object that defines __call__
    names = getattr(inspect.unwrap(inner), "__globals__", {})
    holder = type("annotated", (), {"__annotations__": annotations})
    try:
        hints = get_type_hints(holder, globalns=names, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"cannot resolve an annotation of the tool {name!r} outside of its function: {error}"
        ) from None
    return {key: described(hint) for key, hint in hints.items()}
