"""Sets with one degradation: RESIDE (haze), LOL (low light) and GoPro (motion blur)."""

from __future__ import annotations

import re
from pathlib import Path

from polyrestore.data.layouts.base import Part, images_below, subfolder

_HAZE_LEVEL = re.compile(r"_\d+(\.\d+)?(_\d+(\.\d+)?)?$")


def haze_partners(stem: str) -> tuple[str, ...]:
    """``0001_0.8_0.2`` belongs to ``0001`` and ``1400_1`` to ``1400``, many to one; or both have one name."""
    return (_HAZE_LEVEL.sub("", stem), stem)


def find_reside(folder: Path) -> list[Part]:
    """``hazy`` and ``gt`` or ``clear``; ``synthetic`` and ``original``; ``input`` and ``target`` so named."""
    degraded, clean = subfolder(folder, "hazy", "haze"), subfolder(folder, "gt", "clear")
    if degraded is None:
        degraded, clean = subfolder(folder, "synthetic"), subfolder(folder, "original")
    if degraded is None:
        degraded, clean = subfolder(folder, "input"), subfolder(folder, "target")
        if degraded is None or clean is None or not _levels_in_names(degraded, clean):
            return []
    if degraded is None or clean is None:
        return []
    part = Part(images_below(clean), images_below(degraded), "haze", partners=haze_partners, many_to_one=True)
    return [part]


def _levels_in_names(degraded: Path, clean: Path) -> bool:
    """Tell whether damaged images bear their haze level in the name, and clean ones do not."""
    stems = {path.stem for path in images_below(clean)}
    found = images_below(degraded)[:1]
    return any(path.stem not in stems and _HAZE_LEVEL.sub("", path.stem) in stems for path in found)


def find_lol(folder: Path) -> list[Part]:
    """``low`` and ``high``, or in version 2 ``Low`` and ``Normal``."""
    degraded, clean = subfolder(folder, "low"), subfolder(folder, "high", "normal")
    if degraded is None or clean is None:
        return []

    def partners(stem: str) -> tuple[str, ...]:
        # Real images of version 2: low00001 and normal00001.
        return (stem, re.sub("^low", "normal", stem))

    return [Part(images_below(clean), images_below(degraded), "low_light", partners=partners)]


def find_gopro(folder: Path) -> list[Part]:
    """``blur`` and ``sharp``; ``blur_gamma``, the same with a camera's response curve, is not used."""
    degraded, clean = subfolder(folder, "blur"), subfolder(folder, "sharp")
    if degraded is None or clean is None:
        return []
    return [Part(images_below(clean), images_below(degraded), "motion_blur")]
