"""`BatchResult` and `BatchSummary`, and the lines of the output. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from acechat.errors import AceChatError, APIError, OutputError
from acechat.types import ChatCompletion, TotalUsage

__all__ = [
    "BatchProgress",
    "BatchResult",
    "BatchSummary",
    "ErrorCount",
    "OutputLine",
    "encode_line",
]

_SAMPLES = 3
"""Ids and trace ids that a summary keeps of each class of errors."""

_MOST_CODES = 100
"""Codes of errors that a summary counts; others are counted together."""


class BatchResult(Struct, frozen=True, kw_only=True):
    """The result of one row of a bulk run: a *completion*, or an *error*, or both."""

    row: int
    """Number of the row in the input, from 0."""

    line: int
    """Line of the input, from 1; of an iterable, *row* + 1."""

    custom_id: str
    """The id of the row; of a row without one, a hash of its content."""

    completion: ChatCompletion[Any] | None = None
    """The completion. With an *error*, it is truncated, refused or not of *output_type*."""

    error: AceChatError | None = None
    """The failure; None if the row is done."""

    requests: int = 1
    """Number of requests that were sent for the row in this run."""

    may_be_billed: bool = False
    """Whether the service may have charged for a request that brought no result."""

    started: float = 0.0
    """Time at which the last request left, in seconds since 1970; 0 if none did."""

    seconds: float = 0.0
    """Duration of the last request; 0 if none was sent."""

    @property
    def text(self) -> str:
        """Text of the completion; empty if there is none."""
        return self.completion.text if self.completion else ""

    @property
    def output(self) -> Any:
        """The text parsed as *output_type*; None without."""
        return self.completion.output if self.completion else None


class ErrorCount(Struct, kw_only=True):
    """How often rows failed with one class of errors."""

    rows: int = 0
    message: str = ""
    """Message of the first of them."""

    trace_ids: list[str] = []
    """Trace ids of the first ones, for the service's support."""

    custom_ids: list[str] = []
    """Ids of the first rows."""


class BatchSummary(Struct, kw_only=True):
    """Figures of a bulk run, those of earlier starts with the same journal included."""

    total: int | None = None
    """Rows of the input; None until its end has been read."""

    done: int = 0
    """Rows with a complete response."""

    failed: int = 0
    """Rows whose error stands in the output."""

    unknown: int = 0
    """Rows that were sent and whose result is not known; during the run, the running ones, too."""

    requests: int = 0
    """Requests of this start, including those that were refused."""

    refused: int = 0
    """Requests of this start that the service refused because of a limit or an overload."""

    may_be_billed: int = 0
    """Requests of this start that brought no result and may have been charged all the same."""

    usage: TotalUsage = TotalUsage()
    """Tokens and cost of this start."""

    seconds: float = 0.0
    """Duration of this start."""

    errors: dict[str, ErrorCount] = {}
    """Rows that failed in this start, by their error's code."""

    def add(self, result: BatchResult) -> None:
        """Count the result of a row."""
        if result.error is None:
            self.done += 1
        else:
            self.failed += 1
            error = result.error
            code, trace_id = error_code(error), error.trace_id
            self.add_error(code, str(error), trace_id, result.custom_id)

    def add_error(
        self, code: str, message: str, trace_id: str | None, custom_id: str | None
    ) -> None:
        """Count an error."""
        if code not in self.errors and len(self.errors) >= _MOST_CODES:
            code = "other"
        count = self.errors.setdefault(code, ErrorCount(message=message))
        count.rows += 1
        if trace_id and len(count.trace_ids) < _SAMPLES:
            count.trace_ids.append(trace_id)
        if custom_id and len(count.custom_ids) < _SAMPLES:
            count.custom_ids.append(custom_id)


class BatchProgress(Struct, frozen=True, kw_only=True):
    """The state of a bulk run at one moment."""

    summary: BatchSummary
    running: int
    """Requests at the moment."""

    waiting: int
    """Rows that wait for another attempt."""

    concurrency: int
    """The most requests at a time, as found so far."""

    rate: float | None
    """The most requests per second, as found so far; None for no limit."""

    paused: str = ""
    """Why nothing is sent; empty if requests are sent."""


class OutputLine(Struct, frozen=True):
    """The fields of an output line that are read again."""

    id: str = ""
    custom_id: str | None = None
    started: float | None = None
    seconds: float | None = None
    response: _Response | None = None
    error: _Error | None = None

    @property
    def row(self) -> int:
        """Number of the row; -1 if the line is not of a bulk run."""
        prefix, _, number = self.id.partition("-")
        return int(number) if prefix == "row" and number.isdecimal() else -1


class _Body(Struct, frozen=True):
    usage: Any = None


class _Response(Struct, frozen=True):
    body: _Body | None = None


class _Error(Struct, frozen=True):
    code: str = ""
    message: str = ""
    trace_id: str | None = None
    may_be_billed: bool = False


def error_code(error: AceChatError) -> str:
    """Return the service's code of *error*, or the name of its class."""
    code: object = getattr(error, "code", None)
    return code if isinstance(code, str) and code else type(error).__name__


def encode_line(result: BatchResult) -> bytes:
    """Return the output line of *result*, in the form of OpenAI's Batch API."""
    response, error = None, None
    completion, failure = result.completion, result.error
    if completion is not None:
        status = completion.response.status or 200
        response = {
            "status_code": status,
            "request_id": completion.trace_id,
            "body": completion.to_dict(),
        }
    if failure is not None:
        error = {
            "code": error_code(failure),
            "message": str(failure.message if isinstance(failure, APIError) else failure),
            "type": type(failure).__name__,
            "status_code": getattr(failure, "status", None),
            "trace_id": failure.trace_id,
            "attempts": result.requests,
            "may_be_billed": result.may_be_billed,
        }
        if isinstance(failure, OutputError) and completion is None:
            error["text"] = failure.text
    fields: dict[str, Any] = {
        "id": f"row-{result.row}",
        "custom_id": result.custom_id,
        "started": round(result.started, 3) if result.started else None,
        "seconds": round(result.seconds, 3) if result.started else None,
        "response": response,
        "error": error,
    }
    if failure is None and completion is not None and completion.output is not None:
        fields["output"] = completion.output
    return msgspec.json.encode(fields, enc_hook=_dump) + b"\n"


def _dump(value: Any) -> Any:
    """Return a pydantic model as builtins."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise NotImplementedError
    return dump(mode="json")
