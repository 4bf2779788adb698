"""Certificates. Marks name the cases of the table."""

from __future__ import annotations

import datetime as dt
import pickle
import ssl

import pytest
import trustme

from acechat import AsyncClient, Client, ConnectError, TransportError


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture
def secure(ca, make_server, wire):
    """Start a server with a certificate for *host*; return it."""

    def start(host="localhost", issuer=ca, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert(host, **options).configure_cert(context)
        server = make_server(ssl=context)
        server.reply(wire.ok())
        return server

    return start


@pytest.fixture
def trusting(ca):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.mark.case("tls-custom-ca")
def test_a_certificate_of_a_given_authority_is_trusted(secure, make_ask, trusting):
    server = secure()
    assert make_ask(server.url).chat(client_options={"ssl": trusting}).text == "Hello"


@pytest.mark.case("tls-custom-ca")
def test_the_authority_can_be_set_in_the_environment(secure, make_ask, ca, tmp_path, monkeypatch):
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert make_ask(secure().url).chat().text == "Hello"


@pytest.mark.parametrize("early", ["", "import aiohttp"], ids=["aiohttp late", "aiohttp early"])
def test_certificates_set_in_the_environment_are_read_once(secure, script, ca, tmp_path, early):
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    told = script(f"""
{early}
import os, ssl
os.environ["SSL_CERT_FILE"] = {str(path)!r}
made = []
ordinary = ssl.create_default_context
ssl.create_default_context = lambda: made.append(1) or ordinary()
from acechat import Client
with Client(TOKEN, base_url={secure().url!r} + "/v1") as client:
    print(client.chat("Hello").text)
print(len(made))
""")
    assert told.stdout.split() == ["Hello", "1"]


BAD_FILES = ["missing", "folder", "locked", "empty", "broken", "in proc"]


@pytest.fixture(params=BAD_FILES)
def bad_file(request, tmp_path):
    """A path that an environment may name, and that serves neither reading nor writing."""
    paths = {"missing": tmp_path / "none" / "file", "folder": tmp_path, "in proc": "/proc/none/x"}
    path = paths.get(request.param, tmp_path / request.param)
    if request.param in {"locked", "empty", "broken"}:
        path.write_text("no certificate" if request.param == "broken" else "")
        path.chmod(0 if request.param == "locked" else 0o600)
    return str(path)


@pytest.mark.parametrize("early", ["", "import acechat._http"], ids=["first", "later"])
def test_an_unwritable_key_log_is_ignored(secure, script, ca, tmp_path, bad_file, early):
    trusted = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    told = script(f"""
import os
{early}
os.environ["SSLKEYLOGFILE"] = {bad_file!r}
os.environ["SSL_CERT_FILE"] = {str(trusted)!r}
from acechat import Client
with Client(TOKEN, base_url={secure().url!r} + "/v1") as client:
    print(client.chat("Hello").text)
assert os.environ["SSLKEYLOGFILE"] == {bad_file!r}
""")
    assert told.stdout.split() == ["Hello"], told.stderr


def test_a_writable_key_log_is_written(secure, script, ca, tmp_path):
    trusted, log = tmp_path / "ca.pem", tmp_path / "keys"
    ca.cert_pem.write_to_path(str(trusted))
    told = script(f"""
import os
os.environ["SSLKEYLOGFILE"] = {str(log)!r}
os.environ["SSL_CERT_FILE"] = {str(trusted)!r}
from acechat import Client
with Client(TOKEN, base_url={secure().url!r} + "/v1") as client:
    print(client.chat("Hello").text)
""")
    assert told.stdout.split() == ["Hello"], told.stderr
    assert "TRAFFIC_SECRET" in log.read_text()


def test_a_file_without_certificates_is_named_in_the_error(secure, make_ask, monkeypatch, bad_file):
    monkeypatch.setenv("SSL_CERT_FILE", bad_file)
    with pytest.raises(ConnectError, match="is not trusted") as caught:
        make_ask(secure().url).chat()
    assert f"SSL_CERT_FILE={bad_file} has no readable certificates" in str(caught.value)
    assert caught.value.retryable is False
    assert [one.failure for one in caught.value.attempts] == ["unsent"]


PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.case("retry-tls-not-retried")
@pytest.mark.parametrize("method", ["chat", "stream"])
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        pytest.param("unknown", "unable to get local issuer|self.signed", id="tls-selfsigned"),
        pytest.param("expired", "expired", id="tls-expired"),
        pytest.param("other host", "[Hh]ostname mismatch", id="tls-wronghost"),
    ],
)
def test_an_untrusted_certificate_is_not_retried(
    secure, make_ask, trusting, monkeypatch, method, case, reason
):
    for name in ("PYTHONHTTPSVERIFY", "SSL_NO_VERIFY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "0")  # the check cannot be disabled by accident
    server = {
        "unknown": lambda: secure(issuer=trustme.CA()),
        "expired": lambda: secure(not_after=PAST),
        "other host": lambda: secure("elsewhere.example"),
    }[case]()
    ask = make_ask(server.url)
    options = {"client_options": {"ssl": trusting}}
    if method == "chat":
        with pytest.raises(ConnectError, match=reason) as caught:
            ask.chat(**options)
        error = caught.value
    else:
        error = ask.stream(**options).error
    assert isinstance(error, ConnectError)
    assert error.final
    assert not error.retryable
    assert f"localhost:{server.port}" in str(error)
    assert len(error.attempts) == 1
    assert not error.attempts[0].may_be_billed
    assert server.requests == []


def test_plain_http_on_a_tls_url_is_an_error(make_ask, server, wire):
    async def answer(reader, writer):
        writer.write(wire.ok())
        writer.close()

    server.on_connect = answer
    with pytest.raises(ConnectError):
        make_ask(server.url.replace("http:", "https:")).chat(retries=1)


def test_tls_on_a_plain_http_url_is_an_error(secure, make_ask):
    with pytest.raises(TransportError):
        make_ask(secure().url.replace("https:", "http:")).chat(retries=1)


def test_tls_connections_are_reused(secure, trusting, wire):
    server = secure()
    with Client(wire.token, base_url=server.url, ssl=trusting) as client:
        for _ in range(3):
            client.chat("Hello")
    assert server.connections == 1


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_with_an_ssl_context_cannot_be_pickled(kind, trusting, wire):
    with pytest.raises(TypeError, match="ssl="):
        pickle.dumps(kind(wire.token, ssl=trusting))


def test_a_broken_tls_connection_in_a_stream_raises_an_error(secure, make_ask, trusting, wire):
    server = secure()

    async def handler(reader, writer, number):
        writer.write(wire.sse(wire.delta("Hel"), end=False))
        await writer.drain()
        server.reset(writer)

    server.handler = handler
    got = make_ask(server.url).stream(client_options={"ssl": trusting})
    assert got.error is not None
    assert len(server.requests) == 1
