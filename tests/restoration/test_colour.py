"""A grey photograph stays grey, and a coloured one is left to the network."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.restoration.colour import is_grey, keep_grey
from polyrestore.restoration.restorer import Restorer
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000))
def test_equal_channels_stay_equal_and_have_the_brightness_of_the_restored(
    height: int, width: int, seed: int
) -> None:
    grey = random_image(height, width, seed=seed)[0, :1].expand(3, -1, -1)
    restored = random_image(height, width, seed=seed + 1)[0]
    kept = keep_grey(restored.clone(), grey)
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1], kept[2])
    torch.testing.assert_close(kept.mean(0), restored.mean(0), atol=1e-6, rtol=0)


def test_what_compression_left_of_colour_is_not_made_stronger() -> None:
    grey = (0.2 + 0.6 * random_image(24, 32)[0, :1]).expand(3, -1, -1)
    stored = grey + torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1) / 255
    assert is_grey(stored)
    kept = keep_grey((3 * stored - 0.4).clamp(0, 1), stored)
    assert float((kept.amax(0) - kept.amin(0)).max()) <= 2.01 / 255


def test_one_coloured_pixel_makes_a_photograph_a_coloured_one() -> None:
    image = random_image(9, 7)[0, :1].repeat(3, 1, 1)
    assert is_grey(image)
    image[0, 4, 3], image[2, 4, 3] = 0.5, 0.45
    assert not is_grey(image)


def test_a_network_that_adds_colours_adds_none_to_a_grey_photograph() -> None:
    restorer = Restorer(tiny_bundle(spread=0.5))
    grey = random_image(24, 32)[0, :1].repeat(3, 1, 1)
    coloured = grey.clone()
    coloured[0] = 0.9 * coloured[0]
    with restorer.composed({"noise": 1.0, "rain": 1.0}) as run:
        assert float((run(coloured).amax(0) - run(coloured).amin(0)).max()) > 0.15
        kept = run(grey)
    assert torch.equal(kept[0], kept[2])
    assert not torch.equal(kept, grey)
