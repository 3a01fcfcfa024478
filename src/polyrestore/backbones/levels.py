"""The levels of a U-Net: how they are made, how far they see, and the way down and up again.

A level is a row of blocks at one resolution. Each step down halves the resolution and doubles the channels
by a 2x2 convolution, each step up undoes that by a 1x1 convolution and a pixel-shuffle, and there the
features of the way down are added. NAFNet has this shape (Chen et al., ECCV 2022, arXiv 2204.04676), and so
have the networks here that differ from it in their blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.bounds import BLOCKS, BLOCKS_BY_LEVEL, CHANNELS, Bound
from polyrestore.backbones.shapes import Shapes

LEVEL_BOUNDS: Mapping[str, Bound] = {
    "width": CHANNELS,
    "encoder_blocks": BLOCKS_BY_LEVEL,
    "middle_blocks": BLOCKS,
    "decoder_blocks": BLOCKS_BY_LEVEL,
}
"""What the options may be that every network of levels takes."""


class Levels(NamedTuple):
    """The parts of a U-Net, from the highest resolution down and up again.

    Attributes:
        encoders: a list of blocks per level.
        downs: what follows each of them.
        middle: the blocks at the lowest resolution.
        ups: 1x1 convolutions to four times the channels that a level has, from the lowest level up.
        decoders: a list of blocks per level, from the lowest up.
    """

    encoders: nn.ModuleList
    downs: nn.ModuleList
    middle: nn.ModuleList
    ups: nn.ModuleList
    decoders: nn.ModuleList


def level_options(
    width: int, encoder_blocks: Sequence[int], middle_blocks: int, decoder_blocks: Sequence[int]
) -> dict[str, object]:
    """Return the options as they are stored.

    Raises:
        ValueError: there are not as many decoder levels as encoder levels.
    """
    levels = len(encoder_blocks)
    if len(decoder_blocks) != levels:
        raise ValueError(f"{levels} encoder levels need as many decoder levels, not {len(decoder_blocks)}")
    return {
        "width": width,
        "encoder_blocks": list(encoder_blocks),
        "middle_blocks": middle_blocks,
        "decoder_blocks": list(decoder_blocks),
    }


def level_options_of(shapes: Shapes, middle: str) -> dict[str, object]:
    """Read the options from the shapes of a state dict; ``middle`` is the name of the middle's blocks."""
    levels = range(shapes.count("downs"))
    return {
        "width": shapes.size("intro.weight", 0),
        "encoder_blocks": [shapes.count(f"encoders.{level}") for level in levels],
        "middle_blocks": shapes.count(middle),
        "decoder_blocks": [shapes.count(f"decoders.{level}") for level in levels],
    }


def make_levels(
    width: int,
    encoder_blocks: Sequence[int],
    middle_blocks: int,
    decoder_blocks: Sequence[int],
    block: Callable[[int], nn.Module],
) -> Levels:
    """Make the levels in the order in which they run, which decides over the initial weights.

    Args:
        width: channels at the highest resolution.
        encoder_blocks: blocks per level on the way down.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per level on the way up, from the lowest one.
        block: makes a block of so many channels.
    """

    def row(count: int, channels: int) -> nn.ModuleList:
        return nn.ModuleList(block(channels) for _ in range(count))

    encoders, downs, decoders, ups = (nn.ModuleList() for _ in range(4))
    levels = len(encoder_blocks)
    for level, count in enumerate(encoder_blocks):
        channels = width * 2**level
        encoders.append(row(count, channels))
        downs.append(nn.Conv2d(channels, 2 * channels, 2, stride=2))
    middle = row(middle_blocks, width * 2**levels)
    for level, count in zip(reversed(range(levels)), decoder_blocks, strict=True):
        channels = width * 2**level
        ups.append(nn.Conv2d(2 * channels, 4 * channels, 1, bias=False))
        decoders.append(row(count, channels))
    return Levels(encoders, downs, middle, ups, decoders)


def rise(up: nn.Module, features: Tensor) -> Tensor:
    """Double the resolution of (B, 2 C, H, W) by a convolution to (B, 4 C, H, W): (B, C, 2 H, 2 W)."""
    return functional.pixel_shuffle(up(features), 2)


def walk_levels(
    features: Tensor,
    condition: object,
    encoders: Iterable[nn.Module],
    downs: Iterable[nn.Module],
    middle: Iterable[nn.Module],
    ups: Iterable[Callable[[Tensor], Tensor]],
    decoders: Iterable[nn.Module],
    block_runner: Callable[[nn.Module, Tensor, Any], Tensor] | None = None,
) -> Tensor:
    """Run all levels.

    Args:
        features: (B, C, H, W); H and W are multiples of 2 to the number of levels.
        condition: handed to every block beside the features.
        encoders: a list of blocks per level.
        downs: what follows each of them.
        middle: the blocks at the lowest resolution.
        ups: what doubles the resolution and halves the channels, from the lowest level up.
        decoders: a list of blocks per level, from the lowest up.
        block_runner: runs a block on features under the condition and may change them; by default the block
            is called.

    Returns:
        (B, C, H, W).
    """
    run = block_runner or _call
    skips = []
    for blocks, down in zip(encoders, downs, strict=True):
        for block in cast(nn.ModuleList, blocks):
            features = run(block, features, condition)
        skips.append(features)
        features = down(features)
    for block in middle:
        features = run(block, features, condition)
    for blocks, up in zip(decoders, ups, strict=True):
        features = up(features) + skips.pop()
        for block in cast(nn.ModuleList, blocks):
            features = run(block, features, condition)
    return features


def _call(block: nn.Module, features: Tensor, condition: object) -> Tensor:
    return cast(Tensor, block(features, condition))


def levels_radius_px(
    encoder_blocks: Sequence[int],
    middle_blocks: int,
    decoder_blocks: Sequence[int],
    convolutions: int = 1,
) -> int:
    """Return how far a pixel reaches through all levels and a 3x3 convolution before and behind them.

    It is one step of its level per 3x3 convolution, and the cells of 2x2 that levels are made of.

    Args:
        encoder_blocks: blocks per level on the way down.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks per level on the way up, from the lowest one.
        convolutions: 3x3 convolutions of a block that follow each other.
    """
    radius = convolutions * middle_blocks
    for encoder, decoder in zip(reversed(encoder_blocks), decoder_blocks, strict=True):
        radius = 2 * radius + 1 + convolutions * (encoder + decoder)
    return radius + 2
