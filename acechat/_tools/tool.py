"""`Tool`: a function or a JSON Schema that a model may call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, TypeVar, cast, overload
from weakref import ref

import msgspec
from msgspec import Struct

from acechat._tools.signature import (
    binding_of,
    check_parameter_name,
    innermost,
    read_arguments,
    signature_of,
)
from acechat._wire.encode import encode
from acechat.errors import ConfigurationError

__all__ = ["CompiledTool", "Tool", "by_name", "compile_tool", "tool", "write_functions"]

_F = TypeVar("_F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNIONS = {"allOf", "anyOf", "oneOf"}
_ATTRIBUTE = "__acechat_tool__"  # of a function: its _ToolOverrides

_object = msgspec.json.Decoder(dict[str, Any])


class CompiledTool(Struct, frozen=True):
    """A tool without its function.

    Cached as long as the function lives, so it must not refer to it.
    """

    name: str
    timeout: float | None
    read: Callable[[str], dict[str, Any]]

    asynchronous: bool
    """Whether its function is a coroutine function."""

    encoded: bytes | bytearray
    """`Tool.definition` as JSON."""


_MAX_PER_FUNCTION = 32
"""Cached tools of one function: a program may create a new description for each run."""

_compiled: dict[ref[FunctionType], dict[object, CompiledTool]] = {}
"""Cache by function, then by name, overrides and `binding_of`; entries end with their function.

To compile a tool takes longer than most tools run; a lookup in a `WeakKeyDictionary`, as long as
some."""


def _read_object(arguments: str) -> dict[str, Any]:
    """Decode arguments without a check against the schema."""
    return cast("dict[str, Any]", read_arguments(_object, arguments))


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


class Tool(Struct, frozen=True, kw_only=True):
    """A tool that a model may call.

    `AsyncClient.run` makes one of each function. Construct a `Tool` if the parameters are known
    only at run time: *function* then receives the model's arguments as keywords, unchecked.

    Raises:
        ConfigurationError: The service would reject *name* or *parameters*.

    Example:
        >>> Tool(name="row", parameters={"type": "object", "properties": {}}, function=print)
    """

    name: str
    """The name that the model uses: 1 to 64 ASCII letters, digits, ``_`` and ``-``."""

    function: Callable[..., Any]
    """The function to call. A function that is not a coroutine function runs in a thread."""

    description: str = ""
    """Purpose of the tool and when to use it; sent to the model."""

    parameters: Mapping[str, Any] = msgspec.field(default_factory=_no_parameters)
    """JSON Schema of the arguments, of type ``object``, without a union at the top level."""

    timeout: float | None = None
    """Time limit of one call in seconds; None for *tool_timeout* of `AsyncClient.run`."""

    read: Callable[[str], dict[str, Any]] = _read_object
    """Decodes the model's JSON to keywords of *function*; raises `ValueError` if it is invalid."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"invalid tool name: {self.name!r}; use 1 to 64 ASCII letters, digits, _ and -, "
                "as in tool(function, name=...)"
            )
        _check_parameters(self.name, self.parameters)

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """Call the function with the given arguments."""
        return self.function(*args, **arguments)

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as the API's JSON: an entry of the request field ``tools``."""
        parameters: dict[str, Any] = {**_no_parameters(), **self.parameters}
        function: dict[str, Any] = {"name": self.name, "parameters": parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}


def _check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a schema that the service may reject.

    See docs/api.md#request-fields.
    """
    if parameters.get("type", "object") != "object":
        raise ConfigurationError(
            f"the parameters of the tool {name!r} must have the type 'object', "
            f"not {parameters['type']!r}"
        )
    unions = sorted(_UNIONS & parameters.keys())
    if unions:
        raise ConfigurationError(
            f"the parameters of the tool {name!r} have {unions[0]!r} at the top level, which the "
            "service rejects: move it into a property"
        )
    properties: Any = parameters.get("properties") or ()
    for parameter in properties:
        check_parameter_name(str(parameter), name)


class _ToolOverrides(Struct, frozen=True):
    """The values that `tool` sets for a function; None for those of the function itself."""

    name: str | None = None
    description: str | None = None
    timeout: float | None = None


_NO_OVERRIDES = _ToolOverrides()


@overload
def tool(function: _F, /) -> _F: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, timeout: float | None = None
) -> Callable[[_F], _F]: ...
@overload
def tool(
    function: _F,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> _F: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> Any:
    """Override the name, the description or the time limit of a function as a tool.

    Every annotated function is a tool without this decorator. A plain function is returned itself.
    For a bound method, or a function that already has overrides, a wrapper is returned.

    Args:
        function: A function, another callable, or a `Tool`, of which a changed copy is returned.
        name: The name that the model uses; None for the function's name.
        description: Purpose and use; None for the docstring up to its first section.
        timeout: Time limit of one call in seconds; None for *tool_timeout* of `AsyncClient.run`.

    Returns:
        The function, or a decorator if *function* is not given.

    Example:
        >>> @tool(name="weather", timeout=5)
        ... def forecast_of(city: str) -> str: ...
    """
    if function is None:
        return partial(tool, name=name, description=description, timeout=timeout)
    given = {"name": name, "description": description, "timeout": timeout}
    given = {key: value for key, value in given.items() if value is not None}
    if isinstance(function, Tool):
        return msgspec.structs.replace(function, **given)
    known: _ToolOverrides = getattr(function, _ATTRIBUTE, _NO_OVERRIDES)
    overrides = msgspec.structs.replace(known, **given)
    if overrides == known:
        return function
    if known is _NO_OVERRIDES:
        with suppress(AttributeError, TypeError):  # a bound method takes no attributes
            setattr(function, _ATTRIBUTE, overrides)
            return function
    wrapper = partial(function)
    setattr(wrapper, _ATTRIBUTE, overrides)
    return wrapper


def compile_tool(tool: Any) -> CompiledTool:
    """Return the compiled form of a `Tool`, function, method, partial or other callable.

    Raises:
        ConfigurationError: A parameter has no type, or one that JSON cannot represent.
        TypeError: *tool* is not callable.
    """
    function, binding = binding_of(tool)
    if function is None:
        return _compile(tool)
    key = getattr(tool, "__name__", None), getattr(tool, _ATTRIBUTE, None), binding
    cached = _compiled.get(ref(function))
    if cached is None:
        cached = _compiled[ref(function, _evict)] = {}
    compiled = cached.get(key)
    if compiled is None:
        if len(cached) >= _MAX_PER_FUNCTION:
            cached.clear()
        compiled = cached[key] = _compile(tool)
    return compiled


def _evict(function: ref[FunctionType]) -> None:
    _compiled.pop(function, None)


def _compile(tool: Any) -> CompiledTool:
    if isinstance(tool, Tool):
        asynchronous = iscoroutinefunction(tool.function)
        return CompiledTool(
            tool.name, tool.timeout, tool.read, asynchronous, encode(tool.definition)
        )
    if not callable(tool):
        if isinstance(tool, Mapping):
            raise ConfigurationError(
                "run() needs a function for each tool, not its JSON: pass functions, or "
                "Tool(name=..., parameters=..., function=...)"
            )
        kind: str = type(cast("object", tool)).__name__
        raise TypeError(f"a tool must be a function or a dict with a JSON Schema, not {kind}")
    overrides: _ToolOverrides = getattr(tool, _ATTRIBUTE, _NO_OVERRIDES)
    name = overrides.name or getattr(tool, "__name__", None) or _inner_name(tool)
    signature = signature_of(tool, name)
    made = Tool(
        name=name,
        function=tool,
        description=signature.description
        if overrides.description is None
        else overrides.description,
        parameters=signature.schema,
        timeout=overrides.timeout,
        read=signature.read,
    )
    return _compile(made)


def _inner_name(function: Any) -> str:
    inner = innermost(function)
    return getattr(inner, "__name__", None) or type(inner).__name__


def write_functions(tools: Iterable[Any]) -> list[Mapping[str, Any] | msgspec.Raw]:
    """Replace the functions in *tools* by their JSON definitions. Dicts are returned unchanged.

    Raises:
        ConfigurationError: A function cannot be described.
    """
    return [
        cast("Mapping[str, Any]", each)
        if isinstance(each, Mapping)
        else msgspec.Raw(compile_tool(each).encoded)
        for each in tools
    ]


def by_name(tools: Iterable[Any]) -> dict[str, tuple[CompiledTool, Callable[..., Any]]]:
    """Return the compiled forms and functions of *tools* by name.

    Raises:
        ConfigurationError: Two tools have the same name, or a tool has no function.
        TypeError: A tool is not callable.
    """
    named: dict[str, tuple[CompiledTool, Callable[..., Any]]] = {}
    for one in tools:
        compiled = compile_tool(one)
        if compiled.name in named:
            raise ConfigurationError(
                f"two tools are named {compiled.name!r}: rename one with tool(function, name=...)"
            )
        named[compiled.name] = compiled, one.function if isinstance(one, Tool) else one
    return named
