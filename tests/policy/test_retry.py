"""Whether and when a failed call is retried: tables of inputs and outputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acechat._policy.retry import classify, delay_before_next, may_be_billed
from acechat._policy.values import RetryPolicy
from acechat._wire.errors.response import parse_error
from acechat.errors import (
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    GatewayTimeoutError,
    OverloadedError,
    ProtocolError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    StreamTruncatedError,
    TransportError,
)

BROKEN = TransportError("the connection broke")
UNSENT = ConnectError("refused")
TRUNCATED = StreamTruncatedError("the stream ended", chunks=0, received=0)
INTERRUPTED = StreamInterruptedError("the connection broke", chunks=0, received=0)
FAILED = ServerError(500, "api_error", "fetch failed")
LIMITED = RateLimitError(429, "too_many_requests", "slow down")

CLASSES = [
    (UNSENT, "unsent"),
    (ConnectError("not trusted", final=True), "unsent"),
    (RequestTimeoutError("connect", 10.0), "unsent"),
    (FAILED, "refused"),
    (LIMITED, "refused"),
    (BadRequestError(400, None, "no"), "refused"),
    (GatewayTimeoutError(504, "timeout", "late"), "refused"),
    (BROKEN, "lost"),
    (TRUNCATED, "lost"),
    (INTERRUPTED, "lost"),
    (RequestTimeoutError("first_token", 600.0), "timed_out"),
    (RequestTimeoutError("idle", 120.0), "timed_out"),
    (RequestTimeoutError("total", 1.0), "timed_out"),
    (ProtocolError("no JSON"), "answered"),
    (ClientClosedError(), "answered"),
    (ConfigurationError("no URL"), "unsent"),
    (BudgetExceededError("spent"), "unsent"),
    (RequestTimeoutError("total", 1.0, sent=False), "unsent"),
    (RequestTimeoutError("first_token", 1.0, sent=False), "unsent"),
]


def delay(error, attempt=1, *, policy=None, jitter=1.0, time_left=None, content=False):
    failure = classify(error, content=content)
    return delay_before_next(
        policy or RetryPolicy(), attempt, error, failure, jitter=jitter, time_left=time_left
    )


def name(error):
    return getattr(error, "phase", type(error).__name__)


@pytest.mark.parametrize(("error", "failure"), CLASSES, ids=map(str, range(len(CLASSES))))
def test_classes_of_failures(error, failure):
    assert classify(error, content=False) == failure
    assert classify(error, content=True) == "partial"


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (UNSENT, False),
        (RequestTimeoutError("connect", 10.0), False),
        (FAILED, False),
        (LIMITED, False),
        (GatewayTimeoutError(504, "timeout", "late"), True),
        (BROKEN, True),
        (TRUNCATED, True),
        (RequestTimeoutError("first_token", 600.0), True),
        (ProtocolError("no JSON"), True),
    ],
)
def test_failures_that_may_be_billed(error, billed):
    assert may_be_billed(classify(error, content=False), error) is billed
    assert may_be_billed("partial", error) is True


@pytest.mark.parametrize(
    "error",
    [UNSENT, RequestTimeoutError("connect", 10.0), FAILED, LIMITED, BROKEN, TRUNCATED, INTERRUPTED],
    ids=name,
)
def test_unsent_refused_and_lost_are_retried(error):
    assert delay(error, 1) == 0.5
    assert delay(error, 2) == 1.0
    assert delay(error, 3) is None


@pytest.mark.parametrize("error", [each for each, _ in CLASSES], ids=name)
def test_a_partial_response_is_never_retried(error):
    policy = RetryPolicy(max_attempts=100, retry_timeouts=True)

    assert delay(error, 1, policy=policy, content=True) is None


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("not trusted", final=True),
        BadRequestError(400, "bad_request", "no"),
        ServerError(500, None, "no", should_retry=False),
        ProtocolError("no JSON"),
        ClientClosedError(),
        ConfigurationError("no URL"),
        RequestTimeoutError("first_token", 600.0),
        RequestTimeoutError("idle", 120.0),
        RequestTimeoutError("total", 1.0),
    ],
    ids=name,
)
def test_errors_that_are_not_retried(error):
    assert delay(error, 1, policy=RetryPolicy(max_attempts=100)) is None


@pytest.mark.parametrize(
    ("phase", "waits"), [("first_token", True), ("idle", True), ("total", False), ("connect", True)]
)
def test_timeouts_are_retried_with_retry_timeouts(phase, waits):
    policy = RetryPolicy(retry_timeouts=True)

    assert (delay(RequestTimeoutError(phase, 1.0), policy=policy) is not None) is waits


@pytest.mark.parametrize("error", [each for each, _ in CLASSES], ids=name)
def test_one_attempt_means_no_retry(error):
    policy = RetryPolicy(max_attempts=1, retry_timeouts=True)

    assert delay(error, 1, policy=policy) is None


def test_the_wait_doubles_up_to_its_limit():
    policy = RetryPolicy(max_attempts=2000)

    waits = [delay(FAILED, attempt, policy=policy) for attempt in (1, 2, 3, 4, 5, 6, 1999)]

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_wait_is_scaled_by_jitter():
    assert delay(FAILED, 2, jitter=0.0) == 0.0
    assert delay(FAILED, 2, jitter=0.25) == 0.25


def test_no_base_delay_means_no_wait():
    assert delay(FAILED, 1, policy=RetryPolicy(base_delay=0)) == 0.0
    assert delay(FAILED, 2, policy=RetryPolicy(max_delay=0)) == 0.0


@given(
    attempt=st.integers(1, 10_000),
    jitter=st.floats(0, 1),
    base=st.floats(0, 1e6),
    most=st.floats(0, 1e6),
)
def test_a_wait_is_never_negative_nor_longer_than_its_limit(attempt, jitter, base, most):
    policy = RetryPolicy(max_attempts=10_001, base_delay=base, max_delay=most)

    assert 0 <= delay(FAILED, attempt, policy=policy, jitter=jitter) <= most


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1200", "retry-after": "7"}, 1.2),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "120.5"}, None),
        ({"retry-after": "86400"}, None),
        ({"retry-after": "-5"}, 0.5),
        ({"retry-after": "0"}, 0.5),
        ({"retry-after": "nan"}, 0.5),
        ({"retry-after": "inf"}, 0.5),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:02 GMT"}, 2.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:02 GMT"}, 0.5),
        ({"retry-after": "Thu, 01 Jan 2070 00:00:02 GMT"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_valid_retry_after_replaces_the_wait(status, headers, wait):
    error = parse_error(status, headers, b"", now=60.0)

    assert delay(error, 1) == wait
    if headers["retry-after"] == "86400":
        assert error.retry_after == 86400.0


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_retry_after_has_no_jitter(jitter):
    error = RateLimitError(429, None, "slow down", retry_after=3.0)

    assert delay(error, 1, jitter=jitter) == 3.0


@pytest.mark.parametrize(
    ("error", "time_left", "wait"),
    [
        (FAILED, 10.0, 0.5),
        (FAILED, 0.5, None),
        (FAILED, 0.4, None),
        (FAILED, -1.0, None),
        (RateLimitError(429, None, "m", retry_after=5.0), 10.0, 5.0),
        (RateLimitError(429, None, "m", retry_after=5.0), 4.0, None),
    ],
)
def test_no_retry_if_the_wait_exceeds_the_total_limit(error, time_left, wait):
    assert delay(error, 1, time_left=time_left) == wait


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (400, {}, False),
        (400, {"x-should-retry": "true"}, True),
        (500, {"x-should-retry": "false"}, False),
        (401, {}, False),
        (408, {}, True),
        (409, {}, True),
        (429, {}, True),
        (500, {}, True),
        (502, {}, True),
        (524, {}, True),
        (529, {}, True),
        (307, {}, False),
    ],
)
def test_statuses_that_are_retried(status, headers, waits):
    error = parse_error(status, headers, b"", now=0.0)

    assert (delay(error, 1) is not None) is waits


def test_an_overload_with_status_200_is_retried():
    error = OverloadedError(200, "busy", "later")

    assert delay(error, 1) == 0.5


def test_an_answered_failure_is_not_retried():
    busy = parse_error(503, {}, b"", now=0.0)

    assert delay_before_next(RetryPolicy(), 1, busy, "refused", jitter=1.0, time_left=None) == 0.5
    assert delay_before_next(RetryPolicy(), 1, busy, "answered", jitter=1.0, time_left=None) is None
