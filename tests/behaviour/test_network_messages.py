"""The message of each network fault names the fault and the next step, not aiohttp's classes."""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib

import aiohttp
import pytest

from acechat import (
    AceChatError,
    AsyncClient,
    ConfigurationError,
    ConnectError,
    InsufficientBalanceError,
    PermissionDeniedError,
    ProtocolError,
    TransportError,
)

ONCE = {"retries": 1}
BOTH = pytest.mark.parametrize("method", ["chat", "stream"])

FOREIGN = re.compile(r"<|aiohttp|asyncio|[a-z](Error|Exception)\b|errno|\n", re.IGNORECASE)
ADVICE = re.compile(r"check |try again|pass one")


def failure(asking, method, **options):
    """Return the error of a call."""
    if method == "stream":
        return asking.stream(client_options=ONCE | options).error
    with pytest.raises(AceChatError) as caught:
        asking.chat(client_options=ONCE | options)
    return caught.value


def check(error, kind, text):
    assert isinstance(error, kind)
    assert text in str(error)
    assert FOREIGN.search(str(error)) is None, str(error)
    assert ADVICE.search(str(error)), str(error)
    assert error.__cause__ is None


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

FAULTS = {
    "closed before the head": (b"", "the server closed the connection; try again"),
    "closed in the head": (HEAD, "the server closed the connection; try again"),
    "no HTTP": (b"hello\r\n\r\n", "the server does not speak HTTP but sent b'hello'; check"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n", "the server does not speak HTTP"),
    "bad status": (b"HTTP/1.1 abc OK\r\n\r\n", "does not speak HTTP but sent b'HTTP/1.1 abc OK'"),
    "bad header": (HEAD + b"no colon\r\n\r\n", "the response is not valid HTTP (Invalid header"),
    "NUL in a header": (HEAD + b"x: a\0b\r\n\r\n", "the response is not valid HTTP"),
    "header too long": (HEAD + b"x: %b\r\n\r\n" % (b"a" * 70_000), "longer than 64 KiB; check"),
    "too many headers": (HEAD + b"x: a\r\n" * 1_100 + b"\r\n", "more than 1024 headers; check"),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "not valid HTTP"),
    "bad length": (HEAD + b"Content-Length: x\r\n\r\n", "not valid HTTP"),
    "bad chunk": (CHUNKED + b"zz\r\n", "not valid HTTP (Invalid character in chunk size: b'zz')"),
    "bad chunk later": (CHUNKED + b"1\r\n{\r\nzz\r\n", "not valid HTTP"),
    "chunk is cut": (CHUNKED + b"9\r\n{", "the body ended before its last chunk; try again"),
    "last chunk missing": (CHUNKED + b"1\r\n{\r\n", "the body ended before its last chunk"),
    "body is cut": (
        HEAD + b"Content-Length: 9\r\n\r\n{",
        "the body ended before its Content-Length (1 of 9 bytes); try again",
    ),
    "no gzip": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        "the compressed body cannot be decompressed; check",
    ),
    "no x-gzip": (
        HEAD + b"Content-Encoding: x-gzip\r\nContent-Length: 2\r\n\r\n{}",
        "the compressed body cannot be decompressed; check",
    ),
}


@BOTH
@pytest.mark.parametrize(("sent", "text"), FAULTS.values(), ids=FAULTS)
def test_a_response_that_is_not_valid(ask, server, method, sent, text):
    async def handler(reader, writer, number):
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server.handler = handler

    check(failure(ask, method), TransportError, text)


@BOTH
@pytest.mark.parametrize("sent", [b"", HEAD, CHUNKED + b"1\r\n{\r\n"])
def test_a_connection_that_is_reset(ask, server, method, sent):
    async def handler(reader, writer, number):
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        server.reset(writer)

    server.handler = handler

    check(failure(ask, method), TransportError, "Connection reset by peer; try again")


def test_a_stream_that_breaks_after_content(ask, server):
    async def handler(reader, writer, number):
        writer.write(CHUNKED.replace(b"application/json", b"text/event-stream"))
        writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server.handler = handler

    text = (
        "before its last chunk after 1 events and 47 bytes, before the response was complete; try"
    )
    check(ask.stream().error, TransportError, text)


@BOTH
def test_no_connection(make_ask, method, unused_port):
    error = failure(make_ask(f"http://127.0.0.1:{unused_port}"), method)
    assert str(error) == f"cannot connect to 127.0.0.1:{unused_port}: Connection refused"

    error = failure(make_ask(f"http://localhost:{unused_port}"), method)
    assert str(error) == f"cannot connect to localhost:{unused_port}: Connection refused"


@BOTH
def test_a_host_that_cannot_be_resolved(make_ask, method):
    error = failure(make_ask("http://no-such-host.invalid"), method)

    check(error, ConnectError, "cannot resolve the host no-such-host.invalid: ")


@BOTH
def test_a_service_without_tls(make_ask, make_server, method):
    async def respond(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    url = make_server(on_connect=respond).url.replace("http:", "https:")

    check(failure(make_ask(url), method), ConnectError, "failed: ")


@BOTH
def test_a_proxy_that_cannot_be_reached(make_ask, method, unused_port):
    error = failure(make_ask("http://x.test"), method, proxy=f"http://127.0.0.1:{unused_port}")

    check(error, ConnectError, "cannot connect to the proxy 127.0.0.1")


@BOTH
def test_a_proxy_that_rejects_the_connection(make_ask, server, method):
    async def handler(reader, writer, number):
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server.handler = handler

    error = failure(make_ask("https://x.test"), method, proxy=server.url)

    check(error, ConnectError, "the proxy rejected the connection: 407 Proxy Authentication")


@pytest.mark.parametrize("state", ["closed", "of another loop"])
def test_a_session_that_cannot_be_used(server, wire, state):
    server.reply(wire.ok())

    async def create():
        session = aiohttp.ClientSession()
        if state == "closed":
            await session.close()
        return session

    async def call(session):
        async with AsyncClient(wire.token, base_url=server.url, session=session) as client:
            await client.chat("Hello")

    with asyncio.Runner() as runner:
        session = runner.run(create())
        with pytest.raises(ConfigurationError, match="session=") as caught:
            asyncio.run(call(session))
        runner.run(session.close())
    check(caught.value, ConfigurationError, "session= is closed or belongs to another event loop")


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    " X-GZIP ": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "identity": bytes,
    "none": bytes,
    "utf-8": bytes,
    "gzip, identity": gzip.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, x-gzip": lambda data: gzip.compress(zlib.compress(data)),
    "identity, deflate": raw_deflate,
    "deflate\r\nContent-Encoding: gzip": lambda data: gzip.compress(zlib.compress(data)),
    "x-gzip ": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + b"\0\0",
}


@BOTH
@pytest.mark.parametrize("reads", ["one read", "byte by byte"])
@pytest.mark.parametrize(("coding", "pack"), CODINGS.items(), ids=map(repr, CODINGS))
def test_a_compressed_body(ask, server, wire, method, coding, pack, reads):
    body = wire.events("Hel", "lo") if method == "stream" else wire.ok().partition(b"\r\n\r\n")[2]
    kind = "text/event-stream" if method == "stream" else "application/json"
    packed = pack(body)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: {coding}\r\n"
    head = head.encode() + b"Content-Length: %d\r\n\r\n" % len(packed)

    async def handler(reader, writer, number):
        if reads == "one read":
            writer.write(head + packed)
            return
        writer.write(head)
        for byte in packed:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.0002)

    server.handler = handler

    assert (ask.stream() if method == "stream" else ask.chat()).text == "Hello"


@BOTH
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "aes128gcm", "gzip, br", "x" * 99])
def test_an_unknown_content_coding(ask, server, wire, method, coding):
    head = HEAD + b"Content-Encoding: %b\r\nContent-Length: 4\r\n\r\n" % coding.encode()
    server.reply(head + b"\x8b\x02\x80\x03")

    error = failure(ask, method)

    if coding in {"br", "zstd"} and "decompress" in str(error):
        pytest.skip(f"a package that decodes {coding} is installed")
    name = coding.rpartition(" ")[2][:40]
    check(error, ProtocolError, f"the response has the content encoding {name!r}, but acechat")


@pytest.mark.parametrize(
    ("coding", "body", "kind"),
    [
        (b"foo", b"\x00\xff", PermissionDeniedError),
        (b"x-gzip", b"\x00\xff", PermissionDeniedError),
        (
            b"x-gzip",
            gzip.compress(mtime=0, data=b'{"error":{"code":"used_up"}}'),
            InsufficientBalanceError,
        ),
    ],
)
def test_an_error_response_with_a_content_coding_keeps_its_status(ask, server, coding, body, kind):
    head = HEAD.replace(b"200 OK", b"403 Forbidden") + b"Content-Encoding: %b\r\n" % coding
    server.reply(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with pytest.raises(kind) as caught:
        ask.chat()

    assert caught.value.status == 403


def test_a_body_that_expands_too_much_is_rejected(ask, server):
    bomb = gzip.compress(b"{" + b" " * 70_000_000)
    head = HEAD + b"Content-Encoding: x-gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    server.reply(head + bomb)

    with pytest.raises(ProtocolError, match=r"expands to more|is larger than"):
        ask.chat(client_options=ONCE)


@BOTH
def test_a_session_that_does_not_decompress(server, wire, method):
    body = wire.events("Hel", "lo") if method == "stream" else wire.ok().partition(b"\r\n\r\n")[2]
    body = gzip.compress(body)
    server.reply(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def call():
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            AsyncClient(wire.token, base_url=server.url, session=session) as client,
        ):
            if method == "chat":
                return await client.chat("Hello")
            return await client.stream("Hello").collect()

    assert asyncio.run(call()).text == "Hello"


@BOTH
@pytest.mark.parametrize(
    "headers",
    [
        b"x: %b\r\n" % (b"a" * (2**16 - 100)),
        b"".join(b"x-%d: %b\r\n" % (number, b"a" * 100) for number in range(600)),
        b"Set-Cookie: a=b\r\n" * 900,
    ],
    ids=["64 KB", "600 headers", "900 cookies"],
)
@pytest.mark.parametrize("size", [1, 1_500_000])
def test_long_response_headers_are_read(ask, server, wire, method, headers, size):
    response = wire.ok() if method == "chat" else wire.stream()
    server.reply(response.replace(b"\r\n", b"\r\n" + headers, 1))

    got = ask.chat("x" * size) if method == "chat" else ask.stream("x" * size)

    assert got.text == "Hello"
