"""The detector of outages and the rules for retries, with the time as an argument."""

from __future__ import annotations

import random
from collections import deque
from heapq import heappop, heappush
from math import inf

import pytest

from acechat import (
    APIError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ContentModerationError,
    GatewayTimeoutError,
    InsufficientBalanceError,
    NotFoundError,
    OutputError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TransportError,
)
from acechat.batch.outage import OutageDetector, RowHistory
from acechat.batch.retries import Entry, Retries
from acechat.batch.rows import Row
from acechat.batch.verdict import Models, Verdict, judge

SERVICE = Verdict("service", billed=False)


def fail(detector, now, rows, *, overload=False):
    histories = {row: RowHistory() for row in rows}
    for row, history in histories.items():
        detector.fail(now, now - 0.1, row, history, overload=overload)
    return histories


def test_failures_of_many_rows_are_an_outage_and_do_not_count():
    detector = OutageDetector()
    detector.succeed(0.0, 0.0)
    histories = fail(detector, 1.0, range(5))

    assert detector.down_since == 1.0
    assert detector.wait(1.0) == 1.0
    assert detector.succeed(9.0, 8.0)
    assert all(history == RowHistory() for history in histories.values())


def test_a_false_alarm_excuses_no_row():
    detector = OutageDetector()
    histories = fail(detector, 1.0, range(5))
    assert detector.down_since == 1.0

    assert detector.succeed(1.1, 0.95)  # it left between the first that failed and the alarm
    assert all(history.counted == 1 for history in histories.values())
    assert all(detector.suspects(history) for history in histories.values())


def test_few_failures_or_few_rows_are_none():
    detector = OutageDetector()
    fail(detector, 1.0, range(4))
    assert detector.down_since is None

    detector = OutageDetector()
    history = RowHistory()
    for now in range(20):
        detector.fail(now, now, 1, history, overload=False)
    assert detector.down_since is None
    assert history.counted == 20


def test_rows_that_failed_before_a_success_are_suspected_themselves():
    detector = OutageDetector()
    histories = fail(detector, 1.0, range(4))
    detector.succeed(2.0, 2.0)
    for now in (3.0, 4.0, 5.0):
        for row, history in histories.items():
            detector.fail(now, now, row, history, overload=False)

    assert detector.down_since is None
    assert all(detector.suspects(history) for history in histories.values())


def test_overload_is_an_outage_only_after_a_while():
    detector = OutageDetector()
    detector.succeed(0.0, 0.0)
    fail(detector, 1.0, range(20), overload=True)
    assert detector.down_since is None
    fail(detector, 5.0, range(20, 30), overload=True)
    assert detector.down_since == 1.0


def test_probes_find_the_end_of_an_outage_of_a_minute_within_five_seconds():
    for length in range(1, 90):
        detector, now = OutageDetector(), 0.0
        fail(detector, now, range(5))
        probes = 0
        while detector.down_since is not None:
            now += detector.wait(now)
            detector.probe()
            assert detector.wait(now) == inf
            probes += 1
            if now >= length:
                assert detector.succeed(now, now)
            else:
                fail(detector, now, [probes])
        assert now - length <= 1 + 5 * max(length, 14) / 60
        assert probes <= 50


def test_a_long_outage_costs_a_request_a_minute():
    detector, now, probes = OutageDetector(), 0.0, 0
    fail(detector, now, range(5))
    while now < 9000:
        now += detector.wait(now)
        detector.probe()
        fail(detector, now, [1])
        probes += 1

    assert probes <= 9000 / 60 + 60


def test_a_probe_without_a_result_is_repeated():
    detector = OutageDetector()
    fail(detector, 0.0, range(5))
    detector.probe()
    detector.give_up(3.0)

    assert 0 < detector.wait(3.0) <= 2


def entry(number=0):
    return Entry(Row(number=number, line=1, id="a", content=0), RowHistory())


def retries(detector=None, *, attempts=3, pay_once=False):
    policy = RetryPolicy(max_attempts=attempts)
    return Retries(policy, detector or OutageDetector(), pay_once=pay_once)


def test_a_row_that_fails_while_others_succeed_is_given_up():
    detector = OutageDetector()
    rules, row = retries(detector), entry()
    outcomes = []
    for now in range(3):
        detector.fail(now, now, 0, row.history, overload=False)
        outcomes.append(rules.again(row, SERVICE, others=5))
        detector.succeed(now + 0.5, now + 0.5)

    assert outcomes == [True, True, False]


def simulate(*, seed, spread, concurrency, outage=(5, 13), bad=(), rows=3000, mean=0.4):
    """Simulate a service that is down for some seconds; return the rows that were given up.

    Failures are fast. Responses to requests that left earlier still arrive during the outage.
    """
    chance = random.Random(seed)
    detector = OutageDetector()
    rules, unsent = retries(detector), deque(entry(n) for n in range(rows))
    running, now, failed = [], 0.0, []
    while unsent or running or len(rules):
        assert now < 10_000, "the run hangs"
        while len(running) < concurrency and not detector.wait(now):
            each = rules.pop(now) or (unsent.popleft() if unsent else None)
            if each is None:
                break
            detector.probe()
            each.requests += 1
            down = outage[0] <= now < outage[1] or each.row.number in bad
            ends = now + (0.001 if down else mean * chance.lognormvariate(0, spread))
            heappush(running, (ends, each.row.number, each, now, down))
            now += 1e-5
        due = rules.wait(now) if len(running) < concurrency else inf
        wake = now + max(due, detector.wait(now))
        if not running or wake < running[0][0]:
            now = max(wake, now + 1e-6)
            continue
        ends, _, each, started, down = heappop(running)
        now = max(now, ends)
        if down:
            detector.fail(now, started, each.row.number, each.history, overload=False)
            if rules.again(each, SERVICE, len(running) + len(unsent)):
                rules.push(each, now, chance.random())
            else:
                failed.append(each.row.number)
        else:
            detector.succeed(now, started)
        detector.give_up(now)
    return sorted(failed)


@pytest.mark.parametrize("concurrency", [8, 64, 256])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.5])
def test_responses_that_arrive_late_in_an_outage_fail_no_row(spread, concurrency):
    for seed in range(4):
        assert not simulate(seed=seed, spread=spread, concurrency=concurrency)


@pytest.mark.parametrize("concurrency", [8, 64, 256])
@pytest.mark.parametrize("rows", [60, 600])
@pytest.mark.parametrize("mean", [0.001, 0.4])
def test_rows_that_always_fail_are_given_up_and_the_run_ends(rows, concurrency, mean):
    bad = set(range(7, rows, 10))
    for seed in range(4):
        found = simulate(
            seed=seed, spread=0.5, concurrency=concurrency, outage=(-1, -1), bad=bad, rows=rows,
            mean=mean,
        )  # fmt: skip
        assert found == sorted(bad)


def test_a_late_response_does_not_end_an_outage():
    detector = OutageDetector()
    fail(detector, 1.0, range(5))

    assert not detector.succeed(1.5, 0.8)
    assert detector.down_since == 1.0
    detector.probe()
    assert detector.succeed(2.5, 2.0)
    assert detector.down_since is None


def test_a_row_waits_for_the_outcome_of_others_before_it_is_given_up():
    detector = OutageDetector()
    rules, row = retries(detector), entry()
    for now in range(5):
        detector.fail(now, now, 0, row.history, overload=False)
        assert rules.again(row, SERVICE, others=5)
        rules.push(row, now, 0.5)
        assert rules.pop(now + 99.0) is row
    detector.succeed(5.5, 5.5)
    detector.fail(6.0, 6.0, 0, row.history, overload=False)

    assert not rules.again(row, SERVICE, others=5)


def test_the_last_row_is_given_up_after_its_attempts():
    detector = OutageDetector()
    rules, row = retries(detector), entry()
    outcomes = []
    for now in range(3):
        detector.fail(now, now, 0, row.history, overload=False)
        outcomes.append(rules.again(row, SERVICE, others=0))

    assert outcomes == [True, True, False]


def test_two_exhausted_rows_do_not_wait_for_each_other():
    detector = OutageDetector()
    rules, one, two = retries(detector), entry(1), entry(2)
    for row in (one, two):
        row.history.counted, row.history.failed_at = 3, 0.0
    assert rules.again(one, SERVICE, others=1)
    rules.push(one, 0.0, 0.5)

    assert not rules.again(two, SERVICE, others=0)


@pytest.mark.parametrize("pay_once", [False, True])
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_row_that_may_be_billed_is_sent_again_unless_that_is_excluded(attempts, pay_once):
    rules = retries(attempts=attempts, pay_once=pay_once)

    again = rules.again(entry(), Verdict("service", billed=True), others=0)
    assert again == (attempts > 1 and not pay_once)


def test_a_limit_is_no_attempt():
    rules, row = retries(attempts=1), entry()
    row.history.counted = 99

    assert rules.again(row, Verdict("limit", billed=False), others=0)


def test_rows_wait_in_order_of_their_time():
    rules, one, two = retries(), entry(1), entry(2)
    one.requests = 4
    rules.push(one, 0.0, 1.0)
    rules.push(two, 0.0, 0.0)

    assert len(rules) == 2
    assert rules.pop(0.0) is None
    assert 0 < rules.wait(0.0) < 1
    assert rules.pop(1.0) is two
    assert rules.pop(1.0) is None
    assert rules.pop(9.0) is one
    assert rules.wait(9.0) == inf


def api(kind, status, code=None, message="no"):
    return kind(status, code, message)


CAUSES = [
    (api(RateLimitError, 429), "limit"),
    (api(OverloadedError, 503, "busy"), "overload"),
    (api(ServerError, 500, "api_error"), "overload"),
    (api(ServerError, 502), "service"),
    (api(GatewayTimeoutError, 504), "service"),
    (ConnectError("refused"), "service"),
    (RequestTimeoutError("connect", 10), "service"),
    (RequestTimeoutError("first_token", 10), "row"),
    (TransportError("broke"), "service"),
    (ConnectError("certificate", final=True), "run"),
    (api(AuthenticationError, 401), "run"),
    (api(InsufficientBalanceError, 403, "used_up"), "run"),
    (api(PermissionDeniedError, 403), "model"),
    (api(ContentModerationError, 403, "forbidden"), "row"),
    (api(BadRequestError, 400, message="model is invalid."), "model"),
    (api(NotFoundError, 404, message="The model 'x' does not exist"), "model"),
    (api(NotFoundError, 404), "row"),
    (api(BadRequestError, 400, message="max_tokens is invalid"), "row"),
    (APIError(409, None, "conflict", should_retry=True), "temporary"),
    (OutputError("mismatch"), "row"),
]


@pytest.mark.parametrize(("error", "cause"), CAUSES, ids=lambda value: str(value)[:40])
def test_causes_of_failures(error, cause):
    assert judge(error).cause == cause


def test_a_failure_may_be_billed_if_any_of_its_attempts_may():
    error = TransportError("broke")
    error.attempts = (
        Attempt(number=1, started=0, elapsed=1, failure="lost", error="", may_be_billed=True),
    )

    assert judge(error).billed
    assert not judge(api(RateLimitError, 429)).billed


GONE = Verdict("model", billed=False, next_step="choose another model")


def test_a_model_that_is_gone_ends_the_run_if_there_is_no_other():
    models = Models(sets_aside=True)
    models.started("a")
    assert models.refused("a", GONE, "no a") == "run"
    assert models.refused("a", GONE, "no a", ahead=["a"]) == "run"
    assert models.problem() is None

    models.started("b")
    models.worked("b")
    assert models.refused("b", SERVICE, "down") == "row"
    assert models.refused("b", Verdict("run", billed=False), "no credit") == "run"
    assert models.refused("b", GONE, "no b") == "run"  # now both are gone


@pytest.mark.parametrize("seen", ["worked", "started", "ahead"])
def test_a_model_that_is_gone_is_set_aside_if_there_is_another(seen):
    models = Models(sets_aside=True)
    models.started("a")
    models.worked("a")
    if seen != "ahead":
        models.started("b")
    if seen == "worked":
        models.worked("b")
    ahead = ["a", "b"] if seen == "ahead" else []

    assert models.refused("a", GONE, "no a", ahead) == "aside"
    assert models.gone("a")
    assert not models.gone("b")
    problem = models.problem()
    assert str(problem) == "no a: 1 row was not sent (a)"
    assert problem.next_step == "choose another model"


def test_a_misspelt_model_fails_its_row_and_one_that_many_rows_have_does_not():
    models = Models(sets_aside=True)
    models.started(None)

    fates = [models.refused("claud", GONE, "no") for _ in range(4)]
    assert fates == ["row", "row", "aside", "aside"]
    assert models.aside == 2
    assert models.refused(None, GONE, "no") == "run"  # no other is left

    models = Models(sets_aside=True)
    models.started("b")
    assert models.refused(None, GONE, "no") == "aside"  # the model of the run is no typing error


def test_without_files_rows_of_a_model_that_is_gone_fail():
    models = Models(sets_aside=False)
    models.started("a")
    models.started("b")

    assert [models.refused("a", GONE, "no") for _ in range(5)] == ["row"] * 5
    assert not models.gone("a")
    assert models.problem() is None


def test_models_are_remembered_in_bounded_memory():
    models = Models(sets_aside=True)
    models.started("ok")
    for n in range(3000):
        models.started(str(n))
        assert models.refused(str(n), GONE, "no") == "row"

    assert len(models._worked) == len(models._refused) == 1000
