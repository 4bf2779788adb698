"""Frameworks that speak OpenAI's protocol, with the service as their base URL.

docs/howto/frameworks.md has these recipes, and its table is compared with the facts found here.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from acechat.emulator import Service, cut, ok

pytestmark = [
    pytest.mark.leaves("sockets", "tasks", "threads", "sessions", "exceptions"),
    pytest.mark.filterwarnings("ignore"),  # of the frameworks
]

MODEL = "claude-sonnet-4-20250514"
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
REASONED = ok("Forty two", reasoning="Let me think", usage=USAGE)
CUT = cut(after=6, of=ok("one two three four"))


class Answer(BaseModel):
    value: int


@pytest.fixture
def service():
    with Service() as service:
        yield service


def pydantic_ai(service):
    models = pytest.importorskip("pydantic_ai.models.openai", reason="needs pydantic-ai")
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, ThinkingPart
    from pydantic_ai.providers.openai import OpenAIProvider

    def model():  # a new one for each event loop
        openai = AsyncOpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0)
        return models.OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=openai))

    def chat():
        result = Agent(model()).run_sync("Hello")
        parts = [part for message in result.all_messages() for part in message.parts]
        thought = next((p.content for p in parts if isinstance(p, ThinkingPart)), None)
        return result.output, thought, result.usage.output_tokens

    def stream():
        async def main():
            async with Agent(model()).run_stream("Hello") as result:
                async for _ in result.stream_text(delta=True):
                    pass

        asyncio.run(main())

    def structure():
        return Agent(model(), output_type=Answer).run_sync("?").output

    return SimpleNamespace(chat=chat, stream=stream, structure=structure, tool="final_result")


def haystack(service):
    chat_module = pytest.importorskip(
        "haystack.components.generators.chat", reason="needs haystack-ai"
    )
    from haystack.dataclasses import ChatMessage
    from haystack.utils import Secret

    def generator(**options):
        return chat_module.OpenAIChatGenerator(
            model=MODEL,
            api_base_url=f"{service.url}/v1",
            api_key=Secret.from_token(service.token),
            max_retries=0,
            **options,
        )

    def chat():
        (reply,) = generator().run([ChatMessage.from_user("Hello")])["replies"]
        reasoning = reply.reasoning.reasoning_text if reply.reasoning else None
        return reply.text, reasoning, reply.meta["usage"]["completion_tokens"]

    def stream():
        generator(streaming_callback=lambda _: None).run([ChatMessage.from_user("Hello")])

    return SimpleNamespace(chat=chat, stream=stream, structure=None, tool=None)


def instructor(service):
    library = pytest.importorskip("instructor", reason="needs instructor")
    from openai import OpenAI

    openai = OpenAI(base_url=f"{service.url}/v1", api_key=service.token, max_retries=0)
    client = library.from_openai(openai)
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}

    def structure():
        return client.chat.completions.create(response_model=Answer, **asked)

    return SimpleNamespace(chat=None, stream=None, structure=structure, tool="Answer")


def dspy(service):
    library = pytest.importorskip("dspy", reason="needs dspy")
    lm = library.LM(
        f"openai/{MODEL}",
        api_base=f"{service.url}/v1",
        api_key=service.token,
        cache=False,
        num_retries=0,
    )

    def chat():
        (output,) = lm("Hello")
        usage = lm.history[-1]["usage"]
        return output["text"], output.get("reasoning_content"), usage["completion_tokens"]

    return SimpleNamespace(chat=chat, stream=None, structure=None, tool=None)


def llama_index(service):
    library = pytest.importorskip(
        "llama_index.llms.openai_like", reason="needs llama-index-llms-openai-like"
    )
    from llama_index.core.llms import ChatMessage

    llm = library.OpenAILike(
        model=MODEL,
        api_base=f"{service.url}/v1",
        api_key=service.token,
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=200_000,
        max_retries=0,
    )
    asked = [ChatMessage(role="user", content="Hello")]

    def chat():
        response = llm.chat(asked)
        blocks = getattr(response.message, "blocks", [])
        thoughts = [getattr(block, "content", None) for block in blocks]
        reasoning = "Let me think" if "Let me think" in thoughts else None
        return response.message.content, reasoning, response.raw.usage.completion_tokens

    def stream():
        for _ in llm.stream_chat(asked):
            pass

    def structure():
        return llm.structured_predict(Answer, _prompt("?"))

    return SimpleNamespace(chat=chat, stream=stream, structure=structure, tool="Answer")


def _prompt(text):
    from llama_index.core.prompts import PromptTemplate

    return PromptTemplate(text)


FRAMEWORKS = {
    "pydantic-ai": pydantic_ai,
    "LlamaIndex": llama_index,
    "instructor": instructor,
    "DSPy": dspy,
    "Haystack": haystack,
}


@pytest.fixture
def table(root):
    """The rows of the page: what each framework keeps."""
    page = (root / "docs" / "howto" / "frameworks.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    return {name: dict(zip(rows[0][1:], facts, strict=True)) for name, *facts in rows[1:]}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_table_says_what_a_framework_keeps(service, table, name):
    framework = FRAMEWORKS[name](service)
    found = dict.fromkeys(
        ("reasoning", "usage", "truncated stream", "structured output"), "not run"
    )
    if framework.chat is not None:
        service.script(REASONED)
        text, reasoning, tokens = framework.chat()
        assert text == "Forty two"
        found["reasoning"] = "kept" if reasoning == "Let me think" else "lost"
        found["usage"] = "kept" if tokens == 7 else "lost"
    if framework.stream is not None:
        service.script(CUT)
        found["truncated stream"] = "an error"
        with suppress(Exception):
            framework.stream()
            found["truncated stream"] = "not noticed"
    if framework.structure is not None:
        service.script(ok(tool_calls=[(framework.tool, {"value": 42})], usage=USAGE))
        assert framework.structure().value == 42
        found["structured output"] = "works"

    assert table[name] == found
