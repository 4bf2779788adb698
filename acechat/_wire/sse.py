"""Decode server-sent events from bytes split at any position, without I/O.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

Lines end at LF, CR LF or CR and nowhere else: U+2028 and the other characters at which
``str.splitlines`` splits are text. Event data stays bytes; the consumer decodes it.
"""

from __future__ import annotations

from enum import Enum
from io import BytesIO

from acechat.errors import ProtocolError

__all__ = ["Event", "SSEDecoder", "too_long"]

_BOM = b"\xef\xbb\xbf"
_PREFIX = b"data: "
_MAX_RETRY_DIGITS = 18
_MAX_STRAY_LINES = 200
_MAX_STRAY_ENDS = 8


class _State(Enum):
    """The parser that reads the next bytes.

    The fast path takes the form that chat services send, ``data: …`` LF LF per event, and splits
    it with ``BytesIO.readlines``, in C. All other bytes go to the strict parser, which follows the
    standard line by line.

    Transitions, each after one call of `SSEDecoder.feed`::

        BETWEEN_EVENTS -> IN_EVENT        the bytes end within an event of the usual form
        IN_EVENT       -> BETWEEN_EVENTS  the event is complete
        either         -> STRICT          a CR, or a line other than ``data: …``, arrived; the bytes
                                          of the unfinished event are parsed again
        STRICT         -> BETWEEN_EVENTS  no event or line is unfinished, no event id is set (it
                                          applies to all later events), and no stray line was kept
    """

    BETWEEN_EVENTS = 0
    IN_EVENT = 1
    STRICT = 2


# Names of the module: to look up a member in its class takes longer, for each read.
_BETWEEN_EVENTS, _IN_EVENT, _STRICT = _State


class Event(bytes):
    """The data of an event from the strict parser, with its type and id.

    The fast path returns plain `bytes` instead: an event of type ``"message"`` without an id.
    """

    type: str = "message"
    id: str = ""


class SSEDecoder:
    """Incremental decoder: `feed` takes bytes and returns the data of each completed event.

    Args:
        max_event_bytes: Maximum size of one event, in bytes.

    Raises:
        ProtocolError: By `feed` and `unfinished`, if an event is longer. The decoder must not be
            used after that.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_id", "_max", "_new_id", "_parts", "_size",
                 "_state", "_stray_depth", "_stray_size", "_tail", "_type", "completed",
                 "last_event_id", "retry", "stray", "stray_after", "stray_ends")  # fmt: skip

    def __init__(self, max_event_bytes: int = 16 * 2**20) -> None:
        self.last_event_id = ""
        """The id of the last event that had one."""

        self.retry: int | None = None
        """The last reconnection time that the server sent, in milliseconds; None if none."""

        self.stray: list[bytes] | tuple[()] = ()
        """Lines outside of events, from the first that begins with ``{``: some gateways send
        errors as bare JSON (docs/api.md#streams)."""

        self.stray_after: list[int] | tuple[()] = ()
        """For each stray line, the number of events of the same read before it."""

        self.stray_ends: list[bool] | tuple[()] = ()
        """For each stray line, whether it may be the last one of a JSON value. True for few lines,
        as all lines are decoded then."""

        self.completed: list[bytes] | tuple[()] = ()
        """Events of the last read by the strict parser, those before a too long event included."""

        self._state = _BETWEEN_EVENTS
        self._max = max_event_bytes
        self._parts: (
            list[bytes] | tuple[()]
        ) = ()  # of the unfinished event (IN_EVENT) or line (STRICT)
        self._size = 0  # bytes of the unfinished event
        self._tail = 0  # bytes of its unfinished line (STRICT)
        self._stray_size = 0  # bytes of the stray lines
        self._stray_depth = 0  # of their braces
        self._begun = False  # the first line was read: no BOM may follow
        self._after_cr = False  # a CR ended the last read: an LF now belongs to it
        self._data: list[bytes] | tuple[()] = ()
        self._type = b""
        self._id = b""
        self._new_id = False

    def feed(self, data: bytes) -> list[bytes]:
        """Decode the next *data*; return the data of the events that it completes."""
        size = len(data)
        # Exactly one event: the content of most reads of a live stream.
        if (
            self._state is _BETWEEN_EVENTS
            and data[:6] == _PREFIX
            and data.find(b"\n") == size - 2
            and data[-1:] == b"\n"
            and data.find(b"\r") < 0  # `in` is slower: it first tries a number
            and size <= self._max
        ):
            self._begun = True
            return [data[6:-2]]
        return self._parse(data) if self._state is _STRICT else self._feed_many(data)

    def _feed_many(self, data: bytes) -> list[bytes]:
        """Decode any number of events of the usual form, or switch to the strict parser."""
        if data.find(b"\r") >= 0:
            return self._go_strict(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:  # not found, unless two reads share it
            last = self._parts[-1] if self._parts else b""
            end = int(data[:1] == b"\n" == last[-1:])
            if not end:
                if self._size + len(data) > self._max + len(_PREFIX) and self._parts:
                    self.completed = []
                    self._check(self._size + len(data))
                if self._size + len(data) > self._max or not self._may_continue(data):
                    return self._go_strict(data)
                self._size += len(data)
                if data:
                    self._keep_part(data)
                    self._state = _IN_EVENT
                return []
        if self._parts:
            block, rest = b"".join([*self._parts, data[:end]]), data[end:]
        else:
            block, rest = data[:end], data[end:]
        lines = BytesIO(block).readlines()
        events = [line[6:-1] for line in lines[::2] if line[:6] == _PREFIX]
        if len(events) * 2 != len(lines) or lines[1::2].count(b"\n") != len(events):
            return self._go_strict(data)
        if not _may_begin(rest):
            return self._go_strict(data)
        if len(rest) > self._max or (
            len(block) > self._max and len(max(lines, key=len)) > self._max
        ):
            return self._go_strict(data)
        self._begun = True
        self._parts = [rest] if rest else ()
        self._size = len(rest)
        self._state = _IN_EVENT if rest else _BETWEEN_EVENTS
        return events

    def _may_continue(self, data: bytes) -> bool:
        """Return True if the unfinished event, with *data*, may still be of the usual form."""
        if not self._parts:
            return _may_begin(data)
        return not data or (self._parts[-1][-1:] != b"\n" and _is_one_line(data))

    def _go_strict(self, data: bytes) -> list[bytes]:
        data = b"".join([*self._parts, data])
        self._parts = ()
        self._size = 0
        self._state = _STRICT
        return self._parse(data)

    def _parse(self, data: bytes) -> list[bytes]:
        """Decode *data* line by line, as the standard defines it."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        tail = lines.pop()
        events = self.completed = []
        for part in lines:
            line = part
            if self._parts:
                line = b"".join([*self._parts, part])
                self._parts = ()
            self._tail = 0
            if not self._begun:
                self._begun = True
                line = line.removeprefix(_BOM)
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        if tail:
            self._tail += len(tail)
            self._check(self._size + self._tail)
            self._keep_part(tail)
        unfinished = self._parts or self._data or self._type or self._after_cr
        if not (unfinished or self._id or self.last_event_id or self.stray):
            self._state = _BETWEEN_EVENTS
        return events

    def _keep_part(self, data: bytes) -> None:
        self._parts = self._parts or []
        self._parts.append(data)

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data = self._data or []
            self._data.append(value)
            self._size += len(value) + 1
            self._check(self._size)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value
                self._new_id = True
        elif name == b"retry":
            if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry = int(value)
        elif line[:1] == b"{" or line[:2] == b"[{" or self.stray:
            self._keep_stray(line)

    def _keep_stray(self, line: bytes) -> None:
        """Keep a line outside of events, within limits: a page of HTML must not fill memory."""
        self._check(len(line))
        size = self._stray_size + len(line)
        if len(self.stray) < _MAX_STRAY_LINES and size <= self._max:
            opened, ended = line.count(b"{") + line.count(b"["), line.count(b"}") + line.count(b"]")
            self._stray_depth += opened - ended
            closed = self._stray_depth <= 0 and self.stray_ends.count(True) < _MAX_STRAY_ENDS
            ends = line.rstrip().endswith((b"}", b"]")) and (closed or not self.stray)
            self.stray_ends = [*self.stray_ends, ends]  # few
            self.stray = [*self.stray, line]
            self.stray_after = [*self.stray_after, len(self.completed)]
            self._stray_size = size

    def _dispatch(self, events: list[bytes]) -> None:
        """End the event at an empty line, and append it to *events* if it has data."""
        self._size = 0
        if self._new_id:  # an id applies to all later events: decoded once, not for each
            self._new_id = False
            self.last_event_id = self._id.decode(errors="replace")
        if self._data:
            event = Event(b"\n".join(self._data))
            event.id = self.last_event_id
            if self._type:
                event.type = self._type.decode(errors="replace")
            events.append(event)
        self._data = ()
        self._type = b""

    def unfinished(self) -> bytes | None:
        """Return the data of the event that the end of the stream truncated; None if none.

        The standard drops such an event. Call this once, at the end of the stream.
        """
        events = self._go_strict(b"" if self._after_cr else b"\n")
        self._dispatch(events)
        return events[-1] if events else None

    def _check(self, size: int) -> None:
        if size > self._max:
            raise too_long("stream event is", self._max, "max_event_bytes")


def _may_begin(data: bytes) -> bool:
    """Return True if *data*, in which no event ends, may begin an event of the usual form.

    Any other line is parsed at once: a bare error may arrive without an empty line after it.
    """
    return data[:6] == _PREFIX[: len(data)] and _is_one_line(data)


def _is_one_line(data: bytes) -> bool:
    return data.find(b"\n") in (-1, len(data) - 1)


def too_long(subject: str, limit: int, setting: str) -> ProtocolError:
    """Return the error for data that exceeds the limit of a *setting*."""
    return ProtocolError(f"{subject} longer than {limit} bytes ({setting})")
