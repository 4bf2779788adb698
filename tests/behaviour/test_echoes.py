"""Credentials that a service echoes, in any encoding, are shown nowhere: law 11."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.traceback import Traceback

from acechat import AceChatError, AsyncClient, Client, ConfigurationError, RetryPolicy
from acechat.emulator import Service, raw

TOKEN = "sk/abcDEF/0123456789+xyz=="
ENCODED = base64.b64encode(f"Bearer {TOKEN}".encode()).decode()
FORMS = {
    "plain": TOKEN,
    "json": TOKEN.replace("/", "\\/"),
    "unicode": "".join(f"\\u{ord(char):04X}" for char in TOKEN),
    "percent": quote(TOKEN, safe=""),
    "base64": base64.b64encode(TOKEN.encode()).decode(),
    "base64 of Bearer": ENCODED,
    "url-safe base64": base64.urlsafe_b64encode(f"a:{TOKEN}".encode()).decode().rstrip("="),
    "base64 in json": ENCODED.replace("/", "\\/"),
}
"""In each, the 12 characters in the middle reveal the token."""

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])


def shown_by(error, client, folder):
    """Yield all that is written about *error*."""
    yield from (str(error), repr(error), repr(vars(error)), repr(error.attempts))
    yield repr(pickle.dumps(error))
    yield from traceback.TracebackException.from_exception(error).format()
    for save in (error.save, client.save_cassette):
        save(folder / "it.acecast")
        # Once more as plain text: the cassette's JSON escapes what is escaped already.
        written = (folder / "it.acecast").read_text(encoding="utf-8")
        yield written
        yield from (str(json.loads(line)) for line in written.splitlines())


def leaks(texts, form):
    part = form[len(form) // 2 - 6 : len(form) // 2 + 6]
    return [text[:2000] for text in texts if part in text or TOKEN in text]


def responses(wire, form):
    text = f"bad token {form}"
    error = f'{{"error": {{"code": "x", "message": "{text}"}}}}'
    long = f"{{{'x' * (488 - len(form) // 2)} {form}"  # the token crosses byte 500
    refusal = wire.http(text.encode(), "401 No", "text/plain")
    cut = refusal[: refusal.rindex(form.encode()) + len(form) - 3]
    return {
        "json": wire.http(error.encode(), "401 No"),
        "text": refusal,
        "cut": cut,
        "code": wire.http(f'{{"error": {{"code": "{form}"}}}}'.encode(), "500 No"),
        "trace id": wire.http(f'{{"error": {{}}, "trace_id": "{form}"}}'.encode(), "400 No"),
        "large": wire.http(b"x" * (64 * 1024 - 20) + form.encode(), "400 No", "text/plain"),
        "html": wire.http(f"<html><title>{'x' * 190}{form}".encode(), "502 No", "text/html"),
        "in 200": wire.http(error.encode()),
        "no completion": wire.http(long.encode()),
        "event": wire.sse(f"data: {error}\n\n".encode()),
        "long event": wire.sse(f"data: {long}\n\n".encode()),
        "header": wire.http(b"{}", "400 No", X_Request_Id=form),
    }


KINDS = ["json", "text", "cut", "code", "trace id", "large", "html", "in 200", "no completion",
         "event", "long event", "header"]  # fmt: skip


@BOTH
@pytest.mark.parametrize("form", FORMS)
def test_an_echo_is_shown_nowhere(server, wire, method, form, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    events = []
    found = {}

    async def run():
        async with AsyncClient(
            TOKEN, base_url=server.url, retries=1, proxy="", observers=[events.append]
        ) as client:
            for kind in KINDS:
                answer = responses(wire, FORMS[form])[kind]

                async def handler(reader, writer, number, answer=answer):
                    writer.write(answer)
                    await writer.drain()
                    writer.close()

                server.handler = handler
                ask = client.chat("Hi") if method == "chat" else client.stream("Hi").collect()
                with pytest.raises(AceChatError) as caught:
                    await ask
                found[kind] = leaks(shown_by(caught.value, client, tmp_path), FORMS[form])

    asyncio.run(run())
    assert not {kind: texts for kind, texts in found.items() if texts}
    assert not leaks([repr(events), caplog.text], FORMS[form])


@BOTH
@pytest.mark.parametrize("form", FORMS)
def test_a_completion_that_echoes_as_model_and_id_logs_nothing(
    ask, server, wire, method, form, caplog
):
    caplog.set_level(logging.DEBUG)
    events = []
    more = f'"model": "{FORMS[form]}", "trace_id": "{FORMS[form]}"'
    body = json.dumps(wire.answer()).replace('"model": "m"', more).encode()
    event = wire.events("Hello").replace(b'"model": "m"', more.encode())
    server.reply(wire.http(body) if method == "chat" else wire.sse(event))
    reply = getattr(ask, method)(
        "Hi", client_options={"api_token": TOKEN, "observers": [events.append]}
    )
    if method == "stream":
        reply = reply[-1] if isinstance(reply, list) else reply
    assert not leaks([repr(events), caplog.text, repr(reply), repr(pickle.dumps(reply))], TOKEN)
    assert not leaks([repr(events), caplog.text], FORMS[form])


HEADERS = {
    "X-Api-Key": "the-key-of-a-gateway",
    "Cookie": "theme=dark; session=abcdef-session-012345",
    "Proxy-Authorization": f"Basic {base64.b64encode(b'user:proxy-password').decode()}",
}
SECRETS = ["the-key-of-a-gateway", "abcdef-session-012345", "proxy-password"]
SECRETS.append(HEADERS["Proxy-Authorization"].partition(" ")[2])


@pytest.mark.parametrize("given", ["headers", "extra_headers"])
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_other_credentials_are_not_in_errors_recordings_and_commands(
    server, wire, kind, given, tmp_path
):
    error = {"error": {"message": f"no: {' '.join(SECRETS)}"}}
    server.reply(
        wire.http(
            error, "401 No", Set_Cookie=SECRETS[1], Location=f"https://u:{SECRETS[0]}@h/?key=k1k1k1"
        )
    )
    settings = {"base_url": server.url, "retries": 1, "proxy": ""}
    call = {}
    (settings if given == "headers" else call)[given] = HEADERS
    client = kind(TOKEN, **settings)

    async def run():
        async with client:
            await client.chat("Hi", **call)

    with pytest.raises(AceChatError) as caught:
        asyncio.run(run()) if kind is AsyncClient else client.chat("Hi", **call)
    if kind is Client:
        client.close()
    texts = [*shown_by(caught.value, client, tmp_path), client.prepare("Hi", **call).curl()]
    assert not [text for text in texts for secret in [*SECRETS, "k1k1k1"] if secret in text]
    assert server.requests[0].headers["x-api-key"] == HEADERS["X-Api-Key"]


@pytest.mark.parametrize("form", [str, lambda text: quote(text, safe="").replace("-", "%2D")])
@pytest.mark.parametrize("name", ["x-api-key", "cookie", "authorization", "?key=", "?sig=", "body"])
def test_a_recording_of_other_clients_holds_no_credentials(tmp_path, name, form):
    import urllib.error
    import urllib.request

    secret = "other-secret-0123456789"
    path = tmp_path / "a.acecast"
    headers = {"authorization": f"Bearer {secret}"} if name == "body" else {}
    headers |= {} if name.startswith("?") or name == "body" else {name: f"Bearer {secret}"}
    query = f"{name}{secret}" if name.startswith("?") else ""
    body = json.dumps({"key": form(secret) if name == "body" else ""}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(url):
        request = urllib.request.Request(f"{url}/v1/chat/completions{query}", body, headers)
        with opener.open(request) as response:
            return response.read()

    with Service(token=secret) as upstream, Service(record=path, upstream=upstream.url) as proxy:
        upstream.script(raw(f"no: {form(secret)}", status=401))
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(proxy.url)
        with caught.value as refusal:
            refusal.read()  # a client that leaves earlier is recorded as one
    assert secret not in path.read_text()
    assert form(secret) not in path.read_text()
    with Service(replay=path) as replay:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(replay.url)
        # The request is recognized: its credentials are masked like the recorded ones.
        with caught.value as refusal:
            assert b"differs" not in refusal.read()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nacechat INFO forged", '"a\\nacechat INFO forged"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("a\r\x85\u2028b", '"a\\r\\u0085\\u2028b"'),
        ("m status=200", '"m status=200"'),
        ("\u202ereversed", '"\\u202ereversed"'),
        ("claude-é", "claude-é"),
    ],
)
@BOTH
def test_a_log_record_is_one_plain_line(ask, server, wire, method, text, shown, caplog):
    caplog.set_level(logging.DEBUG)
    answer = wire.answer(model=text)
    error = wire.http({"error": {"code": text, "message": "no"}, "trace_id": text}, "503 No")
    event = wire.events("Hello").replace(
        b'"model": "m"', b'"model": %b' % json.dumps(text).encode()
    )
    server.reply(error, wire.http(answer) if method == "chat" else wire.sse(event))
    getattr(ask, method)("Hi", client_options={"retries": RetryPolicy(base_delay=0)})
    lines = [record.getMessage() for record in caplog.records if record.name == "acechat"]
    assert all(line.isprintable() for line in lines)
    assert any(f"code={shown}" in line for line in lines)
    assert any(f"model={shown}" in line for line in lines)


URLS = [
    "https://user:the-password@[::1",
    "https://user:the-password@host/v1",
    "https://user:the-password@host:port",
    "https://user:the/the-password@host",
    "user:the-password@host/v1",
    "ftp://user:the-password@host",
    "https://user:the-password@ host",
    "https://host/v1?key=the-password",
    "https://host/v1/chat/completions?token=the-password",
    "https://the-password@host",
    "https:// host?key=the-password",
    "//user:the-password@host",
]


def shown_with_locals(error):
    """Return the traceback as crash reporters show it, without the frames of this file."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    told.stack[:] = [frame for frame in told.stack if "/tests/" not in frame.filename]
    yield from told.format()
    trace = Traceback.extract(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=None
    )
    for stack in trace.stacks:
        stack.frames = [frame for frame in stack.frames if "/tests/" not in frame.filename]
    console = Console(file=io.StringIO(), width=500)
    console.print(Traceback(trace, show_locals=True, locals_max_string=None))
    yield console.file.getvalue()


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("kind", [AsyncClient, Client])
@pytest.mark.parametrize("source", ["argument", "environment"])
def test_credentials_in_a_base_url_are_refused_and_never_shown(kind, url, source, monkeypatch):
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", url)
    with pytest.raises(ConfigurationError) as caught:
        kind(TOKEN, base_url=url if source == "argument" else None)
    texts = [str(caught.value), repr(vars(caught.value)), *shown_with_locals(caught.value)]
    assert not [text for text in texts if "the-password" in text or TOKEN in text]


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "nowhere"},
        {"timeout": -1},
        {"headers": {"X-Key": "the-password\n"}},
        {"headers": {"Authorization": "the-password"}},
        {"proxy": "http://user:the-password@[::1"},
        {"proxy": "ftp://user:the-password@host"},
        {"observers": [1]},
        {"max_record_bytes": 1},
        {"api_token": f"{TOKEN}\0"},
        {"api_token": f"platform-{TOKEN}"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_a_client_that_cannot_be_made_shows_no_argument(kind, settings):
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        kind(**{"api_token": TOKEN} | settings)
    texts = [str(caught.value), *shown_with_locals(caught.value)]
    assert not [text for text in texts if "the-password" in text or TOKEN in text]


def test_tool_errors_are_redacted_before_they_are_truncated(ask, server, wire):
    def fetch() -> str:
        """Fetch."""
        raise ValueError(f"{'x' * 970} {TOKEN}")

    call = {"id": "t-1", "type": "function", "function": {"name": "fetch", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.reply(wire.http(wire.answer(choices=[choice])), wire.ok())
    ask.run("run", "Hi", tools=[fetch], client_options={"api_token": TOKEN})
    (sent,) = [each for each in server.requests[1].json["messages"] if each["role"] == "tool"]
    assert len(sent["content"]) < 1010
    assert TOKEN[:10] not in sent["content"]


SUITE = """
import pytest

@pytest.mark.acechat_cassette("c/hello.acecast")
def test_it_uses_nothing(acechat_blocking_client, acechat_client):
    pass

@pytest.mark.acechat_cassette("c/hello.acecast")
def test_it_calls(acechat_blocking_client, acechat_client):
    acechat_blocking_client.chat("Hi")

@pytest.mark.acechat_cassette("c/hello.acecast")
def test_it_fails(acechat_blocking_client, acechat_client):
    1 / 0
"""


@pytest.mark.parametrize("url", ["http://[::1", "http://user:pw@host:x", "http://127.0.0.1:1", ""])
@pytest.mark.parametrize("blocked", [False, True], ids=["", "folder cannot be made"])
def test_pytest_with_local_variables_shows_no_token(tmp_path, url, blocked):
    (tmp_path / "test_it.py").write_text(SUITE)
    if blocked:
        (tmp_path / "c").write_text("a file")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-l", "--tb=long"]
        + (["--acechat-record", url] if url else [])
        + ["test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"ACEDATACLOUD_API_TOKEN": TOKEN, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = re.findall(r"(\d+) (?:failed|errors?|passed)", done.stdout.splitlines()[-1])
    assert sum(map(int, outcomes)) >= 3, done.stdout
    assert not leaks([done.stdout, done.stderr], TOKEN)
