"""`acechat config`: file < environment < command line; storage of the token."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")

BACKEND = """
import json, pathlib
from keyring.backend import KeyringBackend

FILE = pathlib.Path(__file__).with_suffix(".json")

class Keyring(KeyringBackend):
    priority = 1

    def _read(self):
        return json.loads(FILE.read_text()) if FILE.exists() else {}

    def get_password(self, service, username):
        return self._read().get(f"{service} {username}")

    def set_password(self, service, username, password):
        FILE.write_text(json.dumps(self._read() | {f"{service} {username}": password}))

    def delete_password(self, service, username):
        FILE.write_text("{}")
"""


@pytest.fixture
def file(home):
    """Return a function that writes the settings file."""

    def write(text, mode=0o600):
        home.mkdir()
        path = home / "config.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def keyring(tmp_path, monkeypatch):
    """Install a working keyring backend; skip without the package keyring."""
    pytest.importorskip("keyring")
    (tmp_path / "json_keyring.py").write_text(BACKEND)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "json_keyring.Keyring")
    return tmp_path / "json_keyring.json"


def rows(shown):
    return {line.split()[0]: line.split()[1:] for line in shown.split("\n\n")[0].splitlines()}


def test_later_sources_override_earlier_ones(run, environment, file):
    path = file('model = "from-file"\nsystem = "From file."\ntimeout = 50\n')
    env = {"ACECHAT_SYSTEM": "From environment."}

    shown = rows(run("config", env=env).stdout)
    run("chat", "Hello", env=env)
    run("chat", "Hello", "--model", "from-flag", env=env)

    assert shown["model"] == ["from-file", str(path)]
    assert shown["system"] == ["From", "environment.", "ACECHAT_SYSTEM"]
    assert shown["timeout"] == ["50.0", str(path)]
    assert shown["reasoning"] == ["False", "default"]
    first, second = (request.json for request in environment.requests)
    assert (first["model"], second["model"]) == ("from-file", "from-flag")
    assert first["messages"][0]["content"] == "From environment."


def test_a_token_is_masked(run):
    done = run("config", env={"ACEDATACLOUD_API_TOKEN": "0123456789abcdef0123"})

    assert rows(done.stdout)["token"] == ["***0123", "ACEDATACLOUD_API_TOKEN"]
    assert "0123456789" not in done.stdout


def test_a_token_that_is_set_goes_into_a_private_file(run, environment, home, monkeypatch):
    token = os.environ["ACEDATACLOUD_API_TOKEN"]
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")

    stored = run("config", "set", "token", stdin=f"{token}\n")
    done = run("chat", "Hello")

    assert stored.stdout == f"stored in {home / 'config.toml'}\n"
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600
    assert done.stdout == 'You said: "Hello" (1 message)\n'


def test_a_token_is_stored_in_the_keyring_if_there_is_one(
    run, environment, home, keyring, monkeypatch
):
    token = os.environ["ACEDATACLOUD_API_TOKEN"]
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")

    stored = run("config", "set", "token", stdin=f"{token}\n")
    done = run("chat", "Hello")
    shown = rows(run("config").stdout)
    run("config", "unset", "token")

    assert stored.stdout == "stored in the keyring\n"
    assert not (home / "config.toml").exists()
    assert done.returncode == 0
    assert shown["token"] == ["***", "keyring"]
    assert keyring.read_text() == "{}"
    assert "no API token" in run("chat", "Hello").stderr


def test_a_token_stored_in_the_keyring_is_removed_from_the_file(run, file, keyring):
    path = file('token = "an-older-token"\nmodel = "mine"\n')

    run("config", "set", "token", "a-newer-token")

    assert path.read_text() == 'model = "mine"\n'
    assert "a-newer-token" in keyring.read_text()


def test_a_typed_token_is_not_shown(terminal, home):
    terminal.open("config", "set", "token")
    terminal.wait_for("token:")
    terminal.enter("a-token-of-mine")
    screen = terminal.end()

    assert "exit code 0" in screen
    assert "a-token" not in screen
    assert (home / "config.toml").read_text() == 'token = "a-token-of-mine"\n'


def test_a_typed_model_is_shown(terminal):
    terminal.open("config", "set", "model")
    terminal.wait_for("model:")
    terminal.enter("claude-opus-5")

    assert "model: claude-opus-5" in terminal.end()


def test_a_long_value_is_abbreviated(run, file):
    path = file(f'system = "{"word " * 60}"\n')

    done = run("config")

    lines = done.stdout.split("\n\n")[0].splitlines()
    (line,) = [line for line in lines if line.startswith("system")]
    assert line == f"system     {('word ' * 10)[:47]}...  {path}"
    assert max(len(line.split(str(path))[0]) for line in lines) < 100


INVALID = {
    ("timeout", "0"): "timeout must be a positive number of seconds, not '0'",
    ("timeout", "-5"): "timeout must be a positive number of seconds, not '-5'",
    ("timeout", "inf"): "timeout must be a positive number of seconds, not 'inf'",
    ("base_url", "nonsense"): "the base URL 'nonsense' must begin with https://",
    ("base_url", "ftp://x"): "the base URL 'ftp://x' must begin with https://",
    ("base_url", "http://x:99999"): "Port out of range",
    ("model", ""): "model is empty",
    ("token", "a token"): "contains invalid characters",
    ("system", b"Gr\xfc\xdfe"): "system is not valid utf-8 text",
}


@pytest.mark.parametrize(("setting", "message"), INVALID.items(), ids=str)
def test_an_invalid_value_is_not_stored(run, home, setting, message):
    done = run("config", "set", "--", *setting, env={"PYTHONUTF8": "1"})

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not home.exists()


def test_binary_input_is_not_stored(run, home):
    env = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = run("config", "set", "system", stdin=b"Gr\xfc\xdfe\n", env=env, text=False)

    assert done.returncode == 2
    assert done.stderr == b"acechat: system is not valid utf-8 text\n"
    assert not home.exists()


def test_closed_standard_input_is_one_line():
    command = f"{sys.executable} -m acechat config set token <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "acechat: no value for token. Next: acechat config set token VALUE\n"


def test_an_invalid_variable_is_named(run):
    done = run("config", env={"ACECHAT_TIMEOUT": "x"})

    assert done.returncode == 2
    assert done.stderr == (
        "acechat: ACECHAT_TIMEOUT must be a positive number of seconds, not 'x'\n"
    )


def test_a_token_that_others_can_read_is_rejected(run, file):
    path = file('token = "secret-of-mine"\n', mode=0o644)

    done = run("chat", "Hello")

    assert done.returncode == 2
    assert done.stderr == (
        f"acechat: {path} contains a token and other users can read it. Next: chmod 600 '{path}'\n"
    )
    assert "secret" not in done.stderr


def test_a_platform_token_is_not_stored(run, home):
    done = run("config", "set", "token", stdin="platform-v1-abc\n")

    assert done.returncode == 2
    assert "platform token" in done.stderr
    assert not home.exists()


def test_set_and_unset_leave_the_rest_of_the_file_unchanged(run, file):
    path = file('# mine\nsystem = "Be brief."  # always\n')

    run("config", "set", "model", 'a "b" \\ c')
    shown = rows(run("config").stdout)["model"]
    run("config", "set", "timeout", "30")
    run("config", "set", "timeout", "40")
    run("config", "unset", "model")

    assert shown[:-1] == ["a", '"b"', "\\", "c"]
    assert path.read_text() == 'timeout = 40.0\n# mine\nsystem = "Be brief."  # always\n'


def test_a_file_that_cannot_be_edited_is_unchanged(run, file):
    path = file('system = """\nmodel = "no"\n"""\nmodel = "yes"\n')
    before = path.read_text()

    done = run("config", "set", "model", "other")

    assert done.returncode == 2
    assert "change model there by hand" in done.stderr
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'\n", "did you mean 'model'?"),
        ("timeout = 'soon'\n", "timeout must be a positive number of seconds, not 'soon'"),
        ("token = 12345\n", "token must be text, not int"),
        ("= 3\n", "is not valid TOML"),
    ],
)
def test_an_error_in_the_file_names_the_file(run, file, text, message):
    path = file(text)

    done = run("config")

    assert done.returncode == 2
    assert str(path) in done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_file_is_in_the_config_folder_of_the_system(run, tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("XDG_CONFIG_HOME is used on Linux only")
    monkeypatch.delenv("ACECHAT_CONFIG")

    done = run("config", env={"XDG_CONFIG_HOME": str(tmp_path / "a b")})

    assert f"{tmp_path}/a b/acechat/config.toml (does not exist yet)" in done.stdout


def test_with_the_emulator_no_settings_are_read(run, file):
    file('model = "mine"\nsystem = "Secret."\n')

    done = run("chat", "Hello", "--emulator", "--json")

    assert '"model":"claude-sonnet-4-20250514"' in done.stdout
    assert "1 message" in done.stdout
