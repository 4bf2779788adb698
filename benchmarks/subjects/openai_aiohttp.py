"""openai-python on aiohttp, as its README shows it."""

from __future__ import annotations

from openai import AsyncOpenAI, DefaultAioHttpClient

from benchmarks.subjects import openai


class Async(openai.Async):
    @staticmethod
    def make(root: str) -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key="token", base_url=f"{root}/v1", http_client=DefaultAioHttpClient()
        )
