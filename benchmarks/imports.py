"""Time and memory of the import."""

from __future__ import annotations

from benchmarks.driver import Benchmark, Case

_IMPORTS = {
    "acechat": "import acechat",
    "aiohttp + msgspec": "import aiohttp, msgspec",
    "httpx + json": "import httpx, json",
    "requests + json": "import requests, json",
    "acedatacloud": "import acedatacloud",
    "openai": "import openai",
    "openai[aiohttp]": "import openai, aiohttp",
    "anthropic": "import anthropic",
    "litellm": "import litellm",
    "mistralai": "from mistralai.client import Mistral",
}
_FIRST = {
    "acechat": "acechat.AsyncClient('token')",
    "aiohttp + msgspec": (
        "import asyncio\nasync def make():\n async with aiohttp.ClientSession(): pass\n"
        "asyncio.run(make())"
    ),
    "httpx + json": "httpx.AsyncClient()",
    "requests + json": "requests.Session()",
    "acedatacloud": "acedatacloud.AsyncAceDataCloud('token')",
    "openai": "openai.AsyncOpenAI(api_key='token').chat.completions",
    "openai[aiohttp]": (
        "openai.AsyncOpenAI(api_key='token', http_client=openai.DefaultAioHttpClient())"
        ".chat.completions"
    ),
    "anthropic": "anthropic.AsyncAnthropic(api_key='token').messages",
    "litellm": "litellm.acompletion",
    "mistralai": "Mistral(api_key='token').chat",
}
_MEASURED = """
import json, sys, time
def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0
before, began, cpu = resident(), time.perf_counter(), time.process_time()
CODE
cpu, wall = time.process_time() - cpu, time.perf_counter() - began
print(json.dumps({
    "cpu_ms": cpu * 1e3,
    "wall_ms": wall * 1e3,
    "mb": (resident() - before) / 2**20,
    "modules": len(sys.modules),
    "heavy": len({"aiohttp", "anyio"} & {*sys.modules}),
}))
"""
_SHOWN = {"cpu_ms": "ms of CPU", "wall_ms": "ms", "mb": "MB", "modules": "modules"}


def _alone(code: str) -> str:
    return _MEASURED.replace("CODE", code)


BENCHMARK = Benchmark(
    "imports",
    "Time and memory of the import",
    [
        Case(
            name="import",
            title="import",
            path="",
            work="",
            code={name: _alone(code) for name, code in _IMPORTS.items()},
            subjects=[*_IMPORTS],
            shown=_SHOWN,
            rounds=6,
        ),
        Case(
            name="first",
            title="import, and the first client",
            path="",
            work="",
            code={name: _alone(f"{code}\n{_FIRST[name]}") for name, code in _IMPORTS.items()},
            subjects=[*_IMPORTS],
            shown=_SHOWN,
            rounds=6,
        ),
    ],
)

if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["imports"])
