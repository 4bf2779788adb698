"""Settings files with odd content, and homes that cannot be used: one line, no traceback."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")

BROKEN = {
    "no toml": (b'model = "a\n', "line 1, column 11"),
    "not utf-8": (b'# comment\nmodel = "\xff"', "line 2"),
    "utf-16": ('model = "m"'.encode("utf-16"), "UTF-8"),
    "deep": (b"a = " + b"[" * 5000 + b"]" * 5000 + b"\n", "nested too deep"),
    "deep table": (b"a = " + b"{a=" * 5000, "nested too deep"),
    "digits": (b"timeout = " + b"9" * 5000 + b"\n", "digits"),
    "twice": (b'model = "a"\nmodel = "b"\n', "line 2"),
}
COMMANDS = [["config"], ["config", "set", "model", "x"], ["config", "unset", "model"], ["Hello"]]


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_settings_file_is_one_line(run, home, case):
    data, reason = BROKEN[case]
    home.mkdir()
    path = home / "config.toml"
    path.write_bytes(data)
    for command in COMMANDS:
        done = run(*command)
        assert done.returncode == 2, command
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.splitlines()
        assert reason in line
        assert str(path) in line
        assert len(line) < 500
        assert path.read_bytes() == data


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_settings_keep_their_line_ends_mode_and_links(run, home, mark, line_end):
    home.mkdir()
    target = home / "target.toml"
    text = f"# mine{line_end}usage = true{line_end}"
    target.write_bytes(mark + text.encode())
    target.chmod(0o640)
    (home / "config.toml").symlink_to(target)
    assert run("config", "set", "model", "m-1").returncode == 0
    assert target.read_bytes().decode() == f'model = "m-1"{line_end}{text}'
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert (home / "config.toml").is_symlink()
    shown = run("config").stdout
    assert "m-1" in shown
    assert "True" in shown
    assert run("config", "unset", "model").returncode == 0
    assert target.read_bytes().decode() == text


HOMES = ["unset", "empty", "missing", "a file", "/dev/null", "not writable"]


@pytest.mark.parametrize("kind", HOMES)
def test_commands_work_without_a_home(run, tmp_path, monkeypatch, kind):
    for name in ("ACECHAT_CONFIG", "ACECHAT_STATE", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "file").write_text("")
    homes = {"empty": "", "missing": str(tmp_path / "none"),
             "a file": str(tmp_path / "file"), "/dev/null": "/dev/null"}  # fmt: skip
    env = {}
    if kind == "unset":
        # A user without an entry in the system's list has no home either.
        monkeypatch.delenv("HOME", raising=False)
        hook = "import os, pwd\ndef none(uid): raise KeyError(uid)\npwd.getpwuid = none\n"
        (tmp_path / "sitecustomize.py").write_text(hook)
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    elif kind == "not writable":
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        (tmp_path / "locked").mkdir(mode=0o500)
        env["HOME"] = str(tmp_path / "locked")
    else:
        env["HOME"] = homes[kind]
    shown = run("config", env=env)
    assert shown.returncode == 0, shown.stderr
    said = run("--emulator", "Hello", env=env)
    assert said.returncode == 0, said.stderr
    assert 'You said: "Hello"' in said.stdout
    again = run("chat", "--emulator", "--continue", "Hello", env=env)
    assert again.returncode == 2
    assert "no conversation to continue" in again.stderr
    stored = run("config", "set", "model", "m", env=env)
    assert stored.returncode in ({0} if kind == "missing" else {1, 2}), stored.stderr
    saved = run("chat", "--emulator", "Hello", "--save", "~nobody-here/x.json", env=env)
    assert "Traceback" not in shown.stderr + said.stderr + again.stderr + stored.stderr
    assert "Traceback" not in saved.stderr
    assert list(folder.iterdir()) == []


def test_the_input_history_is_private_and_survives_a_full_disk(home, tmp_path):
    from acechat.cli.terminal import prompt

    path = home / "state" / "prompts"
    history = prompt._history(path)
    history.store_string("first\nline")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(prompt._history(path).load_history_strings()) == ["first\nline"]
    path.unlink()
    path.mkdir()  # neither can be appended to
    history.store_string("second")


def test_an_input_history_that_is_a_pipe_is_not_opened(tmp_path):
    from prompt_toolkit.history import InMemoryHistory

    from acechat.cli.terminal import prompt

    path = tmp_path / "prompts"
    os.mkfifo(path)
    assert isinstance(prompt._history(path), InMemoryHistory)


@pytest.mark.parametrize("name", ["it.json", "it.txt"])
def test_a_saved_response_is_private_and_never_a_device(run, tmp_path, name):
    path = tmp_path / name
    assert run("--emulator", "Hello", "--save", str(path)).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    os.mkfifo(path)
    done = run("--emulator", "Hello", "--save", str(path))
    assert done.returncode == 2
    assert "Not a regular file" in done.stderr
    assert "Traceback" not in done.stderr
