"""`RateLimiter`, with the time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acechat import ConfigurationError, RateLimit
from acechat._policy.rate_limiter import RateLimiter


def admitted_times(limiter, until, *, start=0.0, tokens=None):
    """Send requests without a pause until *until*; return the times of admission."""
    now, times = start, []
    while now < until:
        wait = limiter.admit(now)
        if wait:
            assert 0 < wait <= 60
            now += wait
        else:
            times.append(now)
            if tokens is not None:
                limiter.finish(now, tokens)
    return times


def fullest_window(times):
    return max(sum(start <= time < start + 60 for time in times) for start in times)


@settings(deadline=None, max_examples=60)
@given(limit=st.integers(1, 50), pauses=st.lists(st.floats(0, 90), max_size=60))
def test_no_minute_holds_more_requests_than_the_limit(limit, pauses):
    limiter = RateLimiter(RateLimit(requests_per_minute=limit))
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        while wait := limiter.admit(now):
            now += wait
        times.append(now)

    assert all(fullest_window(times) <= limit for _ in times)


def test_the_limit_is_fully_used():
    times = admitted_times(RateLimiter(RateLimit(requests_per_minute=10)), 600)

    assert len(times) == 100


@settings(deadline=None, max_examples=60)
@given(limit=st.integers(100, 10_000), used=st.lists(st.integers(1, 3_000), min_size=1))
def test_tokens_per_minute_exceed_the_limit_by_at_most_one_call(limit, used):
    limiter = RateLimiter(RateLimit(tokens_per_minute=limit))
    now, ended = 0.0, []
    for tokens in used:
        while wait := limiter.admit(now):
            now += wait
        limiter.finish(now, tokens)
        ended.append((now, tokens))

    for start, _ in ended:
        window = [tokens for at, tokens in ended if start <= at < start + 60]
        assert sum(window[:-1]) <= limit


def test_a_call_larger_than_the_limit_is_admitted_alone():
    limiter = RateLimiter(RateLimit(tokens_per_minute=10))
    assert limiter.admit(0) == 0
    limiter.finish(1, 50_000)

    assert limiter.admit(2) > 0
    assert limiter.admit(61) == 0


def test_a_call_in_progress_counts_with_the_average_of_earlier_calls():
    limiter = RateLimiter(RateLimit(tokens_per_minute=1_000))
    assert limiter.admit(0) == 0
    limiter.finish(0, 100)

    admitted = sum(limiter.admit(1) == 0 for _ in range(100))

    assert admitted == 9


def test_tokens_that_were_not_reported_do_not_count():
    limiter = RateLimiter(RateLimit(tokens_per_minute=100))
    for _ in range(50):
        assert limiter.admit(0) == 0
        limiter.finish(0, None)


@pytest.mark.parametrize("tokens", [-1_000, -(10**400), 0, 10**400])
def test_a_malformed_number_of_tokens_is_ignored_or_capped(tokens):
    limiter = RateLimiter(RateLimit(tokens_per_minute=100))
    assert limiter.admit(0) == 0
    limiter.finish(0, tokens)
    assert limiter._tokens >= 0

    if tokens > 0:
        assert 0 < limiter.admit(1) <= 60
    assert limiter.admit(61) == 0
    limiter.finish(61, 10)
    assert limiter._tokens == 10


def test_throttle_halves_the_limit_which_doubles_within_a_minute():
    limiter = RateLimiter(RateLimit(requests_per_minute=40))
    assert limiter.admit(0) == 0

    limiter.throttle(1, sent=0, retry_after=None)

    assert limiter.requests_per_minute(1) == 20
    assert limiter.requests_per_minute(31) == pytest.approx(28.28, abs=0.01)
    assert limiter.requests_per_minute(61) == 40


def test_requests_sent_before_the_halving_do_not_halve_again():
    limiter = RateLimiter(RateLimit(requests_per_minute=40))
    for _ in range(5):
        limiter.throttle(1, sent=0.5, retry_after=None)
    assert limiter.requests_per_minute(1) == 20

    limiter.throttle(2, sent=1.5, retry_after=None)
    assert limiter.requests_per_minute(2) == pytest.approx(10, abs=0.2)


def test_without_a_limit_throttle_halves_the_recent_rate():
    limiter = RateLimiter(RateLimit())
    for second in range(40):
        assert limiter.admit(second) == 0
    limiter.throttle(40, sent=39, retry_after=None)

    assert limiter.requests_per_minute(40) == 30
    assert limiter.admit(40) > 0
    assert limiter.requests_per_minute(101) is None


def test_throttle_after_the_first_requests_delays_no_caller():
    limiter = RateLimiter(RateLimit())
    for _ in range(4):
        assert limiter.admit(0) == 0
    limiter.throttle(0.1, sent=0, retry_after=None)

    assert limiter.admit(0.2) == 0


def test_the_limit_stays_above_six_requests_per_minute():
    limiter = RateLimiter(RateLimit(requests_per_minute=40))
    for second in range(1, 50):
        limiter.throttle(second, sent=second - 0.5, retry_after=None)

    assert 6 <= limiter.requests_per_minute(50) < 7


def test_a_limit_below_six_requests_per_minute_is_not_halved():
    limiter = RateLimiter(RateLimit(requests_per_minute=2))
    limiter.throttle(1, sent=0, retry_after=None)

    assert limiter.requests_per_minute(1) == 2


@pytest.mark.parametrize("seconds", [0.5, 120])
def test_retry_after_holds_back_all_callers(seconds):
    limiter = RateLimiter(RateLimit())
    limiter.throttle(10, sent=9, retry_after=seconds)

    assert limiter.admit(10) == seconds
    assert limiter.admit(10 + seconds) == 0


def test_a_retry_after_above_120_s_is_ignored():
    limiter = RateLimiter(RateLimit())
    limiter.throttle(10, sent=9, retry_after=121)

    assert limiter.admit(10) == 0


def test_without_adaptive_throttle_has_no_effect():
    limiter = RateLimiter(RateLimit(requests_per_minute=4, adaptive=False))
    limiter.throttle(1, sent=0, retry_after=50)

    assert limiter.requests_per_minute(1) == 4
    assert limiter.admit(1) == 0


@settings(deadline=None, max_examples=40)
@given(
    limit=st.none() | st.integers(1, 30),
    rejections=st.lists(st.tuples(st.floats(0.1, 50), st.none() | st.floats(0, 100)), max_size=8),
)
def test_a_waiting_caller_is_admitted_within_180_s(limit, rejections):
    limiter = RateLimiter(RateLimit(requests_per_minute=limit))
    now = 0.0
    for pause, retry_after in rejections:
        limiter.admit(now)
        now += pause
        limiter.throttle(now, sent=now, retry_after=retry_after)

    waited = 0.0
    while wait := limiter.admit(now + waited):
        assert wait > 0
        waited += wait
    assert waited <= 180


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("number", [0, -1, 1.5, True, "60", float("nan")])
def test_an_invalid_limit_is_an_error(name, number):
    with pytest.raises(ConfigurationError, match=name):
        RateLimit(**{name: number})


def limited(*ended, began=None, **limit):
    """Return a limiter after the calls *ended*, as pairs of time and tokens."""
    limiter = RateLimiter(RateLimit(**limit))
    for _ in range(len(ended) if began is None else began):
        assert limiter.admit(0) == 0
    for now, tokens in ended:
        limiter.finish(now, tokens)
    return limiter


@pytest.mark.parametrize(
    ("limit", "ended", "wait"),
    [
        (100, [(10, 60)], 50),
        (100, [(10, 50), (15, 50)], 50),  # the first alone makes enough room
        (99, [(10, 50), (15, 50)], 55),  # one token short
        (99, [(10, 50)], 50),
        (100, [(10, 50)], 0),
        (150, [(10, 100), (11, 0)], 50),  # the average is 80, not 0
    ],
)
def test_a_call_waits_until_enough_tokens_have_left_the_window(limit, ended, wait):
    assert limited(*ended, tokens_per_minute=limit).admit(20) == wait


def test_at_most_sixty_calls_start_before_the_first_has_ended():
    limiter = limited(began=60, tokens_per_minute=60)

    assert limiter.admit(0) == 1.0


@pytest.mark.parametrize(("now", "wait"), [(20, 1.0), (69.5, 0.5)])
def test_a_caller_that_waits_for_a_call_in_progress_rechecks_soon(now, wait):
    limiter = limited((10, 60), began=3, tokens_per_minute=100)

    assert limiter.admit(now) == wait


def test_tokens_that_left_the_window_do_not_count():
    limiter = limited((0, 50), (30, 10), tokens_per_minute=75)

    assert limiter.admit(61) == 0


def test_a_request_sent_at_the_time_of_the_halving_does_not_halve_again():
    limiter = RateLimiter(RateLimit(requests_per_minute=60))
    limiter.throttle(10, sent=0, retry_after=None)
    limiter.throttle(10, sent=10, retry_after=None)

    assert limiter.requests_per_minute(10) == 30


@pytest.mark.parametrize(("sent", "now", "allowed"), [
    ([100, 101, 102, 103], 110, 12), ([100, 100, 100], 100.5, 90),
])  # fmt: skip
def test_the_recent_rate_is_measured_from_the_first_request(sent, now, allowed):
    limiter = RateLimiter(RateLimit())
    for time in sent:
        assert limiter.admit(time) == 0
    limiter.throttle(now, sent=sent[-1], retry_after=None)

    assert limiter.requests_per_minute(now) == allowed


def test_a_second_halving_does_not_lower_the_target_of_growth():
    limiter = RateLimiter(RateLimit())
    for time in (100, 101, 102, 103):
        limiter.admit(time)
    limiter.throttle(110, sent=103, retry_after=None)
    limiter.throttle(120, sent=115, retry_after=None)

    assert 12 < limiter.requests_per_minute(180) < 24


def test_only_a_caller_that_waits_for_a_growing_limit_rechecks_soon():
    constant, growing = (RateLimiter(RateLimit(requests_per_minute=60)) for _ in range(2))
    for limiter in (constant, growing):
        assert [limiter.admit(0) for _ in range(60)] == [0] * 60
    growing.throttle(1, sent=0, retry_after=None)

    assert constant.admit(1) == 59
    assert growing.admit(1) == 1.0
