"""`acechat doctor`, models, completion and help."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
import trustme

from acechat.cli import probe as _probe
from acechat.emulator import MODELS

COMMAND = f"{sys.executable} -m acechat"


def findings(done):
    """Return the result of each step: (good, message)."""
    lines = done.stdout.split("\n\n")[0].splitlines()
    found = [re.fullmatch(r"(ok|WRONG) +(.{12}) ([\d ]+ ms| +)  (.*)", line) for line in lines]
    assert all(found), done.stdout + done.stderr
    return {line[2].strip(): (line[1] == "ok", line[4]) for line in found}


def test_all_checks_pass_with_the_emulator(run):
    done = run("doctor", "--emulator", "--live")

    found = findings(done)
    assert all(good for good, _ in found.values())
    assert {"token", "base URL", "proxy", "CA", "DNS", "TCP", "first byte", "clock", "models",
            "live call"} <= set(found)  # fmt: skip
    assert found["token"][1].endswith(" (the emulator)")
    assert found["base URL"][1].endswith(" (the emulator)")
    assert done.stdout.endswith("\nAll checks passed.\n")
    assert done.returncode == 0


def test_without_live_no_completion_is_requested(run, environment):
    run("doctor")

    assert [request.path for request in environment.requests if "chat" in request.path] == []


def test_live_is_one_call_with_one_output_token(run, environment):
    done = run("doctor", "--live")

    (sent,) = [request for request in environment.requests if "chat" in request.path]
    assert sent.json["max_tokens"] == 1
    assert "response from " in findings(done)["live call"][1]


def test_the_network_steps_have_a_duration(run, environment):
    lines = run("doctor", "--live").stdout.split("\n\n")[0].splitlines()

    timed = [line[7:19].strip() for line in lines if re.match(r"ok {5}.{12} [\d ]{5} ms  ", line)]
    assert timed == ["DNS", "TCP", "first byte", "models", "live call"]


def test_the_duration_is_that_of_the_step(run, listener):
    port = listener("HTTP/1.1 200 OK\r\n\r\n", pause=0.5)

    done = run("doctor", "--base-url", f"http://127.0.0.1:{port}")

    (duration,) = re.findall(r"first byte +(\d+) ms", done.stdout)
    assert 500 <= int(duration) < 5000


def test_a_wrong_token_is_reported(run, environment):
    done = run("doctor", env={"ACEDATACLOUD_API_TOKEN": "a-wrong-token-of-some-length"})

    good, message = findings(done)["models"]
    assert not good
    assert "invalid_token" in message
    assert "Wrong: models. Next: copy a token from" in done.stdout
    assert done.returncode == 1
    assert "a-wrong-token" not in done.stdout


def test_without_a_token_the_network_is_checked(run, environment, monkeypatch):
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
def test_the_first_failed_step_is_the_last(run, url, step):
    env = {"ACEDATACLOUD_API_BASE_URL": url, "ACEDATACLOUD_API_TOKEN": "token", "NO_PROXY": "*"}

    done = run("doctor", env=env)

    found = findings(done)
    assert not found[step][0]
    assert list(found)[-1] == step
    assert f"Wrong: {step}. Next: " in done.stdout


HERE = "http://127.0.0.1:9"
FAULTS = {
    "an invalid port": ("http://127.0.0.1:99999", {}, "base URL", r"correct it \(command line"),
    "an invalid URL": ("nonsense", {}, "base URL", r"correct it \(command line"),
    "a proxy's port": (HERE, {"HTTP_PROXY": "127.0.0.1:abc"}, "proxy", "HTTP_PROXY"),
    "a SOCKS proxy": (HERE, {"ALL_PROXY": "socks5://x"}, "proxy", "begins with http://"),
    "no proxy there": (HERE, {"HTTP_PROXY": HERE}, "TCP", "correct the proxy's address"),
    "no such proxy": (HERE, {"HTTP_PROXY": "no.invalid"}, "DNS", "correct the proxy's address"),
    "no certificates": (HERE, {"SSL_CERT_FILE": "/none"}, "CA", "correct or unset SSL_CERT_FILE"),
    "no folder": (HERE, {"SSL_CERT_DIR": "/none"}, "CA", "correct or unset SSL_CERT_DIR"),
    "not a certificate": (
        HERE,
        {"SSL_CERT_FILE": __file__},
        "CA",
        "correct or unset SSL_CERT_FILE",
    ),
}


@pytest.mark.parametrize(("url", "env", "step", "todo"), FAULTS.values(), ids=FAULTS)
def test_the_faulty_setting_is_named(run, url, env, step, todo):
    done = run("doctor", "--base-url", url, env={"ACEDATACLOUD_API_TOKEN": "token", **env})

    found = findings(done)
    assert found["token"][0]
    assert not found[step][0]
    assert re.search(f"^Wrong: {step}. Next: .*{todo}", done.stdout, re.MULTILINE)
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_wrong_path_of_the_base_url_is_reported(run, environment):
    done = run("doctor", "--base-url", f"{environment.url}/v2")

    assert "Wrong: models. Next: there is no API at this base URL" in done.stdout


def test_a_port_without_tls_is_no_certificate_error(run, environment):
    done = run("doctor", "--base-url", environment.url.replace("http:", "https:"))

    assert "Wrong: TLS. Next: the port does not seem to use TLS" in done.stdout
    assert "certificates" not in done.stdout.split("Wrong:")[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_ctrl_c_ends_it_at_once(environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [*COMMAND.split(), "doctor", "--base-url", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                connection.recv(4096)  # the process waits for a response now
                started = time.monotonic()
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=20)

    assert process.returncode == 130
    assert time.monotonic() - started < 5


def test_a_hanging_dns_lookup_times_out(monkeypatch):
    release, found = threading.Event(), []
    monkeypatch.setattr(_probe, "_STEP_TIMEOUT", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])

    started = time.monotonic()
    reached = _probe.probe("http://localhost", found.append, proxy=None)
    seconds = time.monotonic() - started
    release.set()

    assert not reached
    assert [(finding.step, finding.good, finding.message) for finding in found] == [
        ("DNS", False, "no DNS response within 0.2 s")
    ]
    assert seconds < 5


def test_a_slow_response_head_times_out(monkeypatch, listener):
    found = []
    monkeypatch.setattr(_probe, "_STEP_TIMEOUT", 0.5)
    port = listener("HTTP/1.1 200 OK\r\n", *["x"] * 40, pause=0.1, reads=1)

    assert not _probe.probe(f"http://127.0.0.1:{port}", found.append, proxy=None)
    assert found[-1].message == "no complete response head within 0.5 s"


@pytest.fixture
def listener():
    """Send *heads* to one connection, with TLS if there is a context; record the requests."""
    requests = []

    def listen(*heads, context=None, pause=0, reads=None):
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(20)

        def serve():
            sock, _ = server.accept()
            if context:
                sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            with server, sock:
                for number, head in enumerate(heads):
                    if reads is None or number < reads:
                        requests.append(sock.recv(4096).decode())
                    time.sleep(pause)
                    sock.sendall(head.encode())

        thread = threading.Thread(target=lambda: suppress_os(serve), daemon=True)
        thread.start()
        return server.getsockname()[1]

    def suppress_os(serve):
        with contextlib.suppress(OSError):
            serve()

    listen.requests = requests
    return listen


def test_a_wrong_clock_is_reported(run, listener):
    port = listener("HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\n")
    env = {"ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}"}

    good, message = findings(run("doctor", env=env))["clock"]

    assert not good
    assert "ahead of the service's clock" in message


def test_the_probe_sends_no_token(run, listener):
    port = listener("SSH-2.0-OpenSSH\x1b[5m\r\n\r\n")
    env = {
        "ACEDATACLOUD_API_BASE_URL": f"http://127.0.0.1:{port}",
        "ACEDATACLOUD_API_TOKEN": "a-secret-of-mine",
    }

    done = run("doctor", env=env)

    assert "expected an HTTP response, got" in findings(done)["first byte"][1]
    assert "\x1b" not in done.stdout
    assert "a-secret-of-mine" not in listener.requests[0] + done.stdout


def test_an_untrusted_certificate_is_reported_and_a_trusted_one_is_shown(run, listener, tmp_path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    head = "HTTP/1.1 200 OK\r\n\r\n"

    def examine(**env):
        port = listener(head, context=context)
        return findings(run("doctor", "--base-url", f"https://localhost:{port}", env=env))

    untrusted, trusted = examine(), examine(SSL_CERT_FILE=str(tmp_path / "ca.pem"))

    assert not untrusted["TLS"][0]
    assert trusted["TLS"] == (True, trusted["TLS"][1])
    assert "TLSv1.3, certificate of trustme" in trusted["TLS"][1]


def test_a_proxy_is_used_and_its_password_is_not_shown(run, listener):
    port = listener("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    env = {"HTTPS_PROXY": f"http://ada:secret@127.0.0.1:{port}", "ACEDATACLOUD_API_TOKEN": "token"}

    done = run("doctor", env=env)

    found = findings(done)
    assert found["proxy"][1] == f"http://127.0.0.1:{port}"
    assert found["tunnel"] == (False, "HTTP/1.1 407 Proxy Authentication Required")
    assert listener.requests[0].startswith("CONNECT api.acedata.cloud:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in listener.requests[0]
    assert "secret" not in done.stdout


def test_a_proxy_gets_its_password_for_a_plain_http_url(run, listener):
    port = listener("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    env = {"HTTP_PROXY": f"http://ada:secret@127.0.0.1:{port}", "ACEDATACLOUD_API_TOKEN": "token"}

    done = run("doctor", "--base-url", "http://a.example", env=env)

    found = findings(done)
    assert found["first byte"] == (False, "HTTP/1.1 407 Proxy Authentication Required")
    assert "Wrong: first byte. Next: ask the proxy's administrator" in done.stdout
    assert listener.requests[0].startswith("HEAD http://a.example HTTP/1.1\r\nHost: a.example\r\n")
    assert "Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n" in listener.requests[0]
    assert "secret" not in done.stdout


def test_a_proxy_with_tls_is_checked_with_tls(run, listener, tmp_path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    port = listener("HTTP/1.1 403 Forbidden\r\n\r\n", context=context)
    env = {
        "HTTPS_PROXY": f"https://localhost:{port}",
        "ACEDATACLOUD_API_TOKEN": "token",
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }

    found = findings(run("doctor", env=env))

    assert found["proxy's TLS"][0]
    assert found["tunnel"] == (False, "HTTP/1.1 403 Forbidden")
    assert listener.requests[0].startswith("CONNECT api.acedata.cloud:443 HTTP/1.1\r\n")


def test_models_are_listed_one_per_line(run, environment):
    done = run("models")

    assert done.stdout.splitlines() == sorted(MODELS)


def test_models_can_be_json(run, environment):
    done = run("models", "--json")

    assert '"id":"claude-opus-4-20250514"' in done.stdout


@pytest.mark.parametrize(
    "command", ["", "chat", "models", "doctor", "config", "completion", "emulate"]
)
def test_help_has_examples(run, command):
    done = run(*command.split(), "--help")

    assert done.returncode == 0
    assert command == "emulate" or re.search("Examples:|Add one of", done.stdout)


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
def test_zsh_and_fish_have_a_script(run, shell):
    assert "_ACECHAT_COMPLETE" in run("completion", shell).stdout
