"""`ResponseCache`: responses on disk, so that a program under development is not billed twice."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import msgspec

from acechat._core.middleware import BufferedResponse
from acechat._files import make_folder
from acechat._record.cassette import Cassette
from acechat._record.exchange import Exchange
from acechat._tools.executor import run_in_daemon_thread
from acechat._wire.request import HTTPRequest
from acechat.errors import ConfigurationError

__all__ = ["ResponseCache"]

_log = logging.getLogger("acechat")

_NOT_COMPARED = ("stream", "stream_options")
"""Fields of the body that change the form of a response, which `chat` and `stream` both read."""

_KEY_LENGTH = 32
"""Hexadecimal digits of a file's name."""


class ResponseCache:
    """A cache of complete responses on disk, for development; pass it as ``cache=``.

    The same request gets the stored response: nothing is sent or billed, and nothing counts on
    meters and rate limits. *temperature* therefore has no effect on a repeated request. Each
    response is a cassette in *path*, with prompt and completion but without the token. Failures are
    not stored, and neither are responses over 16 MiB.

    Args:
        path: The folder of the files; created, for its owner only, when the first is written.

    Example:
        >>> client = Client(cache=ResponseCache(".acechat-cache"))
        >>> client.chat("Hello").cached, client.chat("Hello").cached
        (False, True)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path).expanduser()
        self._pending: dict[str, Cassette] = {}  # files that a thread is writing

    def clear(self) -> None:
        """Delete all stored responses.

        Raises:
            OSError: A file cannot be deleted.
        """
        for path in self.path.glob(f"{'?' * _KEY_LENGTH}.acecast"):
            path.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"ResponseCache({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[ResponseCache], tuple[str]]:
        return type(self), (str(self.path),)

    def key(self, api_root: str, request: HTTPRequest) -> str:
        """Return the name under which the response to *request* is stored."""
        body: Any = request.json()
        if isinstance(body, dict):
            fields = cast("dict[str, Any]", body)
            body = {name: value for name, value in fields.items() if name not in _NOT_COMPARED}
        parts = [api_root, request.method, request.path, body]
        return sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:_KEY_LENGTH]

    async def find(self, key: str) -> BufferedResponse | None:
        """Return the response that is stored under *key*; None if there is none."""
        cassette = self._pending.get(key)
        if cassette is None:
            cassette = await run_in_daemon_thread(partial(self._load, key))
        if cassette is None:
            return None
        exchange = cassette.exchanges[-1]
        if exchange.head is None or not _is_complete(exchange):
            return None
        body = b"".join(chunk.data for chunk in exchange.chunks)
        return BufferedResponse(exchange.head.status, exchange.head.headers, body)

    def store(self, key: str, exchanges: tuple[Exchange, ...]) -> None:
        """Store the last of *exchanges* under *key*, in a thread; the interpreter waits for it."""
        if not exchanges or not _is_complete(exchanges[-1]):
            _log.info("a response is too large for the cache %s", self.path)
            return
        self._pending[key] = Cassette((msgspec.structs.replace(exchanges[-1], end=None),))
        # The thread of a blocking client's loop is a daemon; one that it starts would be, too.
        threading.Thread(
            target=self._write, args=(key,), name="acechat cache", daemon=False
        ).start()

    def _file(self, key: str) -> Path:
        return self.path / f"{key}.acecast"

    def _load(self, key: str) -> Cassette | None:
        try:
            cassette = Cassette.load(self._file(key))
        except FileNotFoundError:
            return None
        except (OSError, ConfigurationError) as error:
            _log.warning("a file of the response cache cannot be read: %s", error)
            return None
        return cassette if cassette.exchanges else None

    def _write(self, key: str) -> None:
        try:
            make_folder(self.path)
            self._pending[key].save(self._file(key))
        except OSError as error:
            _log.warning("a response cannot be stored in the cache: %s", error)
        finally:
            self._pending.pop(key, None)


def _is_complete(exchange: Exchange) -> bool:
    return exchange.head is not None and not any(chunk.dropped for chunk in exchange.chunks)
