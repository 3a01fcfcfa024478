"""Whatever is read and written again unchanged has the same pixels and the same belongings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import ImageCms

from polyrestore.imaging import FORMATS, ImageMetadata, read_image, write_image

RELAXED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, channels: int, levels: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, levels + 1, (channels, height, width))
    return torch.from_numpy((values / levels).astype(np.float32))


def camera_exif(orientation: int = 1) -> bytes:
    exif = PILImage.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", "Model", orientation
    exif[0x8769] = {0x829A: 0.01, 0x8827: 400, 0x9003: "2020:01:02 03:04:05", 0x927C: b"maker note"}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes().removeprefix(b"Exif\x00\x00")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@RELAXED
@given(
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    grey=st.booleans(),
    with_alpha=st.booleans(),
    sixteen=st.booleans(),
    dpi=st.one_of(st.none(), st.tuples(st.integers(1, 1200), st.integers(1, 1200))),
    seed=st.integers(0, 99),
)
def test_lossless_formats_return_the_exact_levels(
    tmp_path: Path,
    suffix: str,
    height: int,
    width: int,
    grey: bool,
    with_alpha: bool,
    sixteen: bool,
    dpi: tuple[int, int] | None,
    seed: int,
) -> None:
    holder = next(description for description in FORMATS.values() if suffix in description.suffixes)
    sixteen = sixteen and 16 in holder.bit_depths
    grey = grey and holder.grey
    levels = 65535 if sixteen else 255
    pixels = noise(height, width, 1 if grey else 3, levels, seed).expand(3, -1, -1)
    alpha = noise(height, width, 1, levels, seed + 1) if with_alpha else None
    metadata = ImageMetadata(bit_depth=16 if sixteen else 8, grey=grey, alpha=alpha, dpi=dpi)
    path = tmp_path / f"image{suffix}"

    notes = write_image(path, pixels, metadata)
    again = read_image(path)

    assert torch.equal(again.pixels, pixels)
    assert again.pixels.dtype == torch.float32
    assert again.metadata.format == holder.name
    assert again.metadata.bit_depth == metadata.bit_depth
    if alpha is None:
        assert again.metadata.alpha is None
    else:
        assert again.metadata.alpha is not None
        assert torch.equal(again.metadata.alpha, alpha)
    becomes_colour = grey and with_alpha and (suffix == ".bmp" or (suffix == ".tif" and sixteen))
    assert again.metadata.grey == (grey and not becomes_colour)
    if dpi is not None and holder.dpi:
        assert again.metadata.dpi == pytest.approx(dpi, abs=0.02)
    else:
        assert again.metadata.dpi is None
    assert bool(notes) == (becomes_colour or (dpi is not None and not holder.dpi))


@RELAXED
@given(height=st.integers(1, 40), width=st.integers(1, 40), grey=st.booleans())
def test_jpeg_keeps_size_and_grey_and_stays_close(
    tmp_path: Path, height: int, width: int, grey: bool
) -> None:
    ramp = torch.linspace(0.2, 0.8, height * width).reshape(1, height, width).expand(3, -1, -1)
    write_image(tmp_path / "a.jpg", ramp, ImageMetadata(grey=grey, dpi=(300, 300)))
    again = read_image(tmp_path / "a.jpg")
    assert again.pixels.shape == ramp.shape
    assert again.metadata.grey == grey
    assert again.metadata.dpi == (300, 300)
    assert not again.metadata.lossless
    assert (again.pixels - ramp).abs().max() < 0.05


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", noise(16, 16, 3, 255), ImageMetadata())
    with PILImage.open(tmp_path / "a.jpg") as opened:
        assert [layer[1:3] for layer in opened.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("bit_depth", [8, 16])
def test_profile_and_exif_survive(tmp_path: Path, suffix: str, bit_depth: int) -> None:
    metadata = ImageMetadata(bit_depth=bit_depth, icc_profile=SRGB, exif=camera_exif())
    write_image(tmp_path / f"a{suffix}", noise(5, 7, 3, 255), metadata)
    write_image(
        tmp_path / f"b{suffix}",
        noise(5, 7, 3, 255),
        read_image(tmp_path / f"a{suffix}").metadata,
    )
    again = read_image(tmp_path / f"b{suffix}").metadata
    assert again.icc_profile == SRGB
    assert again.exif is not None
    if suffix != ".tif":
        assert again.exif == camera_exif()
    with PILImage.open(tmp_path / f"b{suffix}") as opened:
        tags = opened.getexif()
        assert tags[0x010F] == "Maker"
        assert tags[0x0110] == "Model"
        assert tags.get_ifd(0x8769)[0x8827] == 400
        assert tags.get_ifd(0x8769)[0x927C] == b"maker note"
        assert tags.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", "16.png", "16.tif"])
def test_orientation_is_applied_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    from PIL import ImageOps

    levels = noise(12, 20, 3, 255)
    metadata = ImageMetadata(bit_depth=16 if "16" in suffix else 8)
    path = tmp_path / f"a{suffix}"
    write_image(path, levels, metadata)
    stored = read_image(path).pixels
    content = (levels * 255).round().byte().permute(1, 2, 0).numpy()
    picture = PILImage.fromarray(content)
    picture.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture))
    if suffix.endswith(".tif"):
        stored_bytes = path.read_bytes()
        entry = b"\x12\x01\x03\x00\x01\x00\x00\x00"
        assert stored_bytes.count(entry) == 1
        at = stored_bytes.index(entry) + len(entry)
        path.write_bytes(stored_bytes[:at] + bytes([orientation]) + stored_bytes[at + 1 :])
    else:
        write_image(path, levels, ImageMetadata(bit_depth=metadata.bit_depth, exif=camera_exif(orientation)))

    once = read_image(path)
    assert once.metadata.orientation == orientation
    if suffix != ".jpg":
        assert np.array_equal((once.pixels * 255).round().permute(1, 2, 0).numpy(), expected)
    else:
        assert once.pixels.shape[1:] == expected.shape[:2]
    assert once.pixels.sum() == pytest.approx(float(stored.sum()), rel=1e-3)

    write_image(path, once.pixels, once.metadata)
    twice = read_image(path)
    assert twice.metadata.orientation == 1
    assert twice.pixels.shape == once.pixels.shape
    if suffix != ".jpg":
        assert torch.equal(twice.pixels, once.pixels)
        assert np.array_equal(
            np.asarray(ImageOps.exif_transpose(PILImage.open(path)).convert("RGB")), expected
        )


def test_only_the_orientation_bytes_of_exif_change(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(2, 3, 3, 255), ImageMetadata(exif=camera_exif(6)))
    found = read_image(tmp_path / "a.png").metadata.exif
    before = camera_exif(6)
    assert found is not None
    assert len(found) == len(before)
    assert sum(a != b for a, b in zip(found, before, strict=True)) == 1


def test_webp_loss_follows_the_source(tmp_path: Path) -> None:
    pixels = noise(16, 16, 3, 255)
    for quality, lossless in ((80, False), (100, True)):
        buffer = io.BytesIO()
        content = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
        PILImage.fromarray(content).save(buffer, "WEBP", quality=quality, lossless=lossless)
        (tmp_path / "a.webp").write_bytes(buffer.getvalue())
        image = read_image(tmp_path / "a.webp")
        assert image.metadata.lossless == lossless
        write_image(tmp_path / "b.webp", image.pixels, image.metadata)
        again = read_image(tmp_path / "b.webp")
        assert again.metadata.lossless == lossless
        assert torch.equal(again.pixels, image.pixels) == lossless
