"""Run a network over an image of any size in tiles whose result equals that of the whole image.

Three things make the two equal. The global context is computed once, on the whole image; where it costs as
much as the result, and the memory allows it, an image is one tile. Every tile is given a halo at least as
wide as the receptive radius, and only its core is kept. And tiles lie on the grid of ``size_multiple`` from
the image's origin: a tile inside the image has whole multiples on both sides and is not padded, and one that
ends at the image's right or lower border is padded by the network exactly as the whole image would be.

A network that looks at all of a tile, by attention say, has no such halo (``exact_tiles`` is False): there
each tile is kept to the end of its halo, and neighbours are blended with linear ramps where they overlap.

A runtime whose shapes are fixed before a run asks for tiles of one size. The image is then padded first, and
the last tiles reach back into the image instead of being smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from polyrestore.devices import is_out_of_memory, release_freed_memory
from polyrestore.errors import BackboneError, DeviceMemoryError
from polyrestore.imaging.levels import to_floats
from polyrestore.runtimes.base import Runtime

# The halo is read twice, so large tiles are fast; this one keeps a photograph of a megapixel below 1 GB.
DEFAULT_TILE_PX = 1024
SMALLEST_TILE_PX = 32

Put: TypeAlias = Callable[[slice, slice, Tensor], None]
"""Takes a part of a result: its rows, its columns, and what is there."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis: the part that is read, and the core of it that is kept."""

    read_start: int
    read_stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Tile:
    """A tile of an image: its rows and its columns."""

    rows: Span
    columns: Span


def plan_tiles(
    height: int,
    width: int,
    tile_px: int,
    overlap_px: int,
    multiple: int,
    minimum_px: int = 1,
    *,
    equal: bool = False,
) -> list[Tile]:
    """Cut an image into tiles whose cores cover every pixel exactly once, row by row.

    Args:
        height: image height in pixels, at least 1.
        width: image width in pixels, at least 1.
        tile_px: largest side of a core; rounded down to ``multiple``, but never to zero. Cores are made even.
        overlap_px: how far a tile reads beyond its core on each side, within the image; rounded up to
            ``multiple``.
        multiple: the grid, counted from the image's origin, that tiles lie on.
        minimum_px: tiles read at least this much, or the whole image where that is smaller.
        equal: let all tiles read the same size, one core and its two halos. Those at the border then have
            larger cores, and the last ones end where the image ends once it is padded to whole multiples,
            and to ``minimum_px``.

    Raises:
        ValueError: a size is below 1, or the overlap is negative.
    """
    if min(height, width, tile_px, multiple, minimum_px) < 1 or overlap_px < 0:
        raise ValueError(
            f"sizes must be positive, got {height}x{width} px, tile {tile_px} px, overlap {overlap_px} px, "
            f"multiple {multiple}, minimum {minimum_px} px"
        )
    spans = _equal_spans if equal else _spans
    columns = list(spans(width, tile_px, overlap_px, multiple, minimum_px))
    return [
        Tile(rows, column)
        for rows in spans(height, tile_px, overlap_px, multiple, minimum_px)
        for column in columns
    ]


def _spans(length: int, tile_px: int, overlap_px: int, multiple: int, minimum_px: int) -> Iterator[Span]:
    halo = _round_up(overlap_px, multiple)
    largest = max(tile_px // multiple, 1) * multiple
    count = -(-length // largest)
    core = _round_up(-(-length // count), multiple)
    # The padding at the border may mirror up to a multiple of pixels, which the last tile must then hold.
    least = _round_up(max(minimum_px, 2 * multiple), multiple)
    for start in range(0, length, core):
        stop = min(start + core, length)
        read_stop = min(max(stop + halo, least) if stop < length else length, length)
        read_start = max(start - halo, 0)
        if read_stop - read_start < least:
            read_start = max(0, (read_stop - least) // multiple * multiple)
        yield Span(read_start, read_stop, start, stop)


def _equal_spans(
    length: int, tile_px: int, overlap_px: int, multiple: int, minimum_px: int
) -> Iterator[Span]:
    halo = _round_up(overlap_px, multiple)
    padded = _round_up(max(length, minimum_px), multiple)
    wanted = max(tile_px // multiple, 1) * multiple + 2 * halo
    size = min(max(wanted, _round_up(minimum_px, multiple)), padded)
    start = 0
    while start < length:
        read_start = min(max(start - halo, 0), padded - size)
        last = read_start + size == padded
        stop = length if last else read_start + size - halo
        yield Span(read_start, read_start + size, start, stop)
        start = stop


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def run_tiled(
    runtime: Runtime,
    image: Tensor,
    tile_px: int = DEFAULT_TILE_PX,
    on_tile: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Run whole images in tiles through a network, as its runtime has it composed.

    Args:
        runtime: runs the network.
        image: (B, 3, H, W) RGB of any size from 1x1, float32 in [0, 1] or levels, on the runtime's device.
        tile_px: as for :func:`run_parts`, like the rest.
        on_tile: called after each tile with how many are finished and how many there are.

    Returns:
        (B, 3, H, W) float32, not clipped.

    Raises:
        BackboneError: a tile is not finite in float32.
        DeviceMemoryError: the smallest tile does not fit into memory.
    """
    result = torch.empty(image.shape, device=image.device)

    def put(rows: slice, columns: slice, part: Tensor) -> None:
        result[..., rows, columns] = part

    run_parts(runtime, image, put, tile_px, on_tile)
    return result


def run_parts(
    runtime: Runtime,
    image: Tensor,
    put: Put,
    tile_px: int = DEFAULT_TILE_PX,
    on_tile: Callable[[int, int], None] | None = None,
    *,
    context: Tensor | None = None,
) -> None:
    """Run an image in tiles through a network, and hand out each part of the result as it is finished.

    Tiles that do not fit into memory are halved until they do. A tile with a value that is not finite is
    computed again in float32 if the runtime computes in another format.

    Args:
        runtime: runs the network.
        image: (3, H, W) or (B, 3, H, W), as for :func:`run_tiled`.
        put: called with the rows and the columns of each part, and the part: (3, h, w) or (B, 3, h, w)
            float32, not clipped. Where tiles had to be halved, it gets parts again that it has had.
        tile_px: largest side of what one call of the network yields; it reads its halo beyond that.
        on_tile: called after each tile with how many are finished and how many there are; it begins anew
            where tiles had to be halved.
        context: (B, D), in place of the global context of the image itself.

    Raises:
        BackboneError: a tile is not finite in float32.
        DeviceMemoryError: the smallest tile does not fit into memory.
    """
    images = image if image.dim() == 4 else image.unsqueeze(0)

    def put_each(rows: slice, columns: slice, part: Tensor) -> None:
        put(rows, columns, part if image.dim() == 4 else part[0])

    # A tile larger than the image would have to be halved several times before anything became smaller.
    size_px = min(tile_px, max(image.shape[-2:]))
    while True:
        try:
            return _run_with_tiles_of(runtime, images, put_each, size_px, on_tile or _nobody, context)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if size_px <= SMALLEST_TILE_PX:
                raise DeviceMemoryError(
                    f"not enough memory on {image.device} for {image.shape[-1]}x{image.shape[-2]} px, "
                    f"even in tiles of {size_px} px; free some memory or restore a smaller image"
                ) from error
        # Retried outside the handler, whose traceback keeps the tensors of the failed tile alive.
        size_px = max(size_px // 2, SMALLEST_TILE_PX)
        if image.is_cuda:
            torch.cuda.empty_cache()


def _nobody(done: int, total: int) -> None:
    """Tell nobody how many tiles are finished."""


def _run_with_tiles_of(
    runtime: Runtime,
    image: Tensor,
    put: Put,
    tile_px: int,
    on_tile: Callable[[int, int], None],
    context: Tensor | None,
) -> None:
    height, width = image.shape[-2:]
    facts = runtime.description
    tiles = plan_tiles(
        height,
        width,
        tile_px,
        runtime.reach_px,
        facts.size_multiple,
        facts.minimum_size_px,
        equal=runtime.equal_tiles,
    )
    if context is None and not (len(tiles) == 1 and runtime.runs_whole(height, width)):
        context = runtime.context(to_floats(image))
    source = runtime.pad(to_floats(image)) if runtime.equal_tiles else image
    if context is not None and not facts.exact_tiles and len(tiles) > 1:
        blended = _blended(runtime, to_floats(source), tiles, context, on_tile)
        put(slice(0, height), slice(0, width), blended[..., :height, :width])
        return
    for number, tile in enumerate(tiles, 1):
        rows, columns = tile.rows, tile.columns
        restored = _finite_tile(runtime, source, context, tile)
        top, left = rows.core_start - rows.read_start, columns.core_start - columns.read_start
        tall, wide = rows.core_stop - rows.core_start, columns.core_stop - columns.core_start
        put(
            slice(rows.core_start, rows.core_stop),
            slice(columns.core_start, columns.core_stop),
            restored[..., top : top + tall, left : left + wide],
        )
        if len(tiles) > 1:
            release_freed_memory()
        on_tile(number, len(tiles))


def _blended(
    runtime: Runtime,
    image: Tensor,
    tiles: list[Tile],
    context: Tensor,
    on_tile: Callable[[int, int], None],
) -> Tensor:
    """Return the mean of the tiles, each weighted less and less towards the edges that it shares."""
    height, width = image.shape[-2:]
    result, total = torch.zeros_like(image), image.new_zeros(height, width)
    for number, tile in enumerate(tiles, 1):
        rows, columns = tile.rows, tile.columns
        place = (
            ...,
            slice(rows.read_start, rows.read_stop),
            slice(columns.read_start, columns.read_stop),
        )
        weight = _ramps(rows, height, image)[:, None] * _ramps(columns, width, image)
        result[place] += _finite_tile(runtime, image, context, tile) * weight
        total[place] += weight
        on_tile(number, len(tiles))
    return result / total


def _ramps(span: Span, length: int, like: Tensor) -> Tensor:
    """Return a tile's weights along one axis: 1 in the middle, falling over its halo and as far inside it."""
    position = torch.arange(span.read_start, span.read_stop, device=like.device, dtype=like.dtype) + 0.5
    weight = torch.ones_like(position)
    if span.read_start > 0:
        # Where its own core begins, a tile and its neighbour count alike.
        reach = max(2 * (span.core_start - span.read_start), 1)
        weight = weight.minimum((position - span.read_start) / reach)
    if span.read_stop < length:
        reach = max(2 * (span.read_stop - span.core_stop), 1)
        weight = weight.minimum((span.read_stop - position) / reach)
    return weight


def _finite_tile(runtime: Runtime, image: Tensor, context: Tensor | None, tile: Tile) -> Tensor:
    rows, columns = tile.rows, tile.columns
    source = to_floats(image[..., rows.read_start : rows.read_stop, columns.read_start : columns.read_stop])
    here = context
    if context is not None:
        here = runtime.context_at(context, rows.read_start, columns.read_start)
    restored = runtime.run(source, here)
    if not torch.isfinite(restored).all() and runtime.precision != "float32":
        restored = runtime.run(source, here, in_float32=True)
    if not torch.isfinite(restored).all():
        raise BackboneError(
            f"{runtime.description.name} gave values that are not finite for the tile at row "
            f"{rows.core_start}, column {columns.core_start}; the weights or the image are broken"
        )
    return restored
