"""The measured clients: each used as its documentation shows, in its own environment.

A module of this package has the classes ``Async`` and ``Blocking``, or one of them. They read
`choices[0].delta.content`, count non-empty texts and add up their characters, so that all do
the same work. Each module needs only its own client; this one needs none.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

MODEL = "claude-sonnet-4-20250514"
MESSAGE = "Hello"

First = Callable[[], object]
"""Called when the first text of a stream has arrived."""

Read = tuple[int, int]
"""The number of texts in a stream, and of their characters."""


class Asynchronous(Protocol):
    """The interface of a class ``Async``; *root* is the URL without ``/v1``."""

    def __init__(self, root: str) -> None: ...
    async def chat(self, image_bytes: bytes | None = None) -> int: ...
    async def stream(self, first: First) -> Read: ...
    async def close(self) -> None: ...


class Subject(NamedTuple):
    """One row or column of the tables."""

    name: str
    module: str
    class_name: str = "Async"
    requirements: tuple[str, ...] = ()
    package: str = ""  # the package whose version is reported
    most: int = 10**6  # streams that its pool opens at once, if that limit is fixed
    loop: str = ""
    slow: bool = False  # so slow that one round must suffice
    note: str = ""

    @property
    def environment(self) -> str:
        """The name of the environment that holds its requirements."""
        return "bench-" + "-".join(sorted(self.requirements)).translate(str.maketrans("[]", "--"))


# These share one environment; acechat itself is imported from this checkout.
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
    Subject("anthropic", "anthropic", "Async", ("anthropic",), "anthropic", note="its own format"),
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
    note="its pool has no limit, which makes its calls slower",
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
        note="its own format",
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

_FEATURES = [
    Subject("acechat, watched", "features", "Watched", _OURS, note="observer, rate limit, budget"),
    Subject("acechat, output_type", "features", "Typed", _OURS),
    Subject("acechat, run", "features", "Run", _OURS),
    Subject("acechat, two calls", "features", "ByHand", _OURS, note="the loop of a run, by hand"),
]

_COMMAND = (*_OURS, "click", "rich", "llm")
_PROGRAMS = [  # of one environment; `benchmarks.command` runs them
    Subject("acechat, command line", "features", "Watched", _COMMAND),
    Subject("llm, command line", "features", "Watched", _COMMAND, "llm"),
]

SUBJECTS = {
    subject.name: subject
    for subject in [*_ASYNC, _UNLIMITED, *_BLOCKING, *_UVLOOP, *_FEATURES, *_PROGRAMS]
}
ASYNC = [subject.name for subject in _ASYNC]
MANY = [*ASYNC, _UNLIMITED.name]
"""Subjects of cases with more streams than a pool opens."""

BLOCKING = [subject.name for subject in _BLOCKING]
UVLOOP = [subject.name for subject in _UVLOOP]


def messages(image_bytes: bytes | None = None) -> list[dict[str, Any]]:
    """Return the messages of a request. *image_bytes*: an image in it; None: text only."""
    if image_bytes is None:
        return [{"role": "user", "content": MESSAGE}]
    url = f"data:image/png;base64,{b64encode(image_bytes).decode()}"
    parts = [{"type": "text", "text": MESSAGE}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def sized_request(
    *, tools: int = 0, messages: int = 1, size: int = 40
) -> tuple[list[Any], list[Any]]:
    """Return messages of *size* characters each, and the descriptions of tools."""
    roles = ("user", "assistant")
    sent = [
        {"role": roles[number % 2], "content": "x" * size} for number in range(messages - 1, -1, -1)
    ]
    properties = {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}}
    parameters = {"type": "object", "properties": properties, "required": ["city"]}
    described = [
        {
            "type": "function",
            "function": {
                "name": f"weather_{number}",
                "description": "Forecast the weather.",
                "parameters": parameters,
            },
        }
        for number in range(tools)
    ]
    return sent, described
