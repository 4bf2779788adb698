"""Drives one client: ``python driver.py PEER`` in the environment of that peer.

acechat may be missing there, so this file needs the standard library and the peer alone. It reads
one `Case` per line as JSON, and writes one line per case: what the client returned or raised.
The loops over streams are those of each client's own documentation.
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
"""What was answered, by index of choice."""


class Case(NamedTuple):
    """What a client is to do."""

    root: str
    """``http://HOST:PORT/…``, without the ``/v1``."""

    stream: bool
    calls: int
    retries: bool
    timeout: float
    """Seconds, given to the client as its ordinary ``timeout=``."""


Driver: TypeAlias = Callable[[Case], AbstractContextManager[Callable[[], Texts]]]
"""Makes one client for a case, and yields what asks it once."""


def _joined(chunks: Iterable[Any]) -> Texts:
    texts: Texts = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return texts


def _whole(completion: Any) -> Texts:
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

    async def ask() -> Texts:
        if not case.stream:
            return _whole(await client.chat("Hello"))
        texts: Texts = {}
        async for delta in client.stream("Hello"):
            texts[delta.index] = texts.get(delta.index, "") + (delta.content or "")
        return texts

    with asyncio.Runner() as runner:
        try:
            yield lambda: runner.run(ask())
        finally:
            runner.run(client.aclose())


@contextmanager
def acechat_blocking(case: Case) -> Generator[Callable[[], Texts]]:
    """`acechat.Client`."""

    def ask() -> Texts:
        if not case.stream:
            return _whole(client.chat("Hello"))
        texts: Texts = {}
        for delta in client.stream("Hello"):
            texts[delta.index] = texts.get(delta.index, "") + (delta.content or "")
        return texts

    with import_module("acechat").Client(
        TOKEN,
        base_url=f"{case.root}/v1",
        timeout=case.timeout,
        retries=3 if case.retries else 1,
    ) as client:
        yield ask


def _as_openai(module: str, name: str, path: str) -> Driver:
    """Return the driver of a client that was made like openai's."""

    @contextmanager
    def drive(case: Case) -> Generator[Callable[[], Texts]]:
        def ask() -> Texts:
            made = client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=case.stream
            )
            return _joined(made) if case.stream else _whole(made)

        with getattr(import_module(module), name)(
            api_key=TOKEN,
            base_url=case.root + path,
            timeout=case.timeout,
            max_retries=2 if case.retries else 0,
        ) as client:
            yield ask

    return drive


@contextmanager
def anthropic(case: Case) -> Generator[Callable[[], Texts]]:
    """`anthropic.Anthropic`, in its own format."""

    def ask() -> Texts:
        made = client.messages.create(
            model=MODEL, max_tokens=100, messages=MESSAGES, stream=case.stream
        )
        if not case.stream:
            return {0: "".join(block.text for block in made.content)}
        said = (event.delta.text for event in made if event.type == "content_block_delta")
        return {0: "".join(said)}

    with import_module("anthropic").Anthropic(
        api_key=TOKEN,
        base_url=case.root,
        timeout=case.timeout,
        max_retries=2 if case.retries else 0,
    ) as client:
        yield ask


@contextmanager
def acedatacloud(case: Case) -> Generator[Callable[[], Texts]]:
    """`acedatacloud.AceDataCloud`, whose chunks are dicts."""
    client = import_module("acedatacloud").AceDataCloud(
        api_token=TOKEN,
        base_url=case.root,
        timeout=case.timeout,
        max_retries=2 if case.retries else 0,
    )

    def ask() -> Texts:
        made = client.openai.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=case.stream
        )
        if not case.stream:
            return {one["index"]: one["message"]["content"] for one in made["choices"]}
        texts: Texts = {}
        for chunk in made:
            for choice in chunk["choices"]:
                said = choice["delta"].get("content") or ""
                texts[choice["index"]] = texts.get(choice["index"], "") + said
        return texts

    yield ask


@contextmanager
def litellm(case: Case) -> Generator[Callable[[], Texts]]:
    """`litellm.completion`, which has no client object."""
    completion = import_module("litellm").completion

    def ask() -> Texts:
        made = completion(
            model=f"openai/{MODEL}",
            messages=MESSAGES,
            stream=case.stream,
            api_key=TOKEN,
            api_base=f"{case.root}/v1",
            timeout=case.timeout,
            max_retries=2 if case.retries else 0,
        )
        return _joined(made) if case.stream else _whole(made)

    yield ask


@contextmanager
def mistralai(case: Case) -> Generator[Callable[[], Texts]]:
    """`mistralai.client.Mistral`."""
    module = import_module("mistralai.client")
    utils = import_module("mistralai.client.utils")
    backoff = utils.BackoffStrategy(500, 8000, 2.0, 2000)
    retries = utils.RetryConfig("backoff", backoff, retry_connection_errors=True)

    def ask() -> Texts:
        if not case.stream:
            return _whole(client.chat.complete(model=MODEL, messages=MESSAGES))
        return _joined(event.data for event in client.chat.stream(model=MODEL, messages=MESSAGES))

    with module.Mistral(
        api_key=TOKEN,
        server_url=case.root,
        timeout_ms=int(case.timeout * 1000),
        retry_config=retries if case.retries else None,
    ) as client:
        yield ask


@contextmanager
def httpx(case: Case) -> Generator[Callable[[], Texts]]:
    """`httpx.Client` and the loop that people write by hand; it has no retries."""

    def ask() -> Texts:
        body = {"model": MODEL, "messages": MESSAGES, "stream": case.stream}
        path = "/v1/chat/completions"
        if not case.stream:
            answer = client.post(path, json=body).raise_for_status().json()
            return {one["index"]: one["message"]["content"] for one in answer["choices"]}
        texts: Texts = {}
        with client.stream("POST", path, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line == "data: [DONE]":
                    break
                if not line.startswith("data: "):
                    continue
                for choice in json.loads(line[6:])["choices"]:
                    said = choice["delta"].get("content") or ""
                    texts[choice["index"]] = texts.get(choice["index"], "") + said
        return texts

    headers = {"Authorization": f"Bearer {TOKEN}"}
    with import_module("httpx").Client(
        base_url=case.root, headers=headers, timeout=case.timeout
    ) as client:
        yield ask


DRIVERS: dict[str, tuple[Driver, frozenset[str]]] = {
    "acechat": (acechat_async, frozenset({"acechat"})),
    "acechat.Client": (acechat_blocking, frozenset({"acechat"})),
    "acedatacloud": (acedatacloud, frozenset({"acedatacloud"})),
    "anthropic": (anthropic, frozenset({"anthropic"})),
    "groq": (_as_openai("groq", "Groq", ""), frozenset({"groq"})),
    "httpx": (httpx, frozenset({"httpx"})),
    "litellm": (litellm, frozenset({"litellm", "openai"})),  # it raises and inherits openai's
    "mistralai": (mistralai, frozenset({"mistralai"})),
    "openai": (_as_openai("openai", "OpenAI", "/v1"), frozenset({"openai"})),
}
"""How to drive each client, and the packages whose exceptions are its own."""


def serve(drive: Driver, own: frozenset[str], version: str) -> None:
    """Say *version*, then run cases until there are no more.

    Args:
        drive: How to ask the client.
        own: The packages whose exceptions are the client's own.
        version: Of the client.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # some clients print
    os.dup2(2, 1)
    print(json.dumps({"version": version}), file=answers)
    for line in sys.stdin:
        print(json.dumps(_outcome(drive, own, Case(*json.loads(line)))), file=answers)


def _outcome(drive: Driver, own: frozenset[str], case: Case) -> dict[str, Any]:
    texts: Texts = {}
    try:
        with drive(case) as ask:
            for number in range(case.calls):
                if number:
                    time.sleep(_PAUSE)
                texts = ask()
    except Exception as error:  # noqa: BLE001 - which one it is, is the question
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else _full(kind)
        return {"error": name, "own": kind.__module__.split(".")[0] in own}
    return {"texts": sorted(texts.items())}


def _full(kind: type[Exception]) -> str:
    return f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"


if __name__ == "__main__":
    _peer = sys.argv[1]
    _package = _peer.partition(".")[0]
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks GitHub first
    import_module(_package)
    serve(*DRIVERS[_peer], version(_package))
