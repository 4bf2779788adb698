"""Files that acechat writes and reads: modes, links, concurrent writers, faults, odd content."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acechat import Client, ConfigurationError
from acechat import _files as files
from acechat._record.cassette import Cassette
from acechat._record.exchange import Exchange, Request
from acechat.emulator import Service, fail

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions and files")
not_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root may write to read-only files"
)

CASSETTE = Cassette((Exchange(Request(method="POST", path="/v1")),))


@pytest.fixture(scope="module")
def client():
    with Service() as service, Client(service.token, base_url=service.url, proxy="") as client:
        service.script(fail(401))
        with pytest.raises(Exception, match="401") as caught:
            client.chat("Hi")
        client.error = caught.value
        yield client


WRITERS = {
    "conversation": lambda client, path: client.conversation(system="s").save(path),
    "save_cassette": lambda client, path: client.save_cassette(path),
    "error.save": lambda client, path: client.error.save(path),
    "Cassette.save": lambda client, path: CASSETTE.save(path),
    "write": lambda client, path: files.write(path, b"data"),
    "append": lambda client, path: files.append(path, b"data"),
}
REPLACING = [name for name in WRITERS if name != "append"]
each_writer = pytest.mark.parametrize("writer", WRITERS)
each_replacing_writer = pytest.mark.parametrize("writer", REPLACING)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def drafts(folder):
    return [path for path in folder.iterdir() if path.name.endswith(".tmp")]


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@posix
@each_writer
def test_a_new_file_is_private(client, tmp_path, writer):
    path = tmp_path / "file"
    WRITERS[writer](client, path)
    assert mode(path) == 0o600
    assert not drafts(tmp_path)


@posix
@each_writer
@pytest.mark.parametrize("wanted", [0o600, 0o644, 0o640, 0o660, 0o755])
def test_an_existing_file_keeps_its_mode(client, tmp_path, writer, wanted):
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(wanted)
    WRITERS[writer](client, path)
    assert mode(path) == wanted
    assert path.stat().st_size


@posix
@each_writer
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_written(client, tmp_path, writer, exists):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "target"
    if exists:
        target.write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "second")
    (tmp_path / "second").symlink_to(target)
    WRITERS[writer](client, link)
    assert link.is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert target.stat().st_size
    assert not drafts(tmp_path)
    assert not drafts(folder)


@posix
@each_writer
@pytest.mark.parametrize("old", ["", "short", "long" * 5000])
def test_all_names_of_a_file_with_hard_links_show_the_new_content(client, tmp_path, writer, old):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text(old)
    path.chmod(0o640)
    os.link(path, other)
    WRITERS[writer](client, path)
    assert other.samefile(path)
    assert mode(path) == 0o640
    if writer != "append":
        fresh = tmp_path / "fresh"
        WRITERS[writer](client, fresh)
        assert other.read_bytes() == fresh.read_bytes()


@posix
@each_writer
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "link to a fifo", "socket"])
def test_other_kinds_of_files_are_refused(client, tmp_path, writer, kind):
    path = tmp_path / "it"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link to a fifo":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "device":
        path = Path(os.devnull)
    elif kind == "socket":
        import socket

        with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as bound:
            bound.bind("it")
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"[Nn]ot a regular|directory") as caught:
        WRITERS[writer](client, path)
    assert caught.value.filename == str(path)
    assert not drafts(tmp_path)


@posix
@each_replacing_writer
def test_predictable_names_are_not_used(client, tmp_path, writer):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (f"file.{os.getpid()}.tmp", "file.tmp", ".file.tmp", "file~"):
        (tmp_path / name).symlink_to(victim)
    WRITERS[writer](client, tmp_path / "file")
    assert victim.read_text() == "precious"


@posix
def test_a_draft_that_another_process_plants_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "urandom", bytes)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".acechat-{'00' * 8}.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError) as caught:
        files.write(tmp_path / "file", b"data")
    assert caught.value.filename == str(tmp_path / "file")
    assert victim.read_text() == "precious"


def test_a_file_may_have_the_longest_name(tmp_path):
    path = tmp_path / ("x" * 255)
    files.write(path, b"data")
    assert path.read_bytes() == b"data"


@not_root
@pytest.mark.parametrize("writer", REPLACING)
def test_a_read_only_file_is_not_replaced(client, tmp_path, writer):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(PermissionError):
        WRITERS[writer](client, path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("hard_links", [False, True])
@pytest.mark.parametrize("many", ["threads", "processes"])
def test_concurrent_writers_leave_the_content_of_one(tmp_path, hard_links, many):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    if hard_links:
        if os.name == "nt":
            pytest.skip("Windows has no flock()")
        os.link(path, tmp_path / "other")
    contents = [bytes([65 + number]) * (200_000 + number * 10_000) for number in range(6)]
    if many == "threads":
        seen = set()
        done = threading.Event()

        def read():
            while not done.is_set():
                seen.add(path.read_bytes())

        def write(content):
            for _ in range(10):
                files.write(path, content)

        reader = threading.Thread(target=read)
        threads = [threading.Thread(target=write, args=(content,)) for content in contents]
        for thread in [reader, *threads]:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        reader.join()
        if not hard_links:  # replaced: each reader sees one of the contents
            assert seen <= {b"old", *contents}
    else:
        code = (
            "import sys; from acechat import _files\n"
            "content = sys.argv[2].encode() * int(sys.argv[3])\n"
            "for _ in range(10): _files.write(sys.argv[1], content)"
        )
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(path), content[:1].decode(), str(len(content))]
            )
            for content in contents
        ]
        assert [process.wait() for process in started] == [0] * 6
    assert path.read_bytes() in contents
    assert not drafts(tmp_path)


def test_concurrent_appends_do_not_mix(tmp_path):
    path = tmp_path / "file"

    def append(letter):
        for _ in range(50):
            files.append(path, letter * 5000 + b"\n", first=b"first\n")

    threads = [threading.Thread(target=append, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, *lines = path.read_bytes().split(b"\n")[:-1]
    assert first == b"first"
    assert len(lines) == 150
    assert {len(line) for line in lines} == {5000}
    assert all(len(set(line)) == 1 for line in lines)


@posix
@pytest.mark.parametrize("how", ["replaced", "in place", "appended"])
@pytest.mark.parametrize("fault", ["limit", "write", "fsync"])
def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch, how, fault):
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    if how == "in place":
        os.link(path, tmp_path / "other")
    function = files.append if how == "appended" else files.write
    if fault == "limit":  # the kernel refuses the bytes, as on a full disk
        import resource
        import signal

        # An import would write truncated bytecode, for all later programs.
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises(OSError, match="large"):
                function(path, b"new" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
    else:
        if fault == "fsync" and how == "appended":
            pytest.skip("append() does not call fsync()")
        if how == "in place":
            pytest.skip("its space is reserved before; later failures damage it, as documented")

        def failing(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files.os, fault, failing)
        with pytest.raises(OSError, match="No space"):
            function(path, b"new")
        monkeypatch.undo()
    assert path.read_bytes() == b"old content"
    assert not drafts(tmp_path)


def test_a_file_system_without_reservation_is_written_in_place_all_the_same(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old content")
    os.link(path, tmp_path / "other")

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.os, "posix_fallocate", unsupported, raising=False)
    files.write(path, b"new")
    assert (tmp_path / "other").read_bytes() == b"new"


@posix
def test_folders_are_made_for_the_owner_only(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="directory"):
        files.make_folder(tmp_path / "file" / "b")
    with pytest.raises(OSError, match="directory"):
        files.make_folder(tmp_path / "file")


# ---- reading

SAVED = '{"messages": [{"role": "user", "content": "hé"}], "acechat": 1}'


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_byte_order_marks_and_crlf_are_read(client, tmp_path, prefix, line_end):
    path = tmp_path / "talk.json"
    text = prefix + SAVED.replace(", ", f",{line_end}") + line_end
    path.write_bytes(text.encode())
    assert client.conversation().load(path).messages[0].content == "hé"
    CASSETTE.save(path)
    path.write_bytes(
        prefix.encode() + path.read_bytes().replace(b"\n", line_end.encode()) + line_end.encode()
    )
    assert Cassette.load(path) == CASSETTE


FIRST = b'{"kind":"cassette","version":1}\n'
DEEP = 1_000_000
"""Beyond the size of the stack, which is the limit of JSON's nesting from Python 3.14 on."""

BROKEN = {
    "no json": (b"{\n  oops", "line 2, column 3"),
    "empty": (b"", "truncated"),
    "truncated": (SAVED[:20].encode(), "truncated"),
    "deep": (b'{"messages": ' + b"[" * DEEP + b"]" * DEEP + b"}", "deep"),
    "deep object": (b'{"messages": ' + b'{"a":' * DEEP, "deep"),
    "digits": (b'{"acechat": ' + b"9" * 5000 + b"}", "acechat"),
    "other type": (b"[]", "object"),
    "no messages": (b"{}", "messages"),
    "messages of another type": (b'{"messages": [1]}', r"\$\.messages\[0\]"),
    "latin-1": (b'{"messages":\n ["\xe9"]}', "line 2"),
    "utf-16": (SAVED.encode("utf-16"), "UTF-8"),
    "nul": (b"\0" * 100, "line 1"),
    "control characters": (b'{"messages": [{"role": "user", "content": "\x1b[31m"}]}', "line 1"),
    "binary": (bytes(range(256)), "line 2"),
    "newer": (b'{"acechat": 2, "messages": {"other": "form"}}', "upgrade"),
    "much newer": (b'{"acechat": 2000000000}', "upgrade"),
    "version 0": (b'{"acechat": 0, "messages": []}', "version 0"),
    "version as text": (b'{"acechat": "1", "messages": []}', r"\$\.acechat"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_conversation_is_one_clear_line(client, tmp_path, case):
    data, reason = BROKEN[case]
    path = tmp_path / "talk.json"
    path.write_bytes(data)
    conversation = client.conversation(system="kept")
    with pytest.raises(ConfigurationError, match=reason) as caught:
        conversation.load(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.isprintable()
    assert len(text) < 500
    assert caught.value.__context__ is None
    assert conversation.system == "kept"


BROKEN_CASSETTES = {
    "no json": (FIRST + b"oops", "line 2"),
    "empty": (b"", "empty"),
    "deep": (FIRST + b"[" * DEEP, "line 2"),
    "deep fields": (
        FIRST + b'{"kind":"request","x":' + b"[" * DEEP,
        "line 2: nested too deep",
    ),
    "newer": (b'{"kind":"cassette","version":2}\n{"kind":"new"}', "upgrade"),
    "version 0": (b'{"kind":"cassette","version":0}\n', "version 0"),
    "conversation": (SAVED.encode(), "line 1"),
    "not utf-8": (FIRST + b'{"kind":"request","method":"\xff"}', "line 2"),
    "binary": (bytes(range(256)), "line 1"),
    "no request": (FIRST + b'{"kind":"piece","at":0}', "line 2"),
}


@pytest.mark.parametrize("case", BROKEN_CASSETTES)
def test_a_file_that_is_no_cassette_is_one_clear_line(tmp_path, case):
    data, reason = BROKEN_CASSETTES[case]
    path = tmp_path / "a.acecast"
    path.write_bytes(data)
    for load in (Cassette.load, lambda path: Service(replay=path)):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            load(path)
        text = str(caught.value)
        assert str(path) in text
        assert text.isprintable()
        assert len(text) < 500


def test_columns_count_characters(client, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text('{\n"é": oops}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 2, column 6"):
        client.conversation().load(path)


def test_a_saved_file_is_json_of_the_documented_form(client, tmp_path):
    path = tmp_path / "talk.json"
    client.conversation(system="é").save(path)
    assert json.loads(path.read_bytes())["acechat"] == 1
