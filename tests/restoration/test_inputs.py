from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from polyrestore.errors import ImageError
from polyrestore.imaging.exif import turn_upright
from polyrestore.imaging.levels import to_floats
from polyrestore.imaging.png16 import encode_png16
from polyrestore.restoration.inputs import as_image

LEVELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def test_every_kind_of_input_gives_the_same_pixels() -> None:
    pixels = as_image(LEVELS).pixels
    assert pixels.shape == (3, 2, 4)
    assert pixels.dtype == torch.float32
    np.testing.assert_allclose(pixels.numpy(), LEVELS.transpose(2, 0, 1) / 255, rtol=1e-6)
    encoded = io.BytesIO()
    PillowImage.fromarray(LEVELS).save(encoded, "PNG")
    for same in (
        encoded.getvalue(),
        bytearray(encoded.getvalue()),
        memoryview(encoded.getvalue()),
        io.BytesIO(encoded.getvalue()),
        PillowImage.fromarray(LEVELS),
        LEVELS.astype(np.float64) / 255,
        LEVELS.astype(np.uint16) * 257,
        pixels,
        pixels.unsqueeze(0),
        pixels.double(),
        as_image(LEVELS),
    ):
        torch.testing.assert_close(as_image(same).pixels, pixels, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_in_gives_one_result(tmp_path: Path, mode: str, depth: Any, orientation: int) -> None:
    channels = len(mode)
    largest = np.iinfo(depth).max
    levels = np.random.default_rng(orientation).integers(0, largest + 1, (3, 5, channels)).astype(depth)
    planes = torch.from_numpy(levels.astype(np.float32)).div(largest).permute(2, 0, 1)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    if depth == np.uint16:
        path.write_bytes(encode_png16(levels, exif=exif.tobytes().removeprefix(b"Exif\x00\x00")))
    else:
        PillowImage.fromarray(levels[:, :, 0] if channels == 1 else levels).save(path, exif=exif)
    expected = as_image(path)
    with path.open("rb") as stream:
        ways: list[Any] = [path.read_bytes(), stream, str(path)]
        if depth == np.uint8 or mode == "L":
            ways.append(PillowImage.open(path))
        found = [as_image(way) for way in ways]
    turned = turn_upright(levels, orientation)
    found += [as_image(turned), as_image(turned[:, :, 0]) if channels == 1 else as_image(turned)]
    upright = torch.from_numpy(turn_upright(planes.permute(1, 2, 0).numpy(), orientation).copy())
    found += [as_image(upright.permute(2, 0, 1)), as_image(upright.permute(2, 0, 1)[None])]
    for same in found:
        assert torch.equal(same.pixels, expected.pixels)
        assert same.metadata.grey == expected.metadata.grey
        assert (same.metadata.alpha is None) == (expected.metadata.alpha is None)
        if same.metadata.alpha is not None and expected.metadata.alpha is not None:
            assert torch.equal(same.metadata.alpha, expected.metadata.alpha)
    assert all(same.metadata.bit_depth == expected.metadata.bit_depth for same in found[:-2])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_whole_numbers_stay_levels_where_they_are_asked_for(channels: int, depth: Any) -> None:
    levels = np.random.default_rng(0).integers(0, np.iinfo(depth).max + 1, (6, 5, channels)).astype(depth)
    kept, floats = as_image(levels, as_levels=True), as_image(levels)
    assert kept.pixels.dtype == (torch.uint8 if depth == np.uint8 else torch.uint16)
    assert torch.equal(to_floats(kept.pixels), floats.pixels)
    assert kept.metadata.mode == floats.metadata.mode
    if channels in (2, 4):
        assert kept.metadata.alpha is not None
        assert floats.metadata.alpha is not None
        assert torch.equal(kept.metadata.alpha, floats.metadata.alpha)
    before = levels.copy()
    levels[:] = 0
    assert torch.equal(kept.pixels[0], torch.from_numpy(before[:, :, 0]))
    if depth == np.uint8:
        picture = as_image(PillowImage.fromarray(before.squeeze()), as_levels=True)
        assert torch.equal(picture.pixels, kept.pixels)


def test_files_that_are_closed_or_written_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as stream, pytest.raises(ImageError, match="cannot read"):
        as_image(stream)
    with pytest.raises(ImageError, match="cannot read"):
        as_image(stream)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_grey_arrays_become_three_equal_channels(kind: Any) -> None:
    grey = np.array([[0, 1], [1, 0]], dtype=kind)
    pixels = as_image(grey).pixels
    assert pixels.shape == (3, 2, 2)
    assert torch.equal(pixels[0], pixels[2])
    assert pixels[0, 0, 1] > 0


def test_sixteen_bit_pillow_images_keep_their_depth() -> None:
    image = PillowImage.fromarray(np.array([[0, 257, 65535]], dtype=np.uint16))
    assert as_image(image).pixels[0].tolist() == [[0.0, pytest.approx(257 / 65535), 1.0]]


def test_pillow_floats_are_taken_as_they_are() -> None:
    image = PillowImage.fromarray(np.array([[0.25, 0.5]], dtype=np.float32))
    assert as_image(image).pixels[1].tolist() == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 4, 5), np.uint8), r"\(H, W, C\) with 1 to 4 channels, not \(4, 4, 5\)"),
        (np.zeros((4,), np.uint8), r"not \(4,\)"),
        (np.zeros((4, 4, 3), np.int32), "not int32"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels: 4x0"),
        (np.full((2, 2, 3), 255.0), r"must be in \[0, 1\]; divide 8-bit values by 255"),
        (torch.full((3, 2, 2), float("nan")), r"must be in \[0, 1\]"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), "not torch.uint8"),
        (torch.zeros(5, 2, 2), r"1 to 4 channels, not \(5, 2, 2\)"),
        (torch.zeros(2, 3, 2, 2), "a batch of 2 images .* one by one"),
        (b"bytes", "not a readable"),
        (7, "int is not an image"),
        ("missing.png", "missing.png"),
        ("", "path of the image is empty"),
        (io.BytesIO(), "nothing to read"),
        (io.StringIO("text"), "gives str, not bytes; open it in binary mode"),
    ],
)
def test_what_cannot_be_an_image_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_image(source)
