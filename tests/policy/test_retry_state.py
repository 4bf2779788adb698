"""`RetryState`: failed attempts, delays and fallback models."""

from __future__ import annotations

import pytest

from acechat import RetryPolicy
from acechat._policy.retry import RetryState
from acechat.errors import BadRequestError, ConnectError, OverloadedError, RateLimitError

BUSY = OverloadedError(529, "busy", "the model is busy")


def add(state, error=BUSY, *, content=False, jitter=1.0, time_left=None):
    return state.add(
        error, content=content, started=0.0, elapsed=0.1, jitter=jitter, time_left=time_left
    )


def test_attempts_are_numbered_from_one_and_set_on_the_error():
    state = RetryState(RetryPolicy(), "opus", ())
    error = ConnectError("refused")

    add(state)
    second, _ = add(state, error)

    assert [attempt.number for attempt in state.failed] == [1, 2]
    assert error.attempts == state.failed
    assert (second.model, second.failure, second.may_be_billed) == ("opus", "unsent", False)


def test_the_wait_grows_until_no_attempt_is_left():
    state = RetryState(RetryPolicy(max_attempts=3, base_delay=0.5), "opus", ())

    assert [add(state)[1] for _ in range(3)] == [0.5, 1.0, None]


def test_begin_restores_all_attempts():
    state = RetryState(RetryPolicy(max_attempts=2), "opus", ())
    assert [add(state)[1] is None for _ in range(2)] == [False, True]

    state.begin()

    assert [add(state)[1] is None for _ in range(2)] == [False, True]
    assert [attempt.number for attempt in state.failed] == [1, 2, 3, 4]


def test_fallback_models_are_used_in_order_each_with_all_attempts():
    state = RetryState(RetryPolicy(max_attempts=1), "opus", ("sonnet", "opus", "haiku"))

    models = [state.model]
    while add(state)[1] is None and (model := state.next_model(BUSY, content=False)):
        models.append(model)

    assert models == [attempt.model for attempt in state.failed] == ["opus", "sonnet", "haiku"]


@pytest.mark.parametrize(
    ("error", "content"),
    [
        (RateLimitError(429, "too_many_requests", "slow down"), False),
        (BadRequestError(400, "bad_request", "no"), False),
        (BUSY, True),
    ],
)
def test_only_an_overload_without_content_switches_the_model(error, content):
    state = RetryState(RetryPolicy(max_attempts=1), "opus", ("sonnet",))
    add(state, error, content=content)

    assert state.next_model(error, content=content) is None
    assert state.model == "opus"


def test_a_call_without_a_model_has_no_fallback():
    state = RetryState(RetryPolicy(max_attempts=1), "", ("sonnet",))
    add(state)

    assert state.next_model(BUSY, content=False) is None
