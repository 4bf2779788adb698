"""`acechat doctor`, models, completion and help."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import trustme

from acechat.emulator import MODELS

COMMAND = f"{sys.executable} -m acechat"


def findings(done):
    """Return what each step found: (good, said)."""
    lines = done.stdout.split("\n\n")[0].splitlines()
    found = [re.fullmatch(r"(ok|WRONG) +(.{12}) ([\d ]+ ms| +)  (.*)", line) for line in lines]
    assert all(found), done.stdout + done.stderr
    return {line[2].strip(): (line[1] == "ok", line[4]) for line in found}


def test_all_is_well_with_the_emulator(run):
    done = run("doctor", "--emulator", "--live")

    found = findings(done)
    assert all(good for good, _ in found.values())
    assert {"token", "base URL", "proxy", "CA", "DNS", "TCP", "first byte", "clock", "models",
            "live call"} <= set(found)  # fmt: skip
    assert done.stdout.endswith("\nAll is well.\n")
    assert done.returncode == 0


def test_without_live_nothing_is_asked(run, environment):
    run("doctor")

    assert [request.path for request in environment.requests if "chat" in request.path] == []


def test_a_wrong_token_is_found(run, environment):
    done = run("doctor", env={"ACEDATACLOUD_API_TOKEN": "a-wrong-token-of-some-length"})

    good, said = findings(done)["models"]
    assert not good
    assert "invalid_token" in said
    assert "Wrong: models. Next: copy a token from" in done.stdout
    assert done.returncode == 1
    assert "a-wrong-token" not in done.stdout


def test_no_token_does_not_keep_it_from_looking_at_the_network(run, environment, monkeypatch):
    monkeypatch.delenv("ACEDATACLOUD_API_TOKEN")

    found = findings(run("doctor"))

    assert not found["token"][0]
    assert found["TCP"][0]


@pytest.mark.parametrize(
    ("url", "step"),
    [
        ("http://127.0.0.1:9", "TCP"),
        ("http://no-such-host.invalid", "DNS"),
    ],
)
def test_the_first_step_that_fails_is_named(run, url, step):
    env = {"ACEDATACLOUD_API_BASE_URL": url, "ACEDATACLOUD_API_TOKEN": "token", "NO_PROXY": "*"}

    done = run("doctor", env=env)

    found = findings(done)
    assert not found[step][0]
    assert list(found)[-1] == step
    assert f"Wrong: {step}. Next: " in done.stdout


@pytest.fixture
def listener():
    """Answer one connection with *head*, behind TLS if there is a context; note what was asked."""
    asked = []

    def listen(*heads, context=None):
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(20)

        def serve():
            line, _ = server.accept()
            if context:
                line = context.wrap_socket(line, server_side=True, do_handshake_on_connect=False)
            with server, line:
                for head in heads:
                    asked.append(line.recv(4096).decode())
                    line.sendall(head.encode())

        thread = threading.Thread(target=lambda: suppress_os(serve), daemon=True)
        thread.start()
        return server.getsockname()[1]

    def suppress_os(serve):
        with contextlib.suppress(OSError):
            serve()

    listen.asked = asked
    return listen


def test_a_clock_that_is_wrong_is_found(run, listener):
    port = listener("HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\n")
    env = {"ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}"}

    good, said = findings(run("doctor", env=env))["clock"]

    assert not good
    assert "ahead of the service's" in said


def test_no_token_is_shown_to_what_is_probed(run, listener):
    port = listener("SSH-2.0-OpenSSH\x1b[5m\r\n\r\n")
    env = {
        "ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}",
        "ACEDATACLOUD_API_TOKEN": "a-secret-of-mine",
    }

    done = run("doctor", env=env)

    assert "no HTTP came back, but" in findings(done)["first byte"][1]
    assert "\x1b" not in done.stdout
    assert "a-secret-of-mine" not in listener.asked[0] + done.stdout


def test_a_certificate_that_nobody_trusts_is_found_and_one_of_ours_is_told(run, listener, tmp_path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    head = "HTTP/1.1 200 OK\r\n\r\n"

    def examine(**env):
        port = listener(head, context=context)
        return findings(run("doctor", "--base-url", f"https://localhost:{port}", env=env))

    strange, known = examine(), examine(SSL_CERT_FILE=str(tmp_path / "ca.pem"))

    assert not strange["TLS"][0]
    assert known["TLS"] == (True, known["TLS"][1])
    assert "TLSv1.3, certificate of trustme" in known["TLS"][1]


def test_a_proxy_is_gone_through_and_its_password_is_not_shown(run, listener):
    port = listener("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    env = {"HTTPS_PROXY": f"http://ada:secret@127.0.0.1:{port}", "ACEDATACLOUD_API_TOKEN": "token"}

    done = run("doctor", env=env)

    found = findings(done)
    assert found["proxy"][1] == f"http://127.0.0.1:{port}"
    assert found["tunnel"] == (False, "HTTP/1.1 407 Proxy Authentication Required")
    assert listener.asked[0].startswith("CONNECT api.acedata.cloud:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in listener.asked[0]
    assert "secret" not in done.stdout


def test_models_are_listed_one_per_line(run, environment):
    done = run("models")

    assert done.stdout.splitlines() == sorted(MODELS)


def test_models_are_json_too(run, environment):
    done = run("models", "--json")

    assert '"id":"claude-opus-4-20250514"' in done.stdout


@pytest.mark.parametrize(
    "command", ["", "chat", "models", "doctor", "config", "completion", "emulate"]
)
def test_help_teaches(run, command):
    done = run(*command.split(), "--help")

    assert done.returncode == 0
    assert command == "emulate" or re.search("Examples:|Put one of", done.stdout)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("acechat do", ["doctor"]),
        ("acechat chat --continue --us", ["--usage"]),
        ("acechat chat -o max_", ["max_tokens=", "max_completion_tokens="]),
        ("acechat config set mo", ["model"]),
    ],
)
def test_bash_completes(run, typed, completed, tmp_path):
    command = tmp_path / "acechat"
    command.write_text(f'#!/bin/sh\nexec {COMMAND} "$@"\n')
    command.chmod(0o755)
    words = typed.split()
    script = (
        f'eval "$(acechat completion bash)"; COMP_WORDS=({" ".join(words)}); '
        f"COMP_CWORD={len(words) - 1}; _acechat_completion acechat; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )

    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(run, shell):
    assert "_ACECHAT_COMPLETE" in run("completion", shell).stdout
