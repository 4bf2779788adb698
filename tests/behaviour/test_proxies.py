"""Proxies, by argument and by environment. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time

import pytest
import trustme

from acechat import ConfigurationError, ConnectError, RequestTimeoutError, Timeout
from acechat._http import read_proxy


@pytest.fixture
def make_proxy(make_server):
    """Start a proxy that records its requests: ``proxy.asked`` holds (line, headers)."""

    def make(refuse=b""):
        asked = []

        async def serve(reader, writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")[:-2]
            headers = dict(one.lower().split(": ", 1) for one in fields)
            asked.append((line, headers))
            if refuse:
                writer.write(refuse)
                await writer.drain()
                writer.close()
                return
            method, target, _ = line.split()
            if method == "CONNECT":
                host, port = target.rsplit(":", 1)
                there, back = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                origin, _, path = target.removeprefix("http://").partition("/")
                host, port = origin.rsplit(":", 1)
                there, back = await asyncio.open_connection(host, int(port))
                back.write("\r\n".join([f"{method} /{path} HTTP/1.1", *fields, "", ""]).encode())
            await asyncio.gather(pump(reader, back), pump(there, writer))

        proxy = make_server(on_connect=serve)
        proxy.asked = asked
        return proxy

    return make


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side went away
    finally:
        writer.close()


@pytest.fixture
def proxy(make_proxy):
    return make_proxy()


@pytest.fixture
def secure(make_server, wire):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    server = make_server(ssl=context)
    server.reply(wire.ok(), wire.stream())
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    return server, trusting


def test_the_proxy_argument_is_used(ask, server, proxy, wire):
    server.reply(wire.ok())
    assert ask.chat(client_options={"proxy": proxy.url}).text == "Hello"
    ((line, _),) = proxy.asked
    assert line == f"POST {server.url}/v1/chat/completions HTTP/1.1"


def test_https_goes_through_a_tunnel(make_ask, secure, proxy, wire):
    server, trusting = secure
    ask = make_ask(server.url)
    assert ask.chat(client_options={"proxy": proxy.url, "ssl": trusting}).text == "Hello"
    ((line, headers),) = proxy.asked
    assert line == f"CONNECT localhost:{server.port} HTTP/1.1"
    assert wire.token not in str(headers)


def test_a_stream_goes_through_a_tunnel(make_ask, secure, proxy, wire):
    server, trusting = secure
    server.reply(wire.stream())
    got = make_ask(server.url).stream(client_options={"proxy": proxy.url, "ssl": trusting})
    assert (got.error, got.text) == (None, "Hello")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.case("proxy-env")
def test_the_proxy_of_the_environment_is_used(ask, server, proxy, wire, monkeypatch, name):
    server.reply(wire.ok())
    monkeypatch.setenv(name, proxy.url)
    ask.chat()
    assert len(proxy.asked) == 1


def test_the_https_proxy_of_the_environment_is_used(make_ask, secure, proxy, monkeypatch):
    server, trusting = secure
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert make_ask(server.url).chat(client_options={"ssl": trusting}).text == "Hello"
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("value", ["localhost", "*", "example.com,localhost"])
def test_no_proxy_is_obeyed(ask, server, proxy, wire, monkeypatch, value):
    server.reply(wire.ok())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", value)
    ask.chat()
    assert proxy.asked == []


def test_no_proxy_may_contain_a_port(ask, server, proxy, wire, monkeypatch):
    server.reply(wire.ok())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", f"localhost:{server.port}")
    ask.chat()
    assert proxy.asked == []


NO_PROXY = [
    # As curl reads it.
    ("http://127.0.0.1:8", "localhost,127.0.0.0/8,::1/128", True),
    ("http://[::1]:8", "localhost,127.0.0.0/8,::1/128", True),
    ("http://[::1]:8", "[::1]", True),
    ("http://[::1]:8", "0:0:0:0:0:0:0:1", True),
    ("http://[fd00::7]:8", "fd00::/8", True),
    ("http://[fd00::7]:8", "fe80::/10", False),
    ("http://10.1.2.3:8", "10.0.0.0/8", True),
    ("http://10.1.2.3:8", "10.9.9.9/8", True),
    ("http://11.1.2.3:8", "10.0.0.0/8", False),
    ("http://10.1.2.3:8", "2.3", False),
    ("http://10.1.2.3:8", "10.0.0.0/99", False),
    ("http://a.example.com", "example.com", True),
    ("http://a.example.com", ".example.com", True),
    ("http://a.example.com", "example.com.", True),
    ("http://a.example.com.", "EXAMPLE.com", True),
    ("http://A.EXAMPLE.com", "example.com", True),
    ("http://example.com", ".example.com", True),
    ("http://anexample.com", "example.com", False),
    ("http://a.example.com", "x y\texample.com", True),
    ("http://a.example.com", " ,, ", False),
    ("http://a.example.com", "*", True),
    ("http://a.example.com", "x, *", True),
    # curl knows no ports and no wildcards, but others do.
    ("http://a.example.com", "*.example.com", True),
    ("http://a.test:80", "*.example.com", False),
    ("http://a.test:81", "a.test:81", True),
    ("http://a.test:82", "a.test:81", False),
    ("http://[::1]:81", "[::1]:81", True),
    ("http://[::1]:82", "[::1]:81", False),
    ("http://127.0.0.1:81", "127.0.0.0/8:81", True),
]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(("url", "excluded", "direct"), NO_PROXY)
def test_no_proxy_is_interpreted_as_by_curl(monkeypatch, name, url, excluded, direct):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv(name, excluded)
    assert (read_proxy(None, f"{url}/v1") is None) is direct


def test_an_empty_proxy_disables_proxies(ask, server, proxy, wire, monkeypatch):
    server.reply(wire.ok())
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.chat(client_options={"proxy": ""})
    assert proxy.asked == []


def test_the_environment_is_read_when_the_client_is_created(server, proxy, wire, monkeypatch):
    from acechat import Client

    server.reply(wire.ok())
    with Client(wire.token, base_url=server.url) as client:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client.chat("Hello")
    assert proxy.asked == []


@pytest.mark.case("proxy-netrc")
def test_netrc_is_never_read(ask, server, proxy, wire, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login ada password not-this\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    server.reply(wire.ok())
    ask.chat()
    assert server.requests[0].headers["authorization"] == f"Bearer {wire.token}"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_proxy_gets_its_credentials_and_the_service_does_not(
    make_ask, server, secure, proxy, wire, tls
):
    target, trusting = secure if tls else (server, None)
    target.reply(wire.ok())
    url = proxy.url.replace("://", "://ada:pass%20word@")
    make_ask(target.url).chat(client_options={"proxy": url, "ssl": trusting})
    expected = "basic " + base64.b64encode(b"ada:pass word").decode().lower()
    assert proxy.asked[0][1]["proxy-authorization"] == expected
    assert tls is False or "proxy-authorization" not in target.requests[0].headers
    assert target.requests[0].headers["authorization"] == f"Bearer {wire.token}"


def test_the_proxy_password_is_never_shown(make_ask, unused_port, caplog):
    import traceback

    from acechat import Client

    caplog.set_level("DEBUG")
    url = f"http://ada:pass-word-1@127.0.0.1:{unused_port}"
    with pytest.raises(ConnectError) as caught:
        make_ask("https://localhost:1").chat(client_options={"proxy": url})
    assert f"127.0.0.1:{unused_port}" in str(caught.value)
    told = traceback.TracebackException.from_exception(caught.value)
    told = "".join(told.format()) + repr(caught.value.__dict__) + caplog.text
    with Client("tok-0123456789", proxy=url) as client:
        assert "pass-word-1" not in repr(client)
    assert "pass-word-1" not in told


def test_an_unusable_proxy_is_rejected_without_showing_its_password(wire):
    from acechat import AsyncClient

    with pytest.raises(ConfigurationError, match="http://") as caught:
        AsyncClient(wire.token, proxy="socks5://ada:pass-word-1@p:1")
    assert "pass-word-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "attempts"), [("407 Who?", 1), ("403 No", 1), ("502 Bad", 3), ("503 Busy", 3)]
)
def test_a_refused_tunnel_raises_a_clear_error(make_ask, secure, make_proxy, status, attempts):
    server, trusting = secure
    proxy = make_proxy(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(ConnectError, match=f"proxy.*{status[:3]}") as caught:
        make_ask(server.url).chat(client_options={"proxy": proxy.url, "ssl": trusting})
    assert len(caught.value.attempts) == attempts
    assert server.connections == 0


def test_an_unresponsive_proxy_raises_a_connect_timeout(make_ask, secure, make_server):
    async def silent(reader, writer):
        await reader.read()

    proxy = make_server(on_connect=silent)
    began = time.monotonic()
    with pytest.raises(RequestTimeoutError) as caught:
        make_ask(secure[0].url).chat(
            timeout=Timeout(connect=0.3), retries=1, client_options={"proxy": proxy.url}
        )
    assert caught.value.phase == "connect"
    assert time.monotonic() - began < 1.3


def test_certificates_are_checked_through_a_tunnel(make_ask, secure, proxy):
    with pytest.raises(ConnectError, match="certificate") as caught:
        make_ask(secure[0].url).chat(client_options={"proxy": proxy.url})
    assert caught.value.final
