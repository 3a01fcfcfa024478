"""Pixels that nobody sees: what lies under full transparency takes no part in what is restored around it.

Editors leave anything there, black as a rule, and a network would carry it over the rim. It is shown the
visible picture mirrored at its rim instead, as padding continues a picture beyond its edge.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.imaging import Image
from polyrestore.imaging.bands import bands_of
from polyrestore.imaging.levels import movable


def fill_hidden(image: Image) -> Tensor:
    """Return an image's pixels with what lies under alpha 0 replaced by the visible picture, mirrored.

    Args:
        image: any; alpha above 0 counts as visible, however little.

    Returns:
        (3, H, W), floats in [0, 1] or levels as the pixels are; the pixels themselves where nothing or
        everything is hidden.
    """
    visible = visible_pixels(image)
    if visible is None or bool(visible.all()) or not bool(visible.any()):
        return image.pixels
    nearest = find_nearest(visible)
    height, width = visible.shape
    rows, columns = _places(height, width, visible.device)
    pixels = movable(image.pixels)
    filled = pixels.clone(memory_format=torch.contiguous_format)
    # In bands, because indices take more memory than pixels.
    for band in bands_of(height):
        hidden = ~visible[band]
        near = nearest[:, band]
        away = torch.stack([near[0] - rows[band], near[1] - columns])[:, hidden].float()
        # At the outer edge of the visible pixel, which so comes twice; its centre serves the rim less well.
        inward = (away * (1 - 1 / away.norm(dim=0))).round().int()
        mirrored_rows = (near[0][hidden] + inward[0]).clamp(0, height - 1)
        mirrored_columns = (near[1][hidden] + inward[1]).clamp(0, width - 1)
        # Where what it mirrors is hidden as well, what is nearest to that.
        sources = nearest[:, mirrored_rows, mirrored_columns]
        filled[:, band] = filled[:, band].masked_scatter(hidden, pixels[:, sources[0], sources[1]])
    return filled.view(image.pixels.dtype)


def visible_pixels(image: Image) -> Tensor | None:
    """Return where alpha is above 0, (H, W) of booleans on the device of the pixels; None without alpha."""
    alpha = image.metadata.alpha
    return None if alpha is None else (alpha[0] > 0).to(image.pixels.device)


def find_nearest(marked: Tensor) -> Tensor:
    """Return for each pixel where the nearest marked one is, first within columns and then along rows.

    Columns are scanned. Along its row, each pixel then asks those at halving distances which marked pixel
    they know of, and all its neighbours at last (Rong and Tan, "Jump Flooding in GPU with Applications to
    Voronoi Diagram and Distance Transform", I3D 2006). Now and then one is found that is a fraction of a
    pixel farther away than the nearest.

    Args:
        marked: (H, W) of booleans, at least one of them True.

    Returns:
        (2, H, W) int32, rows and columns; a marked pixel has its own.
    """
    height, width = marked.shape
    rows, columns = _places(height, width, marked.device)
    # Farther than anything in the picture, and so given up for whatever is found first.
    unknown = 2 * (height + width)
    above = rows.where(marked, -unknown).cummax(0).values
    below = rows.where(marked, 2 * unknown).flip(0).cummin(0).values.flip(0)
    nearest = torch.stack(
        [torch.where(rows - above <= below - rows, above, below), columns.expand(marked.shape)]
    )
    distance = _squared_distance(nearest, rows, columns)
    for step in _steps(width):
        for right in (-step, step):
            _ask(nearest, distance, rows, columns, 0, right)
    # Along rows alone, one that is nearest by a little is lost where another is nearer to all between.
    for down, right in 2 * [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]:
        _ask(nearest, distance, rows, columns, down, right)
    return nearest


def _ask(nearest: Tensor, distance: Tensor, rows: Tensor, columns: Tensor, down: int, right: int) -> None:
    """Let each pixel take over what the one at an offset knows, where that is nearer."""
    height, width = distance.shape
    asking = _overlap(height, -down), _overlap(width, -right)
    asked = _overlap(height, down), _overlap(width, right)
    offered = nearest[:, *asked]
    offered_distance = _squared_distance(offered, rows[asking[0]], columns[:, asking[1]])
    closer = offered_distance < distance[asking]
    nearest[:, *asking] = torch.where(closer, offered, nearest[:, *asking])
    distance[asking] = torch.where(closer, offered_distance, distance[asking])


def _overlap(size: int, offset: int) -> slice:
    """Return which of ``size`` places are ``offset`` away from another one of them."""
    return slice(min(size, max(0, offset)), max(0, size + min(0, offset)))


def _squared_distance(places: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    # In floats, because whole numbers of 32 bits end at distances of 46340 pixels.
    return (places[0] - rows).float().square_() + (places[1] - columns).float().square_()


def _steps(size: int) -> list[int]:
    """Return halving distances that reach from one side of a picture to the other."""
    return [1 << power for power in reversed(range((size - 1).bit_length()))]


def _places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows = torch.arange(height, dtype=torch.int32, device=device)[:, None]
    columns = torch.arange(width, dtype=torch.int32, device=device)[None, :]
    return rows, columns
