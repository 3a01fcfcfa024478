"""Invented distances: a photograph of the training set comes without depth, and haze needs one.

Three kinds of scenes: hills that follow the picture's own colours, a room, and a street with a ground, walls
and a sky. Depths are shares of the farthest one.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import box_blur, pixel_grid, radians, smooth_field, stretch, uniform


def random_depth(image: Tensor, generator: Generator) -> Tensor:
    """Invent depth maps (B, 1, H, W) in [0, 1] for images (B, 3, H, W), of a kind drawn for each."""
    kinds = (_hills, _room, _street)
    drawn = torch.randint(len(kinds), (image.shape[0],), generator=generator)
    depth = torch.empty_like(image[:, :1])
    for kind, make in enumerate(kinds):
        rows = (drawn == kind).nonzero().flatten()
        if rows.numel():
            depth[rows] = make(image[rows], generator)
    return depth


def _hills(image: Tensor, generator: Generator) -> Tensor:
    """A plane that mostly recedes upwards, smooth hills, and a part that follows the image's own colours."""
    count, size = image.shape[0], (image.shape[2], image.shape[3])
    rows, columns = pixel_grid(size)
    direction = radians(uniform(generator, count, -60, 60))
    plane = -(rows / size[0]) * direction.cos() + (columns / size[1]) * direction.sin()
    depth = (
        uniform(generator, count, 0.2, 1) * stretch(plane)
        + uniform(generator, count, 0, 0.8) * _colour_field(image, generator)
        + uniform(generator, count, 0, 0.5) * smooth_field(generator, count, size, 3)
    )
    return stretch(depth)


def _room(image: Tensor, generator: Generator) -> Tensor:
    """A box in perspective, seen whole or in part, with things standing nearer than its walls."""
    across, down = _view(image, generator)
    focal = uniform(generator, image.shape[0], 0.7, 1.2)
    back_wall = torch.ones_like(image[:, :1])
    nearness = back_wall
    for direction, nearest, farthest in (
        (down, 0.25, 0.7),
        (-down, 0.3, 0.8),
        (across, 0.3, 1.2),
        (-across, 0.3, 1.2),
    ):
        distance = uniform(generator, image.shape[0], nearest, farthest)
        nearness = torch.maximum(nearness, direction / (focal * distance * 0.45))
    depth = _put_things(1 / nearness, image, generator)
    return depth / depth.amax((2, 3), keepdim=True).clamp(min=1e-6)


def _street(image: Tensor, generator: Generator) -> Tensor:
    """A ground and two rows of houses or trees that run to a vanishing point, under a far sky."""
    count = image.shape[0]
    across, down = _view(image, generator)
    near = uniform(generator, count, 0.03, 0.15)
    ground = torch.where(down > 0, near / down.clamp(min=1e-3), 1.0)
    sides = []
    for side in (across, -across):
        wall = uniform(generator, count, 0.5, 5) * near / side.clamp(min=1e-3)
        blocks = torch.rand((count, 1, 1, 9), generator=generator) * uniform(generator, count, 0.2, 2)
        height = functional.interpolate(blocks, size=(1, image.shape[3]), mode="nearest") * near * 8
        stands = (side > 0) & (down > -height / wall.clamp(min=1e-3))
        sides.append(torch.where(stands, wall, 1.0))
    depth = torch.minimum(torch.minimum(sides[0], sides[1]), ground).clamp(max=1)
    return _put_things(depth, image, generator)


def _view(image: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw how much of a scene the picture shows: coordinates from the vanishing point, (B, 1, H, W) each."""
    count, size = image.shape[0], (image.shape[2], image.shape[3])
    rows, columns = pixel_grid(size)
    scale = uniform(generator, count, 0.35, 1.0) / max(size)
    down = (rows - size[0] / 2) * scale - uniform(generator, count, -0.2, 0.2)
    across = (columns - size[1] / 2) * scale - uniform(generator, count, -0.35, 0.35)
    return across, down


def _colour_field(image: Tensor, generator: Generator) -> Tensor:
    """Mix the smoothed colours at random: (B, 1, H, W) in [0, 1] that jumps where things end."""
    mixing = torch.randn((image.shape[0], 3, 1, 1), generator=generator)
    window = 2 * max(1, min(image.shape[2:]) // 96) + 1
    mixed = (image * mixing).sum(1, keepdim=True)
    return stretch(box_blur(mixed, window))


def _put_things(depth: Tensor, image: Tensor, generator: Generator) -> Tensor:
    """Bring the picture's areas of like colour nearer than what is behind them."""
    count, levels = image.shape[0], 5
    area = (_colour_field(image, generator) * levels).long().clamp(max=levels - 1)
    factors = uniform(generator, count, 0.3, 1) + torch.rand((count, 1, 1, levels), generator=generator)
    near = factors.clamp(max=1).flatten(1).gather(1, area.flatten(1)).view_as(depth)
    return depth * box_blur(near, 5)
