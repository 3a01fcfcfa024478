"""TIFF files beyond photographs: floats, 32-bit integers, signed samples, channels that are no colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PILImage

from polyrestore.errors import ImageError
from polyrestore.imaging import Image, encode_image, read_image, read_pillow
from polyrestore.imaging.exif import turn_upright

KINDS = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64"]
RANGES = {"unit": (0.0, 1.0), "levels": (0.0, 250.0), "signed": (-100.0, 120.0), "counts": (3.0, 60000.0)}


def saved(samples: NDArray[Any], **options: Any) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(samples, metadata=None, **options)
    return buffer.getvalue()


def loaded(content: bytes) -> NDArray[Any]:
    import tifffile

    found: NDArray[Any] = tifffile.imread(io.BytesIO(content))
    return found if found.ndim == 3 else found[:, :, None]


def drawn(kind: str, shape: tuple[int, ...], span: str, seed: int) -> NDArray[Any]:
    low, high = RANGES[span]
    values = np.random.default_rng(seed).random(shape) * (high - low) + low
    if kind.startswith("float"):
        return values.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max).astype(kind)


def written(image: Image, path: str = "a.tif") -> tuple[bytes, tuple[str, ...]]:
    return encode_image(Path(path), image.pixels, image.metadata)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    colour=st.booleans(),
    extra=st.lists(st.sampled_from(["unspecified", "unassalpha"]), max_size=3),
    span=st.sampled_from(sorted(RANGES)),
    planar=st.booleans(),
    orientation=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_samples_keep_their_type_their_range_and_their_channels(
    kind: str,
    height: int,
    width: int,
    colour: bool,
    extra: list[str],
    span: str,
    planar: bool,
    orientation: int,
    seed: int,
) -> None:
    # A file has alpha once at most, and first.
    extra = sorted(set(extra) & {"unassalpha"}) + [name for name in extra if name == "unspecified"]
    colours = 3 if colour else 1
    samples = drawn(kind, (height, width, colours + len(extra)), span, seed)
    has_alpha = extra[:1] == ["unassalpha"]
    if has_alpha:
        samples[:, :, colours] = 1 if kind.startswith("float") else np.iinfo(kind).max
    stored = np.moveaxis(samples, 2, 0) if planar and samples.shape[2] > 1 else samples
    if samples.shape[2] == 1:
        stored = samples[:, :, 0]
    content = saved(
        np.ascontiguousarray(stored),
        photometric="rgb" if colour else "minisblack",
        planarconfig=None if stored.ndim == 2 else "separate" if planar else "contig",
        extrasamples=extra,
        extratags=[(274, "H", 1, orientation, True)],
    )
    found = read_image(content)
    upright = turn_upright(samples, orientation)
    assert found.pixels.shape == (3, *upright.shape[:2])
    assert bool(((found.pixels >= 0) & (found.pixels <= 1)).all())
    assert found.metadata.grey == (not colour)
    assert (found.metadata.alpha is not None) == has_alpha
    further = len(extra) - has_alpha
    assert any(note.code == "channels_kept" for note in found.notes) == (further > 0)
    again, notes = written(found)
    assert not [note for note in notes if "grey with alpha" not in note]
    result = loaded(again)
    assert result.dtype == np.dtype(kind)
    if notes:
        # Grey of 16 bits with alpha becomes colour.
        result = result[:, :, 2:]
    assert result.shape == upright.shape
    scale = 1.0 if not kind.startswith("float") else np.abs(upright.astype(np.float64)).max()
    np.testing.assert_allclose(
        result.astype(np.float64),
        upright.astype(np.float64),
        rtol=2e-3 if kind == "float16" else 1e-6,
        atol=2e-7 * scale if kind.startswith("float") else 0,
    )


@pytest.mark.parametrize("kind", ["float16", "float32", "uint32", "int16"])
def test_the_range_is_told_where_it_is_not_the_usual_one(kind: str) -> None:
    inside = saved(drawn(kind, (5, 6), "unit" if "float" in kind else "counts", 0))
    assert any(note.code == "range_scaled" for note in read_image(inside).notes) == (
        kind == "int16" and False
    )
    beyond = drawn(kind, (5, 6), "signed" if kind != "uint32" else "counts", 0)
    if kind == "uint32":
        beyond[0, 0] = 1 << 20
    (note,) = read_image(saved(beyond)).notes
    assert note.code == "range_scaled"
    assert f"to {float(beyond.max()):g} taken" in note


def test_formats_without_floats_get_levels_and_say_so() -> None:
    image = read_image(saved(drawn("float32", (6, 5, 3), "counts", 0), photometric="rgb"))
    content, notes = written(image, "a.png")
    assert any("cannot hold float32" in note and "65535 is" in note for note in notes)
    assert read_image(content).metadata.bit_depth == 16
    assert (read_image(content).pixels - image.pixels).abs().max() < 1e-5


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_values_that_are_none_are_refused_with_their_number(odd: float) -> None:
    samples = drawn("float32", (4, 4, 3), "unit", 0)
    samples[1, 2, 0] = odd
    with pytest.raises(ImageError, match="a.tif: 1 of 48 values are not numbers or infinite"):
        read_image(saved(samples, photometric="rgb"), name="a.tif")


def test_a_constant_picture_is_read() -> None:
    image = read_image(saved(np.full((3, 3), 7.5, np.float32)))
    assert torch.equal(image.pixels, torch.ones(3, 3, 3))
    assert np.array_equal(loaded(written(image)[0])[:, :, 0], np.full((3, 3), 7.5))


@pytest.mark.parametrize("kind", ["float32", "int32"])
@pytest.mark.parametrize("span", sorted(RANGES))
def test_what_pillow_holds_counts_as_its_file(kind: str, span: str) -> None:
    content = saved(drawn(kind, (4, 5), span, 0))
    expected, held = read_image(content), read_pillow(PILImage.open(io.BytesIO(content)))
    assert torch.equal(held.pixels, expected.pixels)
    assert held.metadata.scale == expected.metadata.scale
    assert held.notes == expected.notes


def test_pages_of_another_kind_are_refused_for_their_true_reason() -> None:
    lab = saved(np.zeros((4, 5, 3), np.float32), photometric="cielab")
    with pytest.raises(ImageError, match="a.tif: a TIFF file of a kind that is not read: .* CIELAB"):
        read_image(lab, name="a.tif")
    inverted = saved(np.zeros((4, 5), np.float32), photometric="miniswhite")
    with pytest.raises(ImageError, match="a.tif: a TIFF file in which 0 is white"):
        read_image(inverted, name="a.tif")


def test_the_resolution_of_a_picture_of_floats_is_kept() -> None:
    content = saved(
        np.zeros((4, 5, 3), np.float32), photometric="rgb", resolution=(300, 150), resolutionunit=2
    )
    assert read_image(content).metadata.dpi == (300, 150)
    assert read_image(written(read_image(content))[0]).metadata.dpi == (300, 150)
