"""Apply degradations and mixtures of them in the order in which they happen to a photograph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.registry import DEGRADATIONS
from polyrestore.errors import DegradationError, unknown_name


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
    for name, severity in severities.items():
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, DEGRADATIONS)
        if not 0 <= severity <= 1:
            raise DegradationError(f"severity of {name} is {severity}; it must be between 0 and 1")
    table = torch.full((image.shape[0], len(DEGRADATIONS)), float("nan"))
    for position, name in enumerate(DEGRADATIONS):
        if name in severities:
            table[:, position] = severities[name]
    return degrade_batch(image, table, generator)


def degrade_batch(image: Tensor, severities: Tensor, generator: Generator) -> Tensor:
    """Damage every image of a batch with its own mixture.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        severities: (B, N) severities in [0, 1] in the order of ``DEGRADATIONS``; NaN where a degradation is
            absent. At severity 0 a degradation does nothing.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W), clipped to [0, 1] and rounded to multiples of 1/255. A photograph without colour,
        R = G = B, stays without, except for half of those with noise or holes.
    """
    damaged = image.clone()
    for position, degradation in enumerate(DEGRADATIONS.values()):
        affected = (severities[:, position] > 0).nonzero().flatten()
        if affected.numel():
            before = damaged[affected].clamp(0, 1)
            after = degradation.apply(before, severities[affected, position], generator)
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
