"""`tool`: override the properties of a function as a tool."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, overload

import msgspec

from acechat._media.cache import CacheOption, cache_control
from acechat._tools.approval import Approve, approve_of, set_approve
from acechat._tools.tool import ATTRIBUTE, NO_OVERRIDES, Tool, ToolOverrides

__all__ = ["tool"]

_F = TypeVar("_F", bound=Callable[..., Any])


@overload
def tool(function: _F, /) -> _F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    cache: CacheOption = None,
) -> Callable[[_F], _F]: ...
@overload
def tool(
    function: _F,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    cache: CacheOption = None,
) -> _F: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    approve: Approve | None = None,
    cache: CacheOption = None,
) -> Any:
    """Override the name, the description or the time limit of a function as a tool.

    Every annotated function is a tool without this decorator. A plain function is returned itself.
    For a bound method, or a function that already has overrides, a wrapper is returned.

    Args:
        function: A function, another callable, or a `Tool`, of which a changed copy is returned.
        name: The name that the model uses; None for the function's name.
        description: Purpose and use; None for the docstring up to its first section.
        timeout: Time limit of one call in seconds; None for *tool_timeout* of `AsyncClient.run`.
        approve: Decides about each call of the tool, see `AsyncClient.run`; None for *approve* of
            the run.
        cache: True, ``"5m"`` or ``"1h"``, see `Tool.cache`; None for no cache.

    Returns:
        The function, or a decorator if *function* is not given.

    Example:
        >>> @tool(name="weather", timeout=5)
        ... def forecast_of(city: str) -> str: ...
    """
    if function is None:
        return partial(
            tool,
            name=name,
            description=description,
            timeout=timeout,
            approve=approve,
            cache=cache,
        )
    cache_control(cache)
    given = {"name": name, "description": description, "timeout": timeout, "cache": cache}
    given = {key: value for key, value in given.items() if value is not None}
    if isinstance(function, Tool):
        approve = function.approve if approve is None else approve
        return msgspec.structs.replace(function, approve=approve, **given)
    known: ToolOverrides = getattr(function, ATTRIBUTE, NO_OVERRIDES)
    overrides = msgspec.structs.replace(known, **given)
    if overrides == known and approve is None:
        return function
    if known is NO_OVERRIDES and approve_of(function) is None:
        with suppress(AttributeError, TypeError):  # a bound method takes no attributes
            setattr(function, ATTRIBUTE, overrides)
            set_approve(function, approve)
            return function
    wrapper = partial(function)
    setattr(wrapper, ATTRIBUTE, overrides)
    set_approve(wrapper, approve)
    return wrapper
