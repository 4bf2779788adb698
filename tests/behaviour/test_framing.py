"""HTTP as no library sends it. Marks name the cases of the table."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib

import pytest

from acechat import (
    APIError,
    AsyncClient,
    Client,
    ProtocolError,
    RequestTimeoutError,
    RequestTooLargeError,
    Timeout,
    TransportError,
)

BOTH = pytest.mark.parametrize("method", ["chat", "stream"])
ONCE = {"retries": 1, "timeout": Timeout(total=3, idle=0.5, first_token=0.5)}


def send_and_close(server, *pieces, reset=False):
    async def handler(reader, writer, number):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        if reset:
            server.reset(writer)
        else:
            writer.close()

    server.handler = handler


@BOTH
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda wire, whole: whole[:-15], id="net-cl-short,net-chunked-cut"),
        pytest.param(
            lambda wire, whole: whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
            id="net-close-after-headers",
        ),
        pytest.param(lambda wire, whole: whole[:40], id="inside-headers"),
        pytest.param(lambda wire, whole: whole[:9], id="inside-status-line"),
    ],
)
def test_a_truncated_response_is_an_error(either, server, wire, method, cut, reset):
    whole = wire.ok() if method == "chat" else wire.sse(wire.delta("Hello" * 9))
    send_and_close(server, cut(wire, whole), reset=reset)
    assert isinstance(either(method, **ONCE), TransportError)


@BOTH
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", id="net-garbage"),
        pytest.param(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80", id="net-h2"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="net-h2-preface"),
        pytest.param(b"\x15\3\1\0\2\2\x16", id="tls-alert"),
        pytest.param(b"HTTP/1.1\r\n\r\n", id="no-status"),
        pytest.param(b"HTTP/1.1 99999 X\r\n\r\n", id="status-99999"),
        pytest.param(b"HTTP/1.1 20x OK\r\n\r\n", id="status-20x"),
        pytest.param(b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="http-9.9"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="no-colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", id="length-minus"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="length-x"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two-lengths"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            id="net-cl-and-te",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", id="nul-in-header"),
    ],
)
def test_invalid_http_is_an_error(either, server, method, sent):
    send_and_close(server, sent)
    assert isinstance(either(method, **ONCE), (TransportError, ProtocolError))
    assert len(server.requests) == 1


@pytest.mark.case("net-cl-long")
def test_bytes_beyond_content_length_are_never_another_response(server, wire, kept):
    # Bytes in the packet of the response make aiohttp drop both: test_bounds.py.
    async def handler(reader, writer, number):
        if number > 1:
            writer.write(wire.ok("second"))
            return
        writer.write(wire.ok("first"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"rest of it")

    server.handler = handler
    assert kept.chat("1").text == "first"
    kept.wait(0.1)
    assert kept.chat("2").text == "second"


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["together", "while-idle"])
@pytest.mark.case("net-two-responses")
def test_unsolicited_bytes_are_never_a_response(server, wire, kept, pause):
    async def handler(reader, writer, number):
        if number > 1:
            writer.write(wire.ok("second"))
            return
        # In one packet: bytes that arrive after the next request look like its response.
        writer.write(wire.ok("first") + (b"" if pause else wire.ok("unasked")))
        if pause:
            await writer.drain()
            await asyncio.sleep(pause)
            writer.write(wire.ok("unasked"))

    server.handler = handler
    assert kept.chat("1").text == "first"
    kept.wait(pause * 3)
    assert kept.chat("2").text == "second"


def test_bytes_after_a_stream_are_never_a_response(server, wire, kept):
    server.reply(wire.stream("first") + wire.ok("unasked"), wire.ok("second"))
    assert kept.collect("1").text == "first"
    assert kept.chat("2").text == "second"


@BOTH
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, id="net-100"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", id="net-103"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n", id="102"),
    ],
)
def test_interim_responses_are_skipped(ask, server, wire, method, before):
    server.reply(before + (wire.ok() if method == "chat" else wire.stream()))
    if method == "chat":
        assert ask.chat().text == "Hello"
    else:
        assert ask.stream().completion.text == "Hello"


@pytest.mark.case("net-100-forever")
def test_the_timeout_ends_an_endless_100_continue(either, server):
    async def handler(reader, writer, number):
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 20)
            await writer.drain()
            await asyncio.sleep(0.01)

    server.handler = handler
    error = either("chat", timeout=Timeout(first_token=0.3))
    assert isinstance(error, RequestTimeoutError)


def test_switching_protocols_is_an_error(either, server):
    server.reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx")
    either("chat", **ONCE)
    either("stream", **ONCE)


@pytest.mark.case("net-header-flood")
def test_endless_headers_are_an_error(either, server):
    async def handler(reader, writer, number):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for line in range(100_000):
            if writer.is_closing():
                return
            writer.write(b"X-%d: %s\r\n" % (line, b"x" * 200))
            await writer.drain()

    server.handler = handler
    assert isinstance(either("chat", **ONCE), TransportError)


def test_one_huge_header_is_an_error(either, server):
    server.reply(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
    assert isinstance(either("stream", **ONCE), TransportError)


@BOTH
@pytest.mark.parametrize(
    "version", ["HTTP/1.0 200 OK\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n"]
)
def test_a_body_may_be_close_delimited(ask, server, wire, method, version):
    kind = "text/event-stream" if method == "stream" else "application/json"
    body = wire.events("Hello") if method == "stream" else wire.ok().partition(b"\r\n\r\n")[2]
    send_and_close(server, f"{version}Content-Type: {kind}\r\n\r\n".encode(), body)
    if method == "chat":
        assert ask.chat().text == "Hello"
    else:
        assert ask.stream().completion.text == "Hello"


def test_a_close_delimited_body_may_be_truncated(either, server, wire):
    body = wire.ok().partition(b"\r\n\r\n")[2][:-9]
    send_and_close(server, b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
    assert isinstance(either("chat", **ONCE), ProtocolError)


def test_connection_close_is_obeyed(server, wire, kept):
    server.reply(wire.ok(Connection="close"))
    kept.chat("1")
    kept.chat("2")
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.case("enc-gzip", "enc-deflate")
def test_compressed_responses_are_read(ask, server, wire, encoding):
    body = wire.ok().partition(b"\r\n\r\n")[2]
    body = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    server.reply(wire.http(body, Content_Encoding=encoding))
    assert ask.chat().text == "Hello"


@pytest.mark.case("enc-br-zstd")
def test_only_supported_encodings_are_accepted(ask, server, wire):
    server.reply(wire.ok())
    ask.chat()
    offered = server.requests[0].headers["accept-encoding"].replace(" ", "").split(",")
    assert set(offered) == {"gzip", "deflate"}


@pytest.mark.case("enc-gzip-sse")
def test_a_compressed_stream_is_read_as_it_arrives(server, wire, ask):
    go_on = asyncio.Event()

    async def handler(reader, writer, number):
        squeeze = zlib.compressobj(wbits=31)

        def piece(data):
            return wire.chunk(squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))

        writer.write(wire.head(Content_Encoding="gzip") + piece(wire.delta("Hel")))
        await writer.drain()
        await go_on.wait()
        writer.write(piece(wire.events("lo")) + wire.chunk(squeeze.flush()) + wire.chunk(b""))

    server.handler = handler
    if ask.mode == "blocking":
        with Client(**ask.options({})) as client, client.stream("Hi") as stream:
            assert str(next(stream)) == "Hel"
            server._loop.call_soon_threadsafe(go_on.set)
            assert stream.collect().text == "Hello"
        return

    async def read():
        async with AsyncClient(**ask.options({})) as client, client.stream("Hi") as stream:
            assert str(await anext(stream)) == "Hel"
            server._loop.call_soon_threadsafe(go_on.set)
            assert (await stream.collect()).text == "Hello"

    ask.in_loop(read())


@BOTH
@pytest.mark.case("enc-gzip-truncated")
def test_a_truncated_compressed_body_is_an_error(either, server, wire, method):
    # The length is that of the bytes sent
    kind = "application/json" if method == "chat" else "text/event-stream"
    body = wire.ok().partition(b"\r\n\r\n")[2] if method == "chat" else wire.events("Hello" * 50)
    cut = gzip.compress(body, mtime=0)[:-30]
    server.reply(wire.http(cut, kind=kind, Content_Encoding="gzip"))
    assert isinstance(either(method, **ONCE), (TransportError, ProtocolError))


@BOTH
def test_a_wrong_content_encoding_is_an_error(either, server, wire, method):
    kind = "application/json" if method == "chat" else "text/event-stream"
    server.reply(wire.http(b"this is no gzip at all", kind=kind, Content_Encoding="gzip"))
    assert isinstance(either(method, **ONCE), (TransportError, ProtocolError))


@pytest.mark.case("enc-unknown")
def test_an_unknown_encoding_is_an_error(either, server, wire):
    server.reply(wire.http(b"\1\2\3", Content_Encoding="x-unknown"))
    assert isinstance(either("chat", **ONCE), (TransportError, ProtocolError))


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_an_unrequested_encoding_is_an_error(either, server, wire, encoding):
    server.reply(wire.http(b"\1\2\3\4", Content_Encoding=encoding))
    assert isinstance(either("chat", **ONCE), (TransportError, ProtocolError))


BOMB = """
    import asyncio, resource, acechat
    limits = {"retries": 1, "max_response_bytes": 2**20, "max_event_bytes": 2**20}
    client = acechat.Client(TOKEN, base_url=URL, **limits)
    async def in_asyncio():
        async with acechat.AsyncClient(TOKEN, base_url=URL, **limits) as client:
            await METHOD
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        asyncio.run(in_asyncio()) if "COLOUR" == "async" else METHOD
    except acechat.AceChatError as error:
        print(type(error).__name__, len(getattr(error, "body", b"")))
    client.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print("grown", grown // 1024, "MiB")
    assert grown < 64 * 1024, grown
"""


@pytest.mark.parametrize(
    ("status", "kind", "body", "call", "raised"),
    [
        pytest.param(
            "200 OK", "application/json", b'{"id": "%s"}', "chat", "ProtocolError", id="size-bomb"
        ),
        pytest.param(
            "400 Bad",
            "application/json",
            b'{"e": "%s"}',
            "chat",
            "BadRequestError 65536",
            id="size-bomb-error",
        ),
        pytest.param(
            "200 OK",
            "text/event-stream",
            b"data: %s",
            "stream",
            "ProtocolError",
            id="size-bomb-stream",
        ),
        pytest.param(
            "200 OK", "text/event-stream", b": %s", "stream", "ProtocolError", id="comment"
        ),
    ],
)
def test_a_decompression_bomb_is_stopped_early(
    script, server, wire, mode, status, kind, body, call, raised
):
    body = gzip.compress(body % (b" " * 100 * 2**20), 6)
    server.reply(wire.http(body, status, kind, Content_Encoding="gzip"))
    method = 'client.chat("Hi")' if call == "chat" else 'client.stream("Hi").collect()'
    done = script(BOMB.replace("METHOD", method).replace("COLOUR", mode))
    assert done.stdout.startswith(raised)


@pytest.mark.parametrize(
    ("kind", "first", "piece", "method"),
    [
        pytest.param("application/json", b'{"id": "', b"x" * 4096, "chat", id="size-big-json"),
        pytest.param("text/event-stream", b"data: ", b"x" * 4096, "stream", id="size-big-line"),
        pytest.param("text/event-stream", b"", b"data: x\n" * 512, "stream", id="many-lines"),
        pytest.param("text/event-stream", b":", b"x" * 4096, "stream", id="big-comment"),
        pytest.param("text/event-stream", b"{", b"x" * 4096, "stream", id="big-stray"),
        pytest.param("text/event-stream", b"id: ", b"x" * 4096, "stream", id="big-id"),
        pytest.param("application/json", b'{"id": "', b"x" * 4096, "stream", id="json-for-sse"),
        pytest.param("text/html", b"<html>", b"x" * 4096, "stream", id="html-for-sse"),
        pytest.param("text/event-stream", b"data: ", b"x" * 4096, "chat", id="sse-for-json"),
    ],
)
def test_an_endless_body_is_stopped_at_the_size_limit(
    either, server, wire, kind, first, piece, method
):
    async def handler(reader, writer, number):
        writer.write(wire.head(kind) + wire.chunk(first) if first else wire.head(kind))
        while not writer.is_closing():
            writer.write(wire.chunk(piece))
            await writer.drain()

    server.handler = handler
    limits = {"max_response_bytes": 200_000, "max_event_bytes": 100_000}
    error = either(method, client_options=limits, retries=1)
    assert isinstance(error, ProtocolError)
    assert len(error.body) <= 500


def test_an_endless_error_body_is_truncated(either, server, wire):
    async def handler(reader, writer, number):
        writer.write(wire.head("text/plain", "400 Bad Request"))
        while not writer.is_closing():
            writer.write(wire.chunk(b"x" * 8192))
            await writer.drain()

    server.handler = handler
    error = either("chat")
    assert isinstance(error, APIError)
    assert len(error.body) == 65536
    assert len(str(error)) < 400


REDIRECTS = [
    pytest.param("307 Temporary Redirect", "/v1/elsewhere", id="redir-307-same"),
    pytest.param("307 Temporary Redirect", "OTHER/v1/chat/completions", id="redir-307-cross"),
    pytest.param("302 Found", "/v1/elsewhere", id="redir-302"),
    pytest.param("301 Moved Permanently", "OTHER/", id="redir-301-cross"),
    pytest.param("307 Temporary Redirect", "/v1/chat/completions", id="redir-loop"),
    pytest.param("302 Found", "file:///etc/passwd", id="redir-file"),
    pytest.param("308 Permanent Redirect", "//[bad", id="bad-target"),
    pytest.param("303 See Other", "", id="no-target"),
    pytest.param("304 Not Modified", "x", id="304"),
]


@BOTH
@pytest.mark.parametrize(("status", "target"), REDIRECTS)
@pytest.mark.case("redir-stream")
def test_a_redirect_is_an_error_with_its_target(
    either, server, make_server, wire, method, status, target
):
    other = make_server()
    target = target.replace("OTHER", other.url)
    server.reply(wire.http(b"", status, **({"Location": target} if target else {})))
    error = either(method)
    assert isinstance(error, APIError)
    assert error.status == int(status[:3])
    assert target in str(error)
    assert (len(server.requests), len(other.requests)) == (1, 0)


@pytest.mark.case("sec-cookies")
def test_cookies_are_neither_kept_nor_sent(server, wire, kept):
    server.reply(wire.ok(Set_Cookie="a=b; Path=/"))
    kept.chat("1")
    kept.chat("2")
    assert not any("cookie" in request.headers for request in server.requests)


def test_a_large_request_arrives_completely(ask, server, wire):
    server.reply(wire.ok())
    ask.chat("x" * 3_000_000)
    (request,) = server.requests
    assert len(request.json["messages"][0]["content"]) == 3_000_000


def test_an_early_response_to_a_large_request_is_accepted(make_server, make_ask, wire):
    # nginx sends 413 after the head, and closes
    async def early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire.http(b"<html><title>413</title>", "413 Too Large", "text/html"))
        await writer.drain()
        await asyncio.sleep(0.2)
        server.reset(writer)

    server = make_server(on_connect=early)
    with pytest.raises(RequestTooLargeError):
        make_ask(server.url).chat("x" * 8_000_000, retries=1)


@pytest.mark.parametrize("method", ["chat", "stream"])
@pytest.mark.case("net-two-responses")
def test_bytes_received_while_the_loop_was_blocked_are_never_a_response(server, wire, method):
    # The loop could not see the bytes before the next request
    async def handler(reader, writer, number):
        if number > 1:
            writer.write(wire.ok("second") if method == "chat" else wire.stream("second"))
            return
        writer.write(wire.ok("first"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(wire.ok("unasked") if method == "chat" else wire.stream("unasked"))

    server.handler = handler

    async def call():
        async with AsyncClient(wire.token, base_url=server.url, timeout=5) as client:
            assert (await client.chat("1")).text == "first"
            time.sleep(0.15)  # noqa: ASYNC251 - the loop stands still, as in a busy program
            again = client.chat("2") if method == "chat" else client.stream("2").collect()
            return (await again).text

    assert asyncio.run(call()) == "second"
    assert [request.connection for request in server.requests] == [1, 2]
