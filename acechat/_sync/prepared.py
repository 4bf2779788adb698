"""`PreparedRequest`: a request that was not sent, blocking."""

from __future__ import annotations

from acechat._async.prepared import AsyncPreparedRequest
from acechat._credentials import Token
from acechat._sync.loop_thread import LoopThread
from acechat._wire.prepared import Prepared

__all__ = ["PreparedRequest"]


class PreparedRequest(Prepared):
    """A request that was built and not sent: the blocking `AsyncPreparedRequest`.

    `Client.prepare` creates one.

    Example:
        >>> prepared = client.prepare("Hello")
        >>> prepared.json()["model"], prepared.count_tokens()
    """

    def __init__(self, loop: LoopThread, prepared: AsyncPreparedRequest, token: Token) -> None:
        super().__init__(prepared.request, prepared.api_root, token)
        self._loop = loop
        self._prepared = prepared

    def count_tokens(self) -> int:
        """Return the number of prompt tokens. The service does not charge for it.

        Raises the exceptions of `Client.count_tokens`.
        """
        return self._loop.run(self._prepared.count_tokens)
