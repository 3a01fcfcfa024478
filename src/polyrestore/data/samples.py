"""Where the images of a training set lie, and a bounded memory of those that were read.

Research sets do not fit into memory: a sample is two file names until a batch asks for its pixels.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from polyrestore.data.images import load_pixels
from polyrestore.errors import DataError
from polyrestore.files import open_regular, read_bytes


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, by itself or inside a tar archive.

    Attributes:
        path: the file, or the archive.
        member: its name inside the archive; empty for a file by itself.
        offset: where its bytes start in the archive.
        length: how many bytes it has in the archive.
    """

    path: Path
    member: str = ""
    offset: int = 0
    length: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @property
    def suffix(self) -> str:
        """The ending of the image's name, with its dot."""
        return Path(self.member or self.path.name).suffix

    @property
    def size_bytes(self) -> int:
        """How many bytes the image file has."""
        return self.length if self.member else self.path.stat().st_size

    def content(self) -> bytes:
        """Return the image file's bytes, as they are.

        Raises:
            DataError: the file or the archive cannot be read, or is shorter than it should be.
        """
        try:
            if not self.member:
                return read_bytes(self.path)
            with open_regular(self.path) as stream:
                stream.seek(self.offset)
                content = stream.read(self.length)
        except OSError as error:
            raise DataError(f"cannot read {self}: {error.strerror or error}") from error
        if len(content) != self.length:
            raise DataError(f"{self} is cut short: {len(content)} of {self.length} bytes")
        return content

    def pixels(self) -> Tensor:
        """Return the image as uint8 (3, H, W).

        Raises:
            ImageError: the image is missing, damaged or of a kind that cannot be read.
            DataError: its archive is damaged.
        """
        if not self.member:
            return load_pixels(self.path)
        return load_pixels(self.content(), name=str(self))


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a set.

    Attributes:
        task: what has to be undone, as the set calls it; empty where the set does not say.
        split: "train", "validation", "test", or "all" where the set is not divided.
        clean: the undamaged image.
        degraded: the damaged image, None where the set holds clean photographs only.
    """

    task: str
    split: str
    clean: ImageFile
    degraded: ImageFile | None = None


class PixelCache:
    """Pixels of the files that were read last, up to a number of bytes.

    What is in the cache changes how fast a batch is made, never what is in it. In another process it starts
    empty.

    Args:
        limit_bytes: how much to keep; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._pixels: OrderedDict[ImageFile, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[PixelCache], tuple[int]]:
        return PixelCache, (self.limit_bytes,)

    def read(self, file: ImageFile) -> Tensor:
        """Return an image as uint8 (3, H, W), from memory where it is still there.

        Raises:
            ImageError: the image cannot be read.
            DataError: its archive is damaged.
        """
        with self._lock:
            if file in self._pixels:
                self._pixels.move_to_end(file)
                return self._pixels[file]
        pixels = file.pixels()
        with self._lock:
            if file not in self._pixels and pixels.numel() <= self.limit_bytes:
                self._pixels[file] = pixels
                self.held_bytes += pixels.numel()
            while self.held_bytes > self.limit_bytes:
                _, dropped = self._pixels.popitem(last=False)
                self.held_bytes -= dropped.numel()
        return pixels

    def read_sample(self, sample: Sample) -> list[Tensor]:
        """Return [clean], or [degraded, clean], uint8 (3, H, W) of one size.

        Raises:
            ImageError: an image cannot be read.
            DataError: the two differ in size.
        """
        clean = self.read(sample.clean)
        if sample.degraded is None:
            return [clean]
        degraded = self.read(sample.degraded)
        if degraded.shape != clean.shape:
            sizes = [(int(image.shape[2]), int(image.shape[1])) for image in (degraded, clean)]
            raise DataError(size_problem(sample, sizes[0], sizes[1]))
        return [degraded, clean]


def size_problem(sample: Sample, degraded: tuple[int, int], clean: tuple[int, int]) -> str:
    """Say that the two images of a sample have different widths and heights."""
    sizes = [f"{width}x{height} px" for width, height in (degraded, clean)]
    return f"{sample.degraded} has {sizes[0]} and its clean partner {sample.clean} {sizes[1]}"
