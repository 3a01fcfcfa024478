"""Sets with many degradations, one folder each: CDD-11 and the ten tasks of DA-CLIP; and what says nothing.

CDD-11 is the set of Guo et al. (ECCV 2024, arXiv 2407.04621), the ten tasks are those of Luo et al.
(ICLR 2024, arXiv 2310.01018).
"""

from __future__ import annotations

import os
from pathlib import Path

from polyrestore.data.layouts.base import Part, images_below, images_in, subfolder

CDD_WORDS = {"low": "low_light", "haze": "haze", "rain": "rain", "snow": "snow"}
DACLIP_WORDS = {
    "motion-blurry": "motion_blur",
    "hazy": "haze",
    "jpeg-compressed": "jpeg",
    "low-light": "low_light",
    "noisy": "noise",
    "raindrop": "raindrop",
    "rainy": "rain",
    "shadowed": "shadow",
    "snowy": "snow",
    "uncompleted": "missing_pixels",
}


def cdd_task(name: str) -> str | None:
    """Return the task of a CDD-11 folder: ``low_haze`` is "low_light+haze"; None for any other folder."""
    words = name.lower().split("_")
    return "+".join(CDD_WORDS[word] for word in words) if all(word in CDD_WORDS for word in words) else None


def find_cdd(folder: Path) -> list[Part]:
    """``clear`` beside the mixtures, each with images of the same names."""
    clean = subfolder(folder, "clear")
    if clean is None:
        return []
    with os.scandir(folder) as entries:
        tasks = {entry.name: cdd_task(entry.name) for entry in entries if entry.is_dir()}
    found = {name: task for name, task in sorted(tasks.items()) if task is not None}
    # A lone haze or low folder beside clear is a set of that one degradation.
    if len(found) < 2:
        return []
    images = images_below(clean)
    return [Part(images, images_below(folder / name), task, many_to_one=True) for name, task in found.items()]


def find_daclip(folder: Path) -> list[Part]:
    """``LQ`` and ``GT`` in a folder named after one of the ten degradations."""
    degraded, clean = subfolder(folder, "lq"), subfolder(folder, "gt")
    task = DACLIP_WORDS.get(folder.name.lower())
    if degraded is None or clean is None or task is None:
        return []
    return [Part(images_below(clean), images_below(degraded), task)]


def find_pairs(folder: Path) -> list[Part]:
    """``input`` and ``target``; the folder does not say what its images suffer from."""
    degraded, clean = subfolder(folder, "input"), subfolder(folder, "target")
    if degraded is None or clean is None:
        return []
    return [Part(images_in(clean), images_in(degraded))]


def find_clean(folder: Path) -> list[Part]:
    """Photographs directly in the folder, as in BSD400, WED or DIV2K."""
    images = images_in(folder)
    return [Part(images)] if images else []
