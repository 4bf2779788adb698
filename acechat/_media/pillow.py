"""Pillow's images, and images that are scaled down with Pillow, which is an extra."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from math import sqrt
from typing import Any

from acechat.errors import ConfigurationError

__all__ = ["encoded", "is_pillow_image", "scaled"]

_QUALITY = 90
"""Above it, a JPEG grows without visible difference."""

_AS_JPEG = {"JPEG", "MPO", "JPEG2000", "HEIF", "AVIF"}
"""Formats of photos; as a PNG, a photo has about 10 times as many bytes."""

_JPEG_MODES = {"L", "RGB"}
_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_WITHOUT_ALPHA = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA", "F": "L"}
"""Targets of other modes; RGB, which all others can be converted to, is the default."""


def is_pillow_image(source: object) -> bool:
    """Return True for an image of Pillow, which is not imported for that."""
    module: Any = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def encoded(source: Any, max_pixels: int | None = None) -> bytes:
    """Encode an image of Pillow: a photo as JPEG, WebP as WebP, another image as PNG.

    Raises:
        ConfigurationError: Pillow cannot decode, convert or encode the image.
    """
    return _attempt(lambda: _encoded(source, max_pixels))


def scaled(data: bytes, max_pixels: int) -> bytes:
    """Return an image with at most *max_pixels* pixels: *data* itself if it has no more.

    Raises:
        ConfigurationError: Pillow is not installed, or cannot decode the image.
    """
    try:
        pillow = _pil("Image")
    except ImportError:
        raise ConfigurationError(
            "max_pixels= needs Pillow: pip install 'acechat[images]'"
        ) from None

    def scale() -> bytes:
        with pillow.open(BytesIO(data)) as source:
            if source.width * source.height <= max_pixels:
                return data
            return _encoded(source, max_pixels)

    return _attempt(scale)


def _pil(name: str) -> Any:
    """Import a module of Pillow, which may not be installed."""
    return import_module(f"PIL.{name}")


def _attempt(work: Callable[[], bytes]) -> bytes:
    too_large: type[Exception] = _pil("Image").DecompressionBombError
    try:
        return work()
    except (OSError, ValueError, SyntaxError, EOFError, too_large) as error:
        reason = str(error)
    raise ConfigurationError(f"Pillow cannot convert the image: {reason}")


def _encoded(source: Any, max_pixels: int | None) -> bytes:
    kind: str = source.format or ""
    image: Any = _pil("ImageOps").exif_transpose(source)
    profile = image.info.get("icc_profile")
    mode = image.mode
    image = _with_mode(image, _JPEG_MODES if kind in _AS_JPEG else _PNG_MODES)
    if image.mode[:3] not in mode:
        profile = None  # it is that of another colour space
    if max_pixels is not None and image.width * image.height > max_pixels:
        image = _with_pixels(image, max_pixels)
    buffer = BytesIO()
    if kind in _AS_JPEG:
        image.save(buffer, "JPEG", quality=_QUALITY, icc_profile=profile)
    elif kind == "WEBP":
        image.save(buffer, "WEBP", quality=_QUALITY, icc_profile=profile or b"")
    else:
        image.save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


def _with_mode(image: Any, modes: set[str]) -> Any:
    if image.mode in modes:
        return image
    if image.mode.startswith("I"):
        return image.convert("I").convert("I;16")
    if image.mode == "LAB":
        cms = _pil("ImageCms")
        lab, rgb = cms.createProfile("LAB"), cms.createProfile("sRGB")
        return cms.profileToProfile(image, lab, rgb, outputMode="RGB")
    target = _WITHOUT_ALPHA.get(image.mode, "RGB")
    return image.convert(target if target in modes else "RGB")


def _with_pixels(image: Any, max_pixels: int) -> Any:
    """Return *image* scaled down to at most *max_pixels* pixels, with its proportions."""
    factor = sqrt(max_pixels / (image.width * image.height))
    width, height = max(int(image.width * factor), 1), max(int(image.height * factor), 1)
    # One side of a narrow image may have been less than a pixel.
    size = min(width, max_pixels), min(height, max_pixels)
    if image.mode in {"1", "P"}:  # their values cannot be averaged
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode.startswith("I"):
        return image.resize(size)
    return image.resize(size, _pil("Image").Resampling.LANCZOS, reducing_gap=3.0)
