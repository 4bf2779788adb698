"""`PreparedRequest`: a request to inspect, to estimate, or to send by other means; blocking."""

from __future__ import annotations

from acechat._async.prepared import BasePreparedRequest, Estimating
from acechat._credentials import Token
from acechat._sync.loop_thread import LoopThread
from acechat._wire.request import HTTPRequest
from acechat.types.catalog import Estimate

__all__ = ["PreparedRequest"]


class PreparedRequest(BasePreparedRequest):
    """The request that a call would send; `Client.prepare` returns it.

    Attributes:
        request: The request, without the token, unless the caller put it there.
        api_root: The URL that its path is relative to.

    Example:
        >>> prepared = client.prepare("Hello")
        >>> prepared.json()["model"]
        >>> print(prepared.curl())
        >>> prepared.estimate().max_cost
    """

    def __init__(
        self,
        request: HTTPRequest,
        api_root: str,
        token: Token,
        estimating: Estimating,
        loop: LoopThread,
    ) -> None:
        super().__init__(request, api_root, token, estimating)
        self._loop = loop

    def estimate(self) -> Estimate:
        """Count the prompt tokens and return the range of the cost. The service charges nothing.

        It sends two requests: one to count the tokens, one to read the public catalogue.

        Raises:
            APIError: The service reported an error.
            TransportError: No complete response arrived.
        """
        return self._loop.run(self._estimating, self.request)
