"""Global statistics of an image: recorded once on the whole of it, replayed in each of its tiles.

NAFNet's channel attention averages feature maps, and Restormer's transposed attention compares channels over
all pixels. On a tile they would see the tile alone, and tiles of one photograph would disagree. Nothing else
in these networks is global, so with the whole image's statistics a tile with enough overlap equals the whole.

The whole image's statistics take a pass over the whole image. Where the memory does not allow one, they are
averaged over crops as large as it allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.backbones.base import Backbone
from polyrestore.devices import available_bytes, is_out_of_memory
from polyrestore.errors import BackboneError

_PLACE = 4
# Few and far apart, so that a little more or less free memory seldom changes a result.
_CROP_SIDES_PX = (4096, 2048, 1024, 512)
_CROP_PASSES = 2
# A halo of this share of a crop on each side keeps most of what its borders do out of the statistics.
_HALO_SHARE = 8
# What a pass takes beyond its own tensors, in the libraries below: measured 1.1 to 1.25.
_MARGIN = 1.5
_SMALLEST_NORM = 1e-20


@dataclass(frozen=True)
class Window:
    """Where a tile lies in its padded image, in pixels."""

    image_height: int
    image_width: int
    top: int
    left: int


@dataclass(frozen=True)
class Core:
    """The part of a crop that is its own, as pixels of the padded crop.

    Attributes:
        rows: first and last, the latter not included.
        columns: likewise.
        height: of the padded crop.
        width: likewise.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    height: int
    width: int

    def of(self, features: Tensor) -> Tensor:
        """Return the core's part of feature maps (..., h, w), at whatever resolution."""
        height, width = features.shape[-2:]
        top, bottom = (row * height // self.height for row in self.rows)
        left, right = (column * width // self.width for column in self.columns)
        return features[..., top:bottom, left:right]


class Statistics:
    """The statistics of whatever the network is given: the published behaviour, which keeps nothing.

    One object serves one pass and is handed from layer to layer, so that no module holds any state.

    Attributes:
        window: where the input lies in its image; None when it is the image.
    """

    def __init__(self, window: Window | None = None) -> None:
        self.window = window

    def mean(self, features: Tensor) -> Tensor:
        """Return the mean over pixels: (B, C, H, W) to (B, C, 1, 1)."""
        return features.mean(dim=(2, 3), keepdim=True)

    def cosines(self, queries: Tensor, keys: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the channels' cosines over pixels: two of (B, heads, C, H W) to (B, heads, C, C).

        Args:
            queries: (B, heads, C, H W), row by row.
            keys: of the same shape.
            size: H and W.
        """
        return functional.normalize(queries, dim=-1) @ functional.normalize(keys, dim=-1).transpose(-2, -1)


class RecordedStatistics(Statistics):
    """Statistics that are also kept, as means over pixels, so that those of several crops can be averaged.

    Args:
        window: where the input lies in its image.
        core: the part of the input whose statistics are kept, since what lies around it only keeps borders
            away; all of it where None.
        given: what the layers see instead of what is kept; the same where None.
    """

    def __init__(
        self, window: Window, core: Core | None = None, given: ReplayedStatistics | None = None
    ) -> None:
        super().__init__(window)
        self._core = core
        self._given = given
        self._values: list[Tensor] = []

    def mean(self, features: Tensor) -> Tensor:
        """Keep the mean over pixels and return it, or the given one."""
        mean = super().mean(features if self._core is None else self._core.of(features))
        self._values.append(mean.flatten(1))
        return mean if self._given is None else self._given.mean(features)

    def cosines(self, queries: Tensor, keys: Tensor, size: tuple[int, int]) -> Tensor:
        """Keep the channels' mean squares and mean products; return the cosines, or the given ones."""
        if self._core is not None:
            maps = (each.reshape(*each.shape[:-1], *size) for each in (queries, keys))
            queries, keys = (self._core.of(each).flatten(-2) for each in maps)
        cosines = super().cosines(queries, keys, size)
        # Root mean squares: they stay in range however many pixels there are.
        scale = queries.shape[-1] ** -0.5
        query_sizes, key_sizes = queries.norm(dim=-1) * scale, keys.norm(dim=-1) * scale
        products = cosines * query_sizes[..., :, None] * key_sizes[..., None, :]
        for value in (products, query_sizes.square(), key_sizes.square()):
            self._values.append(value.flatten(1))
        return cosines if self._given is None else self._given.cosines(queries, keys, size)

    def vector(self) -> Tensor:
        """Return all that was kept, in order: (B, D)."""
        return torch.cat(
            [value.to(torch.promote_types(value.dtype, torch.float32)) for value in self._values], 1
        )


class ReplayedStatistics(Statistics):
    """The statistics in a context vector instead of those of the input."""

    def __init__(self, context: Tensor) -> None:
        if context.shape[1] < _PLACE:
            raise BackboneError(f"a context of {context.shape[1]} values was not made by this network")
        height, width, top, left = (round(value) for value in context[0, :_PLACE].tolist())
        super().__init__(Window(height, width, top, left))
        self._context = context
        self._position = _PLACE

    def mean(self, features: Tensor) -> Tensor:
        """Return the recorded mean, (B, C, 1, 1)."""
        return self._take(features.shape[1])[:, :, None, None].to(features.dtype)

    def cosines(self, queries: Tensor, keys: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the cosines (B, heads, C, C) of the recorded mean products and mean squares."""
        heads, channels = queries.shape[1:3]
        products = self._take(heads * channels * channels).reshape(-1, heads, channels, channels)
        query_squares = self._take(heads * channels).reshape(-1, heads, channels, 1)
        key_squares = self._take(heads * channels).reshape(-1, heads, 1, channels)
        sizes = query_squares.sqrt() * key_squares.sqrt()
        return (products / sizes.clamp_min(_SMALLEST_NORM)).to(queries.dtype)

    def check_finished(self) -> None:
        """Raise BackboneError unless the whole vector has been read."""
        if self._position != self._context.shape[1]:
            raise BackboneError(self._wrong_length())

    def _take(self, count: int) -> Tensor:
        start, self._position = self._position, self._position + count
        if self._position > self._context.shape[1]:
            raise BackboneError(self._wrong_length())
        return self._context[:, start : self._position]

    def _wrong_length(self) -> str:
        return (
            f"a context of {self._context.shape[1]} values does not belong to this network; "
            "pass what its own context() returned"
        )


class LocalStatistics(Statistics):
    """Means over a window around each pixel (Chu et al., ECCV 2022, arXiv 2112.04491) instead of the whole.

    Near a border the window is that of the nearest pixel at which it lies inside, as in the published code.

    Args:
        window_px: side of the window, in pixels of the image.
        height: of the padded input, in pixels.
    """

    def __init__(self, window_px: int, height: int) -> None:
        super().__init__()
        self._window_px, self._height = window_px, height

    def mean(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to means of the same shape; along an axis shorter than the window, to one mean."""
        side = max(1, self._window_px * features.shape[2] // self._height)
        return _window_mean(_window_mean(features, side, 2), side, 3)


class StatisticsBackbone(Backbone):
    """A backbone whose only global parts are the statistics of this module.

    ``forward(image)`` is the published network. ``forward(tile, context_at(context(image), top, left))`` is
    the part of it that the tile covers, apart from a border of ``receptive_radius_px``.

    Args:
        pass_floats_per_px: most numbers that a pass without gradients holds at once, per pixel of the image.
        context_limit_px: longest side of an image whose statistics are taken in one pass, which gives the
            published result; 0 for any that the free memory allows. Those of larger images are averaged over
            crops of at most this size, rounded up to ``size_multiple``: first every crop sees its own
            statistics, then the average of these.
    """

    def __init__(self, pass_floats_per_px: int, context_limit_px: int = 0) -> None:
        super().__init__()
        if context_limit_px < 0:
            raise ValueError(f"context_limit_px must be at least 0, not {context_limit_px}")
        self.pass_floats_per_px = pass_floats_per_px
        self.context_limit_px = context_limit_px

    def runs_whole(self, height_px: int, width_px: int, device: torch.device) -> bool:
        """Return whether the statistics of an image of this size are taken of the whole, in one pass."""
        return self._crop_sides(height_px, width_px, device)[0] >= max(height_px, width_px)

    def context(self, image: Tensor) -> Tensor:
        """Return the statistics (B, D) of whole images (B, C, H, W); no gradient passes through them."""
        height, width = image.shape[-2:]
        sides = self._crop_sides(height, width, image.device, len(image))
        for side_px in sides[:-1]:
            try:
                return self._context(image, side_px)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
        return self._context(image, sides[-1])

    def _crop_sides(self, height: int, width: int, device: torch.device, batch: int = 1) -> list[int]:
        """Return the sides of the crops to take statistics of, the best first."""
        longest = max(height, width)
        if self.context_limit_px:
            return [min(self.context_limit_px, longest)]
        sides = [longest, *(side for side in _CROP_SIDES_PX if side < longest)]
        free = available_bytes(device)
        if free is None:
            return sides
        bytes_per_px = _MARGIN * batch * self.pass_floats_per_px * torch.float32.itemsize
        # The last is taken whatever the memory: smaller ones would say little about the image.
        fitting = [s for s in sides[:-1] if bytes_per_px * min(s, height) * min(s, width) <= free]
        return [*fitting, sides[-1]]

    def _context(self, image: Tensor, side_px: int) -> Tensor:
        """Return the context that crops of at most this size give together; one crop may be the whole."""
        height, width = image.shape[-2:]
        multiple = self.description.size_multiple
        # Lengths that padding makes equal have to stay equal: the whole padded image is what counts.
        full_height, full_width = (max(-(-each // multiple) * multiple, multiple) for each in (height, width))
        places = [
            (rows, columns)
            for rows in self._spans(height, full_height, side_px)
            for columns in self._spans(width, full_width, side_px)
        ]
        context: Tensor | None = None
        with torch.no_grad():
            for _ in range(_CROP_PASSES if len(places) > 1 else 1):
                parts = []
                for rows, columns in places:
                    top, left = rows.read_start, columns.read_start
                    crop = self.pad(image[..., top : rows.read_stop, left : columns.read_stop])
                    core = Core(
                        (rows.start - top, rows.stop - top),
                        (columns.start - left, columns.stop - left),
                        *crop.shape[-2:],
                    )
                    statistics = RecordedStatistics(
                        Window(full_height, full_width, top, left),
                        core if len(places) > 1 else None,
                        None if context is None else ReplayedStatistics(self.context_at(context, top, left)),
                    )
                    self._restore(crop, statistics)
                    own = (rows.stop - rows.start) * (columns.stop - columns.start)
                    parts.append(statistics.vector() * (own / (full_height * full_width)))
                total = torch.stack(parts).sum(0)
                place = total.new_tensor([full_height, full_width, 0, 0]).expand(len(total), _PLACE)
                context = torch.cat([place, total], dim=1)
        assert context is not None
        return context

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""
        placed = context.clone()
        placed[:, 2], placed[:, 3] = top, left
        return placed

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole.

        Raises:
            BackboneError: the context does not belong to this network.
        """
        height, width = image.shape[-2:]
        padded = self.pad(image)
        statistics = self._statistics(padded) if context is None else ReplayedStatistics(context)
        restored = self._restore(padded, statistics)
        if isinstance(statistics, ReplayedStatistics):
            statistics.check_finished()
        return restored[..., :height, :width]

    def _statistics(self, padded: Tensor) -> Statistics:
        """Return those that the network sees on an image (B, C, H, W) by itself."""
        return Statistics()

    def _restore(self, padded: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, 3, H, W) of whole multiples to the same shape."""
        raise NotImplementedError

    def _spans(self, length: int, full: int, side_px: int) -> Iterator[_Span]:
        multiple = self.description.size_multiple
        if length <= side_px:
            yield _Span(0, full, 0, length)
            return
        reach = math.ceil(self.description.receptive_radius_px / multiple) * multiple
        halo = min(reach, side_px // _HALO_SHARE // multiple * multiple)
        count = math.ceil(length / max(side_px - 2 * halo, 1))
        step = math.ceil(length / count / multiple) * multiple
        for start in range(0, full, step):
            stop = min(start + step, full)
            yield _Span(start, stop, max(start - halo, 0), min(stop + halo, length))


@dataclass(frozen=True)
class _Span:
    """A crop along one axis: its own pixels of the padded image, and those of the image that it reads."""

    start: int
    stop: int
    read_start: int
    read_stop: int


def _window_mean(features: Tensor, side: int, axis: int) -> Tensor:
    """Return the means over windows of ``side`` along one axis, one for each place."""
    length = features.shape[axis]
    if side >= length:
        return features.mean(axis, keepdim=True)
    sums = features.cumsum(axis)
    ends = sums.narrow(axis, side - 1, length - side + 1)
    starts = torch.cat([torch.zeros_like(ends.narrow(axis, 0, 1)), sums.narrow(axis, 0, length - side)], axis)
    before = (side - 1) // 2
    places = (torch.arange(length, device=features.device) - before).clamp(0, length - side)
    return ((ends - starts) / side).index_select(axis, places)
