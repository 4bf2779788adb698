"""A call that asks for a form, and asks again where the answer has another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from acechat._config import Config
from acechat._core.call import Call, Collect, SharedState
from acechat._credentials import strip_traceback
from acechat._policy.values import RetryPolicy, Timeout
from acechat._tools.output import OutputSpec
from acechat._tools.partial_json import PartialOutput
from acechat._wire.request import HTTPRequest
from acechat.errors import BadRequestError, OutputError
from acechat.types import ChatCompletion

if TYPE_CHECKING:  # it brings aiohttp
    from acechat._http.transport import Transport

__all__ = ["StructuredCall"]

_T = TypeVar("_T")


class StructuredCall(Call):
    """One or more exchanges, until an answer has the form; they share the limits of one call."""

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
        request = spec.apply(request)
        super().__init__(transport, request, config, timeout, retries, state, model, collect)
        self._spec = spec

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts; in another way, if the service refuses this one."""
        try:
            return await super().run(attempt)
        except BadRequestError as refusal:
            request = self._spec.fall_back_to_prompt(self.request, refusal)
            if request is None:
                raise
        self.request = request
        return await super().run(attempt)

    async def complete(self) -> ChatCompletion[Any]:
        """Return the first answer that has the form.

        What each exchange used is noted on it, and on whatever ends the call in its place: a
        conversation counts answers that did not fit, too.

        Raises:
            OutputError: None had, and there is no asking again.
        """
        try:
            answer = await self._first_that_fits()
        except BaseException as ended:
            vars(ended)["_used"] = self._spec.used
            raise
        vars(answer)["_used"] = self._spec.used
        return answer

    async def _first_that_fits(self) -> ChatCompletion[Any]:
        while True:
            try:
                if self._collect is not None:
                    return await self._collect(self)
                return self.accept(await self.run(self.answer))
            except OutputError as caught:
                error = strip_traceback(caught)
            request = self._spec.retry_with_error(self.request, error)
            if request is None:
                raise error
            self.request = request

    def accept(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return *completion* with its output.

        Raises:
            OutputError: It has not the form.
        """
        try:
            return self._spec.parse(completion)
        except OutputError as caught:
            error = strip_traceback(caught)
        self.content = False  # what arrived was whole
        self.note_failure(error)
        raise error

    def partial_output(self) -> PartialOutput:
        """Return what reads the output while it is being written."""
        return self._spec.partial_output()
