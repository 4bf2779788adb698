"""The base of all errors, and the errors that do not come from the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from acechat._hints import ERROR_ATTRIBUTES, attribute_error
from acechat.types.attempt import Attempt

if TYPE_CHECKING:
    import os

    from acechat.types import ChatCompletion, RunResult, ToolCall
    from acechat.types.attempt import SavedExchanges

__all__ = [
    "AceChatError",
    "BatchRowError",
    "BatchStoppedError",
    "BudgetExceededError",
    "ConfigurationError",
    "JournalError",
    "MaxTurnsError",
    "ModelMismatchError",
    "OutputError",
    "ToolError",
]


class AceChatError(Exception):
    """Base of all errors of acechat; never raised itself.

    Args:
        reason: Description of the failure, in one line.

    Attributes:
        retryable: Whether the same request may succeed later.
        trace_id: The service's id of the request, for its support. None if no response had one.
        attempts: The failed attempts of the call, this failure included. Empty if nothing was sent.
        partial: The part of the completion that had arrived, or came with an error; None if there
            is none. Of an `OutputError`, the complete completion.
        cassette: The recorded exchanges of the call, without the token. Pickled with the error, at
            most *max_record_bytes* for each attempt. None if nothing was sent or recorded.
        run: The turns of a run, the failed one included; None outside of runs.
    """

    retryable: bool = False
    trace_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    partial: ChatCompletion | None = None
    cassette: SavedExchanges | None = None
    run: RunResult | None = None

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recorded exchanges to a file, which ``acechat emulate --replay`` plays.

        The file contains the prompt, with its images, and the response, but never the token.

        Raises:
            RuntimeError: Nothing was recorded.
            OSError: The file cannot be written.
        """
        if self.cassette is None:
            raise RuntimeError(
                "nothing was recorded: no request was sent, or max_record_bytes is 0"
            )
        self.cassette.save(path)

    def _render_traceback_(self) -> list[str]:
        """Return a short traceback; IPython shows it instead of its own."""
        from acechat._display.tracebacks import short_traceback

        return short_traceback(self)

    def __reduce__(self) -> tuple[Callable[..., AceChatError], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)

    if not TYPE_CHECKING:  # type checkers report the attribute themselves

        def __getattr__(self, name: str) -> NoReturn:
            raise attribute_error(self, name, ERROR_ATTRIBUTES)


def _rebuild(cls: type[AceChatError], args: tuple[Any, ...], facts: dict[str, Any]) -> AceChatError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigurationError(AceChatError, ValueError):
    """Settings or arguments are invalid; nothing was sent."""


class JournalError(ConfigurationError):
    """A bulk run does not match its journal or its output; nothing was sent."""


class BatchRowError(AceChatError):
    """A row of a bulk run has no complete result, for a reason that is no error of the service.

    Args:
        code: ``"invalid_row"``: it cannot be sent; ``"unknown"``: an earlier start sent it, and it
            was skipped; ``"truncated"`` or ``"refused"``: its completion is incomplete.
        reason: The description, in one line.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.args: tuple[Any, ...] = (code, reason)


class BatchStoppedError(AceChatError):
    """A bulk run stopped before its end. Everything received is saved; the same call continues it.

    The exception that caused the stop, if there is one, is the *__cause__*.

    Args:
        reason: Description of the cause, in one line.
        next_step: The step after which the run can continue; empty if it can at once.
    """

    retryable = True

    def __init__(self, reason: str, next_step: str = "") -> None:
        super().__init__(reason)
        self.next_step = next_step


class BudgetExceededError(AceChatError):
    """A budget is used up, so the call was not made."""


class OutputError(AceChatError):
    """The response does not match *output_type*. It may be billed all the same.

    Args:
        message: Description and position of the mismatch: ``Expected `int`, got `str` - at
            `$.days```.
        text: The JSON of the response, or its text if no JSON was found.
        completion: The last response. Its usage includes earlier ones that did not match.
    """

    def __init__(
        self, message: str, *, text: str = "", completion: ChatCompletion | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.completion = completion
        self.partial: ChatCompletion | None = completion

    def __str__(self) -> str:
        return f"the response does not match output_type: {self.message}"


class ModelMismatchError(AceChatError):
    """The response names another model than the request, with ``on_model_mismatch="raise"``.

    It may be billed all the same. Not retried.

    Args:
        requested: The model of the request.
        named: The model that the response names.
        completion: The complete response; also *partial*.
    """

    def __init__(
        self, requested: str, named: str = "", *, completion: ChatCompletion | None = None
    ) -> None:
        super().__init__(f"requested {requested!r}, but the response is of {named!r}")
        self.requested = requested
        self.named = named
        self.completion = completion
        self.partial: ChatCompletion | None = completion


class ToolError(AceChatError):
    """A tool failed in a run with ``raise_tool_errors=True``; the tool's exception is the cause.

    Args:
        call: The call that the model requested.
        reason: The type and text of the tool's exception.
    """

    def __init__(self, call: ToolCall, reason: str) -> None:
        super().__init__(reason)
        self.call = call

    def __str__(self) -> str:
        return f"the tool {self.call.function.name!r} failed: {self.reason}"


class MaxTurnsError(AceChatError):
    """The model still called tools when a run reached *max_turns*.

    *run* holds all turns: ``client.run(messages=error.run.messages, ...)`` continues.

    Args:
        max_turns: The limit, in turns.
    """

    def __init__(self, max_turns: int) -> None:
        super().__init__(f"{max_turns}")
        self.max_turns = max_turns

    def __str__(self) -> str:
        return (
            f"no final response within {self.max_turns} turns: raise max_turns=, or continue with "
            "messages=error.run.messages"
        )
