"""`Tool`: a function or a JSON Schema that a model may call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, TypeAlias, cast
from weakref import ref

import msgspec
from msgspec import Struct

from acechat._media.cache import CacheOption, cache_control
from acechat._tools.approval import Approve, approve_of
from acechat._tools.signature import (
    binding_of,
    check_parameter_name,
    innermost,
    read_arguments,
    signature_of,
)
from acechat._wire.encode import encode
from acechat.errors import ConfigurationError

__all__ = [
    "ATTRIBUTE",
    "NO_OVERRIDES",
    "CompiledTool",
    "KnownTool",
    "Tool",
    "ToolOverrides",
    "by_name",
    "compile_tool",
    "read_object",
    "write_functions",
]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNIONS = {"allOf", "anyOf", "oneOf"}
ATTRIBUTE = "__acechat_tool__"  # of a function: its ToolOverrides

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


def read_object(arguments: str) -> dict[str, Any]:
    """Decode arguments without a check against the schema."""
    return cast("dict[str, Any]", read_arguments(_object, arguments))


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


class Tool(Struct, frozen=True, kw_only=True):
    """A tool that a model may call.

    `AsyncClient.run` makes one of each function. Construct a `Tool` if the parameters are known
    only at run time: *function* then receives the model's arguments as keywords, unchecked.

    Raises:
        ConfigurationError: The service would reject *name* or *parameters*, or *cache* is invalid.

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

    approve: Approve | None = None
    """Decides about each call before it is executed, see *approve* of `AsyncClient.run`; None for
    that of the run."""

    cache: CacheOption = None
    """True or ``"5m"``, or ``"1h"``: the service may cache the tools up to this one, and reads them
    at a lower price from then on; None for no cache. See `acechat.text`."""

    read: Callable[[str], dict[str, Any]] = read_object
    """Decodes the model's JSON to keywords of *function*; raises `ValueError` if it is invalid."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"invalid tool name: {self.name!r}; use 1 to 64 ASCII letters, digits, _ and -, "
                "as in tool(function, name=...)"
            )
        _check_parameters(self.name, self.parameters)
        cache_control(self.cache)

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
        definition: dict[str, Any] = {"type": "function", "function": function}
        if self.cache is not None:
            definition["cache_control"] = cache_control(self.cache)
        return definition


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


class ToolOverrides(Struct, frozen=True):
    """The values that `acechat.tool` sets for a function; None for those of the function itself."""

    name: str | None = None
    description: str | None = None
    timeout: float | None = None
    cache: CacheOption = None


NO_OVERRIDES = ToolOverrides()


def compile_tool(tool: Any) -> CompiledTool:
    """Return the compiled form of a `Tool`, function, method, partial or other callable.

    Raises:
        ConfigurationError: A parameter has no type, or one that JSON cannot represent.
        TypeError: *tool* is not callable.
    """
    function, binding = binding_of(tool)
    if function is None:
        return _compile(tool)
    key = getattr(tool, "__name__", None), getattr(tool, ATTRIBUTE, None), binding
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
    overrides: ToolOverrides = getattr(tool, ATTRIBUTE, NO_OVERRIDES)
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
        cache=overrides.cache,
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


KnownTool: TypeAlias = tuple[CompiledTool, Callable[..., Any], Approve | None]
"""A tool with its function, and the callable that approves its calls."""


def by_name(tools: Iterable[Any]) -> dict[str, KnownTool]:
    """Return the compiled forms and functions of *tools* by name.

    Raises:
        ConfigurationError: Two tools have the same name, or a tool has no function.
        TypeError: A tool is not callable.
    """
    named: dict[str, KnownTool] = {}
    for one in tools:
        compiled = compile_tool(one)
        if compiled.name in named:
            raise ConfigurationError(
                f"two tools are named {compiled.name!r}: rename one with tool(function, name=...)"
            )
        if isinstance(one, Tool):
            named[compiled.name] = compiled, one.function, one.approve
        else:
            named[compiled.name] = compiled, one, approve_of(one)
    return named
