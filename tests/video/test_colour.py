"""Samples and RGB: known colours by the standard's own figures, and nothing lost where nothing changes."""

from __future__ import annotations

import pytest
import torch

from polyrestore.video.colour import MATRICES, PIXEL_FORMATS, Samples, guess_matrix

RED, GREY = (1.0, 0.0, 0.0), (0.5, 0.5, 0.5)
# Of 100 % bars, as BT.601 and BT.709 give them for 8 bits, and BT.2020 for 10.
KNOWN = [
    ("yuv444p", 6, False, RED, (81, 90, 240)),
    ("yuv444p", 1, False, RED, (63, 102, 240)),
    ("yuv444p", 1, False, (1.0, 1.0, 1.0), (235, 128, 128)),
    ("yuv444p10le", 9, False, RED, (294, 387, 960)),
    ("yuv444p", 6, True, RED, (76, 85, 255)),
    ("yuv444p", 6, True, (0.0, 0.0, 0.0), (0, 128, 128)),
]


def planes_for(samples: Samples, height: int, width: int, seed: int = 0) -> list[torch.Tensor]:
    form = PIXEL_FORMATS[samples.pixel_format]
    kind = torch.uint8 if form.bits == 8 else torch.int32
    generator = torch.Generator().manual_seed(seed)
    small = (-(-height // form.down), -(-width // form.across))
    return [
        torch.randint(0, 1 << form.bits, size, generator=generator).to(kind)
        for size in ((height, width), small, small)
    ]


@pytest.mark.parametrize(("name", "matrix", "full", "colour", "expected"), KNOWN)
def test_colours_are_those_of_the_standard(
    name: str,
    matrix: int,
    full: bool,
    colour: tuple[float, float, float],
    expected: tuple[int, int, int],
) -> None:
    samples = Samples(name, matrix, full)
    planes = [torch.full((2, 2), value, dtype=torch.int32) for value in expected]
    pixels = samples.to_rgb(planes)[:, 0, 0]
    # A sample is a rounded number.
    step = 1.6 / 219 * (1 if "10" not in name else 0.25)
    torch.testing.assert_close(pixels, torch.tensor(colour), atol=step, rtol=0)


@pytest.mark.parametrize("name", PIXEL_FORMATS)
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
def test_what_is_not_changed_keeps_its_samples(name: str, size: tuple[int, int]) -> None:
    samples = Samples(name, 1, False)
    planes = planes_for(samples, *size)
    pixels = samples.to_rgb(planes)
    assert pixels.shape == (3, *size)
    for given, kept in zip(planes, samples.add_change(planes, torch.zeros(3, *size)), strict=True):
        assert torch.equal(given, kept)
        assert given.dtype == kept.dtype


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True])
def test_a_change_of_colour_arrives(matrix: int, full: bool) -> None:
    samples = Samples("yuv420p10le", matrix, full)
    middle = 512
    planes = [torch.full((4, 4), middle), torch.full((2, 2), middle), torch.full((2, 2), middle)]
    before = samples.to_rgb(planes)
    change = torch.tensor([0.2, -0.1, 0.05])[:, None, None].expand(3, 4, 4)
    after = samples.to_rgb(samples.add_change(planes, change))
    torch.testing.assert_close(after - before, change, atol=0.004, rtol=0)


def test_colours_lie_where_the_standard_has_them() -> None:
    samples = Samples("yuv420p", 1, True)
    ramp = torch.tensor([[0, 64, 128, 192]], dtype=torch.uint8).repeat(2, 1)
    planes = [torch.full((4, 8), 128, dtype=torch.uint8), torch.full((2, 4), 128, dtype=torch.uint8), ramp]
    red = samples._spread(ramp.float(), torch.zeros(4, 8))
    assert red[0].tolist() == [0, 32, 64, 96, 128, 160, 192, 192]
    assert samples.to_rgb(planes).shape == (3, 4, 8)


def test_a_matrix_that_is_not_named_is_guessed_by_the_size() -> None:
    assert [guess_matrix(height) for height in (480, 576, 720, 1080)] == [6, 6, 1, 1]
