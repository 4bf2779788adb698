"""``reply.evidence``, and ``on_model_mismatch="ignore" | "warn" | "raise"``."""

from __future__ import annotations

import asyncio
import pickle
import warnings

import pytest

from acechat import AsyncClient, Client, ConfigurationError, ModelMismatchError

OTHER = "claude-sonnet-5"
ASKED = "claude-opus-5"


@pytest.fixture(params=["async", "sync"])
def use(request, server):
    """Return a function that calls ``work(client)`` and returns its result."""

    def run(work, **options):
        options = {"model": ASKED, "streaming": "never", "timeout": 8} | options
        if request.param == "sync":
            with Client("token-12345", base_url=server.url, **options) as client:
                return work(client), client.meter.calls

        async def main():
            async with AsyncClient("token-12345", base_url=server.url, **options) as client:
                return await work(client), client.meter.calls

        return asyncio.run(main())

    return run


def chat(client):
    return client.chat("Hello")


def collect(client):
    return client.stream("Hello").collect()


def answers(wire, model=OTHER):
    """Return the responses to `chat` and `collect`."""
    event = wire.delta("Hello", model=model, usage={"total_tokens": 2})
    return wire.http(wire.answer(id="msg_bdrk_1", model=model)), wire.sse(
        event.replace(b"c-1", b"msg_bdrk_1") + wire.delta(finish="stop", model=model) + wire.done
    )


METHODS = pytest.mark.parametrize(("work", "number"), [(chat, 0), (collect, 1)])


@METHODS
def test_the_evidence_of_a_reply(use, server, wire, work, number):
    server.reply(answers(wire)[number])

    reply, _ = use(work)

    assert reply.evidence.requested == ASKED
    assert reply.evidence.named == OTHER
    assert reply.evidence.id_form == "Amazon Bedrock"
    assert reply.evidence.matches is False
    assert pickle.loads(pickle.dumps(reply)).evidence == reply.evidence


def test_the_model_of_extra_body_is_the_requested_one(use, server, wire):
    server.reply(answers(wire)[0])

    reply, _ = use(lambda client: client.chat("Hello", extra_body={"model": OTHER}))

    assert reply.evidence.requested == OTHER
    assert reply.evidence.matches


@METHODS
def test_raise(use, server, wire, work, number):
    server.reply(answers(wire)[number])

    with pytest.raises(ModelMismatchError) as caught:
        use(work, on_model_mismatch="raise", retries=3)

    error = caught.value
    assert len(server.requests) == 1
    assert str(error) == f"requested {ASKED!r}, but the response is of {OTHER!r}"
    assert (error.requested, error.named) == (ASKED, OTHER)
    assert error.completion.text == error.partial.text == "Hello"
    assert [attempt.may_be_billed for attempt in error.attempts] == [True]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@METHODS
def test_a_response_that_is_refused_counts(server, wire, work, number):
    server.reply(answers(wire)[number])

    with Client(
        "token-12345", base_url=server.url, model=ASKED, streaming="never",
        on_model_mismatch="raise",
    ) as client:  # fmt: skip
        with pytest.raises(ModelMismatchError):
            work(client)
        assert (client.meter.calls, client.meter.total_tokens) == (1, 2)


def test_raise_with_an_output_type(use, server, wire):
    server.reply(wire.http(wire.answer("[1]", model=OTHER)))

    with pytest.raises(ModelMismatchError):
        use(lambda client: client.chat("x", output_type=list[int]), on_model_mismatch="raise")

    assert len(server.requests) == 1


def test_raise_with_a_stream_inside(use, server, wire):
    server.reply(answers(wire)[1])

    with pytest.raises(ModelMismatchError):
        use(chat, on_model_mismatch="raise", streaming="always")


@METHODS
def test_warn(use, server, wire, work, number):
    server.reply(answers(wire)[number])

    with pytest.warns(RuntimeWarning, match=f"requested '{ASKED}'") as caught:
        reply, calls = use(work, on_model_mismatch="warn")

    assert len(caught) == 1
    assert (reply.text, calls) == ("Hello", 1)


@METHODS
@pytest.mark.parametrize("options", [{}, {"on_model_mismatch": "ignore"}])
def test_ignore_is_the_default(use, server, wire, work, number, options):
    server.reply(answers(wire)[number])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert use(work, **options)[0].text == "Hello"


@METHODS
@pytest.mark.parametrize("model", [ASKED, f"{ASKED}-20260901", ""])
def test_the_same_model_and_none_pass(use, server, wire, work, number, model):
    server.reply(answers(wire, model)[number])

    assert use(work, on_model_mismatch="raise")[0].text == "Hello"


def test_a_fallback_model_is_the_requested_one(use, server, wire):
    server.reply(wire.refusal(), answers(wire)[0])

    reply, _ = use(chat, on_model_mismatch="raise", fallback_models=[OTHER], retries=1)

    assert reply.evidence.requested == OTHER


def test_with_options_sets_it(server, wire):
    server.reply(answers(wire)[0])

    with Client("token-12345", base_url=server.url, model=ASKED, streaming="never") as client:
        strict = client.with_options(on_model_mismatch="raise")
        assert client.chat("Hello").text == "Hello"
        with pytest.raises(ModelMismatchError):
            strict.chat("Hello")


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_another_value_is_refused(cls):
    with pytest.raises(ConfigurationError, match="'ignore', 'warn' or 'raise', not 'panic'"):
        cls("token", on_model_mismatch="panic")
