"""`image()`: sources, media types and errors."""

from __future__ import annotations

import io
import os
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec
import pytest

from acechat import image
from acechat.errors import ConfigurationError
from acechat.types import ImagePart, ImageURL

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
KINDS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + b"\0" * 8,
    "image/gif": b"GIF89a" + b"\0" * 8,
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
}


class SavableImage:
    """An image that can be saved as those of Pillow, of another library."""

    def __init__(self, data=PNG):
        self.data = data

    def save(self, fp, format):  # noqa: A002 - Pillow's name
        assert format == "PNG"
        fp.write(self.data)


class OtherPath:
    """An `os.PathLike` that is not a `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


def data_url(data=PNG, kind="image/png"):
    return f"data:{kind};base64,{b64encode(data).decode()}"


@pytest.fixture
def image_path(tmp_path):
    path = tmp_path / "cat.txt"  # the suffix is not used
    path.write_bytes(PNG)
    return path


@pytest.mark.parametrize(
    "source",
    [
        lambda path: path,
        str,
        lambda path: OtherPath(str(path)),
        lambda path: OtherPath(os.fsencode(path)),
        lambda _: PNG,
        lambda _: bytearray(PNG),
        lambda _: memoryview(PNG),
        lambda _: io.BytesIO(PNG),
        lambda _: SavableImage(),
        lambda _: data_url(),
    ],
    ids=[
        "path",
        "str",
        "PathLike",
        "bytes path",
        "bytes",
        "bytearray",
        "memoryview",
        "file",
        "savable",
        "data",
    ],
)
def test_an_image_is_read_from_each_kind_of_source(source, image_path):
    part = image(source(image_path))

    assert part == ImagePart(ImageURL(data_url()))
    assert b64decode(part.image_url.url.partition(",")[2]) == PNG


def test_an_open_file_is_read(image_path):
    with image_path.open("rb") as file:
        assert image(file) == ImagePart(ImageURL(data_url()))


@pytest.mark.parametrize(("kind", "data"), KINDS.items())
def test_the_media_type_is_detected_from_the_bytes(kind, data):
    assert image(data).image_url.url == data_url(data, kind)


def test_gif87a_is_supported():
    assert image(b"GIF87a").image_url.url.startswith("data:image/gif;")


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.acedata.cloud/ueugot.png",
        "http://localhost/cat.png",
        "HTTPS://HOST/CAT",
        "data:image/png;base64,iVBORw0KGgo=",
        "DATA:image/png;BASE64,iVBORw0KGgo=",
        "data:IMAGE/PNG;charset=utf-8;base64,iVBORw0KGgo=",
        "data:application/pdf;base64,JVBERi0=",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_url_is_sent_unchanged(url):
    assert image(url) == ImagePart(ImageURL(url))


@pytest.mark.parametrize(
    ("declared", "data", "kind"),
    [
        ("image/jpg", KINDS["image/jpeg"], "image/jpeg"),
        ("image/JPG", KINDS["image/jpeg"], "image/jpeg"),
        ("image/pjpeg", KINDS["image/jpeg"], "image/jpeg"),
        ("image/jpg;charset=utf-8", KINDS["image/jpeg"], "image/jpeg"),
        ("image/jpg", b"unknown bytes", "image/jpeg"),
        ("image/png", KINDS["image/jpeg"], "image/jpeg"),
        ("image/jpeg", KINDS["image/webp"], "image/webp"),
        ("application/octet-stream", PNG, "image/png"),
        ("", PNG, "image/png"),
        ("image/svg+xml", PNG, "image/png"),
    ],
)
def test_the_media_type_of_a_data_url_is_that_of_its_bytes(declared, data, kind):
    assert image(data_url(data, declared)).image_url.url == data_url(data, kind)


@pytest.mark.parametrize("make", [str, Path], ids=["str", "Path"])
def test_a_tilde_is_the_home_directory(image_path, monkeypatch, make):
    monkeypatch.setenv("HOME", str(image_path.parent))

    assert image(make("~/cat.txt")) == ImagePart(ImageURL(data_url()))
    with pytest.raises(ConfigurationError, match=r"cannot read the image '~nobody\.png'"):
        image(make("~nobody.png"))


@pytest.mark.parametrize("detail", ["auto", "low", "high", None])
@pytest.mark.parametrize("source", [PNG, "https://host/cat.png", data_url()])
def test_detail_is_sent_if_given(source, detail):
    wire = msgspec.to_builtins(image(source, detail=detail))

    assert wire["type"] == "image_url"
    assert wire["image_url"].get("detail") == detail
    assert ("detail" in wire["image_url"]) is (detail is not None)


def missing(folder):
    return folder / "missing.png"


def empty(folder):
    path = folder / "empty.png"
    path.touch()
    return path


def text(folder):
    path = folder / "text.png"
    path.write_text("no image", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (missing, r"cannot read the image '.*missing\.png': No such file"),
        (lambda folder: folder, r"cannot read the image '.*': Is a directory"),
        (empty, r"empty\.png' is empty: expected PNG, JPEG, GIF or WebP"),
        (text, r"text\.png' has no supported format: expected PNG"),
    ],
    ids=["missing", "directory", "empty", "text"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_the_error_for_a_bad_file_names_it(make, reason, kind, tmp_path):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        image(kind(make(tmp_path)))

    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_an_error(image_path):
    image_path.chmod(0)

    with pytest.raises(ConfigurationError, match="Permission denied"):
        image(image_path)


def test_a_loop_of_symlinks_is_an_error(tmp_path):
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)

    with pytest.raises(ConfigurationError, match=r"loop\.png': Too many levels"):
        image(loop)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "cannot read the image ''"),
        ("a\0b", "cannot read the image"),
        ("ftp://host/cat.png", "cannot read the image 'ftp://host/cat.png'"),
        (b64encode(PNG * 1_000).decode(), "cannot read the image"),
        (b"", "the image is empty"),
        (bytearray(), "the image is empty"),
        (b"<svg>", "the image has no supported format"),
        (b"BM\0\0", "the image has no supported format"),
        (b"RIFF\x10\0\0\0WAVE", "the image has no supported format"),
        (b"GIF88a", "the image has no supported format"),
        (b"%PDF-1.7", "the image has no supported format"),
        (PNG[:7], "the image has no supported format"),
        (io.BytesIO(), "the image is empty"),
        (SavableImage(b""), "the image is empty"),
        ("data:", "must look like"),
        ("data:image/png;base64,", "must look like"),
        ("data:image/png,abc", "must look like"),
        ("data:image/png;base64", "must look like"),
        ("data:image/svg+xml;base64,PHN2Zz4=", "image/svg[+]xml has no supported format"),
        ("data:image/bmp;base64,Qk0AAA==", "image/bmp has no supported format"),
    ],
)
def test_data_that_is_not_an_image_is_an_error(source, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        image(source)

    assert len(str(caught.value)) < 400


def test_a_file_opened_as_text_is_an_error(tmp_path):
    with text(tmp_path).open(encoding="utf-8") as file, pytest.raises(TypeError, match="'rb'"):
        image(file)


@pytest.mark.parametrize("source", [None, 5, ["cat.png"], {"url": "x"}, object(), str])
def test_another_type_is_a_type_error(source):
    with pytest.raises(TypeError, match="accepts a path, bytes, a binary file, an upload, a Pil"):
        image(source)


def test_a_file_whose_read_returns_none_is_an_error():
    class Silent:
        def read(self):
            return None

    with pytest.raises((TypeError, ConfigurationError), match="image"):
        image(Silent())


def test_the_repr_of_an_image_is_short():
    part = image(PNG + b"\0" * 1_000_000)

    assert len(repr(part)) < 300
    assert "characters" in repr(part)


@pytest.mark.parametrize("more", [-1, 0, 1, 2, 100_000])
def test_a_large_image_is_encoded_completely(more):
    data = KINDS["image/jpeg"] + os.urandom(3 * 2**14 + more)

    kind, _, encoded = image(data).image_url.url.partition(",")

    assert kind == "data:image/jpeg;base64"
    assert encoded == b64encode(data).decode()
