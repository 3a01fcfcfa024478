"""The way down a U-Net and up again, written out for one number per level."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.levels import (
    level_options,
    level_options_of,
    levels_radius_px,
    make_levels,
    rise,
    walk_levels,
)
from polyrestore.backbones.shapes import Shapes


class Step(nn.Module):
    """Adds what it is told, and remembers how many channels it was made for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor, condition: float) -> Tensor:
        assert features.shape[1] == self.channels
        return features + condition


def test_skips_are_added_where_their_resolution_comes_again() -> None:
    levels = make_levels(1, (1, 2), 3, (1, 1), Step)
    for down in levels.downs:
        nn.init.ones_(down.get_parameter("weight"))
        nn.init.zeros_(down.get_parameter("bias"))
    for up in levels.ups:
        nn.init.zeros_(up.get_parameter("weight"))
    features = torch.zeros(1, 1, 8, 4)
    ups = [partial(rise, up) for up in levels.ups]
    with torch.no_grad():
        found = walk_levels(features, 1.0, levels.encoders, levels.downs, levels.middle, ups, levels.decoders)
    # Nothing comes up from below, so what is left is the first level's skip and its decoder's block.
    assert torch.equal(found, torch.full((1, 1, 8, 4), 2.0))
    nn.init.ones_(levels.ups[1].get_parameter("weight"))
    with torch.no_grad():
        found = walk_levels(features, 1.0, levels.encoders, levels.downs, levels.middle, ups, levels.decoders)
    # The second level holds 4 + 2 as its skip and 1 more, in two channels.
    assert torch.equal(found, torch.full((1, 1, 8, 4), 2.0 + 2 * 7.0))


def test_a_rise_is_a_pixel_shuffle() -> None:
    features = torch.rand(1, 4, 3, 2)
    assert torch.equal(rise(nn.Identity(), features), functional.pixel_shuffle(features, 2))


@pytest.mark.parametrize(
    ("blocks", "convolutions", "radius"),
    [(((), 0, ()), 1, 2), (((), 3, ()), 2, 8), (((1,), 0, (0,)), 1, 4), (((1, 2), 4, (2, 1)), 1, 31)],
)
def test_the_reach_counts_convolutions_and_cells(
    blocks: tuple[tuple[int, ...], int, tuple[int, ...]], convolutions: int, radius: int
) -> None:
    assert levels_radius_px(*blocks, convolutions) == radius


def test_options_are_stored_and_read_again() -> None:
    options = level_options(4, (1, 2), 3, (2, 1))
    levels = make_levels(4, (1, 2), 3, (2, 1), lambda channels: nn.Conv2d(channels, channels, 1))
    network = nn.ModuleDict({"intro": nn.Conv2d(3, 4, 3), **levels._asdict()})
    shapes = Shapes({key: tuple(value.shape) for key, value in network.state_dict().items()})
    assert level_options_of(shapes, "middle") == options
    with pytest.raises(ValueError, match="2 encoder levels need as many decoder levels, not 1"):
        level_options(4, (1, 2), 3, (2,))
