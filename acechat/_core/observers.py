"""Report the events of calls to the client's observers and to the log."""

from __future__ import annotations

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from acechat._core.instrumentation import Instrumentation
from acechat._tools.executor import ToolEnded
from acechat.errors import ConfigurationError
from acechat.types import ToolCall, ToolResult
from acechat.types.call_event import (
    AttemptFailed,
    CallEvent,
    CallFinished,
    FirstToken,
    RequestSent,
)

__all__ = ["Observer", "Observers", "add_global_observer", "log_by_environment"]

_T = TypeVar("_T")

Observer: TypeAlias = Callable[[CallEvent], object]
"""Called with each event, in the event loop, so it must not block. Its return value is ignored.

The first exception that it raises is logged, and no exception ends the call, SystemExit included:
the response is paid for, and other threads may use the loop. Only KeyboardInterrupt is raised."""

_log = logging.getLogger("acechat")
_log.addHandler(logging.NullHandler())  # the program decides whether to log

_LOG_VARIABLE = "ACECHAT_LOG"
_LOG_LEVELS = ("debug", "info", "warning", "error")


class _StderrHandler(logging.Handler):
    """Writes to stderr, unless the program has set up logging itself."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers and sys.stderr is not None:
            try:
                print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - a log
            except (OSError, ValueError):
                self.handleError(record)  # stderr was closed


def log_by_environment() -> None:
    """Log to stderr from the level in ``ACECHAT_LOG`` on; do nothing if it is not set.

    Raises:
        ConfigurationError: It is not the name of a level.
    """
    level = os.environ.get(_LOG_VARIABLE, "").strip().lower()
    if not level:
        return
    if level not in _LOG_LEVELS:
        raise ConfigurationError(
            f"{_LOG_VARIABLE} must be one of {', '.join(_LOG_LEVELS)}, not {level!r}"
        )
    _log.setLevel(level.upper())
    if not any(isinstance(handler, _StderrHandler) for handler in _log.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s acechat: %(message)s"))
        _log.addHandler(handler)


_everywhere: list[Observer] = []
"""Observers of all clients of the process."""


def add_global_observer(observer: Observer) -> Callable[[], None]:
    """Call *observer* with the events of all clients of the process; return a function to stop.

    Clients that exist already are included. The observers of a client are called first.

    Raises:
        TypeError: *observer* cannot be called, or is an ``async def``.
    """
    _check(observer)
    _everywhere.append(observer)

    def remove() -> None:
        if observer in _everywhere:
            _everywhere.remove(observer)

    return remove


class Observers:
    """The observers of one client and its copies.

    Args:
        observers: Functions that are called with each event, in this order, after the log; default
            none.

    Raises:
        TypeError: An observer cannot be called, or is an ``async def``.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._all = tuple(observers)
        self._broken: set[int] = set()
        for observer in self._all:
            _check(observer)
        self._instruments = _instruments(self._all)
        self._success = any(map(_wants_success, self._all))

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def watching(self) -> bool:
        """Whether events of successful calls are reported: to observers, or to a log at DEBUG."""
        return bool(self._all or _everywhere) or _log.isEnabledFor(logging.DEBUG)

    @property
    def success(self) -> bool:
        """Whether `RequestSent` and `CallFinished` are reported to an observer or the log."""
        if self._success or (_everywhere and any(map(_wants_success, _everywhere))):
            return True
        return _log.isEnabledFor(logging.DEBUG)

    @property
    def instruments(self) -> list[Instrumentation]:
        """The observers that see content, too."""
        return self._instruments + _instruments(_everywhere) if _everywhere else self._instruments

    def report(self, event: CallEvent) -> None:
        """Log *event*, and call all observers with it; only KeyboardInterrupt is raised."""
        level = logging.DEBUG if type(event) in _DEBUG else _level(event)
        if _log.isEnabledFor(level):
            _log.log(level, "%s", _Line(event))
        for observer in (*self._all, *_everywhere) if _everywhere else self._all:
            self.guard(observer, observer, event)

    def guard(self, observer: Observer, method: Callable[..., _T], *arguments: object) -> _T | None:
        """Return the value of a method of *observer*; log its first exception, return None then."""
        try:
            return method(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - no exception of an observer ends the call
            if id(observer) not in self._broken:
                self._broken.add(id(observer))
                _log.exception(
                    "the observer %r raised; further exceptions of it are not shown", observer
                )
            return None

    def tool_started(self, call: ToolCall) -> ToolEnded:
        """Report that a tool is called; return the callback for its end."""
        started = [
            (observer, self.guard(observer, observer.tool_started, call))
            for observer in self.instruments
        ]

        def ended(result: ToolResult | None, error: BaseException | None) -> None:
            for observer, callback in reversed(started):
                if callback is not None:
                    self.guard(observer, callback, result, error)

        return ended


def _instruments(observers: Iterable[Observer]) -> list[Instrumentation]:
    return [observer for observer in observers if isinstance(observer, Instrumentation)]


def _wants_success(observer: Observer) -> bool:
    return not isinstance(observer, Instrumentation) or observer.success_events


def _check(observer: Observer) -> None:
    """Raise TypeError if *observer* cannot be called, or is an ``async def``."""
    if not callable(observer) or _is_asynchronous(observer):
        raise TypeError(f"an observer must be a plain function, not {observer!r}")


def _is_asynchronous(observer: Observer) -> bool:
    call = type(observer).__call__  # where the observer is an object
    return inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(call)


_DEBUG = frozenset({RequestSent, FirstToken, CallFinished})
"""Events that are logged at level DEBUG."""


def _level(event: CallEvent) -> int:
    if not isinstance(event, AttemptFailed):
        return logging.INFO
    # A retry after an attempt that may have been billed costs money: a warning.
    twice = event.may_be_billed and event.retry_in is not None
    return logging.WARNING if twice else logging.INFO


class _Line:
    """An event as text, ``call 7: FirstToken attempt=1 …``, built only if it is logged."""

    def __init__(self, event: CallEvent) -> None:
        self._event = event

    def __str__(self) -> str:
        event = self._event
        facts = {name: getattr(event, name) for name in event.__struct_fields__ if name != "call"}
        if isinstance(event, CallFinished):
            usage = facts.pop("usage")
            facts["tokens"] = usage.total_tokens if usage else None
            facts["cost"] = event.cost.amount if event.cost else None
        fields = " ".join(
            f"{name}={_short(fact)}" for name, fact in facts.items() if fact is not None
        )
        return f"call {event.call}: {type(event).__name__} {fields}"


def _short(fact: object) -> str:
    if isinstance(fact, float):
        return f"{fact:.3f}"
    text = str(fact)
    # The service chooses codes, models and ids: they must not forge lines, fields or colors.
    plain = text.isprintable() and not any(char in text for char in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
