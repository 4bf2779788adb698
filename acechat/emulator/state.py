"""What a service remembers and is about to do; threads may share it."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import Any
from uuid import UUID

from msgspec import Struct

from acechat.emulator.steps import ECHO, Step

__all__ = ["DEFAULT_TOKEN", "ReceivedRequest", "ServiceState"]

DEFAULT_TOKEN = "emulated-token"  # noqa: S105 - it opens nothing


class ReceivedRequest(Struct, frozen=True, kw_only=True):
    """A request, as it arrived."""

    method: str

    path: str
    """With the query, if there is one."""

    headers: dict[str, str]
    """Names in lower case. What authorizes is masked: ``"Bearer ***"``."""

    body: bytes
    """Empty where it was larger than the service takes."""

    client_port: int
    """The port that it came from: requests over one connection have the same."""

    time: float
    """When it had arrived, in seconds of `time.monotonic`."""

    trace_id: str
    """What its answer carried as ``x-request-id``."""

    @property
    def json(self) -> Any:
        """The body, decoded. Raises `ValueError` where it is no JSON."""
        return json.loads(self.body)


class ServiceState:
    """The requests that came, and the script of those to come.

    Args:
        token: What a client must send.
        max_request_bytes: The largest body that is taken.
        remember: How many requests are kept, the newest. None: all.
    """

    def __init__(
        self,
        token: str = DEFAULT_TOKEN,
        *,
        max_request_bytes: int = 32 * 2**20,
        remember: int | None = None,
    ) -> None:
        self.token = token
        self.max_request_bytes = max_request_bytes
        # Deques and counters, because their methods are atomic: no lock to block the loop with.
        self._received: deque[ReceivedRequest] = deque(maxlen=remember)
        self._script: deque[Step] = deque()
        self._numbers = itertools.count(1)

    @property
    def requests(self) -> list[ReceivedRequest]:
        """What has arrived until now, the oldest first."""
        return list(self._received)

    def script(self, *steps: Step) -> None:
        """Answer the next chat requests with *steps*, one each; after them, the echo answers.

        A request that is refused (a wrong token, no JSON) takes no step.
        """
        self._script.extend(steps)

    def reset(self) -> None:
        """Forget the requests and the script."""
        self._received.clear()
        self._script.clear()
        self._numbers = itertools.count(1)

    def note(self, received: ReceivedRequest) -> None:
        """Remember a request."""
        self._received.append(received)

    def next_step(self) -> Step:
        """Take the step that is to answer now."""
        try:
            return self._script.popleft()
        except IndexError:
            return ECHO

    def next_trace_id(self) -> str:
        """Return a UUID that counts the answers."""
        return str(UUID(int=next(self._numbers), version=4))
