"""What a layout is, and how a damaged image finds its clean partner.

A layout looks at one folder and says which parts of a set it sees there: a folder of damaged images beside
the folder of their clean partners, or clean photographs alone. Nothing is decoded for that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from polyrestore.data.images import is_image_name
from polyrestore.data.samples import ImageFile, Sample
from polyrestore.errors import DataError

SPLIT_WORDS = {
    "train": "train", "training": "train", "ots": "train", "its": "train",
    "test": "test", "testing": "test", "eval": "test", "sots": "test",
    "val": "validation", "valid": "validation", "validation": "validation",
}  # fmt: skip
NO_SPLIT = "all"
SHOWN = 5


def same_name(stem: str) -> tuple[str, ...]:
    """A damaged image and its clean partner have one name."""
    return (stem,)


@dataclass(frozen=True)
class Part:
    """Images that are paired, or left alone, in one way.

    Attributes:
        clean: the clean images.
        degraded: the damaged images; None for clean photographs alone.
        task: what has to be undone; empty where the folder does not say.
        task_of: the task by the damaged image's name without ending; ``task`` for all when None.
        partners: names, without ending, that the clean partner of a name may have; the first that is there
            counts.
        many_to_one: True where one clean image serves several damaged ones, or none.
        split: which split the images belong to when no folder name says it.
    """

    clean: list[Path]
    degraded: list[Path] | None = None
    task: str = ""
    task_of: Callable[[str], str] | None = None
    partners: Callable[[str], tuple[str, ...]] = same_name
    many_to_one: bool = False
    split: str = NO_SPLIT


@dataclass(frozen=True)
class Layout:
    """One way in which sets lie on the disk.

    Attributes:
        name: the registry name.
        summary: the folders and file names, for people.
        find: the parts that a folder holds; empty when it is not laid out so.
        levels_up: how many folders above the one that ``find`` recognises belong to the same set.
    """

    name: str
    summary: str
    find: Callable[[Path], list[Part]]
    levels_up: int = 0


def subfolder(folder: Path, *names: str) -> Path | None:
    """Return the subfolder with one of some names, in any case; the first name that is there counts."""
    with os.scandir(folder) as entries:
        present = {entry.name.lower(): entry.name for entry in entries if entry.is_dir()}
    for name in names:
        if name in present:
            return folder / present[name]
    return None


def images_in(folder: Path) -> list[Path]:
    """Return the images directly in a folder, by name."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_image_name(entry.name)]
    return [folder / name for name in sorted(names)]


def images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and in the folders below it, by path."""
    found = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if is_image_name(name)
    ]
    return [Path(path) for path in sorted(found)]


def split_by_name(names: Iterable[str]) -> str | None:
    """Return the split that the first of some folder names announces, None when none does."""
    for name in names:
        # RainTrainL joins its words, and LOL calls its training folder our485.
        known = name.lower().replace("raintrain", "train ").replace("our485", "train")
        words = re.findall("[a-z]+", known)
        for word in words:
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def read_part(part: Part, folder: Path, split: str | None) -> list[Sample]:
    """Pair the images of a part.

    Args:
        part: from a layout.
        folder: for messages.
        split: what the folder names say about the split; the part's own when None.

    Raises:
        DataError: there are no images, or some have no partner.
    """
    split = split or part.split
    if part.degraded is None:
        return [Sample(part.task, split, ImageFile(path)) for path in part.clean]
    if not part.degraded or not part.clean:
        which = "damaged" if not part.degraded else "clean"
        task = f" of task {part.task!r}" if part.task else ""
        raise DataError(f"{folder} holds no {which} images{task}")
    partners: dict[str, ImageFile] = {}
    for path in part.clean:
        if path.stem in partners:
            raise DataError(f"{folder} holds two clean images named {path.stem!r}")
        partners[path.stem] = ImageFile(path)
    samples, alone = [], []
    used = set()
    for path in part.degraded:
        stem = next((name for name in part.partners(path.stem) if name in partners), None)
        if stem is None:
            alone.append(path)
            continue
        used.add(stem)
        task = part.task if part.task_of is None else part.task_of(path.stem)
        samples.append(Sample(task, split, partners[stem], ImageFile(path)))
    if not part.many_to_one:
        alone += [file.path for stem, file in partners.items() if stem not in used]
    if alone:
        shown = ", ".join(str(path.relative_to(folder)) for path in alone[:SHOWN])
        more = " ..." if len(alone) > SHOWN else ""
        raise DataError(f"{len(alone)} images of {folder} have no partner: {shown}{more}")
    return samples
