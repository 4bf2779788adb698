"""``acechat batch``, as a process."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from acechat import BatchProgress, BatchSummary
from acechat.batch.status import read_status
from acechat.cli.terminal.batch import Display, describe
from acechat.types import TotalUsage

COMMAND = [sys.executable, "-m", "acechat", "batch"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, service):
    monkeypatch.setenv("ACECHAT_CONFIG", str(tmp_path / "home" / "config.toml"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "t-1")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)


@pytest.fixture
def batch(files):
    def running(*arguments, stdin="", source=None, output=True):
        given = [str(source or files.input), *(["-o", str(files.output)] if output else [])]
        return subprocess.run(
            [*COMMAND, *given, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return running


def test_a_run_and_its_status(batch, files, service):
    files.prompts(20)
    done = batch()

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("rows: 20 done, 0 failed, 0 unknown, 0 not sent\ntokens: 100\n")
    assert len(files.by_id) == 20
    status = batch("--json", source="status", output=False)
    assert status.returncode == 2  # a word alone is an input
    status = subprocess.run(
        [*COMMAND, "status", str(files.output), "--json"], capture_output=True, check=True
    )
    found = json.loads(status.stdout)
    assert (found["done"], found["failed"], found["usage"]["total_tokens"]) == (20, 0, 100)


def test_a_stop_exits_with_75_and_the_same_command_continues(batch, files, service, wire):
    files.prompts(100)
    service.latency = 0.01
    service.handler = lambda prompt, _: (
        wire.refusal("403 No", "used_up", "no credit") if service.received.total() > 40 else None
    )
    stopped = batch()

    assert stopped.returncode == 75
    (line,) = [each for each in stopped.stderr.splitlines() if each.startswith("acechat: ")]
    assert "no credit" in line
    assert "top up" in line
    assert "the same command" in line
    service.handler = None
    assert batch().returncode == 0
    assert len(files.by_id) == 100


@pytest.mark.parametrize(
    ("status", "code", "message", "step"),
    [
        ("403 No", "used_up", "no credit", "top up"),
        ("401 No", "invalid_token", "no", "set a valid token"),
        ("403 No", "disabled", "no", "contact support"),
        ("400 No", "bad_request", "model is invalid.", "choose another model"),
        (None, "budget", "", "raise the budget"),
    ],
)
def test_each_stop_is_one_line_with_the_next_step(
    batch, files, service, wire, status, code, message, step
):
    files.prompts(60)
    service.latency = 0.01
    if status is not None:
        service.handler = lambda prompt, _: (
            wire.refusal(status, code, message) if service.received.total() > 20 else None
        )
    else:
        body = wire.completion("Hello")
        body["usage"]["cost"] = {"amount": "0.01", "currency": "credits"}
        service.handler = lambda prompt, _: wire.reply(body)
    done = batch(*([] if status else ["--budget", "0.05"]))

    assert done.returncode == 75, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("acechat: ")]
    assert line.startswith("acechat: stopped: ")
    assert f"Next: {step}" in line
    assert line.endswith("the same command again")
    service.handler = None
    assert batch().returncode == 0
    assert len(files.by_id) == 60


def test_failed_rows_exit_with_1_and_are_run_again_on_request(batch, files, service, wire):
    files.prompts(10)
    service.handler = lambda prompt, _: (
        wire.refusal("400 No", "bad_request", "no\x1b[31m") if prompt == "p3" else None
    )
    done = batch()
    assert done.returncode == 1
    assert "error bad_request: 1 rows" in done.stdout
    assert "trace t-1" in done.stdout
    assert "\x1b" not in done.stdout
    assert "--retry-failed" in done.stderr
    service.handler = None

    assert batch("--retry-failed").returncode == 0
    assert len(files.by_id) == 10


def test_check_reports_every_fault_and_sends_nothing(batch, files, service):
    files.input.write_text(
        '"ok"\n{}\n\n{"custom_id":"a","prompt":"x"}\n{"custom_id":"a","prompt":1}\n{'
    )
    done = batch("--check", output=False)

    assert done.returncode == 2
    assert [line.split(":")[1] for line in done.stdout.splitlines()] == ["2", "5", "6"]
    assert "5 rows, 3 with a fault" in done.stderr
    files.prompts(3)
    assert batch("--check", output=False).returncode == 0
    assert service.received.total() == 0


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "txt", "stdin"])
def test_inputs(batch, files, service, tmp_path, form):
    rows = [{"id": "a", "text": "one, 1"}, {"id": "b", "text": 'tw"o'}]
    template = ["--prompt", "Say {text}"]
    source, stdin = tmp_path / f"in.{form}", ""
    if form in {"csv", "tsv"}:
        with source.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, ["id", "text"], delimiter="\t" if form == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif form == "parquet":
        arrow = pytest.importorskip("pyarrow", reason="an extra")
        parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
        parquet.write_table(arrow.Table.from_pylist(rows), source)
    elif form == "txt":
        source.write_text('Say one, 1\n\nSay tw"o\r\n')
        template = []
    else:
        source, stdin = "-", "".join(json.dumps(row) + "\n" for row in rows)
    done = batch(*template, source=source, stdin=stdin)

    assert done.returncode == 0, done.stderr
    assert service.received == {"Say one, 1": 1, 'Say tw"o': 1}
    if form != "txt":
        assert files.by_id.keys() == {"a", "b"}


def test_faulty_lines_of_a_table(batch, files, service, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text('id,text\na,x\nb\nc,y,z\n"d","multi\nline"\n')
    done = batch("--prompt", "{text}", source=source)

    assert done.returncode == 1
    assert files.by_id["d"]["error"] is None
    faults = [line["error"]["message"] for line in files.lines if line["error"]]
    assert sorted(faults) == [
        "the row has 1 more cells than columns",
        "the row has no cell for text",
    ]


@pytest.mark.parametrize("form", ["csv", "parquet", "text"])
def test_tables_are_written_in_the_order_of_the_input(batch, files, service, wire, form):
    files.prompts(30)

    def handler(prompt, _):
        return wire.reply(wire.completion(f"{prompt}\nline")) if prompt != "p7" else None

    service.handler = handler
    done = batch("--format", form)

    assert done.returncode == 0, done.stderr
    texts = [f"p{n}\nline" if n != 7 else "p7" for n in range(30)]
    if form == "csv":
        with files.output.with_suffix(".csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    elif form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
        rows = parquet.read_table(files.output.with_suffix(".parquet")).to_pylist()
    else:
        lines = files.output.with_suffix(".txt").read_text().splitlines()
        rows = [{"text": line.replace("\\n", "\n")} for line in lines]
    assert [row["text"] for row in rows] == texts


def test_a_table_does_not_replace_the_output(batch, files):
    files.prompts(1)
    files.output = files.output.with_suffix(".csv")
    done = batch("--format", "csv")

    assert done.returncode == 2
    assert "name it out.jsonl" in done.stderr


def test_the_progress_names_everything_that_matters():
    usage = TotalUsage(total_tokens=9000, cost=Decimal("1.25"), currency="USD")
    progress = BatchProgress(
        summary=BatchSummary(done=1500, failed=3, unknown=40, usage=usage),
        running=32, waiting=4, concurrency=64, rate=None,
        paused="the service has been down for 12 s",
    )  # fmt: skip

    assert describe(progress, 10_000, 25.5, 1234.0, 3700.0) == (
        "1,500 of 10,000 done, 3 failed, 4 unknown, 32 running (limit 64), 4 waiting, 25.5 rows/s, "
        "1,234 tokens/s, 1.25 USD, 1 h 1 min left, PAUSED: the service has been down for 12 s"
    )
    nothing = BatchProgress(summary=BatchSummary(), running=0, waiting=0, concurrency=8, rate=None)
    assert describe(nothing, None, 0, 0, None) == (
        "0 done, 0 running (limit 8), 0.0 rows/s, 0 tokens/s"
    )


def test_piped_progress_is_a_line_each_ten_seconds(monkeypatch, capsys):
    class Run:
        progress = BatchProgress(
            summary=BatchSummary(done=7), running=1, waiting=0, concurrency=8, rate=None
        )

    waits = []
    sleep = asyncio.sleep

    async def soon(seconds):
        waits.append(seconds)
        await sleep(0.01)

    monkeypatch.setattr("acechat.cli.terminal.batch.asyncio.sleep", soon)

    async def main():
        async with Display(Run(), "-", "auto"):
            await sleep(0.1)

    asyncio.run(main())
    lines = capsys.readouterr().err.splitlines()

    assert set(waits) == {10.0}
    assert len(lines) >= 2
    assert set(lines) == {"7 done, 1 running (limit 8), 0.0 rows/s, 0 tokens/s"}


def test_progress_for_machines(batch, files, service):
    files.prompts(40)
    service.latency = 0.1
    done = batch("--progress", "json", "--concurrency", "2")
    shown = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]

    assert len(shown) >= 2
    assert shown[-1]["summary"]["done"] == 40
    assert shown[0]["total"] == 40
    assert shown[0]["running"] == 2
    assert shown[0]["concurrency"] == 2
    assert {"rows_per_second", "tokens_per_second", "seconds_left", "paused"} <= shown[0].keys()


def test_schema(batch, files, service, wire, tmp_path):
    files.prompts(1)
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps(
            {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
        )
    )

    def handler(prompt, _):
        call = {"id": "t", "type": "function"}
        call["function"] = {"name": "answer", "arguments": '{"days": 3}'}
        body = wire.completion("")
        body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        return wire.reply(body)

    service.handler = handler
    done = batch("--schema", str(schema))

    assert done.returncode == 0, done.stderr
    assert files.by_id["id-0"]["output"] == {"days": 3}


WRONG = [
    (["--schema", "missing.json"], "there is no file"),
    (["--schema", '{"type": "set"}'], "unknown type 'set'"),
    (["--option", "max_token=1"], "did you mean"),
    (["--budget", "0"], "Budget.credits"),
    (["extra"], "one INPUT"),
    (["--concurrency", "0"], "x>=1"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_usage_is_one_line(batch, files, arguments, message):
    files.prompts(1)
    done = batch(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("twice", [False, True])
def test_signals(files, service, number, twice):
    files.prompts(500)
    service.latency = 1.0
    process = subprocess.Popen(
        [*COMMAND, str(files.input), "-o", str(files.output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 20
    while service.running < 8 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    if twice:
        time.sleep(0.2)
        process.send_signal(number)
    _, stderr = process.communicate(timeout=20)

    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    status = read_status(files.output)
    if twice:
        assert status.unknown >= 8
    else:
        assert status.unknown == 0
        assert status.done == service.received.total() >= 8
        assert "waiting for the running requests" in stderr


def test_status_needs_a_journal(tmp_path):
    done = subprocess.run(
        [*COMMAND, "status", str(tmp_path / "x.jsonl")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no journal" in done.stderr


def test_an_unprivileged_folder(batch, files):
    files.prompts(1)
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    files.output.parent.chmod(0o500)
    assert batch().returncode == 1


def test_images(batch, files, service, root):
    (files.input.parent / "dot.png").write_bytes((root / "examples" / "dot.png").read_bytes())
    files.write(
        {"id": "a", "prompt": "x", "picture": "dot.png"},
        {"id": "b", "prompt": "y", "picture": ["https://example.com/a.png", "dot.png"]},
        {"id": "c", "prompt": "z", "picture": "missing.png"},
        {"id": "d", "prompt": "w"},
        {"id": "e", "prompt": "v", "picture": 3},
    )
    checked = batch("--check", "--image", "picture", output=False)
    assert [line.split(":")[1] for line in checked.stdout.splitlines()] == ["3", "5"]
    service.handler = lambda prompt, _: None
    done = batch("--image", "picture", "--concurrency", "1")

    assert done.returncode == 1, done.stderr
    assert {key for key, line in files.by_id.items() if line["error"]} == {"c", "e"}
    contents = [body["messages"][0]["content"] for body in service.bodies]
    assert [part["type"] for part in contents[0]] == ["text", "image_url"]
    assert contents[0][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [part["type"] for part in contents[1]] == ["text", "image_url", "image_url"]
    assert contents[1][1]["image_url"]["url"] == "https://example.com/a.png"
    assert contents[2] == "w"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_progress_on_a_terminal(files, service):
    import pty

    files.prompts(60)
    service.latency = 0.3
    ours, its = pty.openpty()
    command = [*COMMAND, str(files.input), "-o", str(files.output), "--concurrency", "10"]
    with subprocess.Popen(
        command, stdout=its, stderr=its, env=os.environ | {"TERM": "xterm"}
    ) as run:
        os.close(its)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # the end of a pseudo-terminal
            pass
        os.close(ours)

    assert run.returncode == 0
    assert b"of 60 done" in shown
    assert b"10 running (limit 10)" in shown
    assert b"rows: 60 done" in shown


def test_a_table_does_not_replace_the_input(batch, files, service, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text("text\na\n")
    files.output = tmp_path / "rows.jsonl"
    done = batch("--prompt", "{text}", "--format", "csv", source=source)

    assert done.returncode == 2
    assert "would replace the input" in done.stderr
    assert source.read_text() == "text\na\n"
    assert not service.received  # refused before anything is paid


def test_a_new_table_is_private_and_an_old_one_keeps_its_mode(batch, files):
    files.prompts(1)
    table = files.output.with_suffix(".csv")
    assert batch("--format", "csv").returncode == 0
    assert table.stat().st_mode & 0o777 == 0o600
    table.chmod(0o640)
    assert batch("--format", "csv").returncode == 0
    assert table.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="POSIX")  # noqa: PTH110
@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/stderr", "redirected"])
def test_an_output_is_not_shared_with_the_summary(files, service, tmp_path, output):
    """The summary would overwrite results that were paid for."""
    files.prompts(1)
    with (tmp_path / "redirected").open("w") as file:
        command = [*COMMAND, str(files.input), "-o", output]
        done = subprocess.run(command, cwd=tmp_path, stdout=file, stderr=file, check=False)

    assert done.returncode == 2
    assert "a file of its own" in (tmp_path / "redirected").read_text()
    assert not service.received
    assert not list(tmp_path.glob("*.journal"))


def test_the_status_without_the_output(batch, files):
    files.prompts(1)
    batch()
    files.output.unlink()
    command = [*COMMAND, "status", str(files.output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "is missing, but its journal exists" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_producer_that_is_still_running_delays_neither_rows_nor_an_interrupt(
    files, service, number
):
    command = [*COMMAND, "-", "-o", str(files.output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b'{"prompt": "a"}\n{"pro')
        process.stdin.flush()
        until = time.monotonic() + 20
        while not (files.output.exists() and files.output.stat().st_size):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert b"Traceback" not in process.stderr.read()
    assert len(files.lines) == 1
