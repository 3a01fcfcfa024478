"""Levels and floats: there and back without a loss, and one picture in both."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.imaging import ImageMetadata, encode_image, open_pages, read_image
from polyrestore.imaging.levels import LARGEST_LEVEL, convert_levels, equal_pictures, to_floats, to_levels


def random_levels(dtype: torch.dtype, height: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(LARGEST_LEVEL[dtype] + 1, (3, height, width), generator=generator).to(dtype)


@settings(max_examples=20, deadline=None)
@given(
    dtype=st.sampled_from(list(LARGEST_LEVEL)),
    height=st.integers(1, 300),
    width=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_floats_and_back_are_the_same_levels(dtype: torch.dtype, height: int, width: int, seed: int) -> None:
    levels = random_levels(dtype, height, width, seed)
    floats = convert_levels(levels, torch.float32)
    assert torch.equal(floats, to_floats(levels))
    assert torch.equal(convert_levels(floats, dtype).int(), levels.int())
    assert equal_pictures(levels, floats)
    floats[2, height - 1, 0] += 0.001
    assert not equal_pictures(levels, floats)
    assert not equal_pictures(levels, to_levels(floats.neg() + 1, dtype))


def test_levels_are_the_nearest_and_stay_in_range() -> None:
    assert to_levels(torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]), torch.uint8).tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_gives_its_levels_and_is_written_from_them(name: str, bits: int, grey: bool) -> None:
    dtype = torch.uint8 if bits == 8 else torch.uint16
    levels = random_levels(dtype, 5, 4, bits)
    levels = levels[:1].expand(3, -1, -1) if grey else levels
    content, _ = encode_image(name, levels, ImageMetadata(bit_depth=bits, grey=grey))
    found = read_image(content, as_levels=True)
    assert found.pixels.dtype == dtype
    assert equal_pictures(found.pixels, levels)
    assert torch.equal(read_image(content).pixels, to_floats(levels))
    assert encode_image(name, to_floats(levels), found.metadata)[0] == content
    with open_pages(content, as_levels=True) as pages:
        # The file is opened anew for the second time.
        assert [equal_pictures(pages.read(0).pixels, levels) for _ in range(2)] == [True, True]
