"""What restoring many or large images will take, told before it begins, from one timed tile."""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polyrestore.imaging import read_size
from polyrestore.restoration.tiling import plan_tiles
from polyrestore.restoration.views import QUALITIES
from polyrestore.runtimes.base import Runtime

if TYPE_CHECKING:
    from polyrestore.restoration.restorer import Restorer

PROBE_PX = 256
_IMAGES_TO_MEASURE = 32
_SHORT_S = 2.0


@dataclass(frozen=True)
class Estimate:
    """What a run will take at most; images in which nothing is wrong are not run.

    Attributes:
        memory_bytes: of weights and the largest tile together.
        seconds: for all images, without reading and writing them.
        megapixels: of all images, from the sizes of some of them.
        probe_px: side of the square that was timed.
    """

    memory_bytes: int
    seconds: float
    megapixels: float
    probe_px: int


def total_megapixels(paths: Sequence[str | Path]) -> float:
    """Return the size of all images, from the heads of some of them; unreadable ones count 0."""
    chosen = _some(paths)
    return sum(_megapixels(path) for path in chosen) * len(paths) / max(1, len(chosen))


def largest_megapixels(paths: Sequence[str | Path]) -> float:
    """Return the size of the largest of some of the images."""
    return max((_megapixels(path) for path in _some(paths)), default=0.0)


def _some(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return a few, spread over the list."""
    return paths[:: max(1, len(paths) // _IMAGES_TO_MEASURE)]


def estimate(restorer: Restorer, megapixels: float, largest: float) -> Estimate:
    """Run the bare backbone on one small square, and scale up what it took.

    Time and memory are taken to grow with the number of pixels that the network reads, halos included.

    Args:
        restorer: with the tiles that it will use.
        megapixels: of all images together.
        largest: of the largest image, in megapixels.
    """
    runtime, device = restorer.runtime, restorer.device
    multiple = runtime.description.size_multiple
    side = -(-PROBE_PX // multiple) * multiple
    image = torch.rand(1, 3, side, side, device=device, generator=torch.Generator(device).manual_seed(0))
    with torch.inference_mode():
        with _LiveBytes() as live:
            seconds = _timed(runtime, image)
        if seconds < _SHORT_S:
            # The first pass sets libraries up, which counts where a pass is short.
            seconds = _timed(runtime, image)
    whole = max(1, round((largest * 1e6) ** 0.5))
    read_px, tile_px = _read_pixels(runtime, whole, restorer.tile_px_for(whole, whole))
    overhead = read_px / whole**2
    return Estimate(
        memory_bytes=int(runtime.weight_bytes + live.most * tile_px / side**2),
        seconds=seconds / side**2 * megapixels * 1e6 * overhead * QUALITIES[restorer.quality],
        megapixels=megapixels,
        probe_px=side,
    )


def _timed(runtime: Runtime, image: Tensor) -> float:
    started = time.perf_counter()
    runtime.run(image, runtime.context(image))
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - started


def _read_pixels(runtime: Runtime, side: int, tile_px: int) -> tuple[int, int]:
    """Return how many pixels the tiles of a square image read, all of them and the largest one."""
    facts = runtime.description
    tiles = plan_tiles(
        side,
        side,
        tile_px,
        runtime.reach_px,
        facts.size_multiple,
        facts.minimum_size_px,
        equal=runtime.equal_tiles,
    )
    sizes = [
        (tile.rows.read_stop - tile.rows.read_start) * (tile.columns.read_stop - tile.columns.read_start)
        for tile in tiles
    ]
    return sum(sizes), max(sizes)


def _megapixels(path: str | Path) -> float:
    try:
        width, height = read_size(path)
    except Exception:
        # A file that cannot be read is reported when it is its turn.
        return 0.0
    return width * height / 1e6


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made inside and still alive, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for each in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(each, Tensor):
                self._add(each)
        self.most = max(self.most, self._now)
        return output

    def _add(self, tensor: Tensor) -> None:
        # Views share a storage, which lives as long as any of them.
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if not self._users[key]:
            self._now += size
        self._users[key] += 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            self._now -= size
