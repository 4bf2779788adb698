"""`Limiter` against simulated services, with the time as an argument."""

from __future__ import annotations

import heapq
import random
from collections import deque
from math import inf

import pytest

from acechat.batch.limiter import Limiter


class SlidingWindow:
    """A service that accepts *limit* requests in any second."""

    def __init__(self, limit, latency=0.02):
        self.limit, self.latency, self.accepted = limit, latency, deque()

    def request(self, now, running):
        while self.accepted and self.accepted[0] <= now - 1:
            self.accepted.popleft()
        if len(self.accepted) >= self.limit:
            return False, 0.002
        self.accepted.append(now)
        return True, self.latency


class TokenBucket:
    """A service that accepts *limit* requests per second, *burst* of them at once."""

    def __init__(self, limit, latency=0.02, burst=1):
        self.limit, self.latency, self.burst = limit, latency, burst
        self.tokens, self.at = float(burst), 0.0

    def request(self, now, running):
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.limit)
        self.at = now
        if self.tokens < 1:
            return False, 0.002
        self.tokens -= 1
        return True, self.latency


class FixedWindow(SlidingWindow):
    """A service that accepts *limit* requests in each second of its clock."""

    def request(self, now, running):
        while self.accepted and self.accepted[0] < int(now):
            self.accepted.popleft()
        if len(self.accepted) >= self.limit:
            return False, 0.002
        self.accepted.append(now)
        return True, self.latency


class Slots:
    """A service that works on *limit* requests at a time, for a random time each."""

    def __init__(self, limit, latency=2.0):
        self.limit, self.latency = limit, latency
        self.random = random.Random(1)

    def request(self, now, running):
        if running > self.limit:
            return False, 0.05
        return True, self.random.uniform(0.2, 1.8) * self.latency


class Unlimited:
    def __init__(self, latency):
        self.latency = latency

    def request(self, now, running):
        return True, self.latency


class Processor:
    """A service that never refuses; requests beyond *capacity* per second wait in a queue."""

    def __init__(self, capacity, latency=0.02):
        self.capacity, self.latency, self.free_at = capacity, latency, 0.0

    def request(self, now, running):
        self.free_at = max(self.free_at, now) + 1 / self.capacity
        return True, self.free_at - now + self.latency


def simulate(limiter, service, seconds, retry_after=None):
    """Send as many requests as *limiter* permits; return the times of accepted and refused ones."""
    now, ends, accepted, refused, order = 0.0, [], [], [], 0
    accepting = 0
    while now < seconds:
        while (wait := limiter.wait(now)) == 0:
            limiter.start(now)
            fits, latency = service.request(now, accepting + 1)
            accepting += fits
            (accepted if fits else refused).append(now)
            order += 1
            heapq.heappush(ends, (now + latency, order, now, fits))
        until = min(now + wait, ends[0][0] if ends else inf)
        assert until > now - 1e-9
        now = max(until, now + 1e-6)
        while ends and ends[0][0] <= now:
            _, _, started, fits = heapq.heappop(ends)
            if fits:
                accepting -= 1
                limiter.succeed(now, started)
            else:
                limiter.refuse(now, started, retry_after)
            limiter.end()
    return accepted, refused


def between(times, start, end):
    return sum(start <= time < end for time in times)


LIMITED = {
    "sliding window": lambda: SlidingWindow(50),
    "sliding window, fast": lambda: SlidingWindow(50, latency=0.003),
    "sliding window, slow": lambda: SlidingWindow(50, latency=2.0),
    "fixed window": lambda: FixedWindow(50),
    "bucket without burst": lambda: TokenBucket(50),
    "bucket": lambda: TokenBucket(50, burst=50),
    "bucket, slow": lambda: TokenBucket(50, latency=5.0, burst=10),
}


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("service", LIMITED)
def test_a_rate_limit_is_found_and_rarely_exceeded(service, retry_after):
    limiter = Limiter(512)
    start = 40 if "slow" in service else 20  # each doubling of the requests takes their latency
    accepted, refused = simulate(limiter, LIMITED[service](), 100, retry_after)

    assert between(accepted, start, 100) >= 0.9 * 50 * (100 - start)
    assert between(refused, start, 100) <= 0.05 * between(accepted, start, 100)


def test_a_limit_of_requests_at_a_time_is_found():
    accepted, refused = simulate(Limiter(512), Slots(40), 100)

    # 20 per second are possible: requests of random length leave some slots empty at times
    assert between(accepted, 20, 100) >= 0.75 * 40 / 2.0 * 80
    assert between(refused, 20, 100) <= 0.05 * between(accepted, 20, 100)


def test_without_a_limit_the_maximum_is_reached_within_ten_rounds():
    limiter = Limiter(256)
    simulate(limiter, Unlimited(1.0), 10.0)

    assert limiter.concurrency(10.0) == 256


def test_a_service_that_becomes_slower_is_not_flooded():
    limiter = Limiter(5000)
    accepted, _ = simulate(limiter, Processor(1000), 20)

    assert between(accepted, 10, 20) >= 9_000
    assert limiter.running <= 200  # 20 ms × 1000/s are 20: at most ten times the latency


def test_a_limit_that_is_lifted_is_noticed():
    service, limiter = SlidingWindow(50), Limiter(512)
    simulate(limiter, service, 30)
    service.limit = 500
    now = [30.0]

    class Later:
        def request(self, at, running):
            return service.request(at + now[0], running)

    shifted = limiter.wait
    limiter.wait = lambda at: shifted(at + 30)
    start, succeed, refuse = limiter.start, limiter.succeed, limiter.refuse
    limiter.start = lambda at: start(at + 30)
    limiter.succeed = lambda at, began: succeed(at + 30, began + 30)
    limiter.refuse = lambda at, began, after=None: refuse(at + 30, began + 30, after)
    accepted, _ = simulate(limiter, Later(), 90)

    assert between(accepted, 80, 90) >= 0.8 * 500 * 10


def test_nothing_starts_while_the_service_asks_to_wait():
    limiter = Limiter(8)
    limiter.start(0.0)
    limiter.refuse(1.0, 0.0, retry_after=30)
    limiter.end()

    assert limiter.wait(2.0) == pytest.approx(29)
    assert limiter.wait(31.0) < 1


def test_a_fixed_number_is_kept_whatever_happens():
    limiter = Limiter(3, adaptive=False)
    for _ in range(3):
        assert limiter.wait(0.0) == 0
        limiter.start(0.0)
    assert limiter.wait(0.0) == inf
    limiter.refuse(0.1, 0.0)
    limiter.end()

    assert limiter.concurrency(0.2) == 3
    assert limiter.wait(0.2) == 0
    assert limiter.rate(0.2) is None


def test_requests_of_one_burst_reduce_the_limit_once():
    limiter = Limiter(100)
    for _ in range(8):
        limiter.start(0.0)
    limiter.refuse(0.1, 0.0)
    limiter.end()
    before = limiter.concurrency(0.2)
    for _ in range(7):
        limiter.refuse(0.2, 0.0)
        limiter.end()

    assert limiter.concurrency(0.2) == before >= 1


def test_after_an_outage_it_starts_small():
    limiter = Limiter(256)
    simulate(limiter, Unlimited(1.0), 10)
    limiter.restart()

    assert limiter.concurrency(11.0) == 8
