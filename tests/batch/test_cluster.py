"""Runs on many machines, without Ray: the shared limit, the pacer of a worker, and the segments."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from acechat import Budget, ConfigurationError, JournalError, RateLimit
from acechat.batch.cluster.block import BlockSender
from acechat.batch.cluster.inputs import InputFile, check_files, load_files, save_files
from acechat.batch.cluster.segments import (
    Segment,
    as_ids,
    digest,
    folder_status,
    is_folder,
    read_segments,
    segment_path,
    segments,
    split,
)
from acechat.batch.cluster.shared_limit import Ended, Found, SharedLimit, Stop, WorkerReport
from acechat.batch.cluster.shared_pacer import SharedPacer
from acechat.batch.rows import RawRow
from acechat.batch.sources import encode_fields
from acechat.batch.storage.files import BatchFiles
from acechat.batch.storage.locking import LockedError
from acechat.errors import BatchStoppedError
from acechat.types import Cost, TotalUsage, Usage

OK = Ended(0.1, accepted=True)
REFUSED = Ended(0.1, refused=True)


def test_a_first_worker_is_granted_the_first_requests_at_once():
    limit = SharedLimit()

    reply = limit.exchange(100.0, WorkerReport("a", 0, wanted=20))

    assert reply.grants == (0.0,) * 8
    assert (reply.stop, reply.idle) == (None, False)
    assert limit.exchange(100.1, WorkerReport("a", 8, wanted=12)).grants == ()


def test_requests_that_end_make_room():
    limit = SharedLimit()
    limit.exchange(0.0, WorkerReport("a", 0, wanted=20))

    reply = limit.exchange(0.2, WorkerReport("a", 3, wanted=20, ended=(OK,) * 5))

    assert len(reply.grants) >= 5
    assert limit.limiter.running == 3 + len(reply.grants)


def test_workers_that_wait_get_equal_shares():
    limit = SharedLimit()
    limit.exchange(0.0, WorkerReport("a", 0, wanted=8))
    assert limit.exchange(0.0, WorkerReport("b", 0, wanted=8)).grants == ()  # all are in use

    again = limit.exchange(0.1, WorkerReport("a", 4, wanted=8, ended=(Ended(0.1),) * 4))

    assert again.grants == ()  # it has its share, and another waits
    assert len(limit.exchange(0.1, WorkerReport("b", 0, wanted=8)).grants) == 4


def test_without_others_a_worker_gets_everything():
    limit = SharedLimit()
    limit.exchange(0.0, WorkerReport("a", 0, wanted=2))

    assert len(limit.exchange(0.0, WorkerReport("b", 0, wanted=20)).grants) == 6


@pytest.mark.parametrize("lost", [0, 3, 8])
def test_grants_that_were_lost_or_not_used_are_given_back(lost):
    limit = SharedLimit(rate_limit=RateLimit(tokens_per_minute=1000))
    granted = len(limit.exchange(0.0, WorkerReport("a", 0, wanted=8)).grants)

    limit.exchange(0.1, WorkerReport("a", granted - lost))

    assert limit.limiter.running == granted - lost


def test_the_requests_of_a_lost_worker_do_not_count_any_more():
    limit = SharedLimit()
    limit.exchange(0.0, WorkerReport("a", 0, wanted=8))

    for at in (5.0, 10.0):
        assert limit.exchange(at, WorkerReport("b", 0, wanted=8)).grants == ()
    assert len(limit.exchange(20.0, WorkerReport("b", 0, wanted=8)).grants) == 8


def test_a_refused_rate_is_granted_in_time():
    limit = SharedLimit()
    limit.limiter.adopt(0.0, 1000, 100.0)

    now, grants = 0.0, []
    while now < 1.0:
        reply = limit.exchange(now, WorkerReport("a", 0, wanted=50))
        grants += [now + each for each in reply.grants]
        now += reply.pause

    assert 95 <= len(grants) <= 110
    assert max(b - a for a, b in pairwise(grants)) < 0.03


def test_retry_after_holds_all_workers():
    limit = SharedLimit()
    limit.exchange(0.0, WorkerReport("a", 0, wanted=1))
    limit.exchange(0.1, WorkerReport("a", 0, ended=(Ended(0.1, refused=True, retry_after=7.0),)))

    reply = limit.exchange(0.2, WorkerReport("b", 0, wanted=1))

    assert reply.grants == ()
    assert reply.held == pytest.approx(6.9)
    assert limit.exchange(7.2, WorkerReport("b", 0, wanted=1)).grants == (0.0,)


def test_requests_per_minute_are_those_of_all_workers():
    limit = SharedLimit(adaptive=False, rate_limit=RateLimit(requests_per_minute=30))

    granted = Counter()
    for at in range(60):
        for worker in "abc":
            reply = limit.exchange(at + 0.01 * ord(worker), WorkerReport(worker, 0, wanted=5))
            granted[worker] += len(reply.grants)

    assert sum(granted.values()) == 30


def test_a_budget_stops_all_workers():
    limit = SharedLimit(budget=Budget(credits=Decimal(3)))
    paid = Ended(0.1, accepted=True, usage=Usage(cost=Cost(amount=Decimal(1))))
    limit.exchange(0.0, WorkerReport("a", 0, wanted=4))

    assert limit.exchange(0.1, WorkerReport("a", 2, ended=(paid,) * 2)).stop is None
    reply = limit.exchange(0.2, WorkerReport("a", 1, wanted=9, ended=(paid,)))

    assert reply.stop.next_step == "raise the budget"
    assert (reply.grants, reply.idle) == ((), False)
    assert limit.exchange(0.3, WorkerReport("b", 0, wanted=9)).stop == reply.stop
    assert limit.exchange(0.3, WorkerReport("a", 0)).idle


def test_a_new_coordinator_continues_with_what_the_workers_know():
    usage = TotalUsage(total_tokens=5, cost=Decimal(2), currency="credits")
    limit = SharedLimit(budget=Budget(credits=Decimal(2)))

    reply = limit.exchange(0.0, WorkerReport("a", 5, wanted=50, found=Found(40, 20.0, usage)))

    assert reply.found.rate == pytest.approx(20.0)
    assert reply.found.concurrency == 40
    assert reply.stop is not None
    assert limit.limiter.running == 5


def test_a_new_coordinator_waits_a_minute_if_there_are_caps():
    """It does not know the requests of the last minute."""
    limit = SharedLimit(rate_limit=RateLimit(requests_per_minute=10))
    found = Found(8, None, TotalUsage())

    assert limit.exchange(0.0, WorkerReport("a", 0, wanted=5, found=found)).grants == ()
    assert limit.exchange(59.9, WorkerReport("a", 0, wanted=5, found=found)).grants == ()
    assert limit.exchange(60.1, WorkerReport("a", 0, wanted=5, found=found)).grants


def test_many_workers_report_less_often():
    limit = SharedLimit()

    pauses = [limit.exchange(0.0, WorkerReport(str(n), 0)).pause for n in range(100)]

    assert pauses[0] == 0.01
    assert pauses[-1] == pytest.approx(0.2)


def test_messages_survive_the_way_to_another_process():
    import pickle

    report = WorkerReport("a", 3, 4, (OK, REFUSED), Found(8, None, TotalUsage()), Stop("x", "y"))

    assert pickle.loads(pickle.dumps(report)) == report


class Cluster:
    """Workers of one process, with one coordinator."""

    def __init__(self, folder, connect, **options):
        self.folder, self.limit = folder, SharedLimit(adaptive="concurrency" not in options)
        self._client, self._options = connect(), options
        self.senders = []

    def worker(self, most=16):
        options = {"unknown": "resend", **self._options}
        job = self._client.batch([], output=self.folder, **options).job
        sender = BlockSender(job, self.folder)

        async def exchange(report):
            await asyncio.sleep(0)
            return self.limit.exchange(time.monotonic(), msgspec.structs.replace(report))

        name = str(len(self.senders))
        sender.pacer = SharedPacer(name, most, exchange, time.monotonic, sender.drain)
        self.senders.append(sender)
        return sender

    async def __aenter__(self):
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error):
        for sender in self.senders:
            await sender.pacer.aclose()
        await self._client.__aexit__(*error)


def block(*numbers):
    rows = [{"custom_id": f"id-{n}", "prompt": f"p{n}"} for n in numbers]
    return rows, [row["custom_id"] for row in rows], ()


def test_blocks_of_two_workers_run_at_the_same_time(service, connect, run, tmp_path):
    service.latency = 0.01

    async def main():
        async with Cluster(tmp_path, connect) as cluster:
            one, two = cluster.worker(), cluster.worker()
            blocks = [block(*range(at, at + 20)) for at in range(0, 120, 20)]
            sends = [(one, two)[n % 2].send(*each) for n, each in enumerate(blocks)]
            return await asyncio.gather(*sends)

    results = run(main)

    rows = [row for each in results for row in each]
    assert [row["custom_id"] for row in rows] == [f"id-{n}" for n in range(120)]
    assert [row["text"] for row in rows] == [f"p{n}" for n in range(120)]
    assert set(service.received.values()) == {1}
    assert len(segments(tmp_path)) == 6
    assert is_folder(tmp_path)
    status = folder_status(tmp_path)
    assert (status.done, status.failed, status.unknown) == (120, 0, 0)
    assert status.usage.total_tokens == 120 * 5


def test_a_block_that_runs_again_sends_nothing(service, connect, run, tmp_path):
    async def main():
        async with Cluster(tmp_path, connect) as cluster:
            first = await cluster.worker().send(*block(1, 2, 3))
            return first, await cluster.worker().send(*block(1, 2, 3))

    first, second = run(main)

    assert first == second
    assert set(service.received.values()) == {1}


def sent_without_result(folder, options):
    """Make the segment of a worker that was killed after it sent two of three rows."""
    rows, ids, _ = block(1, 2, 3)
    path = segment_path(folder, ids)
    path.parent.mkdir(parents=True)
    files = BatchFiles(path, {**options, "custom_ids": ids})
    for number in (0, 1):
        content = RawRow(number, number + 1, encode_fields(rows[number])[0]).content
        files.sent(number, content)
    files.flush()
    files.close()


@pytest.mark.parametrize(
    ("unknown", "texts", "received"),
    [
        ("fail", [None, None, "p3"], {"p3": 1}),
        ("skip", [None, None, "p3"], {"p3": 1}),
        ("resend", ["p1", "p2", "p3"], {"p1": 1, "p2": 1, "p3": 1}),
    ],
)
def test_rows_of_a_lost_worker(service, connect, run, tmp_path, unknown, texts, received):
    async def main():
        async with Cluster(tmp_path, connect, unknown=unknown) as cluster:
            worker = cluster.worker()
            await asyncio.to_thread(sent_without_result, tmp_path, worker._job.options)
            results = await worker.send(*block(1, 2, 3))
            return results, worker._job.options

    results, options = run(main)

    assert [row["text"] for row in results] == texts
    assert [row["error_code"] for row in results[:2]] == (
        [None] * 2 if unknown == "resend" else ["unknown"] * 2
    )
    assert service.received == received
    status = folder_status(tmp_path)
    counted = {"fail": (1, 0, 2), "skip": (1, 2, 0), "resend": (3, 0, 0)}[unknown]
    assert (status.done, status.failed, status.unknown) == counted
    rows = read_segments(segments(tmp_path), options)
    assert len(rows.unknown_only()) == status.unknown


@pytest.mark.parametrize("unknown", ["skip", "resend"])
def test_rows_that_an_earlier_start_sent_in_another_block(service, connect, run, tmp_path, unknown):
    async def main():
        async with Cluster(tmp_path, connect, unknown=unknown) as cluster:
            rows, ids, _ = block(1, 2, 3)
            return await cluster.worker().send(rows, ids, [1])

    results = run(main)

    assert results[1]["error_code"] == ("unknown" if unknown == "skip" else None)
    assert service.received["p2"] == (unknown == "resend")


def test_rows_that_an_earlier_start_sent_need_a_decision(connect, run, tmp_path):
    async def main():
        async with Cluster(tmp_path, connect, unknown="fail") as cluster:
            rows, ids, _ = block(1, 2, 3)
            await cluster.worker().send(rows, ids, [1])

    with pytest.raises(JournalError, match="1 row was sent without a known result"):
        run(main)


def test_a_stop_drains_all_blocks_of_all_workers(service, connect, run, tmp_path, wire):
    service.latency = 0.05
    service.handler = lambda prompt, _: (
        wire.refusal("403 Forbidden", "used_up", "no credit") if prompt == "p30" else None
    )

    async def main():
        async with Cluster(tmp_path, connect, concurrency=4) as cluster:
            one, two = cluster.worker(4), cluster.worker(4)
            sends = [one.send(*block(*range(50))), two.send(*block(*range(100, 200)))]
            ends = await asyncio.gather(*sends, return_exceptions=True)
            with pytest.raises(BatchStoppedError):
                await two.send(*block(*range(300, 310)))
            return ends

    ends = run(main)

    assert all(isinstance(each, BatchStoppedError) for each in ends)
    assert "no credit" in str(ends[0])
    status = folder_status(tmp_path)
    assert status.unknown == 0
    assert status.done == sum(service.received.values()) - 1
    assert "p309" not in service.received


def test_a_coordinator_that_fails_stops_the_run(service, connect, run, tmp_path):
    async def main():
        async with Cluster(tmp_path, connect) as cluster:
            worker = cluster.worker()
            cluster.limit.exchange = None  # a TypeError
            await worker.send(*block(1, 2))

    with pytest.raises(BatchStoppedError, match="the coordinator cannot be used"):
        run(main)
    assert not service.received


def test_a_locked_segment_is_awaited(connect, run, service, tmp_path):
    async def main():
        async with Cluster(tmp_path, connect) as cluster:
            worker = cluster.worker()
            rows, ids, sent = block(1, 2)
            options = {**worker._job.options, "custom_ids": ids}

            def hold():
                path = segment_path(tmp_path, ids)
                path.parent.mkdir(parents=True)
                files = BatchFiles(path, options)
                with pytest.raises(LockedError, match="another process runs this batch"):
                    BatchFiles(path, options)
                return files

            files = await asyncio.to_thread(hold)
            asyncio.get_running_loop().call_later(0.3, files.close)
            return await worker.send(rows, ids, sent)

    assert [row["text"] for row in run(main)] == ["p1", "p2"]


def test_failed_rows_are_removed_to_be_sent_again(service, connect, run, tmp_path, wire):
    service.handler = lambda prompt, _: (
        wire.refusal("400 Bad Request", "bad_request") if prompt == "p2" else None
    )

    async def main():
        async with Cluster(tmp_path, connect) as cluster:
            worker = cluster.worker()
            await worker.send(*block(1, 2, 3))
            return worker._job.options

    options = run(main)

    before = read_segments(segments(tmp_path), options)
    after = read_segments(segments(tmp_path), options, retry_failed=True)
    assert set(split(before.failed)) == {digest("id-2")}
    assert (set(split(after.done)), after.failed) == ({digest("id-1"), digest("id-3")}, b"")
    with pytest.raises(JournalError, match="options differ"):
        read_segments(segments(tmp_path), {**options, "model": "other"})


def test_a_segment_that_was_killed_before_its_first_row_is_empty(tmp_path):
    path = segment_path(tmp_path, ["a"])
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.journal").write_bytes(b'{"format":"acechat-batch')

    assert read_segments(segments(tmp_path), None) == Segment()


def test_the_segment_of_a_block_depends_on_its_ids_and_their_order(tmp_path):
    paths = [segment_path(tmp_path, ids) for ids in (["a", "b"], ["b", "a"], ["ab"], ["a", "b"])]

    assert len(set(paths)) == 3
    assert paths[0] == paths[3]


@pytest.mark.parametrize("value", [None, "", True, 1.5, b"x", ["a"]])
def test_rows_without_an_id_are_refused(value):
    with pytest.raises(ConfigurationError, match="id of each row"):
        as_ids(["a", value])


def test_ids_are_text_or_integers():
    assert as_ids(["a", 7]) == ["a", "7"]


ONE, TWO = InputFile("a.parquet", 10, 1), InputFile("b.parquet", 20, 2)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ([], "is now nothing"),
        ([TWO], "is now b.parquet with 20 rows"),
        ([InputFile("a.parquet", 10, 9), TWO], "has changed"),
        ([InputFile("a.parquet", 11, 1), TWO], "has changed"),
        ([InputFile("0.parquet", 1, 1), ONE, TWO], "is now 0.parquet"),
    ],
)
def test_an_input_that_has_changed_is_refused(tmp_path, now, message):
    save_files(tmp_path, [ONE, TWO])

    with pytest.raises(JournalError, match=message):
        check_files(load_files(tmp_path), now)


def test_files_may_be_added_to_the_input(tmp_path):
    assert load_files(tmp_path) == []
    save_files(tmp_path, [ONE])

    check_files(load_files(tmp_path), [ONE, TWO])


def test_two_workers_are_nearly_twice_as_fast(service, connect, run, tmp_path):
    """Each has 8 requests at a time, and the service has no limit but its latency."""
    service.latency = 0.2

    async def rows_per_second(workers):
        async with Cluster(tmp_path / str(workers), connect, concurrency=8) as cluster:
            senders = [cluster.worker(8) for _ in range(workers)]
            blocks = [block(*range(n * 100, n * 100 + 80)) for n in range(workers)]
            began = time.perf_counter()
            await asyncio.gather(*[one.send(*b) for one, b in zip(senders, blocks, strict=True)])
            return 80 * workers / (time.perf_counter() - began)

    one, two = run(lambda: rows_per_second(1)), run(lambda: rows_per_second(2))

    assert two >= 1.7 * one
