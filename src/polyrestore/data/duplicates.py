"""Find images of one set that show what an image of another set shows.

Benchmarks are built from each other: a photograph may be in a training set and, resized or compressed once
more, in a test set. Perceptual hashes find such copies without comparing pixels.

The hash is the 256-bit DCT hash of the package imagehash. Measured on 381 BSDS500 images against 105 others
and on changed copies of 150 of them, in bits that differ:

    unrelated images, mirrored ones included (40,005 pairs)    at least 92
    JPEG at quality 30, or half the size and JPEG at 50        at most 8
    noise of sigma 25                                          at most 14
    a gamma of 0.6                                             at most 22
    a quarter of the size and JPEG at 20                       at most 24
    2 % cut off every side                                     at most 50, 95 % of them at most 42
    5 % cut off every side                                     median 72

``NEAR_BITS`` lies between the two, nearer to the copies, because larger sets come closer by chance. With
64-bit hashes the ranges touch: unrelated images come as near as 12 (DCT) and 11 (differences).
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps

from polyrestore.data.samples import ImageFile, Sample
from polyrestore.errors import DataError, PolyrestoreError, needs_extra
from polyrestore.files import read_text, write_text

NEAR_BITS = 48
HASH_SIDE = 16
_THUMBNAIL_PX = 4 * HASH_SIDE
_BLOCK = 4096


@dataclass(frozen=True)
class Duplicate:
    """Two files that show the same.

    Attributes:
        training: the one to train on.
        held_out: the one to validate or test on.
        bits: by how many of 256 bits their hashes differ.
        mirrored: True when one is the mirror image of the other.
    """

    training: ImageFile
    held_out: ImageFile
    bits: int
    mirrored: bool

    def __str__(self) -> str:
        how = "shows, mirrored, what" if self.mirrored else "shows what"
        return f"{self.training} {how} {self.held_out} shows"


class HashMemory:
    """Hashes of files by name, size and time of change, in a JSON file; without a file, in memory only.

    A file that cannot be read or does not hold hashes is begun anew: nothing but time is lost.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known: dict[str, list[Any]] = {}
        if path is not None and path.is_file():
            try:
                content = json.loads(read_text(path))
                self._known = content if isinstance(content, dict) else {}
            except (OSError, ValueError):
                self._known = {}

    def hashes(self, file: ImageFile) -> tuple[str, str]:
        """Return the hashes of an image and of its mirror image, in hexadecimal.

        Raises:
            ImageError: the image cannot be read.
            DataError: the file is missing.
            MissingExtraError: imagehash is not installed.
        """
        try:
            status = os.stat(file.path)
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror or error}") from error
        key = [status.st_size, status.st_mtime_ns]
        known = self._known.get(str(file))
        if not (isinstance(known, list) and len(known) == 4 and known[:2] == key):
            known = [*key, *image_hashes(file)]
            self._known[str(file)] = known
        return known[2], known[3]

    def save(self) -> None:
        """Write the hashes to the file, whole or not at all."""
        if self.path is not None:
            write_text(self.path, json.dumps(self._known))


def image_hashes(file: ImageFile) -> tuple[str, str]:
    """Return the hashes of an image and of its mirror image, in hexadecimal.

    Raises:
        MissingExtraError: imagehash is not installed.
        ImageError: the image cannot be read.
    """
    with needs_extra("comparing images (or, in a recipe, data.check_duplicates = true)", "data"):
        from imagehash import phash
    thumbnail = _thumbnail(file)
    return str(phash(thumbnail, HASH_SIDE)), str(phash(ImageOps.mirror(thumbnail), HASH_SIDE))


def find_duplicates(
    training: Iterable[ImageFile], held_out: Iterable[ImageFile], memory: HashMemory | None = None
) -> list[Duplicate]:
    """Find the training images that show, perhaps mirrored, what a held-out image shows; nearest first.

    Args:
        training: files to train on.
        held_out: files to validate or test on.
        memory: where hashes are kept; nowhere when None.

    Raises:
        MissingExtraError: imagehash is not installed.
        ImageError: an image cannot be read.
    """
    memory = memory or HashMemory()
    first, second = list(dict.fromkeys(training)), list(dict.fromkeys(held_out))
    if not first or not second:
        return []
    plain = _signs([pair[0] for pair in _all_hashes(first, memory)])
    both = _all_hashes(second, memory)
    memory.save()
    straight, mirrored = _signs([pair[0] for pair in both]), _signs([pair[1] for pair in both])
    found = []
    for start in range(0, len(first), _BLOCK):
        rows = plain[start : start + _BLOCK]
        # Bits as signs: the more products are negative, the more bits differ.
        bits = [(rows.shape[1] - rows @ other.T) / 2 for other in (straight, mirrored)]
        nearest = np.minimum(*bits)
        for row, column in zip(*np.nonzero(nearest <= NEAR_BITS), strict=True):
            turned = bool(bits[1][row, column] < bits[0][row, column])
            distance = int(nearest[row, column])
            found.append(Duplicate(first[start + int(row)], second[int(column)], distance, turned))
    return sorted(found, key=lambda each: (each.bits, str(each.training)))


def clean_files(samples: Iterable[Sample]) -> list[ImageFile]:
    """Return the clean images of samples, each once: what a scene looks like, whatever befell it."""
    return list(dict.fromkeys(sample.clean for sample in samples))


def _all_hashes(files: Sequence[ImageFile], memory: HashMemory) -> list[tuple[str, str]]:
    # Decoding leaves Python's lock, so threads are enough.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(memory.hashes, files))


def _signs(hashes: Sequence[str]) -> NDArray[np.float32]:
    """Return (N, 256) of -1 and 1."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), -1)
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _thumbnail(file: ImageFile) -> PILImage.Image:
    """Return an image in grey, as small as the hash needs it."""
    try:
        with PILImage.open(io.BytesIO(file.content())) as opened:
            # JPEG is decoded at an eighth of its size where that is enough.
            opened.draft("L", (2 * _THUMBNAIL_PX, 2 * _THUMBNAIL_PX))
            if opened.mode in ("L", "RGB", "RGBA", "P"):
                image = ImageOps.exif_transpose(opened).convert("L")
                return image.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), PILImage.Resampling.LANCZOS)
    except PolyrestoreError:
        raise
    except Exception:
        # Damaged files make decoders raise nearly anything; the package's own reader says it in one line.
        return _thumbnail_of_pixels(file)
    return _thumbnail_of_pixels(file)


def _thumbnail_of_pixels(file: ImageFile) -> PILImage.Image:
    image = PILImage.fromarray(file.pixels().permute(1, 2, 0).numpy()).convert("L")
    return image.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), PILImage.Resampling.LANCZOS)
