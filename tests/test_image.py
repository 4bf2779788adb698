"""`image`: a picture from wherever it is, read by its bytes and not by its name."""

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


class Drawing:
    """What is used of Pillow's images."""

    def __init__(self, data=PNG):
        self.data = data

    def save(self, fp, format):  # noqa: A002 - Pillow's name
        assert format == "PNG"
        fp.write(self.data)


class Place:
    """A path that is no `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


def data_url(data=PNG, kind="image/png"):
    return f"data:{kind};base64,{b64encode(data).decode()}"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.txt"  # the name tells nothing
    path.write_bytes(PNG)
    return path


@pytest.mark.parametrize(
    "source",
    [
        lambda path: path,
        str,
        lambda path: Place(str(path)),
        lambda path: Place(os.fsencode(path)),
        lambda _: PNG,
        lambda _: bytearray(PNG),
        lambda _: io.BytesIO(PNG),
        lambda _: Drawing(),
        lambda _: data_url(),
    ],
    ids=["path", "str", "PathLike", "bytes path", "bytes", "bytearray", "file", "drawing", "data"],
)
def test_an_image_comes_from_anywhere(source, picture):
    part = image(source(picture))

    assert part == ImagePart(ImageURL(data_url()))
    assert b64decode(part.image_url.url.partition(",")[2]) == PNG


def test_an_open_file_is_read_where_it_stands(picture):
    with picture.open("rb") as file:
        assert image(file) == ImagePart(ImageURL(data_url()))


@pytest.mark.parametrize(("kind", "data"), KINDS.items())
def test_the_bytes_tell_the_type(kind, data):
    assert image(data).image_url.url == data_url(data, kind)


def test_the_older_gif_is_one_too():
    assert image(b"GIF87a").image_url.url.startswith("data:image/gif;")


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.acedata.cloud/ueugot.png",
        "http://localhost/cat.png",
        "HTTPS://HOST/CAT",
        "data:image/png;base64,iVBORw0KGgo=",
        "DATA:image/png;BASE64,iVBORw0KGgo=",
        "data:application/pdf;base64,JVBERi0=",
    ],
)
def test_a_url_is_sent_as_it_is(url):
    assert image(url) == ImagePart(ImageURL(url))


@pytest.mark.parametrize("detail", ["auto", "low", "high", None])
@pytest.mark.parametrize("source", [PNG, "https://host/cat.png", data_url()])
def test_the_detail_is_sent_if_it_was_given(source, detail):
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
        (empty, r"empty\.png' is empty: the service takes PNG, JPEG, GIF and WebP"),
        (text, r"text\.png' is no image of a known type: the service takes PNG"),
    ],
    ids=["missing", "directory", "empty", "text"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_that_is_no_image_is_refused_by_name(make, reason, kind, tmp_path):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        image(kind(make(tmp_path)))

    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_by_name(picture):
    picture.chmod(0)

    with pytest.raises(ConfigurationError, match="Permission denied"):
        image(picture)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
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
        (b"<svg>", "no image of a known type"),
        (b"BM\0\0", "no image of a known type"),
        (b"RIFF\x10\0\0\0WAVE", "no image of a known type"),
        (b"GIF88a", "no image of a known type"),
        (b"%PDF-1.7", "no image of a known type"),
        (PNG[:7], "no image of a known type"),
        (io.BytesIO(), "the image is empty"),
        (Drawing(b""), "the image is empty"),
        ("data:", "a data URL must look like"),
        ("data:image/png;base64,", "a data URL must look like"),
        ("data:image/png,abc", "a data URL must look like"),
        ("data:image/png;base64", "a data URL must look like"),
    ],
)
def test_what_is_no_image_is_refused(source, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        image(source)

    assert len(str(caught.value)) < 400


def test_a_file_opened_as_text_is_refused(tmp_path):
    with text(tmp_path).open(encoding="utf-8") as file, pytest.raises(TypeError, match="'rb'"):
        image(file)


@pytest.mark.parametrize("source", [None, 5, ["cat.png"], {"url": "x"}, object(), str])
def test_what_cannot_be_an_image_is_refused_by_type(source):
    with pytest.raises(TypeError, match="takes a path, bytes, a binary file, a Pillow image or"):
        image(source)


def test_a_file_that_gives_nothing_is_refused():
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
def test_a_large_image_is_encoded_whole(more):
    data = KINDS["image/jpeg"] + os.urandom(3 * 2**14 + more)

    kind, _, encoded = image(data).image_url.url.partition(",")

    assert kind == "data:image/jpeg;base64"
    assert encoded == b64encode(data).decode()
