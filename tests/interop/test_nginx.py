"""nginx in front of aimock: a gateway's own pages, cuts and time-outs, with its real bytes."""

from time import monotonic

import pytest

from acechat import RetryPolicy
from acechat.errors import (
    APIError,
    BadRequestError,
    GatewayTimeoutError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
)

pytestmark = pytest.mark.timeout(60, func_only=True)

GREETING = "Hello! How can I help you today? 你好 🌟"
PATIENT = RetryPolicy(max_attempts=3, base_delay=0.01)


class Timed(list):
    """Notes when something was added, not what."""

    def append(self, _):
        super().append(monotonic())


@pytest.mark.parametrize("place", ["ok", "buffered", "http10"])
def test_an_answer_comes_through_the_gateway(connect, nginx, either, place):
    reply = getattr(connect(nginx, f"/{place}/v1"), either)("Hello")
    assert reply.text == GREETING
    assert reply.response.headers["server"].startswith("nginx")
    assert reply.response.headers["content-encoding"] == "gzip"


def test_a_compressed_stream_comes_piece_by_piece(connect, nginx):
    times = Timed()
    completion = connect(nginx, "/ok/v1", model="claude-slow").collect("Hello", into=times)
    assert completion.text == "slow and steady wins"
    assert completion.response.headers["content-encoding"] == "gzip"
    assert times[-1] - times[0] > 0.1


def test_a_gateways_page_is_a_server_error_in_one_line(connect, nginx, either, heard):
    caller = connect(nginx, "/down/v1", retries=PATIENT)
    with pytest.raises(ServerError) as caught:
        getattr(caller, either)("Hello")
    error = caught.value
    assert error.status == 502
    assert "502 Bad Gateway" in str(error)
    assert "<" not in str(error)
    assert error.body.startswith(b"<html>")
    assert len(error.attempts) == 3
    assert heard(caller) == []


def test_a_rate_limits_page_without_retry_after_is_a_rate_limit(connect, nginx, either):
    caller = connect(nginx, "/limited/v1")
    assert getattr(caller, either)("Hello").text == GREETING
    with pytest.raises(RateLimitError) as caught:
        getattr(caller, either)("Hello")
    assert (caught.value.status, caught.value.retry_after) == (429, None)


def test_a_request_that_is_too_large_is_told_so_and_the_client_works_on(
    connect, nginx, either, heard
):
    caller = connect(nginx, "/ok/v1", retries=PATIENT)
    for _ in range(3):
        with pytest.raises(RequestTooLargeError) as caught:
            getattr(caller, either)("x" * 1_100_000)
        assert caught.value.status == 413
        assert len(caught.value.attempts) == 1
    assert heard(caller) == []
    assert getattr(caller, either)("Hello").text == GREETING


def test_headers_that_are_too_large_are_a_bad_request(connect, nginx, either):
    caller = connect(nginx, "/ok/v1", headers={"X-Large": "x" * 9000})
    with pytest.raises(BadRequestError, match="400 Request Header Or Cookie Too Large"):
        getattr(caller, either)("Hello")


@pytest.mark.parametrize("place", ["moved", "moved308", "elsewhere307"])
def test_a_redirection_is_an_error_and_nothing_reaches_its_target(
    connect, nginx, either, heard, place
):
    caller = connect(nginx, f"/{place}/v1", retries=PATIENT)
    with pytest.raises(APIError) as caught:
        getattr(caller, either)("Hello")
    error = caught.value
    assert (error.status // 100, error.code) == (3, "redirect")
    assert "/v1/chat/completions" in str(error)
    assert len(error.attempts) == 1
    assert heard(caller) == []


def test_an_answer_that_is_late_for_the_gateway_is_a_time_out_that_may_be_billed(
    connect, nginx, either
):
    with pytest.raises(GatewayTimeoutError) as caught:
        getattr(connect(nginx, "/impatient/v1", model="claude-late"), either)("Hello")
    assert caught.value.status == 504
    assert caught.value.attempts[0].may_be_billed


def test_a_stream_that_the_gateway_cuts_is_an_error_with_what_had_arrived(connect, nginx, heard):
    deltas = []
    caller = connect(nginx, "/impatient/v1", model="claude-stalls", retries=PATIENT)
    with pytest.raises(StreamTruncatedError) as caught:
        caller.collect("Hello", into=deltas)
    assert caught.value.partial.text == "".join(map(str, deltas)) == "Once upon "
    assert len(caught.value.attempts) == len(heard(caller)) == 1


@pytest.mark.parametrize("place", ["http10", "buffered"])
def test_a_cut_that_the_gateway_turns_into_a_clean_end_is_still_an_error(connect, nginx, place):
    question = {"role": "user", "content": "Hello"}
    body = {"model": "claude-disconnect", "stream": True, "messages": [question]}
    clean = nginx.request(f"/{place}/v1/chat/completions", body)
    assert clean.status == 200
    assert clean.body.endswith(b"\n\n")

    deltas = []
    with pytest.raises(StreamTruncatedError) as caught:
        connect(nginx, f"/{place}/v1", model="claude-disconnect").collect("Hello", into=deltas)
    assert not isinstance(caught.value, StreamInterruptedError)
    assert caught.value.partial.text.startswith("This ")
    assert caught.value.partial.text == "".join(map(str, deltas))


def test_a_stream_that_never_began_is_retried_as_the_gateways_502(connect, nginx, heard):
    caller = connect(nginx, "/http10/v1", model="claude-empty", retries=PATIENT)
    with pytest.raises(ServerError) as caught:
        caller.collect("Hello")
    assert caught.value.status == 502
    assert len(heard(caller)) == 3


@pytest.mark.parametrize("pause", [1.0, 1.3])  # at the moment when nginx closes it, and after
def test_a_connection_that_went_stale_is_replaced_without_a_word(
    connect, nginx, either, heard, pause
):
    caller = connect(nginx, "/ok/v1")
    getattr(caller, either)("Hello")
    caller.wait(pause)
    reply = getattr(caller, either)("Hello")
    assert reply.text == GREETING
    assert reply.response.attempts == ()
    assert len(heard(caller)) == 2
