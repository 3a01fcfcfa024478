"""Rain, snow and drops: AllWeather, Outdoor-Rain, RainDrop, Rain100L and H, Snow100K.

AllWeather is the training set of Valanarasu et al. (CVPR 2022, arXiv 2111.14813): Snow100K, Outdoor-Rain and
RainDrop in one folder. Which image comes from which can be told by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from polyrestore.data.layouts.base import Part, images_below, images_in, subfolder

_OUTDOOR_RAIN = re.compile(r"_s\d+_a\d+$")
_SCALE = re.compile(r"x\d$")


def weather_task(stem: str) -> str:
    """Tell AllWeather's three tasks apart by a file name without ending."""
    if stem.endswith("_rain"):
        return "raindrop"
    return "rain" if _OUTDOOR_RAIN.search(stem) or re.fullmatch(r"im_\d+", stem) else "snow"


def weather_partners(stem: str) -> tuple[str, ...]:
    """``0_rain`` belongs to ``0_clean``, ``im_0001_s80_a04`` to ``im_0001``; or both have one name."""
    original = _OUTDOOR_RAIN.sub("", stem)
    return (stem, stem.removesuffix("_rain") + "_clean" if stem.endswith("_rain") else original)


def find_allweather(folder: Path) -> list[Part]:
    """``input`` and ``gt``."""
    degraded, clean = subfolder(folder, "input"), subfolder(folder, "gt")
    if degraded is None or clean is None:
        return []
    return [
        Part(
            images_below(clean), images_below(degraded), task_of=weather_task, partners=weather_partners,
            many_to_one=True, split="train",
        )
    ]  # fmt: skip


def find_outdoor_rain(folder: Path) -> list[Part]:
    """``in`` or ``data``, and ``gt``; damaged names end in the strength and the light, ``_s80_a04``."""
    return _data_and_gt(folder, "rain", lambda stem: bool(_OUTDOOR_RAIN.search(stem)))


def find_raindrop(folder: Path) -> list[Part]:
    """``data`` and ``gt``; names end in ``_rain`` and ``_clean``."""
    return _data_and_gt(folder, "raindrop", lambda stem: stem.endswith("_rain"))


def find_rain100(folder: Path) -> list[Part]:
    """``rainy`` and ``gt``, or ``rain`` and ``norain``, or ``rain-1`` and ``norain-1`` beside each other."""
    split = "test" if re.search("rain100[lh]", folder.name.lower()) else "all"
    degraded = subfolder(folder, "rainy", "rain")
    clean = subfolder(folder, "gt", "norain", "clean", "target")
    if degraded is not None and clean is not None:
        return [_rain100(images_below(clean), images_below(degraded), split)]
    here = images_in(folder)
    without = [path for path in here if path.stem.startswith("norain-")]
    if degraded is not None and without:
        return [_rain100(without, images_below(degraded), split)]
    with_rain = [path for path in here if path.stem.startswith("rain-")]
    return [_rain100(without, with_rain, split)] if with_rain and without else []


def find_snow100k(folder: Path) -> list[Part]:
    """``synthetic`` and ``gt``; ``mask`` beside them is not used."""
    degraded, clean = subfolder(folder, "synthetic"), subfolder(folder, "gt")
    if degraded is None or clean is None:
        return []
    split = "test" if re.fullmatch("snow100k-[sml]", folder.name.lower()) else "all"
    return [Part(images_below(clean), images_below(degraded), "snow", split=split)]


def _rain100_partners(stem: str) -> tuple[str, ...]:
    plain = _SCALE.sub("", stem)
    return (plain, "no" + plain, stem)


def _rain100(clean: list[Path], degraded: list[Path], split: str) -> Part:
    return Part(clean, degraded, "rain", partners=_rain100_partners, split=split)


def _data_and_gt(folder: Path, task: str, is_own: Callable[[str], bool]) -> list[Part]:
    degraded, clean = subfolder(folder, "data", "in"), subfolder(folder, "gt")
    if degraded is None or clean is None:
        return []
    found = images_below(degraded)
    if not found or not is_own(found[0].stem):
        return []
    return [Part(images_below(clean), found, task, partners=weather_partners, many_to_one=True)]
