"""What a call has tried, and whether it tries again: without waiting, a clock or dice."""

from __future__ import annotations

import pytest

from acechat import RetryPolicy
from acechat._policy.retry import RetryState
from acechat.errors import BadRequestError, ConnectError, OverloadedError, RateLimitError

BUSY = OverloadedError(529, "busy", "the model is busy")


def add(tries, error=BUSY, *, content=False, jitter=1.0, time_left=None):
    return tries.add(
        error, content=content, started=0.0, elapsed=0.1, jitter=jitter, time_left=time_left
    )


def test_attempts_are_counted_from_one_and_told_to_the_error():
    tries = RetryState(RetryPolicy(), "opus", ())
    error = ConnectError("refused")

    add(tries)
    second, _ = add(tries, error)

    assert [attempt.number for attempt in tries.failed] == [1, 2]
    assert error.attempts == tries.failed
    assert (second.model, second.failure, second.may_be_billed) == ("opus", "unsent", False)


def test_the_wait_grows_until_no_attempt_is_left():
    tries = RetryState(RetryPolicy(max_attempts=3, base_delay=0.5), "opus", ())

    assert [add(tries)[1] for _ in range(3)] == [0.5, 1.0, None]


def test_another_request_has_all_attempts_before_it():
    tries = RetryState(RetryPolicy(max_attempts=2), "opus", ())
    assert [add(tries)[1] is None for _ in range(2)] == [False, True]

    tries.begin()

    assert [add(tries)[1] is None for _ in range(2)] == [False, True]
    assert [attempt.number for attempt in tries.failed] == [1, 2, 3, 4]


def test_the_models_are_asked_in_turn_each_with_all_attempts():
    tries = RetryState(RetryPolicy(max_attempts=1), "opus", ("sonnet", "opus", "haiku"))

    asked = [tries.model]
    while add(tries)[1] is None and (model := tries.next_model(BUSY, content=False)):
        asked.append(model)

    assert asked == [attempt.model for attempt in tries.failed] == ["opus", "sonnet", "haiku"]


@pytest.mark.parametrize(
    ("error", "content"),
    [
        (RateLimitError(429, "too_many_requests", "slow down"), False),
        (BadRequestError(400, "bad_request", "no"), False),
        (BUSY, True),
    ],
)
def test_only_a_model_that_is_overloaded_and_said_nothing_is_replaced(error, content):
    tries = RetryState(RetryPolicy(max_attempts=1), "opus", ("sonnet",))
    add(tries, error, content=content)

    assert tries.next_model(error, content=content) is None
    assert tries.model == "opus"


def test_what_asks_no_model_has_nobody_to_fall_back_on():
    tries = RetryState(RetryPolicy(max_attempts=1), "", ("sonnet",))
    add(tries)

    assert tries.next_model(BUSY, content=False) is None
