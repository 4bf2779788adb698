"""Who is measured: each client as its own documentation shows it, in an environment of its own.

A module of this package has the classes ``Async`` and ``Blocking``, or one of them. They read
`choices[0].delta.content`, count what is not empty and add up its characters: nobody gets away
with less. The modules run where only one client is installed; this one needs none.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

MODEL = "claude-sonnet-4-20250514"
MESSAGE = "Hello"

First = Callable[[], object]
"""Called when the first text of a stream is there."""

Read = tuple[int, int]
"""How many pieces of text came, and how many characters."""


class Asynchronous(Protocol):
    """What a class ``Async`` does; *root* is the URL without ``/v1``."""

    def __init__(self, root: str) -> None: ...
    async def chat(self, picture: bytes | None = None) -> int: ...
    async def stream(self, first: First) -> Read: ...
    async def close(self) -> None: ...


class Subject(NamedTuple):
    """One column of the tables, or one line."""

    name: str
    module: str
    colour: str = "Async"
    requirements: tuple[str, ...] = ()
    package: str = ""  # whose version is told
    most: int = 10**6  # streams that its pool opens at once, where that cannot be changed
    loop: str = ""
    slow: bool = False  # takes so long that one round must do
    note: str = ""

    @property
    def environment(self) -> str:
        """The name of the environment that holds its requirements."""
        return "bench-" + "-".join(sorted(self.requirements)).translate(str.maketrans("[]", "--"))


# Fast clients share what they are built from; acechat itself comes from this checkout.
_OURS = ("aiohttp", "anyio", "msgspec")
_SPEED = (*_OURS, "uvloop")

_POOL = "its pool opens 100 connections"

_ASYNC = [
    Subject("floor: recv", "floor_recv", "Async", _OURS, note="reads bytes, decodes nothing"),
    Subject("floor", "floor", "Async", _OURS, note="a raw asyncio protocol with typed decode"),
    Subject("acechat", "acechat", "Async", _OURS),
    Subject("aiohttp + msgspec", "aiohttp_msgspec", "Async", _OURS, "aiohttp"),
    Subject("aiohttp + json", "aiohttp_json", "Async", _OURS, "aiohttp"),
    Subject("httpx + json", "httpx_json", "Async", ("httpx",), "httpx", most=100, note=_POOL),
    Subject(
        "acedatacloud",
        "acedatacloud",
        "Async",
        ("acedatacloud",),
        "acedatacloud",
        most=100,
        note=f"{_POOL}, which cannot be changed",
    ),
    Subject("openai", "openai", "Async", ("openai", "uvloop"), "openai"),
    Subject("openai[aiohttp]", "openai_aiohttp", "Async", ("openai[aiohttp]",), "openai"),
    Subject("anthropic", "anthropic", "Async", ("anthropic",), "anthropic", note="its own wire"),
    Subject(
        "litellm",
        "litellm",
        "Async",
        ("litellm",),
        "litellm",
        most=500,
        slow=True,
        note="its pool opens 500 connections to one host",
    ),
    Subject(
        "mistralai",
        "mistralai",
        "Async",
        ("mistralai",),
        "mistralai",
        slow=True,
        note="no pool limit",
    ),
]

_UNLIMITED = Subject(
    "httpx + json, any number",
    "httpx_unlimited",
    "Async",
    ("httpx",),
    "httpx",
    note="its pool has no limit, which costs calls more than it gives them",
)

_BLOCKING = [
    Subject("floor, blocking", "floor", "Blocking", _OURS, note="a bare socket with typed decode"),
    Subject("acechat, blocking", "acechat", "Blocking", _OURS),
    Subject("acechat[speed], blocking", "acechat", "Blocking", _SPEED, note="with uvloop"),
    Subject("requests + json", "requests_json", "Blocking", ("requests",), "requests"),
    Subject("httpx + json, blocking", "httpx_json", "Blocking", ("httpx",), "httpx"),
    Subject(
        "acedatacloud, blocking", "acedatacloud", "Blocking", ("acedatacloud",), "acedatacloud"
    ),
    Subject("openai, blocking", "openai", "Blocking", ("openai", "uvloop"), "openai"),
    Subject(
        "anthropic, blocking",
        "anthropic",
        "Blocking",
        ("anthropic",),
        "anthropic",
        note="its own wire",
    ),
    Subject("litellm, blocking", "litellm", "Blocking", ("litellm",), "litellm", slow=True),
    Subject("mistralai, blocking", "mistralai", "Blocking", ("mistralai",), "mistralai", slow=True),
]

_UVLOOP = [
    Subject("floor, uvloop", "floor", "Async", _SPEED, loop="uvloop"),
    Subject("acechat, uvloop", "acechat", "Async", _SPEED, loop="uvloop"),
    Subject("aiohttp + msgspec, uvloop", "aiohttp_msgspec", "Async", _SPEED, loop="uvloop"),
    Subject("openai, uvloop", "openai", "Async", ("openai", "uvloop"), "openai", loop="uvloop"),
]

SUBJECTS = {subject.name: subject for subject in [*_ASYNC, _UNLIMITED, *_BLOCKING, *_UVLOOP]}
ASYNC = [subject.name for subject in _ASYNC]
MANY = [*ASYNC, _UNLIMITED.name]
"""Those who are asked for more streams than a pool opens."""

BLOCKING = [subject.name for subject in _BLOCKING]
UVLOOP = [subject.name for subject in _UVLOOP]


def messages(picture: bytes | None = None) -> list[dict[str, Any]]:
    """Return the question, as the API's JSON; *picture* makes it as long as one wants."""
    if picture is None:
        return [{"role": "user", "content": MESSAGE}]
    url = f"data:image/png;base64,{b64encode(picture).decode()}"
    parts = [{"type": "text", "text": MESSAGE}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]
