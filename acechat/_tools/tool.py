"""`Tool`: what a model may call, made of a function or by hand."""

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

from acechat._tools.signature import innermost, read_arguments, signature_of, way_of
from acechat._wire.encode import encode
from acechat.errors import ConfigurationError

__all__ = ["CompiledTool", "Tool", "by_name", "compile_tool", "tool", "write_functions"]

_F = TypeVar("_F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOTE = "__acechat_tool__"

_object = msgspec.json.Decoder(dict[str, Any])


class CompiledTool(Struct, frozen=True):
    """A tool without its function, with which it is kept."""

    name: str
    timeout: float | None
    read: Callable[[str], dict[str, Any]]

    asynchronous: bool
    """Whether its function is a coroutine function."""

    written: bytes | bytearray
    """`Tool.definition` as JSON."""


_MOST_FORMS = 32
"""Of one function: what `tool` says may be said anew for each run."""

_forms: dict[ref[FunctionType], dict[object, CompiledTool]] = {}
"""Of functions, as long as these are, by what else decides them. To make one takes longer than most
tools do, to look for it in a `WeakKeyDictionary` as long as some."""


def _read_object(arguments: str) -> dict[str, Any]:
    """Read arguments that nobody but the function itself checks."""
    return cast("dict[str, Any]", read_arguments(_object, arguments))


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


class Tool(Struct, frozen=True, kw_only=True):
    """A tool that a model may call.

    `AsyncClient.run` makes one of each function. Make one yourself of what is known only at run
    time: then *function* gets what the model sends, as keywords.

    Example:
        >>> Tool(name="row", parameters={"type": "object", "properties": {}}, function=print)
    """

    name: str
    """What the model calls it: up to 64 letters, digits, ``_`` and ``-`` of ASCII."""

    function: Callable[..., Any]
    """What is called; one that is not asynchronous runs in a thread."""

    description: str = ""
    """When to use it, and for what."""

    parameters: Mapping[str, Any] = msgspec.field(default_factory=_no_parameters)
    """A JSON Schema of an object."""

    timeout: float | None = None
    """Seconds that one call may take; None for what `AsyncClient.run` is told."""

    read: Callable[[str], dict[str, Any]] = _read_object
    """Turns JSON into the keywords of *function*; raises `ValueError` with what is wrong."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a tool cannot be named {self.name!r}: use up to 64 letters, digits, _ and -, "
                "as in tool(function, name=...)"
            )

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """Call the function."""
        return self.function(*args, **arguments)

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as the API's own JSON."""
        function: dict[str, Any] = {"name": self.name, "parameters": self.parameters}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}


class _ToolOverrides(Struct, frozen=True):
    """What `tool` says about a function."""

    name: str | None = None
    description: str | None = None
    timeout: float | None = None


_NOTHING_SAID = _ToolOverrides()


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
    """Say about a function what its signature does not; it stays the function that it is.

    Only needed to override: every annotated function is a tool as it stands. A method of an object,
    and what was told otherwise before, stays as it is too: what is returned calls it.

    Args:
        function: What is called; a `Tool` gets another name, too.
        name: What the model calls it; None for the function's name.
        description: When to use it; None for the docstring up to its first section.
        timeout: Seconds that one call may take; None for what `AsyncClient.run` is told.

    Example:
        >>> @tool(name="weather", timeout=5)
        ... def forecast_of(city: str) -> str: ...
    """
    if function is None:
        return partial(tool, name=name, description=description, timeout=timeout)
    said = {"name": name, "description": description, "timeout": timeout}
    said = {key: value for key, value in said.items() if value is not None}
    if isinstance(function, Tool):
        return msgspec.structs.replace(function, **said)
    known: _ToolOverrides = getattr(function, _NOTE, _NOTHING_SAID)
    note = msgspec.structs.replace(known, **said)
    if note == known:
        return function
    if known is _NOTHING_SAID:
        with suppress(AttributeError, TypeError):  # of what can hold no note
            setattr(function, _NOTE, note)
            return function
    wrapper = partial(function)
    setattr(wrapper, _NOTE, note)
    return wrapper


def compile_tool(tool: Any) -> CompiledTool:
    """Return the form of a `Tool`, a function, a method, a partial, or what else can be called.

    Raises:
        ConfigurationError: It takes what no model can send, or does not say what it takes.
        TypeError: It cannot be called.
    """
    function, way = way_of(tool)
    if function is None:
        return _make_form(tool)
    key = getattr(tool, "__name__", None), getattr(tool, _NOTE, None), way
    forms = _forms.get(ref(function))
    if forms is None:
        forms = _forms[ref(function, _forget)] = {}
    form = forms.get(key)
    if form is None:
        if len(forms) >= _MOST_FORMS:  # each user is told of his own documents
            forms.clear()
        form = forms[key] = _make_form(tool)
    return form


def _forget(function: ref[FunctionType]) -> None:
    _forms.pop(function, None)


def _make_form(tool: Any) -> CompiledTool:
    if isinstance(tool, Tool):
        asynchronous = iscoroutinefunction(tool.function)
        return CompiledTool(
            tool.name, tool.timeout, tool.read, asynchronous, encode(tool.definition)
        )
    if not callable(tool):
        if isinstance(tool, Mapping):
            raise ConfigurationError(
                "run() calls tools, and JSON cannot be called: give functions, or "
                "Tool(name=..., parameters=..., function=...)"
            )
        kind: str = type(cast("object", tool)).__name__
        raise TypeError(f"a tool is a function, or a dict with its JSON Schema, not {kind}")
    note: _ToolOverrides = getattr(tool, _NOTE, _NOTHING_SAID)
    name = note.name or getattr(tool, "__name__", None) or _name_within(tool)
    signature = signature_of(tool, name)
    made = Tool(
        name=name,
        function=tool,
        description=signature.description if note.description is None else note.description,
        parameters=signature.schema,
        timeout=note.timeout,
        read=signature.read,
    )
    return _make_form(made)


def _name_within(function: Any) -> str:
    inner = innermost(function)
    return getattr(inner, "__name__", None) or type(inner).__name__


def write_functions(tools: Iterable[Any]) -> list[Mapping[str, Any] | msgspec.Raw]:
    """Replace the functions among *tools* by their JSON; dicts stay as they are.

    Raises:
        ConfigurationError: A function cannot be described.
    """
    return [
        cast("Mapping[str, Any]", each)
        if isinstance(each, Mapping)
        else msgspec.Raw(compile_tool(each).written)
        for each in tools
    ]


def by_name(tools: Iterable[Any]) -> dict[str, tuple[CompiledTool, Callable[..., Any]]]:
    """Return the forms and functions of *tools*, each of which has a name of its own.

    Raises:
        ConfigurationError: Two have the same name, or one is no function that can be called.
    """
    named: dict[str, tuple[CompiledTool, Callable[..., Any]]] = {}
    for one in tools:
        form = compile_tool(one)
        if form.name in named:
            raise ConfigurationError(
                f"two tools are named {form.name!r}: tool(function, name=...) gives another name"
            )
        named[form.name] = form, one.function if isinstance(one, Tool) else one
    return named
