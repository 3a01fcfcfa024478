"""Read every image of a set once, and say what is wrong with which file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from polyrestore.data.duplicates import HashMemory, clean_files, find_duplicates
from polyrestore.data.samples import ImageFile, Sample, size_problem
from polyrestore.errors import DataError, ImageError


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a set.

    Attributes:
        kind: "unreadable", "sizes" where a pair's images differ in size, or "duplicate".
        file: the file, or the training image.
        other: the clean partner, or the held-out image; empty where there is none.
        message: one line for people.
    """

    kind: Literal["unreadable", "sizes", "duplicate"]
    file: str
    other: str
    message: str


def check_sets(
    training: Sequence[Sample], held_out: Sequence[Sample] = (), memory: HashMemory | None = None
) -> list[Problem]:
    """Read every image once, compare sizes within pairs, and look for duplicates between two sides.

    Args:
        training: samples to train on.
        held_out: samples to validate or test on; their clean images are compared with those of ``training``.
        memory: where hashes are kept; nowhere when None.

    Returns:
        what is wrong: unreadable files first, then sizes, then duplicates.

    Raises:
        MissingExtraError: imagehash is not installed, and there is something to compare.
    """
    samples = [*training, *held_out]
    both = ((sample.degraded, sample.clean) for sample in samples)
    files = list(dict.fromkeys(file for pair in both for file in pair if file is not None))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        sizes = dict(zip(files, pool.map(_size, files), strict=True))
    problems = [
        Problem("unreadable", str(file), "", size) for file, size in sizes.items() if isinstance(size, str)
    ]
    problems += [problem for sample in samples for problem in _size_problems(sample, sizes)]
    sides = [
        [file for file in clean_files(side) if not isinstance(sizes[file], str)]
        for side in (training, held_out)
    ]
    problems += [
        Problem("duplicate", str(found.training), str(found.held_out), str(found))
        for found in find_duplicates(sides[0], sides[1], memory)
    ]
    return problems


def _size_problems(sample: Sample, sizes: Mapping[ImageFile, tuple[int, int] | str]) -> list[Problem]:
    if sample.degraded is None:
        return []
    first, second = sizes[sample.degraded], sizes[sample.clean]
    if isinstance(first, str) or isinstance(second, str) or first == second:
        return []
    return [Problem("sizes", str(sample.degraded), str(sample.clean), size_problem(sample, first, second))]


def _size(file: ImageFile) -> tuple[int, int] | str:
    """Return width and height, or why the image cannot be read."""
    try:
        pixels = file.pixels()
    except (ImageError, DataError) as error:
        return str(error)
    return int(pixels.shape[2]), int(pixels.shape[1])
