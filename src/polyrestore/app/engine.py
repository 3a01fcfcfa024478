"""What the page does with an image: recognise, reduce, restore, each in its turn."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from PIL import Image as PillowImage

from polyrestore.app.lanes import Job, Lane
from polyrestore.app.limits import Limits
from polyrestore.app.refusals import RefusedError
from polyrestore.bulk.files import named_for_content
from polyrestore.bulk.one_content import Order, RestoredContent, restore_content
from polyrestore.imaging import ImageMetadata, encode_image, read_image, read_sizes
from polyrestore.imaging.levels import convert_levels
from polyrestore.imaging.read import require_size
from polyrestore.restoration.enlarging import require_scale
from polyrestore.restoration.views import require_quality

if TYPE_CHECKING:
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.imaging import Image
    from polyrestore.recognition import Recognition
    from polyrestore.restoration.restorer import Restorer

Result = TypeVar("Result")
Gone = Callable[[], Awaitable[object]]

SMALLEST_PREVIEW_PX = 192
LARGEST_PREVIEW_PX = 768
# What of a second is left to the network, once the rest has had its share.
_PREVIEW_S = 0.5
_PROBE_PX = 256
# How long a large image waits after a tile for the small ones at most, so that it still comes to its end.
_GIVE_WAY_S = 2.0


@dataclass(frozen=True)
class Wish:
    """How somebody wants one image.

    Attributes:
        name: of the file.
        as_: the composition; None for what is recognised.
        strength: from 0, the input, to 1, the restored image.
        quality: in how many views, one of :data:`~polyrestore.restoration.views.QUALITIES`.
        format: of the result; None for that of the input.
        jpeg_quality: of a result that is a JPEG file, from 1 to 100; None for what does not damage it again.
        scale: how many times as wide and high the result is.
    """

    name: str = "image"
    as_: str | None = None
    strength: float = 1.0
    quality: str = "normal"
    format: str | None = None
    jpeg_quality: int | None = None
    scale: int = 1


@dataclass(frozen=True, eq=False)
class Answer:
    """A restored image, and what it is called.

    Attributes:
        name: of the result's file.
        made: the result.
        width_px: of the result.
        height_px: of the result.
        sha256: of the result's bytes.
    """

    name: str
    made: RestoredContent
    width_px: int
    height_px: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Look:
    """What there is to see in an image.

    Attributes:
        width_px: of the image.
        height_px: of the image.
        recognition: what is wrong with it; None where the bundle recognises nothing.
        preview: a PNG file of the reduced image; None where none was asked for.
    """

    width_px: int
    height_px: int
    recognition: Recognition | None
    preview: bytes | None


class Engine:
    """Two restorers of one bundle: large images take turns at the one, and small ones overtake at the other.

    Args:
        task: what the command line would restore with: the bundle, the device, its options.
        limits: what is refused.
        preview_px: the longest side of images that overtake; None to measure what takes half a second.

    Raises:
        PolyrestoreError: the bundle cannot be used, or the device is not there.
    """

    def __init__(self, task: RestoreTask, limits: Limits, preview_px: int | None = None) -> None:
        self.task = task
        self.limits = limits
        self.restorer = task.open()
        self._small = task.open()
        self._long, self._quick = Lane("restoring", limits.queue), Lane("previews", limits.queue)
        self.jobs: dict[str, Job] = {}
        # Some formats read much of a file before they know how large the picture is.
        self._opening = asyncio.Semaphore(2)
        self.preview_px = preview_px or measure_preview_px(self._small)

    @property
    def waiting(self) -> int:
        """How many images wait for their turn."""
        return self._long.waiting + self._quick.waiting

    @property
    def running(self) -> int:
        """How many images are being restored."""
        return self._long.running + self._quick.running

    async def look(self, content: bytes, name: str, preview_px: int, gone: Gone) -> Look:
        """Recognise what is wrong with an image.

        Args:
            content: the file.
            name: of the file.
            preview_px: the longest side of a reduced image to be made of it; 0 for none.
            gone: returns once nobody waits any more.
        """

        def work() -> Look:
            image = self._read(content, name)
            recognition = None if self._small.is_bare else self._small.recognise(image)
            height, width = map(int, image.pixels.shape[1:])
            return Look(width, height, recognition, reduce_image(image, preview_px) if preview_px else None)

        return await self._quick.run(Job(self.limits.seconds), work, gone)

    async def reduce(self, content: bytes, name: str, side_px: int, gone: Gone) -> bytes:
        """Return a reduced image as a PNG file, which every browser shows.

        Args:
            content: the file.
            name: of the file.
            side_px: the longest side of the result.
            gone: returns once nobody waits any more.
        """

        def work() -> bytes:
            return reduce_image(self._read(content, name), side_px)

        return await self._quick.run(Job(self.limits.seconds), work, gone)

    async def restore(self, content: bytes, wish: Wish, gone: Gone, key: str | None = None) -> Answer:
        """Restore an image as the command line would, byte for byte.

        Args:
            content: the file.
            wish: how.
            gone: returns once nobody waits any more.
            key: under which the job is found meanwhile.
        """
        require_quality(wish.quality)
        require_scale(wish.scale, self.restorer.adapters)
        task = replace(
            self.task,
            as_=wish.as_,
            strength=wish.strength,
            quality=wish.quality,
            format=wish.format,
            jpeg_quality=wish.jpeg_quality,
            scale=wish.scale,
            max_megapixels=self.limits.max_megapixels,
        )
        name = file_name(wish.name)
        output = named_for_content(PurePath(name), content, task.format)
        async with self._opening:
            pixels = await asyncio.to_thread(self._count_pixels, content, name, wish.scale)
        small = pixels <= self.preview_px**2
        lane, restorer = (self._quick, self._small) if small else (self._long, self.restorer)
        job = Job(self.limits.seconds)

        def on_tile(done: int, total: int) -> None:
            job.on_tile(done, total)
            if not small:
                self._quick.give_way(_GIVE_WAY_S)

        def work() -> Answer:
            restorer.quality, restorer.scale, restorer.on_tile = wish.quality, wish.scale, on_tile
            order: Order = task.order(Path(name), Path(output))
            try:
                made = restore_content(content, order, restorer)
            finally:
                restorer.on_tile = None
            height, width = map(int, made.restored.pixels.shape[1:])
            return Answer(str(output), made, width, height, hashlib.sha256(made.content).hexdigest())

        if key is not None:
            if key in self.jobs:
                raise RefusedError("invalid", f"the job {key} is there already", {"name": "job"})
            self.jobs[key] = job
        try:
            return await lane.run(job, work, gone)
        finally:
            if key is not None:
                del self.jobs[key]

    def stop(self) -> None:
        """Let the work end at the next tile, and take no more."""
        self._long.stop()
        self._quick.stop()

    def _read(self, content: bytes, name: str) -> Image:
        known = file_name(name)
        return read_image(content, name=known, max_megapixels=self.limits.max_megapixels, as_levels=True)

    def _count_pixels(self, content: bytes, name: str, scale: int) -> int:
        """Return how many pixels the results of all pictures of a file have, without decoding them.

        Raises:
            ImageError: the file cannot be opened, or a picture is too large.
        """
        sizes = read_sizes(content, name=name)
        sizes = [(scale * width, scale * height) for width, height in sizes]
        for size in sizes:
            require_size(size, Path(name), self.limits.max_megapixels)
        return sum(width * height for width, height in sizes)


def measure_preview_px(restorer: Restorer) -> int:
    """Return the longest side of an image that is restored within half a second here.

    Args:
        restorer: what restores it.
    """
    pixels = torch.rand(3, _PROBE_PX, _PROBE_PX, generator=torch.Generator().manual_seed(0))
    weights = {name: 1.0 for name in restorer.adapters[:1]}
    seconds = math.inf
    # The first time, memory has to be found as well; and what else the machine does takes some time.
    for _ in range(3):
        started = time.perf_counter()
        restorer.apply([pixels.to(restorer.device)], weights)
        seconds = min(seconds, time.perf_counter() - started)
    side = _PROBE_PX * (_PREVIEW_S / max(seconds, 1e-6)) ** 0.5
    return int(min(LARGEST_PREVIEW_PX, max(SMALLEST_PREVIEW_PX, side // 32 * 32)))


def reduce_image(image: Image, side_px: int) -> bytes:
    """Return an image as a PNG file of 8 bits whose longest side is at most ``side_px``.

    Alpha and the colour profile are kept, so that a browser shows it as it shows the file itself.
    """
    height, width = map(int, image.pixels.shape[1:])
    levels = convert_levels(image.pixels, torch.uint8).permute(1, 2, 0).contiguous().numpy()
    scale = min(1.0, side_px / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = PillowImage.fromarray(levels)
    if size != (width, height):
        picture = picture.resize(size, PillowImage.Resampling.LANCZOS, reducing_gap=3.0)
    reduced = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    metadata = image.metadata
    kept = ImageMetadata(grey=metadata.grey, icc_profile=metadata.icc_profile)
    return encode_image("preview.png", reduced, kept)[0]


def file_name(given: str) -> str:
    """Return the last part of a name that somebody gave, without what no file may be called."""
    last = given.replace("\\", "/").rpartition("/")[2]
    plain = "".join(letter for letter in last if letter.isprintable()).strip()
    # What a file system takes, with an ending to come.
    while len(plain.encode("utf-8", "replace")) > 200:
        plain = plain[:-1]
    return plain if plain.strip(".") else "image"
