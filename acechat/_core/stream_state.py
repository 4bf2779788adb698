"""The states of a stream."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["StreamState"]


class StreamState(Enum):
    """The state of a `StreamReader`.

    NEW ──▶ OPENING ──▶ OPENED ──▶ READING ──▶ COMPLETE
     │         │ ╰─────────│──────────│───────────▲
     ╰─────────┴───────────┴──────────┴─────────▶ FAILED

    * NEW → OPENING: the first read, or ``async with``; a task sends the request.
    * OPENING → OPENED: a batch with content has arrived. It is held until a read takes it.
    * OPENING, READING → COMPLETE: the end of the stream was received. If a single read brought the
      complete response, its batch is still held.
    * OPENED → READING: the held batch was taken. Each further read waits for the network.
    * NEW, OPENING, OPENED, READING → FAILED: an error, `aclose`, or the cancellation of a read.

    COMPLETE and FAILED are final. An output that does not match *output_type* is an error of a
    COMPLETE stream: it is raised after the last batch was read.
    """

    NEW = auto()
    OPENING = auto()
    OPENED = auto()
    READING = auto()
    COMPLETE = auto()
    FAILED = auto()
