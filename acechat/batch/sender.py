"""`RowSender`: sends the requests of rows, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from acechat._media.image import image
from acechat._policy.values import RetryPolicy, Timeout
from acechat._wire.encode import encode
from acechat._wire.request import RequestTemplate
from acechat.batch.rows import Row
from acechat.batch.sources import locate
from acechat.errors import ConfigurationError
from acechat.types import ChatCompletion, ChatOptions

__all__ = ["RequestOptions", "RowSender"]


class RequestOptions(msgspec.Struct, frozen=True):
    """The arguments of `batch` and `map` that are those of `chat`."""

    model: str | None
    system: str | None
    output_type: Any
    timeout: Timeout | float | None
    retries: RetryPolicy | int | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    options: ChatOptions


class RowSender:
    """Sends the requests of rows, each once.

    The options of a row replace those of the run.
    """

    def __init__(
        self,
        build: Callable[..., RequestTemplate],
        ask: Callable[..., Awaitable[ChatCompletion[Any]]],
        request: RequestOptions,
        folder: Path,
    ) -> None:
        self._folder = folder
        self._build = build
        self._ask = ask
        self._request = request
        self._common = self._template(None, {}, None)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All options that change the requests, as JSON."""
        common, output_type = self._common, self._request.output_type
        fields = {"model": common.model} | common.fields
        for name in ("stream", "stream_options"):  # they do not change the completion
            fields.pop(name, None)
        if output_type is not None:
            from acechat._tools.output import OutputSpec

            fields["output_schema"] = OutputSpec(output_type).schema
        return cast("dict[str, Any]", msgspec.json.decode(encode(fields)))

    def _template(
        self, model: str | None, options: dict[str, Any], extra_body: dict[str, Any] | None
    ) -> RequestTemplate:
        request = self._request
        return self._build(
            model or request.model,
            request.timeout,
            1,
            {**(request.extra_body or {}), **(extra_body or {})},
            request.extra_headers,
            cast("ChatOptions", {**request.options, **options}),
        )

    async def send(self, row: Row) -> ChatCompletion[Any]:
        """Send the request of *row*, once.

        Raises:
            AceChatError: It failed.
        """
        template = self._common
        if row.options or row.extra_body or (row.model or template.model) != template.model:
            try:
                template = self._template(row.model, row.options, row.extra_body)
            except TypeError as error:
                problem = str(error)
            else:
                problem = ""
            if problem:
                raise ConfigurationError(problem)
        messages = row.messages
        if row.images:
            messages = await asyncio.to_thread(self._with_images, messages, row.images)
        return await self._ask(template, messages, self._request.output_type)

    def _with_images(self, messages: list[Any], images: list[str]) -> list[Any]:
        """Add images to the last message.

        Raises:
            ConfigurationError: An image cannot be read.
        """
        *earlier, last = messages
        content: Any = last.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        elif not isinstance(content, list):
            raise ConfigurationError("the last message has no content to which images can be added")
        parts = cast("list[Any]", content)
        loaded = [image(locate(each, self._folder)) for each in images]
        return [*earlier, {**last, "content": [*parts, *loaded]}]
