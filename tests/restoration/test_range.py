"""Pictures that use a corner of their range: restored as if they used all of it, unless light is at stake."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polyrestore.restoration.range import LEAST_RANGE, stretched
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_bundle import tiny_bundle


def faint(brightest: float = 0.05) -> Tensor:
    picture = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(3))
    return picture / picture.max() * brightest


def refuse(rows: slice, columns: slice, part: Tensor) -> None:
    raise AssertionError("nothing was to be put back")


def test_what_comes_back_is_as_bright_as_it_was() -> None:
    image, found = faint(), []
    shown, put = stretched(image, lambda rows, columns, part: found.append(part), ["noise", "jpeg"])
    assert float(shown.max()) == pytest.approx(0.9)
    put(slice(None), slice(None), shown)
    torch.testing.assert_close(found[0], image)


@pytest.mark.parametrize(
    ("image", "acting"),
    [
        (faint(), ["noise", "low_light"]),
        (faint(), ["wet_glass"]),
        (faint(), []),
        (faint(LEAST_RANGE), ["noise"]),
        (torch.zeros(3, 8, 8), ["noise"]),
    ],
)
def test_a_picture_that_uses_its_range_or_lacks_light_stays(image: Tensor, acting: list[str]) -> None:
    shown, put = stretched(image, refuse, acting)
    assert shown is image
    assert put is refuse


def test_levels_and_floats_are_restored_alike_and_stay_in_their_corner() -> None:
    restorer = Restorer(tiny_bundle(), "cpu")
    levels = (faint() * 65535).round().to(torch.int32).numpy().astype("uint16").transpose(1, 2, 0)
    restored = restorer.restore(levels, as_="noise").pixels
    again = restorer.restore(torch.from_numpy(levels.transpose(2, 0, 1) / 65535.0).float(), as_="noise")
    torch.testing.assert_close(restored, again.pixels, atol=1e-5, rtol=0)
    bright = restorer.restore(faint(0.9), as_="noise").pixels
    torch.testing.assert_close((restored * 18).clamp(0, 1), bright, atol=6e-3, rtol=0)
