"""A picture that Pillow holds counts as its file does: in every mode, turned in every way, at any size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageCms, ImageOps

from polyrestore.errors import ImageError
from polyrestore.imaging import Image, read_image, read_pillow

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CASES = [
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "transparent P", "keyed RGB")),
    *(("TIFF", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "LAB", "F")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(("BMP", mode) for mode in ("1", "L", "P", "RGB")),
]


def picture(mode: str, width: int, height: int, seed: int) -> tuple[PILImage.Image, dict[str, Any]]:
    """Return a picture of a mode, and the options to save it with."""
    values = np.random.default_rng(seed).integers(0, 65536, (height, width, 4))
    if mode == "I;16":
        return PILImage.fromarray(values[:, :, 0].astype(np.uint16)), {}
    if mode == "F":
        return PILImage.fromarray((values[:, :, 0] / 65535).astype(np.float32)), {}
    rgba = PILImage.fromarray((values >> 8).astype(np.uint8), "RGBA")
    if mode == "transparent P":
        return rgba.convert("RGB").quantize(8), {"transparency": bytes([0, 90, 255])}
    if mode == "keyed RGB":
        image = rgba.convert("RGB")
        return image, {"transparency": image.getpixel((0, 0))}
    if mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        converted = ImageCms.applyTransform(rgba.convert("RGB"), transform)
        assert converted is not None
        return converted, {}
    return (rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)), {}


def encoded(image: PILImage.Image, file_format: str, orientation: int, **options: Any) -> bytes:
    tags = PILImage.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "A camera"
    if file_format != "BMP":
        options |= {"exif": tags}
    if image.mode in ("RGB", "RGBA"):
        options |= {"icc_profile": PROFILE}
    if file_format == "WEBP":
        options |= {"lossless": True, "exact": True}
    buffer = io.BytesIO()
    image.save(buffer, file_format, dpi=(300, 300), **options)
    return buffer.getvalue()


def assert_same(found: Image, expected: Image) -> None:
    assert torch.equal(found.pixels, expected.pixels)
    one, other = found.metadata, expected.metadata
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None and other.alpha is not None:
        assert torch.equal(one.alpha, other.alpha)
    for name in ("format", "bit_depth", "grey", "icc_profile", "exif", "dpi"):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize(("file_format", "mode"), CASES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    orientation=st.integers(1, 8), width=st.integers(1, 9), height=st.integers(1, 9), seed=st.integers(0, 99)
)
def test_an_opened_image_counts_as_its_file(
    file_format: str, mode: str, orientation: int, width: int, height: int, seed: int
) -> None:
    image, options = picture(mode, width, height, seed)
    content = encoded(image, file_format, orientation, **options)
    expected = read_image(content)
    assert_same(read_pillow(PILImage.open(io.BytesIO(content))), expected)
    loaded = PILImage.open(io.BytesIO(content))
    loaded.load()
    loaded.getexif()
    assert_same(read_pillow(loaded), expected)
    # Twice, because reading must not take anything away from what the caller holds.
    assert_same(read_pillow(loaded), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_copy_and_an_upright_image_look_the_same(orientation: int) -> None:
    image, _ = picture("RGB", 5, 3, 1)
    opened = PILImage.open(io.BytesIO(encoded(image, "PNG", orientation)))
    expected = read_pillow(opened).pixels
    assert torch.equal(read_pillow(opened.copy()).pixels, expected)
    assert torch.equal(read_pillow(ImageOps.exif_transpose(opened)).pixels, expected)


def test_a_transparent_level_of_16_bits_becomes_alpha() -> None:
    image = PILImage.fromarray(np.array([[7, 65535]], dtype=np.uint16))
    image.info["transparency"] = 7
    alpha = read_pillow(image).metadata.alpha
    assert alpha is not None
    assert alpha.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "HSV", "RGBX", "I;16B", "I"])
def test_modes_that_only_memory_holds_are_read(mode: str) -> None:
    step = {"La": "LA", "RGBa": "RGBA", "I;16B": "I"}.get(mode, "RGB")
    image = picture("RGB", 4, 3, 2)[0].convert(step).convert(mode)
    found = read_pillow(image)
    assert found.pixels.shape == (3, 3, 4)
    assert (found.metadata.alpha is not None) == (mode in ("La", "RGBa", "PA"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PILImage.new("RGB", (0, 4)), "no pixels: 0x4"),
        (PILImage.new("F", (2, 2), float("nan")), "4 of 4 values are not numbers or infinite"),
        (PILImage.new("F", (2, 2), float("inf")), "not numbers or infinite"),
    ],
)
def test_what_has_no_values_is_refused(image: PILImage.Image, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_pillow(image)


def test_a_closed_and_a_truncated_file_are_image_errors() -> None:
    content = encoded(picture("RGB", 40, 40, 1)[0], "PNG", 1)
    with PILImage.open(io.BytesIO(content)) as closed:
        pass
    closed.close()
    with pytest.raises(ImageError, match="closed, truncated or damaged"):
        read_pillow(closed)
    with pytest.raises(ImageError, match="closed, truncated or damaged"):
        read_pillow(PILImage.open(io.BytesIO(content[: len(content) * 3 // 4])))
