"""The arithmetic of `RateLimit`: time comes in as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acechat import ConfigurationError, RateLimit
from acechat._policy.rate_limiter import Limiter


def admitted_times(limiter, until, *, start=0.0, tokens=None):
    """Ask as a caller does who always has more to ask; return when it was let in."""
    now, times = start, []
    while now < until:
        wait = limiter.admit(now)
        if wait:
            assert 0 < wait <= 60
            now += wait
        else:
            times.append(now)
            if tokens is not None:
                limiter.ended(now, tokens)
    return times


def fullest_window(times):
    return max(sum(start <= time < start + 60 for time in times) for start in times)


@settings(deadline=None, max_examples=60)
@given(limit=st.integers(1, 50), pauses=st.lists(st.floats(0, 90), max_size=60))
def test_no_minute_holds_more_requests_than_the_limit(limit, pauses):
    limiter = Limiter(RateLimit(requests_per_minute=limit))
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        while wait := limiter.admit(now):
            now += wait
        times.append(now)

    assert all(fullest_window(times) <= limit for _ in times)


def test_the_limit_is_used_to_the_full():
    times = admitted_times(Limiter(RateLimit(requests_per_minute=10)), 600)

    assert len(times) == 100


@settings(deadline=None, max_examples=60)
@given(limit=st.integers(100, 10_000), used=st.lists(st.integers(1, 3_000), min_size=1))
def test_no_minute_holds_more_tokens_than_the_limit_and_one_call(limit, used):
    limiter = Limiter(RateLimit(tokens_per_minute=limit))
    now, ended = 0.0, []
    for tokens in used:
        while wait := limiter.admit(now):
            now += wait
        limiter.ended(now, tokens)
        ended.append((now, tokens))

    for start, _ in ended:
        window = [tokens for at, tokens in ended if start <= at < start + 60]
        assert sum(window[:-1]) <= limit


def test_a_call_larger_than_the_limit_is_let_in_alone():
    limiter = Limiter(RateLimit(tokens_per_minute=10))
    assert limiter.admit(0) == 0
    limiter.ended(1, 50_000)

    assert limiter.admit(2) > 0
    assert limiter.admit(61) == 0


def test_what_is_under_way_counts_as_much_as_the_calls_before():
    limiter = Limiter(RateLimit(tokens_per_minute=1_000))
    assert limiter.admit(0) == 0
    limiter.ended(0, 100)

    let_in = sum(limiter.admit(1) == 0 for _ in range(100))

    assert let_in == 9


def test_tokens_that_nobody_told_do_not_count():
    limiter = Limiter(RateLimit(tokens_per_minute=100))
    for _ in range(50):
        assert limiter.admit(0) == 0
        limiter.ended(0, None)


@pytest.mark.parametrize("tokens", [-1_000, -(10**400), 0, 10**400])
def test_an_impossible_number_of_tokens_breaks_nothing(tokens):
    limiter = Limiter(RateLimit(tokens_per_minute=100))
    assert limiter.admit(0) == 0
    limiter.ended(0, tokens)
    assert limiter._tokens >= 0

    if tokens > 0:
        assert 0 < limiter.admit(1) <= 60
    assert limiter.admit(61) == 0
    limiter.ended(61, 10)
    assert limiter._tokens == 10


def test_a_refusal_halves_at_once_and_a_minute_brings_it_back():
    limiter = Limiter(RateLimit(requests_per_minute=40))
    assert limiter.admit(0) == 0

    limiter.refused(1, sent=0, retry_after=None)

    assert limiter.requests_per_minute(1) == 20
    assert limiter.requests_per_minute(31) == pytest.approx(28.28, abs=0.01)
    assert limiter.requests_per_minute(61) == 40


def test_what_was_sent_before_the_halving_does_not_halve_again():
    limiter = Limiter(RateLimit(requests_per_minute=40))
    for _ in range(5):
        limiter.refused(1, sent=0.5, retry_after=None)
    assert limiter.requests_per_minute(1) == 20

    limiter.refused(2, sent=1.5, retry_after=None)
    assert limiter.requests_per_minute(2) == pytest.approx(10, abs=0.2)


def test_without_a_limit_a_refusal_halves_the_pace_so_far():
    limiter = Limiter(RateLimit())
    for second in range(40):
        assert limiter.admit(second) == 0
    limiter.refused(40, sent=39, retry_after=None)

    assert limiter.requests_per_minute(40) == 30
    assert limiter.admit(40) > 0
    assert limiter.requests_per_minute(101) is None


def test_a_refusal_after_the_first_requests_holds_up_nobody():
    limiter = Limiter(RateLimit())
    for _ in range(4):
        assert limiter.admit(0) == 0
    limiter.refused(0.1, sent=0, retry_after=None)

    assert limiter.admit(0.2) == 0


def test_it_is_slowed_down_to_six_requests_per_minute_and_no_further():
    limiter = Limiter(RateLimit(requests_per_minute=40))
    for second in range(1, 50):
        limiter.refused(second, sent=second - 0.5, retry_after=None)

    assert 6 <= limiter.requests_per_minute(50) < 7


def test_who_allows_less_than_that_is_not_slowed_down():
    limiter = Limiter(RateLimit(requests_per_minute=2))
    limiter.refused(1, sent=0, retry_after=None)

    assert limiter.requests_per_minute(1) == 2


@pytest.mark.parametrize("seconds", [0.5, 120])
def test_retry_after_holds_back_everybody(seconds):
    limiter = Limiter(RateLimit())
    limiter.refused(10, sent=9, retry_after=seconds)

    assert limiter.admit(10) == seconds
    assert limiter.admit(10 + seconds) == 0


def test_a_longer_retry_after_holds_back_nobody():
    limiter = Limiter(RateLimit())
    limiter.refused(10, sent=9, retry_after=121)

    assert limiter.admit(10) == 0


def test_without_adapting_a_refusal_changes_nothing():
    limiter = Limiter(RateLimit(requests_per_minute=4, adaptive=False))
    limiter.refused(1, sent=0, retry_after=50)

    assert limiter.requests_per_minute(1) == 4
    assert limiter.admit(1) == 0


@settings(deadline=None, max_examples=40)
@given(
    limit=st.none() | st.integers(1, 30),
    refusals=st.lists(st.tuples(st.floats(0.1, 50), st.none() | st.floats(0, 100)), max_size=8),
)
def test_whoever_waits_is_let_in_one_day(limit, refusals):
    limiter = Limiter(RateLimit(requests_per_minute=limit))
    now = 0.0
    for pause, retry_after in refusals:
        limiter.admit(now)
        now += pause
        limiter.refused(now, sent=now, retry_after=retry_after)

    waited = 0.0
    while wait := limiter.admit(now + waited):
        assert wait > 0
        waited += wait
    assert waited <= 180


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("number", [0, -1, 1.5, True, "60", float("nan")])
def test_what_is_no_limit_is_refused(name, number):
    with pytest.raises(ConfigurationError, match=name):
        RateLimit(**{name: number})


def limited(*ended, began=None, **limit):
    """Make a limiter whose calls *ended* at a time, with so many tokens."""
    limiter = Limiter(RateLimit(**limit))
    for _ in range(len(ended) if began is None else began):
        assert limiter.admit(0) == 0
    for now, tokens in ended:
        limiter.ended(now, tokens)
    return limiter


@pytest.mark.parametrize(
    ("limit", "ended", "wait"),
    [
        (100, [(10, 60)], 50),
        (100, [(10, 50), (15, 50)], 50),  # the first makes just enough room
        (99, [(10, 50), (15, 50)], 55),  # one token is missing
        (99, [(10, 50)], 50),
        (100, [(10, 50)], 0),
        (150, [(10, 100), (11, 0)], 50),  # the average is 80, not 0
    ],
)
def test_a_call_waits_until_enough_tokens_have_left_the_window(limit, ended, wait):
    assert limited(*ended, tokens_per_minute=limit).admit(20) == wait


def test_sixty_calls_may_begin_before_anybody_knows_what_they_use():
    limiter = limited(began=60, tokens_per_minute=60)

    assert limiter.admit(0) == 1.0


@pytest.mark.parametrize(("now", "wait"), [(20, 1.0), (69.5, 0.5)])
def test_whoever_waits_for_what_is_under_way_asks_again_soon(now, wait):
    limiter = limited((10, 60), began=3, tokens_per_minute=100)

    assert limiter.admit(now) == wait


def test_tokens_that_left_the_window_are_forgotten():
    limiter = limited((0, 50), (30, 10), tokens_per_minute=75)

    assert limiter.admit(61) == 0


def test_what_was_sent_at_the_moment_of_the_halving_does_not_halve_again():
    limiter = Limiter(RateLimit(requests_per_minute=60))
    limiter.refused(10, sent=0, retry_after=None)
    limiter.refused(10, sent=10, retry_after=None)

    assert limiter.requests_per_minute(10) == 30


@pytest.mark.parametrize(("sent", "now", "allowed"), [
    ([100, 101, 102, 103], 110, 12), ([100, 100, 100], 100.5, 90),
])  # fmt: skip
def test_the_pace_so_far_is_that_since_the_first_request(sent, now, allowed):
    limiter = Limiter(RateLimit())
    for time in sent:
        assert limiter.admit(time) == 0
    limiter.refused(now, sent=sent[-1], retry_after=None)

    assert limiter.requests_per_minute(now) == allowed


def test_a_second_halving_does_not_lower_what_it_grows_back_to():
    limiter = Limiter(RateLimit())
    for time in (100, 101, 102, 103):
        limiter.admit(time)
    limiter.refused(110, sent=103, retry_after=None)
    limiter.refused(120, sent=115, retry_after=None)

    assert 12 < limiter.requests_per_minute(180) < 24


def test_only_who_waits_for_a_limit_that_grows_asks_again_soon():
    still, growing = (Limiter(RateLimit(requests_per_minute=60)) for _ in range(2))
    for limiter in (still, growing):
        assert [limiter.admit(0) for _ in range(60)] == [0] * 60
    growing.refused(1, sent=0, retry_after=None)

    assert still.admit(1) == 59
    assert growing.admit(1) == 1.0
