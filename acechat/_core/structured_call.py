"""`StructuredCall`: request a completion again until its output validates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from acechat._config import Config
from acechat._core.call import Call, Collect
from acechat._core.call_state import SharedState
from acechat._credentials import strip_traceback
from acechat._policy.values import RetryPolicy, Timeout
from acechat._tools.find_output import PartialOutput
from acechat._tools.output import OutputSpec
from acechat._wire.request import HTTPRequest
from acechat.errors import BadRequestError, OutputError
from acechat.types import ChatCompletion

if TYPE_CHECKING:  # it imports aiohttp
    from acechat._http.transport import Transport

__all__ = ["StructuredCall"]

_T = TypeVar("_T")


class StructuredCall(Call):
    """A call with an *output_type*.

    It makes one or more requests, which share the time limits of one call. Each response counts on
    the meters as it arrives, including those whose output does not validate.

    Args:
        transport: As in `Call`.
        request: The request, with the fields that *spec* adds.
        config: As in `Call`.
        timeout: As in `Call`.
        retries: As in `Call`, for each request.
        state: As in `Call`.
        model: As in `Call`.
        collect: As in `Call`.
        spec: The output type and its strategy.
    """

    def __init__(
        self,
        transport: Transport,
        request: HTTPRequest,
        config: Config,
        timeout: Timeout,
        retries: RetryPolicy,
        state: SharedState,
        model: str,
        collect: Collect | None,
        spec: OutputSpec,
    ) -> None:
        super().__init__(transport, request, config, timeout, retries, state, model, collect)
        self._spec = spec

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts; with the prompt strategy if the service rejects the tool."""
        try:
            return await super().run(attempt)
        except BadRequestError as rejection:
            request = self._spec.fall_back_to_prompt(self.request, rejection)
            if request is None:
                raise
        self.request = request
        return await super().run(attempt)

    async def complete(self) -> ChatCompletion[Any]:
        """Return the first completion whose output validates.

        Raises:
            OutputError: No output did, and no request is left.
        """
        while True:
            try:
                if self._collect is not None:
                    return await self._collect(self)
                return self.accept(await self.run(self.attempt_completion))
            except OutputError as caught:
                error = strip_traceback(caught)
            request = self._spec.retry_with_error(self.request, error)
            if request is None:
                raise error
            self.request = request

    def accept(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return *completion* with its output.

        Raises:
            OutputError: The output does not validate.
        """
        try:
            return self._spec.parse(completion)
        except OutputError as caught:
            error = strip_traceback(caught)
        self.content = False  # the response was complete: the failure is not a partial one
        self.record_failure(error)
        raise error

    def partial_output(self) -> PartialOutput:
        """Return a parser for the output of a response that is still arriving."""
        return self._spec.partial_output()
