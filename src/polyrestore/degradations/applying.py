"""Apply degradations and mixtures of them in the order in which they happen to a photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.registry import DEGRADATIONS, in_order
from polyrestore.errors import DegradationError


def degrade(image: Tensor, severities: Mapping[str, float], generator: Generator) -> Tensor:
    """Damage images with one degradation or a mixture.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        severities: severity in [0, 1] by degradation name; the order does not matter.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W), clipped to [0, 1] and rounded to multiples of 1/255 as in an 8-bit file.

    Raises:
        UnknownNameError: a name is not a degradation.
        DegradationError: a severity is not in [0, 1].
    """
    in_order(severities)
    for name, severity in severities.items():
        if not 0 <= severity <= 1:
            raise DegradationError(f"severity of {name} is {severity}; it must be between 0 and 1")
    table = torch.tensor(list(severities.values()), dtype=torch.float32).expand(image.shape[0], -1)
    return degrade_batch(image, table, tuple(severities), generator)


def degrade_batch(image: Tensor, severities: Tensor, names: Sequence[str], generator: Generator) -> Tensor:
    """Damage every image of a batch with its own mixture.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        severities: (B, N) severities in [0, 1]; NaN where a degradation is absent. At severity 0 it does
            nothing.
        names: the N degradations that the columns of ``severities`` stand for; their order does not matter.
            A column that is NaN throughout may stand for one that has no function.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W), clipped to [0, 1] and rounded to multiples of 1/255. A photograph without colour,
        R = G = B, stays without, except for half of those with noise or holes.

    Raises:
        UnknownNameError: a degradation that is present has no function.
    """
    columns = zip(names, severities.T, strict=True)
    present = {name: column for name, column in columns if not bool(column.isnan().all())}
    damaged = image.clone()
    for name in in_order(present):
        affected = (present[name] > 0).nonzero().flatten()
        if affected.numel():
            degradation, before = DEGRADATIONS[name], damaged[affected].clamp(0, 1)
            after = degradation.apply(before, present[name][affected], generator)
            damaged[affected] = _keep_grey(before, after, degradation.grey_share, generator)
    return (damaged.clamp(0, 1) * 255).round() / 255


def _keep_grey(before: Tensor, after: Tensor, share: float, generator: Generator) -> Tensor:
    """Take one channel for all three where a photograph had no colour, with a probability."""
    grey = (before == before[:, :1]).flatten(1).all(1)
    if not grey.any():
        return after
    if share < 1:
        grey &= torch.rand(grey.shape, generator=generator) < share
    return torch.where(grey.view(-1, 1, 1, 1), after[:, 1:2], after)


def mix_regions(first: Tensor, second: Tensor, generator: Generator) -> Tensor:
    """Join two damaged versions of the same images along a random straight edge.

    "Degradation CutMix" of Serrano-Lozano et al. (arXiv 2411.18412): different regions of one image carry
    different degradations.

    Args:
        first: (B, 3, H, W).
        second: (B, 3, H, W), the same scenes.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W): ``second`` on one side of the edge and ``first`` on the other.
    """
    count, _, height, width = first.shape
    angle = torch.rand((count, 1, 1, 1), generator=generator) * 2 * torch.pi
    offset = (torch.rand((count, 1, 1, 1), generator=generator) - 0.5) * 0.6
    rows = torch.linspace(-0.5, 0.5, height).view(1, 1, -1, 1)
    columns = torch.linspace(-0.5, 0.5, width).view(1, 1, 1, -1)
    mask = (rows * angle.sin() + columns * angle.cos() > offset).float()
    mask = functional.avg_pool2d(mask.expand(count, 1, height, width), 5, 1, 2, count_include_pad=False)
    return torch.lerp(first, second, mask)
