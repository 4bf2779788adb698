"""`document()`: PDFs and text files as parts of messages."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64encode
from pathlib import Path

import pytest

from acechat import (
    AsyncClient,
    Client,
    ConfigurationError,
    ImagePart,
    TextPart,
    UserMessage,
    document,
    text,
)

PDF = b"%PDF-1.7\n" + bytes(range(256))
URL = f"data:application/pdf;base64,{b64encode(PDF).decode()}"


@pytest.fixture
def pdf_path(tmp_path):
    path = tmp_path / "report.txt"  # the suffix is not used
    path.write_bytes(PDF)
    return path


class Upload:
    """The form of a Starlette upload."""

    def __init__(self, data, filename="notes.md"):
        self.file = io.BytesIO(data)
        self.filename = filename

    async def read(self): ...


class SanicUpload:
    """The form of Sanic's ``File``."""

    def __init__(self, data):
        self.body = data
        self.name = "report.pdf"


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path,
        str,
        lambda _: PDF,
        lambda _: bytearray(PDF),
        lambda _: memoryview(PDF),
        lambda _: io.BytesIO(PDF),
        lambda _: Upload(PDF),
        lambda _: SanicUpload(PDF),
        lambda _: URL,
    ],
    ids=["Path", "str", "bytes", "bytearray", "memoryview", "file", "upload", "body", "data URL"],
)
def test_a_pdf_is_sent_as_a_data_url(make, pdf_path):
    part = document(make(pdf_path))

    assert isinstance(part, ImagePart)
    assert part.image_url.url == URL


def test_a_pdf_may_begin_after_other_bytes():
    assert isinstance(document(b"\r\n\xff" + PDF), ImagePart)


@pytest.mark.parametrize("url", ["https://host/report.pdf", "HTTP://host/report"])
def test_a_url_is_sent_unchanged(url):
    part = document(url)

    assert isinstance(part, ImagePart)
    assert part.image_url.url == url


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a,b", "a,b"),
        ("größe".encode(), "größe"),
        (b"\xef\xbb\xbfa", "a"),
        ("größe".encode("utf-16"), "größe"),
        (b"\xfe\xff" + "größe".encode("utf-16-be"), "größe"),
        (b"\n# Title\n\ntext\n", "# Title\n\ntext"),
        (b"one\r\ntwo\r\n", "one\r\ntwo"),
    ],
)
def test_a_text_is_sent_as_text(data, shown):
    assert document(data) == TextPart(f"<document>\n{shown}\n</document>")


def test_a_text_has_the_name_of_its_file(tmp_path, monkeypatch):
    path = tmp_path / "notes.md"
    path.write_text("text", encoding="utf-8")
    named = TextPart('<document name="notes.md">\ntext\n</document>')
    monkeypatch.setenv("HOME", str(tmp_path))

    with path.open("rb") as file:
        assert document(file) == named
    for source in (path, str(path), "~/notes.md", Upload(b"text"), Upload(b"text", "a/notes.md")):
        assert document(source) == named
    assert document(b"text", name="notes.md") == named
    assert document(path, name="").text.startswith("<document>")
    assert document(path, name='a"<b').text.startswith('<document name="a&quot;&lt;b">')


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("data:text/plain,a%20b", "a b"),
        ("data:text/csv;base64,YSxi", "a,b"),
        ("data:,text", "text"),
    ],
)
def test_a_data_url_may_hold_text(url, shown):
    assert document(url) == TextPart(f"<document>\n{shown}\n</document>")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "the document is empty"),
        (b"PK\x03\x04\x00", "the document is neither a PDF nor text"),
        (b"\xff\xd8\xff", "the document is neither a PDF nor text"),
        (b"caf\xe9", "the document is neither a PDF nor text"),
        (Upload(b"\0", "a.docx"), "'a.docx' is neither a PDF nor text"),
        ("missing.pdf", "cannot read the document 'missing.pdf': No such file"),
        ("data:text/plain", "invalid data URL"),
        ("data:text/plain;base64,x", "invalid data URL"),
    ],
)
def test_another_file_is_an_error(source, reason):
    with pytest.raises(ConfigurationError, match=reason):
        document(source)


@pytest.mark.parametrize("source", [None, 5, ["a.pdf"], object(), str])
def test_another_type_is_a_type_error(source):
    with pytest.raises(TypeError, match="accepts a path, bytes, a binary file, an upload or a URL"):
        document(source)


def test_a_file_that_is_open_as_text_is_an_error(tmp_path):
    path = tmp_path / "notes.md"
    path.touch()

    with path.open(encoding="utf-8") as file, pytest.raises(TypeError, match="'rb'"):
        document(file)


class Caller:
    def __init__(self, mode, service):
        self.mode = mode
        self.settings = {"api_token": service.token, "base_url": service.url}

    def __call__(self, method, *content, **options):
        async def asynchronous():
            async with AsyncClient(**self.settings) as client:
                return await getattr(client, method)(*content, **options)

        if self.mode == "async":
            return asyncio.run(asynchronous())
        with Client(**self.settings) as client:
            return getattr(client, method)(*content, **options)


@pytest.fixture(params=["async", "blocking"])
def ask(request, acechat_service):
    return Caller(request.param, acechat_service)


def test_a_document_is_asked_about(ask, acechat_service):
    ask("chat", "What does it say?", document(PDF), document(Path(__file__)))

    (message,) = json.loads(acechat_service.requests[0].body)["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "text"]
    assert message["content"][1] == {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    "model", ["claude-3-haiku-20240307", "claude-3-sonnet-20240229", "claude-3-opus-20240229"]
)
def test_a_model_without_pdfs_is_named_before_sending(ask, acechat_service, model):
    with pytest.raises(ConfigurationError, match=f"{model} cannot read PDFs"):
        ask("chat", "What does it say?", document(PDF), model=model)
    assert not acechat_service.requests

    ask("chat", "What does it say?", document(b"text"), model=model)
    assert len(acechat_service.requests) == 1


def test_a_document_is_counted_as_a_document(ask, acechat_service):
    ask("count_tokens", "What does it say?", document(PDF, cache=True))

    (message,) = json.loads(acechat_service.requests[0].body)["messages"]
    assert message["content"][1] == {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": b64encode(PDF).decode(),
        },
        "cache_control": {"type": "ephemeral"},
    }


def test_a_document_and_a_text_stay_in_a_saved_conversation(acechat_service, tmp_path):
    path = tmp_path / "talk.json"
    messages = [UserMessage(content=[document(PDF, cache="1h"), text("Look", cache=True)])]
    with Client(acechat_service.token, base_url=acechat_service.url) as client:
        client.conversation(messages=messages).save(path)
        loaded = client.conversation().load(path)

    assert loaded.messages == messages
