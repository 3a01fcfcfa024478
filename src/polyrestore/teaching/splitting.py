"""Which pairs are learned from and which are held back: never two of one scene on both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Generator, randperm

from polyrestore.data import ImageFile, find_duplicates

HELD_BACK_SHARE = 0.2
# Whole scenes are held back as long as that does not cost more of the pairs.
_MOST = 0.4


@dataclass(frozen=True)
class Split:
    """Places of pairs, sorted.

    Attributes:
        training: what is learned from.
        held_back: what it is measured on.
        scene_of: a number for the scene of each pair.
        notes: what the user should know about it, one sentence each.
    """

    training: tuple[int, ...]
    held_back: tuple[int, ...]
    scene_of: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def scenes(self) -> int:
        """How many scenes there are."""
        return len(set(self.scene_of))


def split_by_scene(names: Sequence[str], targets: Sequence[Path], seed: int) -> Split:
    """Hold back about a fifth of the pairs, by whole scenes.

    Targets that show the same, and names that differ in their last number only, are of one scene; where all
    names differ in a number only, as those that a camera gives, they say nothing.

    Args:
        names: of the pairs, without ending.
        targets: their clean files.
        seed: decides which scenes are held back.

    Raises:
        MissingExtraError: imagehash is not installed.
    """
    files = [ImageFile(path) for path in targets]
    alike = _alike(files)
    by_name = _joined(alike, [_scene_name(name) for name in names])
    by_look = _joined(alike, [str(index) for index in range(len(names))])
    held, scenes = _held_back(by_name, seed), by_name
    notes = []
    if held is None:
        held, scenes = _held_back(by_look, seed), by_look
    if held is None:
        # All of it may be one scene: then some of its images are all that can be held back.
        scenes = list(range(len(names)))
        held = _held_back(scenes, seed) or {0}
        notes.append("the images show so few scenes that those held back are of the same ones")
    training = tuple(index for index in range(len(names)) if index not in held)
    return Split(training, tuple(sorted(held)), tuple(scenes), tuple(notes))


def _scene_name(name: str) -> str:
    return re.sub(r"[ _.-]*\d+$", "", name)


def _alike(files: Sequence[ImageFile]) -> list[tuple[int, int]]:
    """Return the places of files that show the same."""
    place: dict[ImageFile, int] = {}
    for index, file in enumerate(files):
        place.setdefault(file, index)
    same = [(place[file], index) for index, file in enumerate(files) if place[file] != index]
    found = find_duplicates(files, files)
    return same + [(place[e.training], place[e.held_out]) for e in found if e.training != e.held_out]


def _joined(alike: Sequence[tuple[int, int]], labels: Sequence[str]) -> list[int]:
    """Return a number for the scene of each pair: equal labels are one, and so is what looks alike."""
    first = {label: labels.index(label) for label in set(labels)}
    scene = [first[label] for label in labels]
    for one, other in alike:
        joined, given_up = scene[one], scene[other]
        scene = [joined if each == given_up else each for each in scene]
    return scene


def _held_back(scenes: Sequence[int], seed: int) -> set[int] | None:
    """Return the places that are held back; None where whole scenes would take too many of them."""
    members = {scene: [i for i, each in enumerate(scenes) if each == scene] for scene in set(scenes)}
    if len(members) < 2:
        return None
    wanted = max(1, round(HELD_BACK_SHARE * len(scenes)))
    order = sorted(members)
    drawn = [order[int(i)] for i in randperm(len(order), generator=Generator().manual_seed(seed))]
    held: set[int] = set()
    for scene in drawn:
        if len(held) < wanted and len(held) + len(members[scene]) <= max(wanted, _MOST * len(scenes)):
            held |= set(members[scene])
    return held or None
