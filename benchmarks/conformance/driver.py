"""Drives one client: ``python driver.py PEER`` in the environment of that peer.

acechat may be missing there, so this file imports only the standard library and the peer. It reads
one `Case` per line as JSON, and writes one line per case: the returned texts or the exception. The
loops over streams are those of each client's documentation.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple, TypeAlias

__all__ = ["DRIVERS", "Case", "Driver", "Texts", "serve"]

TOKEN = "tok-of-the-conformance-kit"
MODEL = "claude-sonnet-4-20250514"
MESSAGES = [{"role": "user", "content": "Hello"}]

_PAUSE = 0.2
"""Seconds between two calls of one case."""

Texts: TypeAlias = dict[int, str]
"""The returned texts, by index of choice."""


class Case(NamedTuple):
    """The task of a client."""

    root: str
    """``http://HOST:PORT/…``, without the ``/v1``."""

    stream: bool
    calls: int
    retries: bool
    timeout: float
    """Seconds, given to the client as its ordinary ``timeout=``."""

    choices: int = 1
    """Sent as ``n`` if there are several."""

    @property
    def options(self) -> dict[str, Any]:
        """Additional fields of the request."""
        return {"n": self.choices} if self.choices > 1 else {}


Driver: TypeAlias = Callable[[Case], AbstractContextManager[Callable[[], Texts]]]
"""Creates one client for a case, and yields a function that makes one call."""


def _joined(chunks: Iterable[Any]) -> Texts:
    texts: Texts = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return texts


def _complete(completion: Any) -> Texts:
    return {choice.index: choice.message.content for choice in completion.choices}


@contextmanager
def acechat_async(case: Case) -> Generator[Callable[[], Texts]]:
    """`acechat.AsyncClient`."""
    client = import_module("acechat").AsyncClient(
        TOKEN,
        base_url=f"{case.root}/v1",
        timeout=case.timeout,
        retries=3 if case.retries else 1,
    )

    async def call() -> Texts:
        if not case.stream:
            return _complete(await client.chat("Hello"))
        texts: Texts = {}
        async for delta in client.stream("Hello", **case.options):
            texts[delta.index] = texts.get(delta.index, "") + (delta.content or "")
        return texts

    with asyncio.Runner() as runner:
        try:
            yield lambda: runner.run(call())
        finally:
            runner.run(client.aclose())


@contextmanager
def acechat_blocking(case: Case) -> Generator[Callable[[], Texts]]:
    """`acechat.Client`."""

    def call() -> Texts:
        if not case.stream:
            return _complete(client.chat("Hello"))
        texts: Texts = {}
        for delta in client.stream("Hello", **case.options):
            texts[delta.index] = texts.get(delta.index, "") + (delta.content or "")
        return texts

    with import_module("acechat").Client(
        TOKEN,
        base_url=f"{case.root}/v1",
        timeout=case.timeout,
        retries=3 if case.retries else 1,
    ) as client:
        yield call


def _as_openai(module: str, name: str, path: str) -> Driver:
    """Return the driver of a client with the interface of openai's."""

    @contextmanager
    def drive(case: Case) -> Generator[Callable[[], Texts]]:
        def call() -> Texts:
            made = client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=case.stream, **case.options
            )
            return _joined(made) if case.stream else _complete(made)

        with getattr(import_module(module), name)(
            api_key=TOKEN,
            base_url=case.root + path,
            timeout=case.timeout,
            max_retries=2 if case.retries else 0,
        ) as client:
            yield call

    return drive


@contextmanager
def anthropic(case: Case) -> Generator[Callable[[], Texts]]:
    """`anthropic.Anthropic`, in its own format."""

    def call() -> Texts:
        made = client.messages.create(
            model=MODEL, max_tokens=100, messages=MESSAGES, stream=case.stream
        )
        if not case.stream:
            return {0: "".join(block.text for block in made.content)}
        deltas = (event.delta.text for event in made if event.type == "content_block_delta")
        return {0: "".join(deltas)}

    with import_module("anthropic").Anthropic(
        api_key=TOKEN,
        base_url=case.root,
        timeout=case.timeout,
        max_retries=2 if case.retries else 0,
    ) as client:
        yield call


@contextmanager
def acedatacloud(case: Case) -> Generator[Callable[[], Texts]]:
    """`acedatacloud.AceDataCloud`; its chunks are dicts."""
    client = import_module("acedatacloud").AceDataCloud(
        api_token=TOKEN,
        base_url=case.root,
        timeout=case.timeout,
        max_retries=2 if case.retries else 0,
    )

    def call() -> Texts:
        made = client.openai.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=case.stream, **case.options
        )
        if not case.stream:
            return {one["index"]: one["message"]["content"] for one in made["choices"]}
        texts: Texts = {}
        for chunk in made:
            for choice in chunk["choices"]:
                delta = choice["delta"].get("content") or ""
                texts[choice["index"]] = texts.get(choice["index"], "") + delta
        return texts

    yield call


@contextmanager
def litellm(case: Case) -> Generator[Callable[[], Texts]]:
    """`litellm.completion`, which has no client object."""
    completion = import_module("litellm").completion

    def call() -> Texts:
        made = completion(
            model=f"openai/{MODEL}",
            messages=MESSAGES,
            stream=case.stream,
            api_key=TOKEN,
            api_base=f"{case.root}/v1",
            timeout=case.timeout,
            max_retries=2 if case.retries else 0,
            **case.options,
        )
        return _joined(made) if case.stream else _complete(made)

    yield call


@contextmanager
def mistralai(case: Case) -> Generator[Callable[[], Texts]]:
    """`mistralai.client.Mistral`."""
    module = import_module("mistralai.client")
    utils = import_module("mistralai.client.utils")
    backoff = utils.BackoffStrategy(500, 8000, 2.0, 2000)
    retries = utils.RetryConfig("backoff", backoff, retry_connection_errors=True)

    def call() -> Texts:
        if not case.stream:
            return _complete(client.chat.complete(model=MODEL, messages=MESSAGES))
        return _joined(
            event.data
            for event in client.chat.stream(model=MODEL, messages=MESSAGES, **case.options)
        )

    with module.Mistral(
        api_key=TOKEN,
        server_url=case.root,
        timeout_ms=int(case.timeout * 1000),
        retry_config=retries if case.retries else None,
    ) as client:
        yield call


@contextmanager
def httpx(case: Case) -> Generator[Callable[[], Texts]]:
    """`httpx.Client` and a hand-written loop; it has no retries."""

    def call() -> Texts:
        body = {"model": MODEL, "messages": MESSAGES, "stream": case.stream, **case.options}
        path = "/v1/chat/completions"
        if not case.stream:
            completion = client.post(path, json=body).raise_for_status().json()
            return {one["index"]: one["message"]["content"] for one in completion["choices"]}
        texts: Texts = {}
        with client.stream("POST", path, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line == "data: [DONE]":
                    break
                if not line.startswith("data: "):
                    continue
                for choice in json.loads(line[6:])["choices"]:
                    delta = choice["delta"].get("content") or ""
                    texts[choice["index"]] = texts.get(choice["index"], "") + delta
        return texts

    headers = {"Authorization": f"Bearer {TOKEN}"}
    with import_module("httpx").Client(
        base_url=case.root, headers=headers, timeout=case.timeout
    ) as client:
        yield call


DRIVERS: dict[str, tuple[Driver, frozenset[str]]] = {
    "acechat": (acechat_async, frozenset({"acechat"})),
    "acechat.Client": (acechat_blocking, frozenset({"acechat"})),
    "acedatacloud": (acedatacloud, frozenset({"acedatacloud"})),
    "anthropic": (anthropic, frozenset({"anthropic"})),
    "groq": (_as_openai("groq", "Groq", ""), frozenset({"groq"})),
    "httpx": (httpx, frozenset({"httpx"})),
    "litellm": (
        litellm,
        frozenset({"litellm", "openai"}),
    ),  # its exceptions are openai's, or derive from them
    "mistralai": (mistralai, frozenset({"mistralai"})),
    "openai": (_as_openai("openai", "OpenAI", "/v1"), frozenset({"openai"})),
}
"""The driver of each client, and the packages with its own exceptions."""


def serve(drive: Driver, own: frozenset[str], version: str) -> None:
    """Write *version*, then run cases until the input ends.

    Args:
        drive: The driver of the client.
        own: The packages with the client's own exceptions.
        version: The version of the client.
    """
    output = os.fdopen(os.dup(1), "w", buffering=1)  # some clients print
    os.dup2(2, 1)
    print(json.dumps({"version": version}), file=output)
    for line in sys.stdin:
        print(json.dumps(_outcome(drive, own, Case(*json.loads(line)))), file=output)


def _outcome(drive: Driver, own: frozenset[str], case: Case) -> dict[str, Any]:
    texts: Texts = {}
    try:
        with drive(case) as call:
            for number in range(case.calls):
                if number:
                    time.sleep(_PAUSE)
                texts = call()
    except Exception as error:  # noqa: BLE001 - the exception is the result
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else _full(kind)
        return {"error": name, "own": kind.__module__.split(".")[0] in own}
    return {"texts": sorted(texts.items())}


def _full(kind: type[Exception]) -> str:
    return f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"


if __name__ == "__main__":
    _peer = sys.argv[1]
    _package = _peer.partition(".")[0]
    os.environ.setdefault(
        "LITELLM_LOCAL_MODEL_COST_MAP", "True"
    )  # otherwise it fetches a file from GitHub
    import_module(_package)
    serve(*DRIVERS[_peer], version(_package))
