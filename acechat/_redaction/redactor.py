"""Find secrets in data, in the encodings in which a service may echo them.

Searched are the text itself, its characters escaped for JSON, Python, URLs or HTML, its base64
(also as a part of a longer one, and in the URL-safe alphabet) and its hexadecimal form. Data that
contains neither a secret nor an escape sequence costs one search per form and no copy.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

from acechat._redaction.escapes import (
    ESCAPE_MARKS,
    MAX_ESCAPE,
    TRUNCATED_ESCAPE,
    Unescaped,
    has_escapes,
)

__all__ = ["Redactor"]

_MIN_SECRET = 8
"""Characters. A shorter secret, such as ``test``, may occur in any text, so it is not redacted."""

_MIN_PART = 8
"""Characters. A shorter prefix of a secret at the end of data is not redacted; for secrets of less
than twice this length, half of the length counts."""

_MIN_MASKED_PART = 4
"""As above, for parts of recordings, of which a secret may fill the start or the end."""

_MAX_REST = 6
_REST = re.compile(rb"[ux#0-9a-fA-F]*;?")
"""The rest of an escape sequence, such as ``02f``, before a part of a secret at the start."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


class Redactor:
    """Removes secrets from data and texts. Takes time in proportion to their length.

    Args:
        secrets: Those of less than 8 characters are ignored.
    """

    __slots__ = ("_forms", "_marks", "_secrets", "_text_marks")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets: tuple[str, ...] = tuple(
            each for each in dict.fromkeys(secrets) if len(each) >= _MIN_SECRET
        )
        self._marks: tuple[bytes, ...] | None = None  # computed at the first use
        self._text_marks: tuple[str, ...] = ()
        self._forms: tuple[tuple[bytes, bool], ...] = ()

    def extended(self, secrets: Iterable[str]) -> Redactor:
        """Return a redactor of more *secrets*."""
        return Redactor((*self._secrets, *secrets))

    def redact(self, data: bytes, *, truncated: bool = False) -> bytes:
        """Return *data* with ``***`` for each secret.

        If it is *truncated*, a part of a secret at its end is redacted, too.
        """
        if not (truncated or self._may_contain(data)):
            return data
        result = bytearray()
        done = 0
        for start, end in self._spans(data, _MIN_PART if truncated else 0):
            result += data[done:start]
            result += b"***"
            done = end
        return bytes(result + data[done:]) if done else data

    def mask(self, data: bytes) -> bytes:
        """Return *data* with each secret replaced by as many asterisks, so that offsets stay valid.

        Parts of a secret at the start and the end of *data*, which may be a block of a longer body,
        are replaced, too.
        """
        masked: bytearray | None = None
        for start, end in self._spans(data, _MIN_MASKED_PART, at_start=True):
            if masked is None:
                masked = bytearray(data)
            masked[start:end] = b"*" * (end - start)
        return data if masked is None else bytes(masked)

    def redact_text(self, text: str, *, truncated: bool = False) -> str:
        """Return *text* with ``***`` for each secret; *truncated* as in `redact`."""
        if not truncated:
            if self._marks is None:
                self._prepare()
            for mark in self._text_marks:
                if mark in text:
                    break
            else:
                return text
        data = text.encode(errors="surrogatepass")
        redacted = self.redact(data, truncated=truncated)
        return text if redacted is data else redacted.decode(errors="surrogatepass")

    def redact_headers(self, headers: dict[str, str]) -> dict[str, str]:
        """Return *headers* with ``***`` for each secret in their values."""
        if self._marks is None:
            self._prepare()
        values = "\n".join(headers.values())
        for mark in self._text_marks:
            if mark in values:
                return {name: self.redact_text(value) for name, value in headers.items()}
        return headers

    def _prepare(self) -> None:
        forms = [form for secret in self._secrets for form in _forms(secret.encode())]
        marks = [_longest_run(form) for form, _ in forms] + list(ESCAPE_MARKS if forms else ())
        self._forms = tuple(dict.fromkeys(forms))
        self._text_marks = tuple(mark.decode() for mark in dict.fromkeys(marks))
        self._marks = tuple(dict.fromkeys(marks))

    def _may_contain(self, data: bytes) -> bool:
        if self._marks is None:
            self._prepare()
        return any(mark in data for mark in self._marks or ())

    def _spans(
        self, data: bytes, min_part: int, *, at_start: bool = False
    ) -> list[tuple[int, int]]:
        """Return the start and end of each secret in *data*, in order and without overlaps.

        Args:
            data: The data to search.
            min_part: Minimum length of a part of a secret at the end; 0: none is searched for.
            at_start: Search for parts at the start, too.
        """
        if not self._may_contain(data):
            return self._edges(data, min_part, at_start=at_start)
        spans = list(self._search(data))
        spans += self._edges(data, min_part, at_start=at_start)
        if has_escapes(data):
            plain = Unescaped(data)
            spans += plain.original(list(self._search(plain.data)))
        return _merged(spans)

    def _search(self, data: bytes) -> Iterator[tuple[int, int]]:
        for form, is_base64 in self._forms:
            at = data.find(form)
            while at >= 0:
                end = at + len(form)
                # The characters at the edges of base64 have bits of the secret, too.
                before = is_base64 and at > 0 and data[at - 1] in _BASE64
                after = is_base64 and end < len(data) and data[end] in _BASE64
                yield at - before, end + after
                at = data.find(form, end)

    def _edges(self, data: bytes, min_part: int, *, at_start: bool) -> list[tuple[int, int]]:
        """Return the spans of parts of secrets at the edges of *data*; see `_spans`."""
        if not min_part or not self._forms:
            return []
        spans: list[tuple[int, int]] = []
        size, window = len(data), MAX_ESCAPE * max(len(form) for form, _ in self._forms)
        first = max(size - window, 0)
        cut = TRUNCATED_ESCAPE.search(data, max(size - MAX_ESCAPE, 0))
        for end in {size, cut.start() if cut else size}:
            tail = data[first:end]
            spans += [(first + start, size) for start in self._ends(tail, min_part)]
        if at_start:
            spans += [(0, end) for end in self._starts(data[:window], min_part)]
        return _merged(spans)

    def _ends(self, data: bytes, min_part: int) -> Iterator[int]:
        """Yield the start of each part of a secret at the end of *data*."""
        plain = Unescaped(data)
        for form, _ in self._forms:
            for size in _parts(form, min_part):
                if data.endswith(form[:size]):
                    yield len(data) - size
                    break
                if plain.data.endswith(form[:size]):
                    end = len(plain.data)
                    yield plain.original([(end - size, end)])[0][0]
                    break

    def _starts(self, data: bytes, min_part: int) -> Iterator[int]:
        """Yield the end of each part of a secret at the start of *data*."""
        plain = Unescaped(data)
        for form, _ in self._forms:
            for size in _parts(form, min_part):
                part = form[-size:]
                if (at := data.find(part, 0, size + _MAX_REST)) >= 0 and _REST.fullmatch(
                    data, 0, at
                ):
                    yield at + size
                    break
                at = plain.data.find(part, 0, size + _MAX_REST)
                if at >= 0 and _REST.fullmatch(plain.data, 0, at):
                    yield plain.original([(at, at + size)])[0][1]
                    break


def _parts(form: bytes, min_part: int) -> range:
    """Return the sizes of the proper parts of *form* that are redacted, the longest first."""
    return range(len(form) - 1, min(min_part, len(form) // 2) - 1, -1)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order, overlapping ones as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _forms(secret: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the forms of *secret*, and whether they are base64."""
    yield secret, False
    if b"\\" in secret:
        yield secret.replace(b"\\", b"\\\\"), False
    for shift in range(3):  # its position in the encoded data, modulo 3
        encoded = binascii.b2a_base64(bytes(shift) + secret, newline=False)
        # The characters that consist of bits of the secret only.
        core = encoded[-(-8 * shift // 6) : 8 * (shift + len(secret)) // 6]
        yield core, True
        yield core.translate(_URL_SAFE), True
    yield secret.hex().encode(), False
    yield secret.hex().upper().encode(), False


def _longest_run(form: bytes) -> bytes:
    """Return the longest part of *form* without characters that encodings escape."""
    return max(re.findall(rb"[0-9A-Za-z]+", form), key=len, default=form)
