"""mlx-lm: a real engine with a tiny model of random weights, behind Python's own HTTP/1.0 server.

Its answers have no length or chunks but end with the connection; ``: keepalive`` comments come
before the first word; errors are ``{"error": "text"}``.
"""

import pytest

from acechat.errors import BadRequestError, NotFoundError, ProtocolError

pytestmark = pytest.mark.timeout(60, func_only=True)

MODEL = "default_model"
BABBLE = {"max_tokens": 6, "temperature": 0.0}


def test_the_server_is_as_odd_as_it_was(mlx):
    body = {
        "model": MODEL,
        "max_tokens": 2,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }
    heard = mlx.request("/v1/chat/completions", body)
    assert heard.version == 10
    assert not {"content-length", "transfer-encoding"} & heard.headers.keys()
    assert heard.body.startswith(b": keepalive")


def test_chat_returns_what_the_model_babbles(connect, mlx):
    reply = connect(mlx, model=MODEL).ask("Hello", **BABBLE)
    assert reply.text
    assert reply.finish_reason == "length"
    assert reply.usage.completion_tokens == 6
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 6


def test_a_stream_with_comments_that_ends_with_the_connection_is_whole(connect, mlx):
    deltas = []
    completion = connect(mlx, model=MODEL).collect(
        "Hello", stream_options={"include_usage": True}, into=deltas, **BABBLE
    )
    assert completion.text == "".join(map(str, deltas)) != ""
    assert completion.finish_reason == "length"
    assert completion.usage.completion_tokens == 6
    assert completion.object == "chat.completion"


def test_a_stream_adds_up_to_what_chat_returns(connect, mlx):
    caller = connect(mlx, model=MODEL)
    assert caller.collect("Hello", **BABBLE).choices == caller.ask("Hello", **BABBLE).choices


def test_one_client_can_ask_again_though_every_answer_ends_the_connection(connect, mlx, either):
    caller = connect(mlx, model=MODEL)
    replies = [getattr(caller, either)("Hello", **BABBLE) for _ in range(3)]
    assert len({reply.text for reply in replies}) == 1
    assert all(reply.response.attempts == () for reply in replies)


def test_an_error_that_is_a_text_is_the_message(connect, mlx, either):
    with pytest.raises(BadRequestError, match="max_tokens must be at least 1") as caught:
        getattr(connect(mlx, model=MODEL), either)("Hello", max_tokens=-5)
    assert caught.value.status == 400


def test_a_model_that_is_not_there_is_not_found(connect, mlx, either):
    with pytest.raises(NotFoundError, match="/nowhere"):
        getattr(connect(mlx, model="/nowhere"), either)("Hello", **BABBLE)


def test_an_empty_list_of_models_is_no_list(connect, mlx):
    with pytest.raises(ProtocolError, match="empty"):  # offline, mlx-lm sends 200 and no body
        connect(mlx, model=MODEL).models()
