"""Approve the calls of tools before they are executed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, cast

from acechat._tools.tool_content import ToolFailureError

__all__ = [
    "Approval",
    "ApprovalFailedError",
    "Approve",
    "ToolRefusedError",
    "approve_of",
    "changed_by",
    "set_approve",
]

Approval: TypeAlias = bool | str | Mapping[str, Any]
"""True allows a call, False refuses it, a str refuses it with a reason, a mapping allows it with
these arguments."""

Approve: TypeAlias = Callable[[str, dict[str, Any]], Approval | Awaitable[Approval]]
"""Receives the name and the arguments of a call."""

_ATTRIBUTE = "__acechat_approve__"
"""Of a function: its own `Approve`. Not an override, which the cache of compiled tools compares."""

_PARTIAL: type[partial[Any]] = partial


class ToolRefusedError(ToolFailureError):
    """A call was refused; the message is the text that the model receives."""


class ApprovalFailedError(Exception):
    """An `Approve` raised its cause, which ends the run: it is no failure of the tool."""


def approve_of(function: Any) -> Approve | None:
    """Return the `Approve` of a function, or of that inside of a partial; None if it has none."""
    approve: Approve | None = getattr(function, _ATTRIBUTE, None)
    while approve is None and isinstance(function, _PARTIAL):
        function = function.func
        approve = getattr(function, _ATTRIBUTE, None)
    return approve


def set_approve(function: Any, approve: Approve | None) -> None:
    """Set the `Approve` of a function; None leaves it unchanged."""
    if approve is not None:
        setattr(function, _ATTRIBUTE, approve)


def changed_by(approval: object) -> dict[str, Any] | None:
    """Return the arguments of an approval; None to leave those of the model unchanged.

    Raises:
        ToolRefusedError: The call is refused.
        TypeError: *approval* has another type, such as None for a forgotten return.
    """
    if approval is True:
        return None
    if approval is False or isinstance(approval, str):
        reason = f": {approval}" if approval else ""
        raise ToolRefusedError(f"The call was refused and not executed{reason}")
    if isinstance(approval, Mapping):
        return dict(cast("Mapping[str, Any]", approval))
    raise TypeError(
        "approve must return True, False, a reason (str) or changed arguments (dict), "
        f"not {type(approval).__name__}"
    )
