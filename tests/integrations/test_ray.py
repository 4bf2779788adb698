"""Runs on a real Ray cluster of worker processes, against a server in a process of its own.

One cluster serves all tests; `nox -s ray` runs them.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: `nox -s ray` has it")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("ray"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found in /proc"),
]

STARTS = 3
"""Attempts to start a cluster: Ray gives its own processes 15 s, which a busy machine exceeds."""

SERVER = Path(__file__).with_name("ray_server.py")
MARK = "ACECHAT_RAY_TEST"
RUN = os.environ.get(MARK) or uuid.uuid4().hex
QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | QUIET | {MARK: RUN} | more


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster; of one with this mark that runs already, if it is given."""
    if address := os.environ.get("ACECHAT_RAY_ADDRESS"):
        yield address
        return
    for attempt in range(STARTS):
        log = tmp_path_factory.mktemp("ray") / "log"
        port = random.randrange(20_000, 32_000)  # Ray's workers have 10002 to 19999
        options = ["--head", "--block", f"--port={port}", "--num-cpus=3", "--disable-usage-stats"]
        options += ["--include-dashboard=false", "--object-store-memory=100000000"]
        command = [str(Path(sys.executable).with_name("ray")), "start", *options]
        with (
            log.open("w") as file,
            subprocess.Popen(
                command, stdout=file, stderr=file, env=environment(), start_new_session=True
            ) as head,
        ):
            try:
                while head.poll() is None and "runtime started" not in log.read_text():
                    time.sleep(0.2)
                if head.poll() is None:
                    yield f"127.0.0.1:{port}"
                    return
            finally:
                head.terminate()
                try:
                    head.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(head.pid, signal.SIGKILL)
        assert attempt < STARTS - 1, log.read_text()


class Server:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/v1"
        self._base = f"http://127.0.0.1:{port}"

    def set(self, **fields):
        data = json.dumps(fields).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self._base}/set", data)).read()

    @property
    def log(self):
        return json.load(urllib.request.urlopen(f"{self._base}/log"))

    @property
    def received(self):
        return Counter(prompt for prompt, _, _ in self.log)

    def wait_for(self, number):
        end = time.monotonic() + 300
        while len(self.log) < number:
            assert time.monotonic() < end, "the server received too few requests"
            time.sleep(0.05)


@pytest.fixture
def server():
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE) as process:
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


class Job:
    """A folder with an input, and the command that runs it."""

    def __init__(self, folder, cluster, server):
        self.input, self.output = folder / "in.parquet", folder / "out"
        self._cluster, self._server = cluster, server
        self.rows = 0
        self.processes = []

    def write(self, rows, **columns):
        self.rows = rows
        fields = {
            "custom_id": [f"id-{n}" for n in range(rows)],
            "prompt": [f"p{n}" for n in range(rows)],
        }
        pq.write_table(pa.table(fields | columns), self.input, row_group_size=max(1, rows // 3))

    def start(self, *options, workers=2):
        command = [sys.executable, "-m", "acechat", "batch", str(self.input), "-o"]
        command += [str(self.output), "--ray", self._cluster, "--workers", str(workers)]
        command += ["--base-url", self._server.url, "--json", *options]
        env = environment(ACEDATACLOUD_API_TOKEN="tok-secret-0123456789", NO_PROXY="*")
        process = subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def end(self, process):
        """Return the exit code, the summary and stderr."""
        out, err = process.communicate(timeout=380)
        return process.returncode, json.loads(out) if out.strip() else {"no summary": err}, err

    def run(self, *options, workers=2):
        return self.end(self.start(*options, workers=workers))

    @property
    def lines(self):
        paths = self.output.glob("segments/*/*.jsonl")
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def check(self):
        """Each row has one line, and its own response."""
        lines = self.lines
        assert Counter(line["custom_id"] for line in lines) == {
            f"id-{n}": 1 for n in range(self.rows)
        }
        for line in lines:
            if line["error"] is None:
                text = line["response"]["body"]["choices"][0]["message"]["content"]
                assert text == f"reply to p{line['custom_id'][3:]}"
        return lines


@pytest.fixture
def job(tmp_path, cluster, server):
    running = Job(tmp_path, cluster, server)
    yield running
    for process in running.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def processes(name):
    """Return the processes of this cluster whose name contains *name*."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            if (
                name in title
                and b"ray::" in title
                and RUN.encode() in (folder / "environ").read_bytes()
            ):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def kill_one(name):
    pids = processes(name)
    assert pids, [
        title for title in os.popen("ps -eo args").read().splitlines() if "ray::" in title
    ]
    os.kill(pids[0], signal.SIGKILL)


def iter_until(file, text):
    """Return the first line of *file* that contains *text*."""
    return next((line for line in file if text in line), "")


WORKER, COORDINATOR = b"ChatMapper", b"Coordinator"


def test_each_row_is_done_once_and_a_restart_sends_nothing(job, server):
    prompts = [f"p{n}" for n in range(300)]
    prompts[7] = prompts[207] = "fail"
    job.write(300, prompt=prompts)

    code, summary, err = job.run("--concurrency", "16", "--format", "parquet")

    assert code == 1, err
    assert (summary["done"], summary["failed"]) == (298, 2)
    assert summary["total"] == 300
    assert summary["errors"]["bad_request"]["rows"] == 2
    assert summary["usage"]["total_tokens"] == 298 * 5
    assert server.received == Counter(prompts)
    failed = [line for line in job.check() if line["error"]]
    assert {line["custom_id"] for line in failed} == {"id-7", "id-207"}
    tables = [pq.read_table(path) for path in job.output.glob("segments/*/*.parquet")]
    rows = [row for table in tables for row in table.to_pylist()]
    assert sum(row["error_code"] == "bad_request" for row in rows) == 2
    assert {row["custom_id"]: row["text"] for row in rows}["id-3"] == "reply to p3"

    code, summary, err = job.run("--concurrency", "16")
    assert (code, summary["done"], summary["failed"]) == (1, 298, 2), err
    assert len(server.log) == 300

    shown = subprocess.run(
        [sys.executable, "-m", "acechat", "batch", "status", str(job.output), "--json"],
        capture_output=True,
        check=True,
    )
    status = json.loads(shown.stdout)
    assert (status["done"], status["failed"], status["unknown"]) == (298, 2, 0)
    assert status["usage"]["total_tokens"] == 298 * 5

    code, _, err = job.run("--option", "max_tokens=7")
    assert code == 2
    assert "max_tokens was None, now 7" in err


def test_a_killed_worker_loses_no_row(job, server):
    server.set(hold=100)
    job.write(400)

    process = job.start("--concurrency", "12", "--unknown", "resend")
    server.wait_for(100 + 2 * 12)
    kill_one(WORKER)
    server.set(hold=0)
    code, summary, err = job.end(process)

    assert (code, summary["done"], summary["unknown"]) == (0, 400, 0), err
    job.check()
    received = server.received
    assert len(received) == 400
    assert sum(received.values()) - 400 == 12  # those that were in flight


def test_rows_of_a_killed_worker_are_not_sent_again_unasked(job, server):
    server.set(hold=100)
    job.write(400)

    process = job.start("--concurrency", "12")
    server.wait_for(100 + 2 * 12)
    kill_one(WORKER)
    server.set(hold=0)
    code, summary, err = job.end(process)

    assert code == 75
    assert "--unknown resend or --unknown skip" in err
    assert max(server.received.values()) == 1
    unknown = summary["unknown"]
    assert unknown == 12  # those that were in flight
    assert summary["done"] == 400 - unknown

    code, _, err = job.run("--concurrency", "12")
    assert code == 2
    assert f"{unknown} rows were sent without a known result" in err

    code, summary, err = job.run("--concurrency", "12", "--unknown", "skip")
    assert (code, summary["done"], summary["failed"]) == (1, 400 - unknown, unknown), err
    assert sum(server.received.values()) <= 400
    failed = [line for line in job.check() if line["error"]]
    assert {line["error"]["code"] for line in failed} == {"unknown"}
    assert all(line["error"]["may_be_billed"] for line in failed)


def test_a_killed_coordinator_is_replaced_and_loses_no_row(job, server):
    server.set(latency=0.1)
    job.write(600)

    process = job.start()
    server.wait_for(150)
    kill_one(COORDINATOR)
    server.wait_for(400)
    kill_one(COORDINATOR)
    code, summary, err = job.end(process)

    assert (code, summary["done"]) == (0, 600), err
    job.check()
    assert set(server.received.values()) == {1}


def test_a_killed_driver_is_continued_by_the_same_command(job, server):
    server.set(hold=100)
    job.write(400)

    process = job.start("--concurrency", "12")
    server.wait_for(100 + 2 * 12)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    server.set(hold=0)
    code, summary, err = job.run("--concurrency", "12", "--unknown", "resend")

    assert (code, summary["done"]) == (0, 400), err
    job.check()
    assert sum(server.received.values()) - 400 <= 2 * 12


def test_ctrl_c_waits_for_the_running_requests(job, server):
    server.set(hold=100)
    job.write(400)

    process = job.start("--concurrency", "12")
    server.wait_for(100 + 2 * 12)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes of the command
    assert "waiting for the running requests" in iter_until(process.stderr, "waiting")
    time.sleep(1)  # the workers learn of it
    server.set(hold=0)
    code, summary, err = job.end(process)

    assert code == 128 + signal.SIGINT, err
    assert "Traceback" not in err
    assert len(server.log) == 100 + 2 * 12
    assert len(job.lines) == 100 + 2 * 12  # nothing is unknown

    code, summary, err = job.run("--concurrency", "12")
    assert (code, summary["done"]) == (0, 400), err
    job.check()
    assert set(server.received.values()) == {1}


def test_all_workers_stop_when_the_credit_is_used_up(job, server):
    server.set(broke=100)
    job.write(400)

    code, summary, err = job.run("--concurrency", "8")

    assert code == 75
    assert "top up at https://platform.acedata.cloud" in err
    assert "Traceback" not in err
    assert len(job.lines) == 100
    assert len(server.log) <= 100 + 4 * 8  # the other worker learns of it by its next report

    server.set(broke=0)
    code, summary, err = job.run("--concurrency", "8")
    assert (code, summary["done"]) == (0, 400), err
    job.check()


def test_workers_share_one_rate(job, server):
    server.set(limit=60, latency=0.05)
    job.write(1600)

    code, summary, err = job.run()

    assert (code, summary["done"]) == (0, 1600), err
    job.check()
    log = server.log
    first, last = log[0][1], log[-1][1]
    later = [(at, fits) for _, at, fits in log if first + 15 <= at < last - 2]
    accepted = sum(fits for _, fits in later) / (last - 2 - first - 15)
    refused = 1 - sum(fits for _, fits in later) / len(later)
    assert accepted >= 0.85 * 60
    assert refused <= 0.05


def test_two_workers_are_nearly_twice_as_fast(job, server, tmp_path):
    """Each has 8 requests at a time, and the service has no limit but its latency."""

    def rows_per_second(workers):
        job.output = tmp_path / f"out-{workers}"
        before = len(server.log)
        held = before + 1 + 8 * workers  # all workers have begun
        server.set(latency=0.4, hold=before + 1)
        job.write(160 * workers)
        process = job.start("--concurrency", "8", workers=workers)
        server.wait_for(held)
        server.set(hold=0)
        code, _, err = job.end(process)
        assert code == 0, err
        times = [at for _, at, _ in server.log[held : before + 120 * workers]]
        return len(times) / (times[-1] - times[0])

    assert rows_per_second(2) >= 1.7 * rows_per_second(1)


PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "ray.md"
CODE = re.compile(r"^```\{code-block\} python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PIPELINE = CODE.search(PAGE.read_text(encoding="utf-8"))[1]


def test_the_pipeline_of_the_documentation_adds_columns(job, server, cluster, tmp_path):
    texts = [f"text {n}" for n in range(100)]
    texts[5] = "fail"
    job.input, job.output = tmp_path / "prompts.parquet", tmp_path / "results"
    job.write(100, text=texts)
    client = {"api_token": "tok-secret-0123456789", "base_url": server.url, "proxy": ""}
    code = PIPELINE.replace("_kwargs={", f'_kwargs={{"client": {client}, ')
    code = code.replace("/shared", str(tmp_path))

    def run():
        shutil.rmtree(tmp_path / "table", ignore_errors=True)
        command = [sys.executable, "-c", code]
        env = environment(RAY_ADDRESS=cluster)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        tables = [pq.read_table(path) for path in (tmp_path / "table").glob("*.parquet")]
        return {row["custom_id"]: row for table in tables for row in table.to_pylist()}

    rows = run()

    assert len(rows) == 100
    row = rows["id-3"]
    assert (row["text"], row["result_text"]) == ("text 3", "reply to Translate to French: text 3")
    assert (row["error_code"], row["finish_reason"], row["prompt_tokens"]) == (None, "stop", 3)
    failed = rows["id-5"]
    assert (failed["error_code"], failed["result_text"]) == ("bad_request", None)
    assert "acechat_sent" not in row
    assert set(server.received.values()) == {1}
    assert run() == {}
    assert len(server.log) == 100
