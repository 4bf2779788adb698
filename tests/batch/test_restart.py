"""Restarts: files cut at every byte, changed inputs, locks, disks and kills."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from acechat import BatchStoppedError, ConfigurationError, JournalError
from acechat.batch.storage.files import BatchFiles
from acechat.batch.storage.journal import DONE, FAILED, RECORD_SIZE, SENT, UNSENT
from acechat.batch.storage.lines import output_lines

OPTIONS = {"model": "m"}


def line(row, *, failed=False):
    error = {"code": "x"} if failed else None
    return json.dumps({"id": f"row-{row}", "custom_id": f"c{row}", "error": error}).encode() + b"\n"


def write(path):
    """Write rows 0 to 5: done, failed, sent, done, released, done."""
    files = BatchFiles(path, OPTIONS)
    for row in range(6):
        files.sent(row, 100 + row)
        files.flush()
        if row in {0, 3, 5}:
            files.finished(row, 100 + row, line(row), failed=False)
        elif row == 1:
            files.finished(row, 101, line(1, failed=True), failed=True)
        elif row == 4:
            files.released(row, 104)
    files.flush()
    files.sync()
    files.close()


def states_of(path):
    files = BatchFiles(path, OPTIONS)
    files.close()
    return [files.states[row] for row in range(6)]


WRITTEN = [DONE, FAILED, SENT, DONE, UNSENT, DONE]


def test_states_are_read_again(tmp_path):
    write(tmp_path / "out")
    assert states_of(tmp_path / "out") == WRITTEN


def test_the_journal_cut_at_every_byte_loses_no_line(tmp_path):
    """Each row with a line in the output is done, whatever the journal has lost."""
    path = tmp_path / "out"
    write(path)
    journal, output = path.with_name("out.journal"), path.read_bytes()
    whole = journal.read_bytes()
    header = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        path.write_bytes(output)
        journal.write_bytes(whole[:cut])
        if cut < header:
            with pytest.raises(JournalError, match="no header"):
                states_of(path)
            continue
        found = states_of(path)
        assert [found[row] for row in (0, 1, 3, 5)] == [DONE, FAILED, DONE, DONE]
        assert states_of(path) == found  # the repaired files are sound
        assert path.read_bytes() == output
        assert (journal.stat().st_size - header) % RECORD_SIZE == 0


def test_the_output_cut_at_every_byte_makes_lost_rows_unknown(tmp_path):
    path = tmp_path / "out"
    write(path)
    journal, output = path.with_name("out.journal"), path.read_bytes()
    records = journal.read_bytes()
    ends = [sum(map(len, output.splitlines(keepends=True)[: n + 1])) for n in range(4)]
    for cut in range(len(output)):
        path.write_bytes(output[:cut])
        journal.write_bytes(records)
        found = states_of(path)
        for row, end in zip((0, 1, 3, 5), ends, strict=True):
            kept = cut >= end - 1  # only the line end is missing: the line is complete
            assert found[row] == (WRITTEN[row] if kept else SENT), (cut, row)
        assert path.read_bytes() == output[: max([0, *[e for e in ends if e - 1 <= cut]])]


def test_both_cut_together_never_forget_a_request(tmp_path):
    """No row that was sent before the cut of the journal is taken for unsent."""
    path = tmp_path / "out"
    write(path)
    journal, output = path.with_name("out.journal"), path.read_bytes()
    records = journal.read_bytes()
    header = records.index(b"\n") + 1
    chance = random.Random(1)
    for _ in range(300):
        cut = chance.randrange(header, len(records) + 1)
        path.write_bytes(output[: chance.randrange(len(output) + 1)])
        journal.write_bytes(records[:cut])
        whole = (cut - header) // RECORD_SIZE
        kinds = [records[header + n * RECORD_SIZE + 2] for n in range(whole)]
        rows = [
            int.from_bytes(records[header + n * RECORD_SIZE + 8 :][:4], "little")
            for n in range(whole)
        ]
        found = states_of(path)
        last = dict(zip(rows, kinds, strict=True))
        for row, kind in last.items():
            assert (found[row] == UNSENT) == (kind == 4)


def test_a_journal_that_is_damaged_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "out"
    write(path)
    journal = path.with_name("out.journal")
    data = bytearray(journal.read_bytes())
    data[data.index(b"\n") + 30] ^= 0xFF
    journal.write_bytes(data)

    with pytest.raises(JournalError, match="damaged at byte"):
        states_of(path)


def test_output_lines_have_their_offsets(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"a\nbb\n\nccc")
    with path.open("rb", buffering=0) as file:
        assert list(output_lines(file, 0)) == [(0, b"a\n"), (2, b"bb\n"), (5, b"\n")]


@pytest.mark.parametrize("killed", ["before", "between", "after"])
def test_a_compaction_that_is_killed_is_completed_or_undone(tmp_path, monkeypatch, killed):
    path = tmp_path / "out"
    write(path)
    files = BatchFiles(path, OPTIONS)
    replace = Path.replace
    calls = []

    def replacing(source, target):
        calls.append(source)
        if killed == "before" or (killed == "between" and len(calls) == 2):
            raise KeyboardInterrupt
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", replacing)
    with suppress(KeyboardInterrupt):
        files.drop_failed()
    files.close()
    monkeypatch.undo()

    expected = WRITTEN if killed == "before" else [DONE, UNSENT, SENT, DONE, UNSENT, DONE]
    assert states_of(path) == expected
    assert len(path.read_bytes().splitlines()) == (4 if killed == "before" else 3)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "out.journal"]


def test_lines_that_were_appended_by_hand_count_as_done(tmp_path):
    path = tmp_path / "out"
    write(path)
    with path.open("ab") as file:
        file.write(line(2))

    assert states_of(path) == [DONE, FAILED, DONE, DONE, UNSENT, DONE]


def test_a_second_run_is_refused(tmp_path):
    files = BatchFiles(tmp_path / "out", OPTIONS)
    with pytest.raises(JournalError, match="another process"):
        BatchFiles(tmp_path / "out", OPTIONS)
    files.close()
    BatchFiles(tmp_path / "out", OPTIONS).close()


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link")

    assert (tmp_path / "link").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "target", "target.journal"]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    path = tmp_path / "out"
    path.write_text("my notes\n")
    with pytest.raises(JournalError, match="not its journal"):
        BatchFiles(path, OPTIONS)
    assert path.read_text() == "my notes\n"

    path.unlink()
    write(path)
    path.unlink()
    with pytest.raises(JournalError, match="is missing"):
        BatchFiles(path, OPTIONS)
    with pytest.raises(JournalError, match="not a regular file"):
        BatchFiles("/dev/full", OPTIONS)


# Whole runs


async def collect(client, files, **options):
    async with client.batch(files.input, output=files.output, **options) as batch:
        return [result async for result in batch], batch.summary


def start(connect, files, **options):
    async def running():
        async with connect() as client:
            return await collect(client, files, **options)

    return running


def test_a_changed_input_is_refused_before_anything_is_sent(service, connect, files, run):
    files.prompts(20)
    run(start(connect, files))
    rows = [{"custom_id": f"id-{n}", "prompt": f"p{n}"} for n in range(30)]
    rows[17]["prompt"] = "changed"
    files.write(*rows)
    with pytest.raises(JournalError, match="line 18 of the input has changed"):
        run(start(connect, files))
    files.prompts(12)
    with pytest.raises(JournalError, match="12 rows, but row 20"):
        run(start(connect, files))

    assert service.received.total() == 20


def unknown_rows(service, connect, files, run):
    """Leave rows 0 to 3 without a known result, and 4 to 9 done."""
    files.prompts(10)

    async def slow(prompt, _):
        if prompt in {"p0", "p1", "p2", "p3"}:
            await asyncio.sleep(60)

    service.handler = slow

    async def running():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output, concurrency=10)
            done = 0
            while done < 6:
                done += len(await batch.receive())
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await batch.aclose()
            return batch.summary

    summary = run(running)
    service.handler = None
    assert (summary.done, summary.unknown) == (6, 4)


def test_unknown_rows_are_not_sent_unasked(service, connect, files, run):
    unknown_rows(service, connect, files, run)
    with pytest.raises(JournalError, match="4 rows were sent without a known result"):
        run(start(connect, files))

    assert service.received.total() == 10


def test_unknown_rows_are_sent_again_on_request(service, connect, files, run):
    unknown_rows(service, connect, files, run)
    results, summary = run(start(connect, files, unknown="resend"))

    assert (summary.done, summary.unknown, len(results)) == (10, 0, 4)
    assert all(result.may_be_billed for result in results)
    assert service.received.total() == 14
    assert len(files.by_id) == 10


def test_unknown_rows_are_reported_when_skipped(service, connect, files, run):
    unknown_rows(service, connect, files, run)
    results, summary = run(start(connect, files, unknown="skip"))

    assert (summary.done, summary.failed, summary.unknown, len(results)) == (6, 4, 0, 4)
    assert files.by_id["id-2"]["error"]["code"] == "unknown"
    assert service.received.total() == 10


@pytest.mark.parametrize("kind", ["iterable", "file"])
def test_rows_before_the_end_of_the_journal_that_are_missing_are_sent(
    service, connect, files, run, wire, kind
):
    """Also for an iterable, which cannot be read twice."""
    files.prompts(200)
    given = files.input
    rows = [json.loads(text) for text in given.read_text().splitlines()]
    service.latency = 0.01
    service.handler = lambda prompt, _: (
        wire.refusal("403 No", "used_up") if service.received.total() % 40 == 39 else None
    )
    for _ in range(12):
        files.input = iter(rows) if kind == "iterable" else given
        with suppress(BatchStoppedError):
            run(start(connect, files))
    service.handler = None
    files.input = iter(rows) if kind == "iterable" else given
    _, summary = run(start(connect, files))

    assert summary.done == len(files.by_id) == 200


class FullDisk:
    """Makes writes to the output or the journal fail, after some of their bytes."""

    def __init__(self, monkeypatch, name, room):
        from acechat.batch.storage import files

        self.room, self.append, self.name = room, files.append, name
        monkeypatch.setattr(files, "append", self)

    def __call__(self, file, data):
        if data.startswith(b"{") == (self.name == "out.jsonl"):
            if len(data) > self.room:
                file.write(data[: self.room])
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(data)
        self.append(file, data)


@pytest.mark.parametrize("name", ["out.jsonl", ".journal"])
def test_a_full_disk_stops_the_run_and_loses_nothing(
    service, connect, files, run, monkeypatch, tmp_path, name
):
    files.prompts(200)
    service.latency = 0.01
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    FullDisk(monkeypatch, name, 6000)
    with pytest.raises(BatchStoppedError, match="the disk is full") as caught:
        run(start(connect, files))
    assert "make room" in caught.value.next_step
    monkeypatch.undo()

    rescued = list(tmp_path.glob("acechat-batch-*.jsonl"))
    if name == "out.jsonl":  # the results of running requests had no room: they are kept elsewhere
        assert str(rescued[0]) in str(caught.value)
        with files.output.open("ab") as output:
            output.write(rescued[0].read_bytes())
    _, summary = run(start(connect, files))

    assert summary.done == len(files.by_id) == 200
    assert set(service.received.values()) == {1}


def test_a_disk_that_is_full_everywhere_ends_the_run(service, connect, files, run, monkeypatch):
    """Nothing can be written: the caller has the results, and the journal calls them unknown."""
    files.prompts(50)
    service.latency = 0.01

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    FullDisk(monkeypatch, "out.jsonl", 3000)
    with pytest.raises(
        BatchStoppedError, match="the disk is full; there was no room for"
    ) as caught:
        run(start(connect, files))
    assert "make room" in caught.value.next_step
    monkeypatch.undo()

    with pytest.raises(JournalError, match="without a known result"):
        run(start(connect, files))
    assert set(service.received.values()) == {1}


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="RLIMIT_FSIZE is of POSIX systems")
def test_a_limit_of_the_file_size_stops_the_run(service, files, tmp_path):
    files.prompts(300)
    code = f"""
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        from acechat import Client, BatchStoppedError
        try:
            with Client("t", base_url={service.url!r}, proxy="") as client:
                client.batch({str(files.input)!r}, output={str(files.output)!r}).collect()
        except BatchStoppedError as error:
            print(error.reason)
    """
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        # -B: Python would write truncated bytecode of its imports, for all later programs.
        [sys.executable, "-B", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert "maximum size" in done.stdout, done.stderr


def test_a_deleted_output_is_written_again_and_stops_the_run(service, connect, files, run):
    files.prompts(2000)
    service.latency = 0.02

    async def running():
        async with connect() as client:
            batch = client.batch(files.input, output=files.output, concurrency=10)
            await batch.receive()
            files.output.unlink()
            await batch.collect()

    with pytest.raises(BatchStoppedError, match="deleted"):
        run(running)
    assert 0 < len(files.by_id) < 2000
    _, summary = run(start(connect, files))
    assert summary.done == len(files.by_id) == 2000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_an_output_that_is_read_only(connect, files, run):
    files.prompts(3)
    files.output.parent.chmod(0o500)
    with pytest.raises(ConfigurationError, match="cannot write"):
        run(start(connect, files))


@pytest.mark.parametrize("name", ["no/such/folder", "x" * 300, "loop"])
def test_an_output_that_cannot_be_made(connect, files, run, name):
    files.prompts(3)
    files.output = files.output.parent / name
    (files.output.parent / "loop").symlink_to("loop") if name == "loop" else None
    with pytest.raises(ConfigurationError, match="cannot write"):
        run(start(connect, files))


def test_a_clock_that_is_set_back_changes_nothing(service, connect, files, run, monkeypatch):
    files.prompts(100)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400 * random.random())
    _, summary = run(start(connect, files))

    assert summary.done == 100


PROGRAM = """
    import asyncio, sys
    from acechat import AsyncClient

    async def main():
        async with AsyncClient("t", base_url=sys.argv[1], proxy="") as client:
            batch = client.batch(sys.argv[2], output=sys.argv[3], unknown=sys.argv[4],
                                 max_concurrency=20)
            async with batch:
                await batch.collect()

    asyncio.run(main())
"""

KILLS = int(os.environ.get("ACECHAT_BATCH_KILLS", "6"))
"""The benchmark kills 50 times."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("unknown", ["resend", "skip"])
def test_a_run_that_is_killed_at_any_moment_loses_and_repeats_nothing(service, files, unknown):
    rows = 150 * KILLS
    files.prompts(rows)
    service.latency = 0.02
    chance = random.Random(unknown)
    running_at_kills = 0
    arguments = [sys.executable, "-c", textwrap.dedent(PROGRAM), service.url]
    arguments += [str(files.input), str(files.output), unknown]
    for _ in range(KILLS):
        before = service.received.total()
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while service.received.total() == before and time.monotonic() < until:
            assert process.poll() in {None, 0}, process.stderr.read()
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        time.sleep(0.1)  # requests that have left are counted
        done = len(files.output.read_bytes().splitlines())
        running_at_kills = max(running_at_kills, service.received.total() - done)
    subprocess.run(arguments, check=True, timeout=120)

    assert len(files.by_id) == rows
    repeated = service.received.total() - len(service.received)
    unanswered = sum(bool(each["error"]) for each in files.lines)
    if unknown == "skip":
        assert repeated == 0
        assert unanswered <= 20 * KILLS
    else:
        assert repeated <= 20 * KILLS
        assert unanswered == 0


def test_nothing_is_made_beside_a_file_that_cannot_be_an_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(JournalError, match="not a regular file"):
            BatchFiles(tmp_path / name, OPTIONS)
    assert not list(tmp_path.glob("*.journal"))


def test_skip_holds_for_failed_rows_that_are_run_again(service, connect, files, run, wire):
    """Row 0 was lost and may be charged; row 1 was refused. Only row 1 is sent again."""
    files.prompts(3)
    failures = {"p0": "reset", "p1": wire.refusal("400 No", "bad_request")}
    service.handler = lambda prompt, _: failures.get(prompt)

    async def running():
        async with connect() as client:
            batch = client.batch(
                files.input, output=files.output, unknown="skip", retry_failed=True, retries=1
            )
            return await batch.collect()

    assert run(running).failed == 2
    assert files.by_id["id-0"]["error"]["may_be_billed"]
    assert not files.by_id["id-1"]["error"]["may_be_billed"]
    failures.clear()
    for _ in range(2):
        summary = run(running)
        assert (summary.done, summary.failed, summary.total) == (2, 1, 3)
        assert service.received == {"p0": 1, "p1": 2, "p2": 1}
    assert files.by_id["id-0"]["error"]
