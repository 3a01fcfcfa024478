"""Find the sets in a folder by looking at it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polyrestore.data.layouts.base import Layout, Part, read_part, split_by_name
from polyrestore.data.layouts.registry import LAYOUTS
from polyrestore.data.samples import Sample
from polyrestore.errors import (
    DataError,
    UnknownDataNameError,
    unknown_name,
)

AUTOMATIC = "auto"
MAXIMUM_DEPTH = 5


@dataclass(frozen=True)
class FoundSet:
    """Samples that lie in one folder and belong to one split.

    Attributes:
        layout: the layout's name.
        folder: where the set begins.
        split: "train", "validation", "test" or "all".
        samples: in the order of their paths.
    """

    layout: str
    folder: Path
    split: str
    samples: tuple[Sample, ...]

    def counts(self) -> dict[str, int]:
        """Return how many samples each task has, by task; clean photographs count under ""."""
        return dict(Counter(sample.task for sample in self.samples))


def find_sets(folder: Path, layout: str = AUTOMATIC) -> list[FoundSet]:
    """Find the sets in a folder and below it.

    The folder names say which split a set belongs to, the nearest to the images first. Of the folders above
    ``folder`` only the one that it lies in counts, when it is named after a split and nothing else.

    Args:
        folder: where to look.
        layout: which layout to look for; "auto" for every one.

    Raises:
        DataError: the folder is missing, holds no set, or a set's images do not pair up.
        UnknownNameError: there is no such layout.
    """
    if layout != AUTOMATIC and layout not in LAYOUTS:
        raise unknown_name("layout", layout, [AUTOMATIC, *LAYOUTS], UnknownDataNameError)
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    candidates = list(LAYOUTS.values()) if layout == AUTOMATIC else [LAYOUTS[layout]]
    # A name such as ".." says nothing.
    folder = Path(os.path.abspath(folder)) if folder.name in ("", "..") else folder
    grouped: dict[tuple[str, Path, str], list[Sample]] = {}
    for found, leaf, parts in _walk(folder, candidates, MAXIMUM_DEPTH):
        start = _set_folder(found, leaf, folder)
        split = _split(leaf, folder)
        for part in parts:
            for sample in read_part(part, leaf, split):
                grouped.setdefault((found.name, start, sample.split), []).append(sample)
    if not grouped:
        looked_for = "any known layout" if layout == AUTOMATIC else f"{layout} ({LAYOUTS[layout].summary})"
        raise DataError(f"{folder} holds no images laid out as {looked_for}")
    return [FoundSet(name, start, split, tuple(samples)) for (name, start, split), samples in grouped.items()]


def _walk(folder: Path, layouts: list[Layout], depth: int) -> Iterator[tuple[Layout, Path, list[Part]]]:
    """Yield the folders that a layout recognises, with what it sees; nothing is looked for below those."""
    for layout in layouts:
        parts = layout.find(folder)
        if parts:
            yield layout, folder, parts
            return
    if depth == 0:
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    for name in names:
        yield from _walk(folder / name, layouts, depth - 1)


def _set_folder(layout: Layout, leaf: Path, root: Path) -> Path:
    levels = min(layout.levels_up, len(leaf.relative_to(root).parts))
    return leaf.parents[levels - 1] if levels else leaf


def _split(leaf: Path, root: Path) -> str | None:
    inside = [*reversed(leaf.relative_to(root).parts), root.name]
    found = split_by_name(inside)
    if found is None:
        above = root.absolute().parent.name
        # Longer names above the set, /home/tester or tests_of_2021, are somebody's own business.
        return split_by_name([above]) if above.isalpha() else None
    return found
