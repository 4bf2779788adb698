"""A call that asks for a form, and asks again where the answer has another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from acechat._config import Config
from acechat._core.call import Call, Hooks, Ride
from acechat._credentials import bare
from acechat._policy.values import RetryPolicy, Timeout
from acechat._tools.output import Asking
from acechat._tools.partial_json import PartialOutput
from acechat._wire.request import HTTPRequest
from acechat.errors import BadRequestError, OutputError
from acechat.types import ChatCompletion

if TYPE_CHECKING:  # it brings aiohttp
    from acechat._http.transport import Transport

__all__ = ["OutputCall"]

_T = TypeVar("_T")


class OutputCall(Call):
    """One or more exchanges, until an answer has the form; they share the limits of one call."""

    def __init__(
        self,
        transport: Transport,
        request: HTTPRequest,
        config: Config,
        timeout: Timeout,
        retries: RetryPolicy,
        hooks: Hooks,
        model: str,
        asking: Asking,
    ) -> None:
        super().__init__(transport, asking.ask(request), config, timeout, retries, hooks, model)
        self._asking = asking

    async def run(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Make attempts; in another way, if the service refuses this one."""
        try:
            return await super().run(attempt)
        except BadRequestError as refusal:
            request = self._asking.ask_otherwise(self.request, refusal)
            if request is None:
                raise
        self.request = request
        return await super().run(attempt)

    async def whole(self, ride: Ride | None = None) -> ChatCompletion[Any]:
        """Return the first answer that has the form.

        What each exchange used is noted on it, and on whatever ends the call in its place: a
        conversation counts answers that did not fit, too.

        Raises:
            OutputError: None had, and there is no asking again.
        """
        try:
            answer = await self._first_that_fits(ride)
        except BaseException as ended:
            vars(ended)["_used"] = self._asking.used
            raise
        vars(answer)["_used"] = self._asking.used
        return answer

    async def _first_that_fits(self, ride: Ride | None) -> ChatCompletion[Any]:
        while True:
            try:
                if ride is not None:
                    return await ride()
                return self.accept(await self.run(self.answer))
            except OutputError as caught:
                error = bare(caught)
            request = self._asking.ask_again(self.request, error)
            if request is None:
                raise error
            self.request = request

    def accept(self, completion: ChatCompletion) -> ChatCompletion[Any]:
        """Return *completion* with its output.

        Raises:
            OutputError: It has not the form.
        """
        try:
            return self._asking.accept(completion)
        except OutputError as caught:
            error = bare(caught)
        self.content = False  # what arrived was whole
        self.note_failure(error)
        raise error

    def partial_output(self) -> PartialOutput:
        """Return what reads the output while it is being written."""
        return self._asking.partial_output()
