"""What holds for every network, one check each; networks need every part awake for the checks to see it."""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.backbones.base import Backbone
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from polyrestore.testing.images import largest_difference, random_image, require

TOLERANCE = 1e-4
"""How far results may lie apart that only differ in the order of sums."""


def wake(backbone: Backbone, seed: int = 0) -> Backbone:
    """Move all parameters away from where they start, so that no part hides behind a zero; return it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval().requires_grad_(False)


def check_size_is_kept(backbone: Backbone, height: int, width: int) -> None:
    """Check that an image of a size comes back as finite float32 of that size, and stays as it was.

    Raises:
        ContractError: it does not.
    """
    image = random_image(height, width)
    given = image.clone()
    with torch.no_grad():
        restored = backbone(image)
    where = f"an image of {height}x{width} px"
    found = tuple(restored.shape)
    require(found == tuple(image.shape), f"{where} must come back as (1, 3, {height}, {width}), not {found}")
    require(restored.dtype == torch.float32, f"{where} must come back in float32, not {restored.dtype}")
    require(bool(torch.isfinite(restored).all()), f"{where} comes back with values that are not finite")
    require(torch.equal(image, given), f"forward changes its input, {where}, in place")


def measure_radius_px(backbone: Backbone, *, along: int = -1) -> int:
    """Return how far an input pixel reaches an output pixel, whatever place it has in a cell, context apart.

    Args:
        backbone: converted to float64 on the way.
        along: the dimension to measure along: -1 for columns, -2 for rows.
    """
    backbone = backbone.double()
    radius, cell = backbone.description.receptive_radius_px, backbone.description.size_multiple
    side, across = (-(-2 * radius // cell) + 3) * cell, cell
    image = random_image(2 * cell, side).double()
    image = image if along == -1 else image.transpose(-1, -2).contiguous()
    with torch.no_grad():
        context = backbone.context(image).expand(cell, -1)
    images = image.repeat(cell, 1, 1, 1).requires_grad_(True)
    centres = side // 2 // cell * cell + torch.arange(cell)
    results = backbone(images, context)
    results = results if along == -1 else results.transpose(-1, -2)
    results[torch.arange(cell), :, across, centres].sum().backward()
    require(
        images.grad is not None, "no gradient reaches the image; forward must be made of torch's functions"
    )
    assert images.grad is not None
    gradient = images.grad if along == -1 else images.grad.transpose(-1, -2)
    sample, column = gradient.abs().amax((1, 2)).nonzero(as_tuple=True)
    require(len(column) > 0, "the result does not depend on the image")
    return int((column - centres[sample]).abs().max())


def check_tiles(backbone: Backbone, height: int, width: int, tile_px: int) -> None:
    """Check that an image in tiles is restored as the whole image is.

    Raises:
        ContractError: the results lie further apart than sums in another order do.
    """
    image = random_image(height, width, batch=2)
    with torch.no_grad():
        whole = backbone(image)
        tiled = run_tiled(TorchRuntime(backbone), image, tile_px)
    difference = largest_difference(tiled, whole)
    require(
        difference < TOLERANCE * max(1.0, float(whole.abs().max())),
        f"tiles of {tile_px} px differ from the whole image by {difference:.2g}; what pixels further away "
        "than receptive_radius_px decide belongs into context(), or exact_tiles is False",
    )


def check_padding(backbone: Backbone, height: int, width: int) -> None:
    """Check that an image that was padded beforehand gives what the network gives after padding it itself.

    Raises:
        ContractError: it does not.
    """
    image = random_image(height, width)
    with torch.no_grad():
        context = backbone.context(image)
        whole = backbone(image, context)
        padded = backbone.pad(image)
        result = backbone(padded, context)[..., :height, :width]
    facts = backbone.description
    require(
        all(size % facts.size_multiple == 0 and size >= facts.minimum_size_px for size in padded.shape[-2:]),
        f"pad() makes {tuple(padded.shape[-2:])} of {height}x{width} px, which are no multiples of "
        f"{facts.size_multiple} from {facts.minimum_size_px} px on",
    )
    require(
        largest_difference(result, whole) <= 1e-5 * max(1.0, float(whole.abs().max())),
        f"an image of {height}x{width} px that pad() has padded is restored otherwise than by itself",
    )


def check_batch(backbone: Backbone, height: int, width: int) -> None:
    """Check that images of a batch are restored as each is alone, and twice in the same way.

    Raises:
        ContractError: they are not.
    """
    images = torch.cat([random_image(height, width, seed=seed) for seed in (0, 1)])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        together = backbone(images)
        drawn = not torch.equal(before, torch.get_rng_state())
        again = backbone(images)
        alone = torch.cat([backbone(image[None]) for image in images])
    require(not drawn, "forward draws from torch's global generator; restoring must not depend on chance")
    require(torch.equal(together, again), "the same images are restored differently the second time")
    difference = largest_difference(together, alone)
    require(
        difference <= TOLERANCE * max(1.0, float(together.abs().max())),
        f"an image's result depends on the others in its batch, by {difference:.2g}",
    )


def check_context(backbone: Backbone, height: int, width: int) -> None:
    """Check that the context has a row for each image, and that forward makes the same one by itself.

    Raises:
        ContractError: it is not so, or a network without a global context has one.
    """
    images = random_image(height, width, batch=2)
    with torch.no_grad():
        context = backbone.context(images)
        own, given = backbone(images), backbone(images, context)
    shape = tuple(context.shape)
    require(
        context.dim() == 2 and len(context) == 2, f"context() must return (2, D) for two images, not {shape}"
    )
    if not backbone.description.global_context:
        require(context.shape[1] == 0, f"global_context is False, but context() returns {shape}")
    require(
        largest_difference(own, given) <= 1e-5 * max(1.0, float(own.abs().max())),
        "forward without a context must give what it gives with context() of the same images",
    )


def check_precision(backbone: Backbone, dtype: torch.dtype, image: Tensor) -> None:
    """Check that a network that computes in a number format stays within 1/255 of float32.

    Raises:
        ContractError: it does not.
    """
    with torch.no_grad():
        context = backbone.context(image)
        exact = backbone(image, context)
        with torch.autocast("cpu", dtype=dtype):
            near = backbone(image, context)
    difference = largest_difference(near, exact) / max(1.0, float(exact.abs().max()))
    require(
        difference <= 1 / 255,
        f"dtypes names {dtype}, in which results lie {difference:.2g} from those in float32, more than 1/255",
    )
