"""Server-sent events, without I/O: bytes cut anywhere → the data of whole events.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

Lines end at LF, CR LF or CR and nowhere else: U+2028 and its kin, at which ``str.splitlines``
splits, are text. Bytes stay bytes; who decodes them decides about broken UTF-8.
"""

from __future__ import annotations

from io import BytesIO

from acechat.errors import ProtocolError

__all__ = ["Event", "SSEDecoder"]

_BOM = b"\xef\xbb\xbf"
_PREFIX = b"data: "
_MAX_RETRY_DIGITS = 18
_MAX_STRAY_LINES = 200


class Event(bytes):
    """The data of an event that the strict parser found, with the rest of it.

    The fast path returns plain `bytes` instead: an event of type ``"message"`` without an id.
    """

    type: str = "message"
    id: str = ""


class SSEDecoder:
    """Feed it bytes as they arrive; get the data of each event that they complete.

    Two ways through. Chat services write an event as one ``data: `` line and an empty one, both
    ended by LF: such bytes are split by ``BytesIO.readlines``, in C. Whatever is not of that form
    goes to the strict parser, until an event has ended and no id was set.

    Args:
        max_event_bytes: The most bytes that one event may have.

    Raises:
        ProtocolError: An event is longer. The decoder is of no use after that.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_id", "_max", "_new_id", "_parts", "_size",
                 "_stray", "_strict", "_tail", "_type", "last_event_id", "retry", "stray",
                 "stray_after", "whole")  # fmt: skip

    def __init__(self, max_event_bytes: int = 16 * 2**20) -> None:
        self.last_event_id = ""
        """The id of the last event that had one."""

        self.retry: int | None = None
        """Milliseconds that the server last asked to wait before reconnecting."""

        self.stray: list[bytes] = []
        """Lines since a bare ``{``, which belong to no event: new-api writes its errors so."""

        self.stray_after: list[int] = []
        """For each of them, how many events of its read came before it."""

        self.whole: list[bytes] = []
        """What the last read held before an event that is too long."""

        self._max = max_event_bytes
        self._parts: list[bytes] = []  # of an unfinished event (fast) or line (strict)
        self._size = 0  # bytes of the unfinished event
        self._tail = 0  # bytes of its unfinished line (strict)
        self._stray = 0  # bytes of the stray lines
        self._strict = False
        self._begun = False  # past the place where a BOM may stand
        self._after_cr = False  # an LF that comes now belongs to a CR before it
        self._data: list[bytes] = []
        self._type = b""
        self._id = b""
        self._new_id = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next *data* and return the data of the events that are whole now."""
        if self._strict:
            return self._parse(data)
        size = len(data)
        # Exactly one event: what a live stream delivers per read.
        if (
            not self._parts
            and data[:6] == _PREFIX
            and data.find(b"\n") == size - 2
            and data[-1:] == b"\n"
            and b"\r" not in data
            and size <= self._max
        ):
            self._begun = True
            return [data[6:-2]]
        return self._feed_many(data)

    def _feed_many(self, data: bytes) -> list[bytes]:
        if b"\r" in data:
            return self._go_strict(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:  # not found, unless it is cut in two
            end = int(data[:1] == b"\n" and bool(self._parts) and self._parts[-1][-1:] == b"\n")
            if not end:
                if self._size + len(data) > self._max or not self._may_go_on(data):
                    return self._go_strict(data)
                self._size += len(data)
                if data:
                    self._parts.append(data)
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
        self._parts = [rest] if rest else []
        self._size = len(rest)
        return events

    def _may_go_on(self, data: bytes) -> bool:
        """Whether the unfinished event may still be of the usual form with *data*."""
        if not self._parts:
            return _may_begin(data)
        return not data or (self._parts[-1][-1:] != b"\n" and _is_one_line(data))

    def _go_strict(self, data: bytes) -> list[bytes]:
        data = b"".join([*self._parts, data])
        self._parts = []
        self._size = 0
        self._strict = True
        return self._parse(data)

    def _parse(self, data: bytes) -> list[bytes]:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        tail = lines.pop()
        events = self.whole = []
        for line in lines:
            if self._parts:
                self._parts.append(line)
                whole = b"".join(self._parts)
                self._parts = []
            else:
                whole = line
            self._tail = 0
            if not self._begun:
                self._begun = True
                whole = whole.removeprefix(_BOM)
            if whole:
                self._field(whole)
            else:
                self._dispatch(events)
        if tail:
            self._tail += len(tail)
            self._check(self._size + self._tail)
            self._parts.append(tail)
        self._strict = bool(
            self._parts
            or self._data
            or self._type
            or self._id
            or self.last_event_id
            or self._after_cr
            or self.stray
        )
        return events

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
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
        elif line[:1] == b"{" or self.stray:
            self._keep_stray(line)

    def _keep_stray(self, line: bytes) -> None:
        """Keep a line that belongs to no event, unless there are too many: they are no event."""
        self._check(len(line))
        size = self._stray + len(line)
        if len(self.stray) < _MAX_STRAY_LINES and size <= self._max:
            self.stray.append(line)
            self.stray_after.append(len(self.whole))
            self._stray = size

    def _dispatch(self, events: list[bytes]) -> None:
        self._size = 0
        if self._new_id:  # an id holds for all events after it: decoded once, not for each
            self._new_id = False
            self.last_event_id = self._id.decode(errors="replace")
        if self._data:
            event = Event(b"\n".join(self._data))
            event.id = self.last_event_id
            if self._type:
                event.type = self._type.decode(errors="replace")
            events.append(event)
        self._data = []
        self._type = b""

    def unfinished(self) -> bytes | None:
        """Return the data of the event that the end of the stream cut off, None if there is none.

        The standard drops such an event. Call this once, at the end.
        """
        events = self._go_strict(b"" if self._after_cr else b"\n")
        self._dispatch(events)
        return events[-1] if events else None

    def _check(self, size: int) -> None:
        if size > self._max:
            raise ProtocolError(f"an event of the stream is longer than {self._max} bytes")


def _may_begin(data: bytes) -> bool:
    """Whether *data*, in which no event ends, may be how an event of the usual form begins.

    The lines of anything else count at once: a bare error need not be followed by an empty one.
    """
    return data[:6] == _PREFIX[: len(data)] and _is_one_line(data)


def _is_one_line(data: bytes) -> bool:
    return data.find(b"\n") in (-1, len(data) - 1)
