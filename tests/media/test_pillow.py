"""Images of Pillow, and images that are scaled down."""

from __future__ import annotations

import io
import sys
import warnings
from base64 import b64decode

import pytest

from acechat import ConfigurationError, image

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")
ImageFilter = pytest.importorskip("PIL.ImageFilter")

MODES = [
    "1",
    "L",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "LA",
    "PA",
    "RGBX",
    "RGBa",
    "La",
    "I;16",
    "I;16L",
    "I;16B",
]


def sent(source, **options):
    """Return the media type that is sent, and the image."""
    kind, _, data = image(source, **options).image_url.url.partition(";base64,")
    decoded = Image.open(io.BytesIO(b64decode(data)))
    decoded.load()
    return kind.removeprefix("data:"), decoded


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


def photo(size=(160, 120), **options):
    noise = Image.effect_noise(size, 40).filter(ImageFilter.GaussianBlur(1.2))
    picture = Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180)))
    return saved(picture, "JPEG", quality=85, **options)


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_sent_as_a_png(mode):
    kind, decoded = sent(Image.new(mode, (3, 2)))

    assert (kind, decoded.size) == ("image/png", (3, 2))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_can_be_scaled_down(mode):
    kind, decoded = sent(Image.new(mode, (40, 20)), max_pixels=200)

    assert (kind, decoded.size) == ("image/png", (20, 10))


@pytest.mark.parametrize(
    ("mode", "color", "target"),
    [
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("LAB", (137, 208, 195), (255, 0, 0)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("RGBa", (128, 0, 0, 128), (255, 0, 0, 128)),
        ("La", (64, 128), (127, 128)),
    ],
)
def test_colours_survive_the_conversion(mode, color, target):
    _, decoded = sent(Image.new(mode, (2, 2), color))

    assert decoded.getpixel((0, 0)) == pytest.approx(target, abs=12)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_stays_a_jpeg(mode):
    kind, decoded = sent(Image.open(saved(Image.new(mode, (8, 8)), "JPEG")))

    assert kind == "image/jpeg"
    assert decoded.mode in {"L", "RGB"}


def test_a_photo_does_not_grow_much():
    file = photo((800, 600))

    data = image(Image.open(file)).image_url.url

    assert len(data) * 3 / 4 < 1.6 * len(file.getvalue())


def test_webp_stays_webp_with_its_alpha():
    kind, decoded = sent(Image.open(saved(Image.new("RGBA", (8, 8), (1, 2, 3, 0)), "WEBP")))

    assert (kind, decoded.mode) == ("image/webp", "RGBA")


def test_a_gif_is_sent_as_a_png_of_its_frame():
    frames = [Image.new("P", (4, 4), color) for color in (1, 2)]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert sent(Image.open(file))[0] == "image/png"


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("max_pixels", [None, 50])
def test_the_orientation_is_applied(value, kind, max_pixels):
    stored = Image.new("L", (16, 8))
    stored.paste(255, (0, 0, 8, 4))  # the upper left quarter
    file = saved(stored.convert("RGB"), kind, exif=orientation(value))

    _, decoded = sent(Image.open(file), max_pixels=max_pixels)

    assert (decoded.width > decoded.height) is (value <= 4)
    assert not decoded.getexif().get(0x0112)
    corners = {
        1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1),
    }  # fmt: skip
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at = (corner[0] * (decoded.width - 1), corner[1] * (decoded.height - 1))
        assert (decoded.convert("L").getpixel(at) > 128) is (corner == corners[value])


def test_the_bytes_of_a_photo_are_sent_unchanged():
    file = photo(exif=orientation(6))

    data = b64decode(image(file.getvalue()).image_url.url.partition(",")[2])

    assert data == file.getvalue()


def test_the_position_in_the_file_does_not_matter():
    file = photo()
    Image.open(file).load()

    assert sent(file)[0] == "image/jpeg"


def test_a_profile_of_other_colours_is_not_sent():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_profile = Image.open(saved(Image.new("RGB", (4, 4)), "JPEG", icc_profile=profile))
    cmyk = Image.new("CMYK", (4, 4))
    cmyk.info["icc_profile"] = b"of CMYK"

    assert sent(with_profile)[1].info["icc_profile"] == profile
    assert "icc_profile" not in sent(cmyk)[1].info


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda picture: saved(picture, "JPEG").getvalue(), "image/jpeg"),
        (lambda picture: saved(picture, "PNG"), "image/png"),
        (lambda picture: saved(picture.convert("P"), "GIF").getvalue(), "image/png"),
        (lambda picture: saved(picture, "WEBP").getvalue(), "image/webp"),
        (lambda picture: picture, "image/png"),
        (lambda picture: image(saved(picture, "JPEG").getvalue()).image_url.url, "image/jpeg"),
    ],
    ids=["JPEG", "PNG file", "GIF", "WebP", "Pillow", "data URL"],
)
@pytest.mark.parametrize(
    ("limit", "size"), [(20_000, (200, 100)), (5_000, (100, 50)), (4_999, (99, 49)), (1, (1, 1))]
)
def test_an_image_over_the_limit_is_scaled_down(make, kind, limit, size):
    source = make(Image.new("RGB", (200, 100), "red"))

    found, decoded = sent(source, max_pixels=limit)

    assert decoded.size == size
    assert decoded.width * decoded.height <= limit
    if size != (200, 100):
        assert found == kind
        red, green, blue = decoded.convert("RGB").getpixel((0, 0))
        assert red > 240
        assert max(green, blue) < 16


def test_an_image_within_the_limit_is_sent_unchanged(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(exif=orientation(6)).getvalue())

    assert image(path, max_pixels=160 * 120) == image(path)


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000), (1000, 3)])
def test_a_narrow_image_keeps_a_pixel(size):
    _, decoded = sent(Image.new("RGB", size), max_pixels=10)

    assert 0 < decoded.width * decoded.height <= 10


def test_transparency_survives_scaling():
    palette = Image.new("RGBA", (20, 20), (0, 0, 0, 0)).quantize(2)
    file = saved(palette, "PNG", transparency=0)

    _, decoded = sent(file, max_pixels=100)

    assert decoded.getpixel((5, 5))[3] == 0


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True])
def test_invalid_limits_are_rejected(limit):
    with pytest.raises(ConfigurationError, match="max_pixels must be an integer of 1 or more"):
        image(photo(), max_pixels=limit)


def test_the_image_of_a_url_cannot_be_scaled():
    with pytest.raises(ConfigurationError, match="which the service downloads"):
        image("https://host/cat.png", max_pixels=100)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xffbroken", b"GIF89a"])
def test_a_broken_image_is_a_configuration_error(data):
    with pytest.raises(ConfigurationError, match="Pillow cannot convert the image"):
        image(data, max_pixels=100)


def test_a_truncated_image_is_a_configuration_error():
    data = photo((800, 600)).getvalue()

    with pytest.raises(ConfigurationError, match="image: image file is trunc"):
        image(Image.open(io.BytesIO(data[:9000])))


def test_other_data_is_named_before_it_is_scaled():
    with pytest.raises(ConfigurationError, match="no supported format"):
        image(b"%PDF-1.7", max_pixels=100)
    with pytest.raises(ConfigurationError, match="invalid base64"):
        image("data:image/png;base64,iVBORw0KGgo=x", max_pixels=100)


def test_an_image_of_too_many_pixels_is_a_configuration_error(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings(), pytest.raises(ConfigurationError, match="exceeds limit"):
        image(photo(), max_pixels=100)


def test_without_pillow_a_limit_names_the_extra(monkeypatch):
    data = photo().getvalue()
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")

    with pytest.raises(ConfigurationError, match=r"pip install 'acechat\[images\]'"):
        image(data, max_pixels=100)
    assert image(data).image_url.url.startswith("data:image/jpeg")
