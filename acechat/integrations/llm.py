"""Plugin of Simon Willison's `llm`: models ``acechat/claude-…``; needs ``acechat[llm]``."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import llm
from llm.parts import StreamEvent
from pydantic import Field

from acechat import AceChatError, AsyncClient, Client
from acechat.integrations._llm_messages import Events, finish, request_of

__all__ = ["AceDataAsyncModel", "AceDataModel", "register_commands", "register_models"]

_NAMES = (
    "claude-fable-5-1", "claude-fable-5", "claude-opus-5", "claude-opus-4-8", "claude-opus-4-7",
    "claude-opus-4-6", "claude-opus-4-5-20251101", "claude-opus-4-1-20250805",
    "claude-opus-4-20250514", "claude-sonnet-5", "claude-sonnet-4-6",
    "claude-sonnet-4-5-20250929", "claude-sonnet-4-20250514", "claude-3-7-sonnet-20250219",
    "claude-haiku-4-5-20251001", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20240620",
    "claude-3-5-haiku-20241022", "claude-3-haiku-20240307", "claude-3-sonnet-20240229",
)  # fmt: skip
"""The models that are known without asking; ``llm acechat refresh`` replaces the list."""

_ATTACHMENTS = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})
_KEY = "acechat"
_VARIABLE = "ACEDATACLOUD_API_TOKEN"
_BASE_URL = "ACEDATACLOUD_API_BASE_URL"
_C = TypeVar("_C", Client, AsyncClient)


class _PromptOptions(llm.Options):
    """Options of a prompt, ``-o NAME VALUE``."""

    max_tokens: int | None = Field(None, description="Maximum number of tokens to write", ge=1)
    temperature: float | None = Field(None, description="Randomness of the text", ge=0, le=2)
    top_p: float | None = Field(None, description="Probability mass of the sampled tokens", ge=0)
    stop: str | None = Field(None, description="Text before which the response ends")
    reasoning_effort: str | None = Field(
        None, description="low, medium or high; also xhigh or max for newer models"
    )
    seed: int | None = Field(None, description="Seed of the sampling, which Claude ignores")


class _Shared:
    """The parts that the blocking and the async model have in common."""

    can_stream = True
    supports_schema = True
    supports_tools = True
    needs_key: str | None = _KEY
    key_env_var: str | None = _VARIABLE
    attachment_types: set[str] | frozenset[str] = _ATTACHMENTS

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept: tuple[tuple[str | None, str | None, int], Any] | None = None
        self.model_id: str = f"acechat/{name}"

    def __str__(self) -> str:
        return f"AceData: {self.model_id}"

    def _client(self, make: Callable[[str | None], _C], key: str | None, loop: int = 0) -> _C:
        """Return the client of the last prompt, if it fits, so that its connections are reused.

        It closes itself when the model is collected.
        """
        settings = key, os.environ.get(_BASE_URL), loop
        if self._kept is None or self._kept[0] != settings:
            self._kept = settings, make(key)
        client: _C = self._kept[1]
        return client

    def _arguments(self, prompt: llm.Prompt) -> dict[str, Any]:
        return request_of(prompt, self.name)


class AceDataModel(_Shared, llm.KeyModel):
    """A model, blocking."""

    class Options(_PromptOptions, llm.KeyModel.Options):
        """Options of a prompt."""

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,  # noqa: ARG002 - prompt.messages has its history
        key: str | None,
    ) -> Iterator[str | StreamEvent]:
        """Yield the events of a response.

        Raises:
            ModelError: The call failed.
        """
        arguments = self._arguments(prompt)
        structured = prompt.schema is not None
        events = Events(structured=structured)
        try:
            client = self._client(Client, key)
            if stream:
                with client.stream(**arguments) as deltas:
                    for delta in deltas:
                        yield from events.of_delta(delta)
                completion = deltas.completion
            else:
                completion = client.chat(**arguments)
                yield from events.of_completion(completion)
        except AceChatError as error:
            raise llm.ModelError(str(error)) from error
        finish(completion, response, structured=structured)


class AceDataAsyncModel(_Shared, llm.AsyncKeyModel):
    """A model, for asyncio."""

    class Options(_PromptOptions, llm.AsyncKeyModel.Options):
        """Options of a prompt."""

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.AsyncResponse,
        conversation: llm.AsyncConversation | None,  # noqa: ARG002 - as above
        key: str | None,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Yield the events of a response.

        Raises:
            ModelError: The call failed.
        """
        arguments = self._arguments(prompt)
        structured = prompt.schema is not None
        events = Events(structured=structured)
        try:
            client = self._client(AsyncClient, key, id(asyncio.get_running_loop()))
            if stream:
                async with client.stream(**arguments) as deltas:
                    async for delta in deltas:
                        for event in events.of_delta(delta):
                            yield event
                completion = deltas.completion
            else:
                completion = await client.chat(**arguments)
                for event in events.of_completion(completion):
                    yield event
        except AceChatError as error:
            raise llm.ModelError(str(error)) from error
        finish(completion, response, structured=structured)


def _list_path() -> Path:
    folder: Path = llm.user_dir()
    return folder / "acechat_models.json"


def _names() -> list[str]:
    try:
        names = json.loads(_list_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return list(_NAMES)
    return [name for name in names if isinstance(name, str)] or list(_NAMES)


@llm.hookimpl
def register_models(register: Any) -> None:
    """Register the models that are known."""
    for name in _names():
        register(AceDataModel(name), AceDataAsyncModel(name))


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Register ``llm acechat refresh``."""

    @cli.group(name="acechat")
    def acechat_() -> None:
        """Commands for AceData Cloud's models."""

    @acechat_.command()
    @click.option("--key", help="the API token")
    def refresh(key: str | None) -> None:
        """Store the list of models that the service offers now."""
        token = llm.get_key(key, _KEY, _VARIABLE)
        try:
            with Client(token) as client:
                names = [model.id for model in client.models()]
        except AceChatError as error:
            raise click.ClickException(str(error)) from error
        _list_path().parent.mkdir(parents=True, exist_ok=True)
        _list_path().write_text(json.dumps(names), encoding="utf-8")
        click.echo(f"{len(names)} models stored in {_list_path()}")
