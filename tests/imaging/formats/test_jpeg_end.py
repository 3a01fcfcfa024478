"""JPEG files that were cut off: what is whole is read, what is nearly whole is told, the rest is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

from polyrestore.errors import ImageError
from polyrestore.imaging import read_image, read_pillow

KINDS: dict[str, dict[str, Any]] = {
    "full colour": {"subsampling": 0},
    "half colour": {"subsampling": 1},
    "quarter colour": {"subsampling": 2},
    "progressive": {"progressive": True, "subsampling": 2},
    "restarts": {"restart_marker_blocks": 4},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}


def compressed(width: int, height: int, seed: int, *, mode: str = "RGB", **options: Any) -> bytes:
    generator = np.random.default_rng(seed)
    levels = np.kron(generator.integers(40, 215, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1)))
    levels = levels[:height, :width] + generator.integers(-30, 30, (height, width, 3))
    buffer = io.BytesIO()
    PILImage.fromarray(levels.astype(np.uint8)).convert(mode).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90), seed=st.integers(0, 9), cut=st.sampled_from([1, 2])
)
def test_a_file_that_lacks_its_end_alone_is_whole(
    kind: str, width: int, height: int, seed: int, cut: int
) -> None:
    content = compressed(width, height, seed, **KINDS[kind])
    expected, found = read_image(content), read_image(content[:-cut])
    assert torch.equal(found.pixels, expected.pixels)
    # Small pictures are complete before the decoder asks for more.
    codes = [note.code for note in found.notes if note not in expected.notes]
    assert codes in ([], ["end_missing"])
    held = read_pillow(PILImage.open(io.BytesIO(content[:-cut])))
    assert torch.equal(held.pixels, expected.pixels)
    assert held.notes == found.notes


def test_a_missing_end_is_told() -> None:
    assert [note.code for note in read_image(compressed(200, 200, 0)[:-2]).notes] == ["end_missing"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9), data=st.data())
def test_what_is_missing_is_told_or_refused(kind: str, seed: int, data: st.DataObject) -> None:
    content = compressed(150, 170, seed, **KINDS[kind])
    cut = data.draw(st.one_of(st.integers(3, 60), st.integers(60, len(content) - 200)))
    whole = read_image(content).pixels
    try:
        found = read_image(content[:-cut])
    except ImageError as error:
        told = str(error)
        assert "cut off" in told or "damaged" in told or "cannot be read" in told
        return
    changed = 100 * float((found.pixels != whole).any(dim=0).float().mean())
    # With colours of lower resolution, the rim of what is missing is a little wider.
    assert changed <= 1.5
    codes = [note.code for note in found.notes]
    assert ("end_missing" in codes) != ("pixels_missing" in codes)
    if "end_missing" in codes:
        assert changed == 0


def test_a_large_part_is_refused_with_its_size() -> None:
    content = compressed(160, 160, 0, subsampling=0)
    with pytest.raises(ImageError, match=r"a.jpg: the file was cut off, and [45]\d.* % of the picture"):
        read_image(content[: len(content) // 2], name="a.jpg")


def test_a_progressive_file_without_its_last_passes_is_refused() -> None:
    content = compressed(160, 160, 0, progressive=True)
    last_scan = content.rindex(b"\xff\xda")
    table = content.rindex(b"\xff\xc4")
    with pytest.raises(ImageError, match="details of the whole picture are missing"):
        read_image(content[: min(last_scan, table)])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_off_and_closed_again_is_refused(kind: str) -> None:
    content = compressed(160, 160, 0, **KINDS[kind])
    with pytest.raises(ImageError, match="cut off"):
        read_image(content[: len(content) // 2] + b"\xff\xd9")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_that_ends_in_grey_is_whole(mode: str) -> None:
    buffer = io.BytesIO()
    PILImage.new(mode, (50, 40), "#808080").save(buffer, "JPEG")
    found = read_image(buffer.getvalue())
    assert not found.notes
    assert bool(((found.pixels * 255).round() == 128).all())
