"""The usage of the emulator: tokens that grow with the request, and costs by the catalogue."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from acechat import AsyncClient, Client, image
from acechat.emulator import Service, ok
from acechat.emulator.completion import ChoiceContent
from acechat.emulator.content.usage import count_prompt, count_text, count_usage, usage_cost

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(60)
HELLO = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def prompt(**fields):
    return count_prompt({"messages": [HELLO], **fields})


def test_the_sample_of_the_service_is_counted_exactly():
    usage = count_usage(
        {"messages": [HELLO]}, [ChoiceContent(text=("Hello! How can I help you today?",))]
    )

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (8, 12)  # docs/api.md#streams


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({"messages": [HELLO, HELLO]}, 4, 6),
        ({"messages": [{"role": "user", "content": "Hello " * 100}]}, 90, 110),
        ({"tools": [TOOL]}, 15, 40),
        ({"tools": [TOOL, TOOL]}, 30, 80),
        ({"tools": [{"name": "weather", "input_schema": {"type": "object"}}]}, 10, 40),
        ({"system": "Be brief, please."}, 4, 8),
        ({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "Hello"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9999}},
        ]}]}, 1500, 1700),
        ({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "data": "A" * 9999}}, 3]}]}, 1500, 1700),
        ({"messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 10**6}}
        ]}]}, 30_000, 50_000),
        ({"messages": [{"role": "user", "content": "https://example.com/a"}]}, 2, 10),
        ({"messages": [HELLO, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "t", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}]}]},
         20, 40),
    ],
    ids=str,
)  # fmt: skip
def test_each_part_of_a_request_has_tokens(fields, least, most):
    assert least <= prompt(**fields) - prompt() <= most


def test_tokens_grow_with_the_text_in_bounded_time():
    counts = [count_text("word " * number) for number in (0, 1, 10, 1000, 10_000, 2_000_000)]
    began = time.thread_time()

    assert counts == sorted(counts)
    assert 1_500_000 <= counts[-1] <= 2_500_000
    assert count_text("x1,é" * 10**7) > 10**7
    assert time.thread_time() - began < 5


TEXTS = {
    "integrity.md": 0.15,
    "README.md": 0.15,
    "service.py": 0.15,
    "json": 0.15,
}
OTHERS = {
    "Chinese": "大型语言模型使用大量文本进行训练。每次调用的费用取决于令牌的数量。",
    "Japanese": "大規模言語モデルは、大量のテキストで訓練されたニューラルネットワークです。",
    "German": "Die Kosten einer Anfrage hängen von der Länge des Textes und der Antwort ab.",
    "Russian": "Большая языковая модель обучена на большом количестве текстов.",
    "Arabic": "نموذج اللغة الكبير هو شبكة عصبية مدربة على كمية كبيرة من النصوص.",
    "Hindi": "बड़ा भाषा मॉडल एक तंत्रिका नेटवर्क है जिसे बहुत सारे पाठ पर प्रशिक्षित किया गया है।",
}


@pytest.fixture(scope="module")
def encodings():
    """OpenAI's tokenizers; that of Claude is not public."""
    bpe_openai = pytest.importorskip("bpe_openai", reason="bpe-openai is not installed")
    return [bpe_openai.get_encoding(name) for name in ("o200k_base", "cl100k_base")]


def test_counts_are_near_those_of_a_tokenizer(encodings, root):
    o200k = encodings[0]
    texts = {
        "integrity.md": (root / "docs/explanation/integrity.md").read_text("utf-8"),
        "README.md": (root / "README.md").read_text("utf-8"),
        "service.py": (root / "acechat/emulator/service.py").read_text("utf-8"),
        "json": json.dumps(json.loads((root / "tests/data/client_cases.json").read_bytes())),
    }
    for name, error in TEXTS.items():
        ratio = count_text(texts[name]) / len(o200k.encode(texts[name]))
        assert 1 - error <= ratio <= 1 + error, (name, ratio)


@pytest.mark.parametrize("language", OTHERS)
def test_counts_of_other_languages_are_between_those_of_two_tokenizers(encodings, language):
    newer, older = (len(encoding.encode(OTHERS[language])) for encoding in encodings)

    assert 0.9 * newer <= count_text(OTHERS[language]) <= 1.1 * older


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("claude-sonnet-4-20250514", 1000 * 6.308571e-6 + 500 * 31.537143e-6),
        ("claude-sonnet-4-20250514-thinking", 1000 * 6.308571e-6 + 500 * 31.537143e-6),
        ("claude-haiku-4-5-20251001", 1000 * 2.102857e-6 + 500 * 10.514286e-6),
        ("my-own-model", None),
    ],
)
def test_a_cost_is_that_of_the_catalogue(model, cost):
    found = usage_cost(model, {"prompt_tokens": 1000, "completion_tokens": 500})

    assert found == (None if cost is None else pytest.approx(cost, abs=1e-8))
    without = usage_cost(model, {"prompt_tokens": 1000, "completion_tokens": 0})
    assert without is None if cost is None else 0 < without < cost


@pytest.mark.parametrize("streaming", ["never", "always"])
def test_a_cost_is_reported_by_default(streaming):
    with (
        Service() as service,
        Client(service.token, base_url=service.url, streaming=streaming) as client,
    ):
        reply = client.chat("Hello")
        estimate = client.prepare("Hello").estimate()

    usage = reply.usage
    assert usage.cost.currency == "credits"
    assert usage.cost.amount == usage.cost.list_amount
    assert Decimal(0) < estimate.min_cost < reply.cost.amount < estimate.max_cost
    assert estimate.prompt_tokens == usage.prompt_tokens


def test_a_cost_is_reported_to_an_async_client():
    async def costs(service):
        async with AsyncClient(service.token, base_url=service.url) as client:
            async with client.stream("Hello") as stream:
                await stream.collect()
            return (await client.chat("Hello")).cost, stream.completion.cost

    with Service() as service:
        plain, streamed = asyncio.run(costs(service))

    assert plain == streamed
    assert plain.amount > 0


def test_a_cost_can_be_chosen_or_switched_off():
    with Service() as service, Client(service.token, base_url=service.url) as client:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        service.script(ok("a", cost=2.5), ok("a", cost=None), ok("a", usage=usage),
                       ok("a", model="other"), ok("a", usage=usage, cost=0))  # fmt: skip
        costs = [client.chat("Hello").cost for _ in range(5)]
    assert [cost and cost.amount for cost in costs] == [2.5, None, None, None, 0]
    with (
        Service(report_cost=False) as service,
        Client(service.token, base_url=service.url) as client,
    ):
        assert client.chat("Hello").cost is None
        assert "cost" not in client.chat("Hello").to_dict()["usage"]


def test_an_image_costs_tokens(acechat_blocking_client):
    with_image = acechat_blocking_client.chat("Hello", image(PIXEL)).usage
    without = acechat_blocking_client.chat("Hello").usage

    assert with_image.prompt_tokens > without.prompt_tokens + 1000


@pytest.mark.parametrize(("options", "has_cost"), [([], True), (["--no-cost"], False)])
def test_the_command_reports_costs(options, has_cost):
    command = [sys.executable, "-m", "acechat", "emulate", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[-1]
        with Client("emulated-token", base_url=url) as client:
            cost = client.chat("Hello").cost
        process.terminate()
        process.communicate(timeout=30)

    assert (cost is not None) == has_cost
