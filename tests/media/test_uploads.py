"""Uploaded files of web frameworks as images, with the real frameworks where they are installed."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import tempfile
from base64 import b64encode

import pytest

from acechat import ConfigurationError, image

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


opened = []


@pytest.fixture(autouse=True)
def close_files():
    yield
    while opened:
        opened.pop().close()


def werkzeug_upload(data):
    datastructures = pytest.importorskip("werkzeug.datastructures")
    return datastructures.FileStorage(io.BytesIO(data), "cat.png")


def on_disk(data):
    file = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115 - the upload owns it
    file.write(data)
    file.seek(0)
    opened.append(file)
    return file


def werkzeug_upload_on_disk(data):
    datastructures = pytest.importorskip("werkzeug.datastructures")
    file = on_disk(data)
    return datastructures.FileStorage(file, "cat.png")


def django_files():
    django = pytest.importorskip("django.core.files.uploadedfile")
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    return django


def django_upload_in_memory(data):
    return django_files().SimpleUploadedFile("cat.png", data)


def django_upload_on_disk(data):
    upload = django_files().TemporaryUploadedFile("cat.png", "image/png", len(data), None)
    opened.append(upload)
    upload.write(data)
    upload.seek(0)
    return upload


def django_file(data):
    django_files()
    from django.core.files.base import ContentFile

    return ContentFile(data, "cat.png")


def starlette_upload(data):
    datastructures = pytest.importorskip("starlette.datastructures")
    return datastructures.UploadFile(io.BytesIO(data), filename="cat.png")


def starlette_upload_on_disk(data):
    datastructures = pytest.importorskip("starlette.datastructures")
    file = on_disk(data)
    return datastructures.UploadFile(file, filename="cat.png")


def fastapi_upload(data):
    fastapi = pytest.importorskip("fastapi")
    return fastapi.UploadFile(io.BytesIO(data), filename="cat.png")


def aiohttp_upload(data):
    web = pytest.importorskip("aiohttp.web")
    return web.FileField("cat", "cat.png", io.BufferedReader(io.BytesIO(data)), "image/png", {})


def tornado_upload(data):
    httputil = pytest.importorskip("tornado.httputil")
    return httputil.HTTPFile(filename="cat.png", body=data, content_type="image/png")


@dataclasses.dataclass
class Sanic:
    """The form of Sanic's ``File``, which is a named tuple."""

    type: str
    body: bytes
    name: str


@dataclasses.dataclass
class Bottle:
    """The form of Bottle's ``FileUpload``."""

    file: io.BytesIO

    def save(self, destination, overwrite=False, chunk_size=65536): ...


@dataclasses.dataclass
class Falcon:
    """The form of Falcon's ``BodyPart``."""

    stream: io.BytesIO


UPLOADS = [
    werkzeug_upload,
    werkzeug_upload_on_disk,
    django_upload_in_memory,
    django_upload_on_disk,
    django_file,
    starlette_upload,
    starlette_upload_on_disk,
    fastapi_upload,
    aiohttp_upload,
    tornado_upload,
    lambda data: Sanic("image/png", data, "cat.png"),
    lambda data: Bottle(io.BytesIO(data)),
    lambda data: Falcon(io.BytesIO(data)),
]


@pytest.mark.parametrize("make", UPLOADS)
def test_an_upload_is_an_image(make):
    upload = make(PNG)

    assert image(upload).image_url.url == URL


@pytest.mark.parametrize("make", UPLOADS)
def test_an_upload_that_is_no_image_is_an_error(make):
    with pytest.raises(ConfigurationError, match="the image has no supported format"):
        image(make(b"%PDF-1.7"))


@pytest.mark.parametrize(
    "make", [werkzeug_upload, django_upload_in_memory, django_upload_on_disk, io.BytesIO]
)
@pytest.mark.parametrize("size", [5, 1000])
def test_an_upload_that_was_read_before_is_read_from_its_beginning(make, size):
    upload = make(PNG)
    upload.read(size)

    assert image(upload).image_url.url == URL


@pytest.mark.parametrize("make", [starlette_upload, fastapi_upload])
def test_an_upload_that_was_read_with_await_is_read_from_its_beginning(make):
    async def main():
        upload = make(PNG)
        assert await upload.read() == PNG
        return image(upload).image_url.url

    assert asyncio.run(main()) == URL


def test_the_position_of_a_file_with_an_image_is_kept():
    file = io.BytesIO(b"header" + PNG)
    file.seek(6)

    assert image(file).image_url.url == URL


def test_a_real_request_to_flask_style_and_fastapi_handlers():
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    app = fastapi.FastAPI()

    async def see(cat):
        return {"url": image(cat).image_url.url}

    see.__annotations__["cat"] = fastapi.UploadFile
    app.post("/see")(see)

    response = testclient.TestClient(app).post("/see", files={"cat": ("cat.png", PNG)})

    assert response.json() == {"url": URL}


def test_a_request_of_werkzeug_has_images():
    test = pytest.importorskip("werkzeug.test")
    wrappers = pytest.importorskip("werkzeug.wrappers")
    builder = test.EnvironBuilder(method="POST", data={"cat": (io.BytesIO(PNG), "cat.png")})

    request = wrappers.Request(builder.get_environ())

    assert image(request.files["cat"]).image_url.url == URL
    request.close()
    builder.close()
