"""The state of a service: its received requests and its script. Thread-safe."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import Any
from uuid import UUID

from msgspec import Struct

from acechat.emulator.steps import ECHO, Step

__all__ = ["DEFAULT_TOKEN", "ReceivedRequest", "ServiceState"]

DEFAULT_TOKEN = "emulated-token"  # noqa: S105 - it gives access to nothing


class ReceivedRequest(Struct, frozen=True, kw_only=True):
    """A received request."""

    method: str

    path: str
    """Path and query."""

    headers: dict[str, str]
    """Names in lower case. The token is masked: ``"Bearer ***"``."""

    body: bytes
    """Empty if it was larger than *max_request_bytes*."""

    client_port: int
    """The client's port: requests of one connection have the same."""

    time: float
    """The time at which it was complete, in seconds of `time.monotonic`."""

    trace_id: str
    """The ``x-request-id`` of its response."""

    @property
    def json(self) -> Any:
        """The decoded body.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)


class ServiceState:
    """The received requests, and the script for the next ones.

    Args:
        token: The token that requests must carry.
        max_request_bytes: The largest accepted request body, in bytes.
        remember: The number of requests that are kept, the newest. None: all.
        any_model: Whether other model names than `MODELS` are accepted.
        delay: Seconds before each response to a chat request.
        report_cost: Whether completions have a cost, by the prices of the catalogue.
    """

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        *,
        max_request_bytes: int = 32 * 2**20,
        remember: int | None = None,
        any_model: bool = True,
        delay: float = 0.0,
        report_cost: bool = True,
    ) -> None:
        self.token = token
        self.max_request_bytes = max_request_bytes
        self.any_model = any_model
        self.delay = delay
        self.report_cost = report_cost
        # Deques and counters, because their methods are atomic: a lock could block the event loop.
        self._received: deque[ReceivedRequest] = deque(maxlen=remember)
        self._script: deque[Step] = deque()
        self._numbers = itertools.count(1)

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received so far, oldest first."""
        return list(self._received)

    def script(self, *steps: Step) -> None:
        """Respond to the next chat requests with *steps*, one each; after them, with the echo.

        A rejected request (wrong token, invalid JSON) uses no step.
        """
        self._script.extend(steps)

    @property
    def unused(self) -> int:
        """The number of scripted steps that no request has used yet."""
        return len(self._script)

    def reset(self) -> None:
        """Clear the requests and the script."""
        self._received.clear()
        self._script.clear()
        self._numbers = itertools.count(1)

    def add_request(self, received: ReceivedRequest) -> None:
        """Append *received* to `requests`."""
        self._received.append(received)

    def next_step(self) -> Step:
        """Remove and return the next step of the script; the echo if it is empty."""
        try:
            return self._script.popleft()
        except IndexError:
            return ECHO

    def next_trace_id(self) -> str:
        """Return a UUID made of the number of the response."""
        return str(UUID(int=next(self._numbers), version=4))
