"""The cost of files, catalogs and scripts is linear in their size: see test_linear_cost.py."""

from __future__ import annotations

import gc
import json
import time
from decimal import Decimal

import pytest

from acechat import AsyncClient, Client, Cost, Usage, UserMessage
from acechat._record.cassette import Cassette
from acechat._record.exchange import BodyChunk, Exchange, ExchangeEnd, Request, ResponseHead
from acechat._wire.endpoints import decode_catalog, decode_models
from acechat.emulator import ReceivedRequest, read_script
from acechat.emulator.replay import Replay

FLOOR = 0.002


@pytest.fixture(autouse=True)
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def exchanges(count, chunks=1):
    request = Request(
        at=0.0, attempt=1, method="POST", path="/v1/chat/completions", headers={}, body=b"{}"
    )
    pieces = [BodyChunk(at=0.1, data=b'data: {"choices":[]}\n\n')] * chunks
    head = ResponseHead(at=0.1, status=200, headers={"content-type": "text/event-stream"})
    return Cassette(
        tuple(
            Exchange(request, head, pieces, ExchangeEnd(at=0.2, how="clean")) for _ in range(count)
        )
    )


def saved_cassette(path, cassette):
    cassette.save(path)
    return lambda: Cassette.load(path)


def saved_conversation(path, count):
    with Client("token", base_url="http://127.0.0.1:1", proxy="") as client:
        conversation = client.conversation(messages=[UserMessage(content="x" * 40)] * count)
        conversation.save(path)

    def load():
        with Client("token", base_url="http://127.0.0.1:1", proxy="") as other:
            other.conversation().load(path)

    return load


def catalog(count):
    item = {"id": "m", "unit": "1M tokens", "pricing": {"input_credits": 1.5, "output_credits": 2}}
    data = json.dumps({"items": [item] * count}).encode()
    return lambda: decode_catalog(data)


def models(count):
    data = json.dumps({"data": [{"id": f"m{n}", "created": 1} for n in range(count)]}).encode()
    return lambda: decode_models(data)


def replayed(count):
    replay = Replay(exchanges(count), float("inf"))
    received = ReceivedRequest(
        method="POST", path="/v1/chat/completions", headers={}, body=b"{}", client_port=1,
        time=0.0, trace_id="t",
    )  # fmt: skip

    def play():
        replay.rewind()
        for _ in range(count):
            replay.respond(received, "Bearer token")

    return play


def metered(count):
    usage = Usage(
        prompt_tokens=1, completion_tokens=2, total_tokens=3, cost=Cost(amount=Decimal(1))
    )

    def count_all():
        meter = AsyncClient("token", base_url="http://127.0.0.1:1").meter
        for _ in range(count):
            meter.add(usage)

    return count_all


KINDS = {
    "exchanges of a cassette": lambda path, n: saved_cassette(path, exchanges(n)),
    "chunks of an exchange": lambda path, n: saved_cassette(path, exchanges(1, n)),
    "messages of a conversation": saved_conversation,
    "models": lambda _, n: models(n),
    "prices": lambda _, n: catalog(n),
    "steps of a script": lambda _, n: lambda: read_script(json.dumps(["Hello"] * n)),
    "lines of a script": lambda _, n: lambda: read_script('"Hello"\n' * n),
    "responses of a replay": lambda _, n: replayed(n // 10),
    "usages of a meter": lambda _, n: metered(n),
}


def seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("kind", KINDS)
def test_the_cost_is_linear(kind, tmp_path):
    small, large = KINDS[kind](tmp_path / "1", 8_000), KINDS[kind](tmp_path / "2", 16_000)
    best = float("inf")
    for _ in range(5):
        one = min(seconds(small) for _ in range(2))
        best = min(best, min(seconds(large) for _ in range(2)) / max(one, FLOOR))
        if best <= 2.3:
            break
    assert best <= 2.3
