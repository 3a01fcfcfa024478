"""What restoring many or large images will take, told before it begins, from a tile that is measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyrestore.bulk.memory import PeakMemory, resident_bytes
from polyrestore.devices import release_freed_memory
from polyrestore.errors import PolyrestoreError
from polyrestore.imaging import ImageMetadata, encode_image, read_image, read_sizes, read_start
from polyrestore.imaging.read import require_size
from polyrestore.restoration.explanation import count_runs
from polyrestore.restoration.tiling import plan_tiles
from polyrestore.restoration.views import QUALITIES
from polyrestore.runtimes.base import Runtime
from polyrestore.video.kinds import is_video
from polyrestore.video.reading import VideoReader

if TYPE_CHECKING:
    from polyrestore.restoration.restorer import Restorer

# The first pass sets libraries up and is not counted; then squares grow until one of them says enough.
PROBE_PX = 256
_LONG_S = 2.0
_IMAGES_TO_MEASURE = 32
# Of an image that is restored: the file, its levels, the result, and what is made of them on the way, floats
# for the recogniser and the context, and the encoder's copies later.
_BYTES_PER_PIXEL = 25
# Of an image that explains one: its pixels, which stay until all are written.
_BYTES_PER_SHOWN_PIXEL = 12


@dataclass(frozen=True)
class Estimate:
    """What a run will take at most; images in which nothing is wrong are not run.

    Attributes:
        memory_bytes: of the process on the CPU, and of the device elsewhere, in the largest image.
        needed_bytes: of these, those that are not in use yet.
        seconds: for all images, reading and writing them included.
        files: how many images there are.
        megapixels: of all images and videos, with their pages and frames, from the sizes of some of them.
        probe_px: side of the square that was measured.
    """

    memory_bytes: int
    needed_bytes: int
    seconds: float
    files: int
    megapixels: float
    probe_px: int

    def for_workers(self, workers: int, devices: int = 1) -> Estimate:
        """Return the estimate for so many processes, each of which takes what this one would.

        They share the processor, which makes all of them together no faster than one process is taken to be;
        where each has a device, they are.

        Args:
            workers: how many there are beside this one.
            devices: on how many GPUs, or 1.
        """
        each = -(-workers // devices) * self.memory_bytes
        used = self.memory_bytes - self.needed_bytes
        return replace(self, memory_bytes=used + each, needed_bytes=each, seconds=self.seconds / devices)


def total_megapixels(paths: Sequence[str | Path], max_megapixels: float | None = None) -> float:
    """Return the size of all images, pages and frames, those of videos too, from the heads of some files.

    Args:
        paths: of the images; those that cannot be read count 0.
        max_megapixels: larger ones will be refused and count 0; None for Pillow's limit.
    """
    chosen = _some(paths)
    return _scaled([sum(_megapixels(path, max_megapixels)) for path in chosen], paths)


def _scaled(values: Sequence[float], paths: Sequence[str | Path]) -> float:
    """Return the sum over all paths of what is known of some of them."""
    return sum(values) * len(paths) / max(1, len(values))


def largest_megapixels(paths: Sequence[str | Path], max_megapixels: float | None = None) -> float:
    """Return the size of the largest of some of the images; arguments as for :func:`total_megapixels`."""
    return max((each for path in _some(paths) for each in _megapixels(path, max_megapixels)), default=0.0)


def _some(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return a few, spread over the list."""
    return paths[:: max(1, len(paths) // _IMAGES_TO_MEASURE)]


def estimate(
    restorer: Restorer,
    paths: Sequence[str | Path],
    *,
    weights: Mapping[str, float] | None = None,
    explain: bool = False,
    max_megapixels: float | None = None,
) -> Estimate:
    """Restore squares of growing size, and scale up what the last one took.

    Time and the memory of tensors are taken to grow with the number of pixels that the network reads, halos
    included; what libraries take beside tensors is taken to stay. What is done once per image, recognising
    it and merging its adapters, is measured apart, and so are reading and writing.

    Args:
        restorer: with the tiles that it will use.
        paths: of all images.
        weights: the composition that was named; None where each image has its own.
        explain: whether the first picture of each file is explained too. Where nothing was named, one adapter
            is thought to act on it.
        max_megapixels: as for :func:`total_megapixels`.
    """
    sizes = [_megapixels(path, max_megapixels) for path in _some(paths)]
    largest = max((each for pages in sizes for each in pages), default=0.0)
    enlarged = restorer.scale**2
    whole = max(1, round((largest * 1e6 * enlarged) ** 0.5))
    read_px, tile_px = _read_pixels(restorer.runtime, whole, restorer.tile_px_for(whole, whole))
    probe = _probe(restorer, tile_px, weights)
    megapixels = _scaled([sum(pages) for pages in sizes], paths)
    # A shown image is encoded once; reading it back, which is timed too, stands for the sheet of them all.
    shown = count_runs(weights or dict.fromkeys(restorer.adapters[:1], 0.5)) if explain else 0
    shown_megapixels = shown * _scaled([sum(pages[:1]) for pages in sizes], paths)
    # What is enlarged is restored at its own size before.
    runs = QUALITIES[restorer.quality] * (enlarged + (enlarged > 1))
    network_s = probe.seconds / probe.side_px**2 * 1e6 * read_px / whole**2 * runs
    on_cpu = restorer.device.type == "cpu"
    tile_bytes = int(probe.tensor_bytes / probe.side_px**2 * tile_px) + probe.beside_bytes
    bytes_per_pixel = _BYTES_PER_PIXEL * enlarged + shown * _BYTES_PER_SHOWN_PIXEL
    needed = tile_bytes + int(largest * 1e6 * bytes_per_pixel)
    file_s = _file_seconds(paths)
    shown_s = 0.0 if not shown else network_s + _file_seconds(["explanation.png"])
    used = resident_bytes() if on_cpu else restorer.runtime.weight_bytes
    return Estimate(
        memory_bytes=used + needed,
        needed_bytes=needed,
        seconds=len(paths) * probe.per_image_s
        + megapixels * (network_s + file_s)
        + shown_megapixels * shown_s,
        files=len(paths),
        megapixels=megapixels,
        probe_px=probe.side_px,
    )


@dataclass(frozen=True)
class _Probe:
    """What a square took: the time, what is done once per image, and the memory of tensors and beside."""

    side_px: int
    seconds: float
    per_image_s: float
    tensor_bytes: int
    beside_bytes: int


def _probe(restorer: Restorer, tile_px: int, weights: Mapping[str, float] | None) -> _Probe:
    runtime, device = restorer.runtime, restorer.device
    multiple = runtime.description.size_multiple
    side = min(PROBE_PX, round(tile_px**0.5))
    generator = torch.Generator(device).manual_seed(0)
    acting = dict.fromkeys(restorer.adapters[:1], 1.0) if weights is None else weights
    started = time.perf_counter()
    with torch.inference_mode(), runtime.composed(acting) if acting else nullcontext():
        per_image_s = time.perf_counter() - started
        while True:
            side = -(-side // multiple) * multiple
            image = torch.rand(1, 3, side, side, device=device, generator=generator)
            with PeakMemory(device) as memory:
                seconds = _timed(runtime, image)
            if side == PROBE_PX or side**2 >= tile_px:
                # The first one at hand, again: what libraries set up for a size is set up once.
                seconds = min(seconds, _timed(runtime, image))
            if seconds > _LONG_S or side**2 >= tile_px:
                break
            side = min(2 * side, round(tile_px**0.5))
    if weights is None and not restorer.is_bare:
        started = time.perf_counter()
        restorer.recognise(image[0].cpu())
        per_image_s += time.perf_counter() - started
    release_freed_memory()
    return _Probe(side, seconds, per_image_s, memory.tensors, memory.most - memory.tensors)


def _timed(runtime: Runtime, image: Tensor) -> float:
    started = time.perf_counter()
    runtime.run(image, runtime.context(image))
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - started


def _file_seconds(paths: Sequence[str | Path]) -> float:
    """Return how long reading and writing a megapixel takes, in the format of the first file."""
    pixels = torch.rand(3, PROBE_PX, PROBE_PX, generator=torch.Generator().manual_seed(0))
    name = Path(f"probe{Path(paths[0]).suffix}")
    try:
        content, _ = encode_image(name, pixels, ImageMetadata())
        started = time.perf_counter()
        encode_image(name, read_image(content).pixels, ImageMetadata())
    except PolyrestoreError:
        # A format that is not written; the time for another one is as good a guess.
        return _file_seconds(["probe.png"])
    return (time.perf_counter() - started) / PROBE_PX**2 * 1e6


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


def _frame_sizes(path: Path) -> list[tuple[int, int]]:
    """Return the size of each frame of a video, as many as the file says, or its length and rate."""
    facts = VideoReader(path).facts()
    frames = facts.told_frames
    if not frames and facts.told_seconds and facts.rate:
        frames = round(facts.told_seconds * facts.rate)
    return [(facts.width, facts.height)] * max(1, frames)


def _megapixels(path: str | Path, max_megapixels: float | None) -> list[float]:
    """Return the size of each picture of a file, none where it will not be restored."""
    try:
        sizes = _frame_sizes(Path(path)) if is_video(path, read_start(path)) else read_sizes(path)
        for size_px in set(sizes):
            require_size(size_px, Path(path), max_megapixels)
    except Exception:
        # A file that cannot be read is reported when it is its turn.
        return []
    return [width * height / 1e6 for width, height in sizes]
