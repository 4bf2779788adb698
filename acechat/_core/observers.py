"""Report the events of calls to the client's observers and to the log."""

from __future__ import annotations

import inspect
import itertools
import json
import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from acechat._wire.request import HTTPRequest
from acechat.errors import AceChatError, APIError, Attempt
from acechat.types import ChatCompletion
from acechat.types.call_event import (
    AttemptFailed,
    CallEvent,
    CallFailed,
    CallFinished,
    FirstToken,
    RequestSent,
)

__all__ = ["CallReporter", "Observer", "Observers"]

Observer: TypeAlias = Callable[[CallEvent], object]
"""Called with each event, in the event loop, so it must not block. Its return value is ignored.

The first exception that it raises is logged, and no exception ends the call, SystemExit included:
the response is paid for, and other threads may use the loop. Only KeyboardInterrupt is raised."""

_log = logging.getLogger("acechat")
_log.addHandler(logging.NullHandler())  # the program decides whether to log

_numbers = itertools.count(1)


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
            if not callable(observer) or _is_asynchronous(observer):
                raise TypeError(f"an observer must be a plain function, not {observer!r}")

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def watching(self) -> bool:
        """Whether events of successful calls are reported: to observers, or to a log at DEBUG."""
        return bool(self._all) or _log.isEnabledFor(logging.DEBUG)

    def report(self, event: CallEvent) -> None:
        """Log *event*, and call all observers with it; only KeyboardInterrupt is raised."""
        level = _level(event)
        if _log.isEnabledFor(level):
            _log.log(level, "%s", _Line(event))
        for number, observer in enumerate(self._all):
            try:
                observer(event)
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - no exception of an observer ends the call
                if number not in self._broken:
                    self._broken.add(number)
                    _log.exception(
                        "the observer %r raised; further exceptions of it are not shown", observer
                    )


def _is_asynchronous(observer: Observer) -> bool:
    call = type(observer).__call__  # where the observer is an object
    return inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(call)


def _level(event: CallEvent) -> int:
    match event:
        case AttemptFailed():
            # A retry after an attempt that may have been billed costs money: a warning.
            twice = event.may_be_billed and event.retry_in is not None
            return logging.WARNING if twice else logging.INFO
        case CallFailed():
            return logging.INFO
        case _:
            return logging.DEBUG


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


class CallReporter:
    """Reports the events of one call.

    Args:
        observers: The client's observers.
        model: The requested model; empty for none.
    """

    def __init__(self, observers: Observers, model: str) -> None:
        self.model = model
        self._observers = observers
        self._call = next(_numbers)
        self._first_token: float | None = None
        self._ended = False
        self.asked: int | None = None
        """Number of requests that were sent; None if not counted."""

    def sent(self, request: HTTPRequest, *, attempt: int, elapsed: float) -> None:
        """Report that *request* is sent."""
        self.asked = attempt
        self._observers.report(
            RequestSent(
                call=self._call,
                attempt=attempt,
                elapsed=elapsed,
                model=self.model,
                method=request.method,
                path=request.path,
                request_bytes=len(request.body or b""),
            )
        )

    def first_token(self, *, attempt: int, elapsed: float, trace_id: str | None) -> None:
        """Report, once, that content arrived."""
        if self._ended or self._first_token is not None:
            return
        self._first_token = elapsed
        self._observers.report(
            FirstToken(
                call=self._call,
                attempt=attempt,
                elapsed=elapsed,
                model=self.model,
                trace_id=trace_id,
            )
        )

    def attempt_failed(
        self, attempt: Attempt, error: AceChatError, *, elapsed: float, retry_in: float | None
    ) -> None:
        """Report a failed attempt; *retry_in* is None if there is no next one."""
        self._observers.report(
            AttemptFailed(
                call=self._call,
                attempt=attempt.number,
                elapsed=elapsed,
                took=attempt.elapsed,
                model=self.model,
                failure=attempt.failure,
                error=type(error).__name__,
                status=error.status if isinstance(error, APIError) else None,
                code=error.code if isinstance(error, APIError) else None,
                trace_id=error.trace_id,
                may_be_billed=attempt.may_be_billed,
                retry_in=retry_in,
            )
        )

    def finished(
        self,
        completion: ChatCompletion | None,
        *,
        attempts: int,
        elapsed: float,
        response_bytes: int,
    ) -> None:
        """Report a complete response; *completion* is None if it is of another kind."""
        self._ended = True
        response = completion.response if completion else None
        self._observers.report(
            CallFinished(
                call=self._call,
                attempts=attempts,
                elapsed=elapsed,
                first_token=self._first_token,
                model=(completion.model if completion else "") or self.model,
                status=response.status if response else None,
                trace_id=response.trace_id if response else None,
                finish_reason=completion.finish_reason if completion else None,
                usage=completion.usage if completion else None,
                response_bytes=response_bytes,
            )
        )

    def failed(
        self,
        error: BaseException | None,
        attempts: tuple[Attempt, ...],
        *,
        made: int,
        elapsed: float,
    ) -> None:
        """Report, once, that the call ended without a complete response.

        Args:
            error: The exception that ended the call; None if its caller closed it.
            attempts: The failed attempts.
            made: Number of attempts.
            elapsed: Seconds since the call began.
        """
        if self._ended:
            return
        self._ended = True
        if isinstance(error, AceChatError):
            failure = attempts[-1].failure if attempts else "unsent"
        else:
            failure = "raised" if isinstance(error, Exception) else "cancelled"
        asked = made if self.asked is None else self.asked
        left = failure in {"raised", "cancelled"} and asked > len(attempts)
        self._observers.report(
            CallFailed(
                call=self._call,
                attempts=made,
                elapsed=elapsed,
                model=self.model,
                failure=failure,
                error=type(error).__name__ if error is not None else None,
                status=error.status if isinstance(error, APIError) else None,
                code=error.code if isinstance(error, APIError) else None,
                trace_id=error.trace_id if isinstance(error, AceChatError) else None,
                may_be_billed=left or any(attempt.may_be_billed for attempt in attempts),
            )
        )
