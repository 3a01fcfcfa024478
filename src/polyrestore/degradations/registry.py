"""The degradations that can be synthesised, in the order in which they happen.

Others need no entry: a name and pairs are enough to train an adapter, to be recognised and to be restored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from polyrestore.degradations.base import STAGES, Degradation
from polyrestore.degradations.haze import Haze
from polyrestore.degradations.holes import MissingPixels
from polyrestore.degradations.jpeg import Jpeg
from polyrestore.degradations.lens import DefocusBlur, MotionBlur
from polyrestore.degradations.light import LowLight, Shadow
from polyrestore.degradations.precipitation import Rain, Snow
from polyrestore.degradations.raindrop import Raindrop
from polyrestore.degradations.sensor import Downsampling, Noise
from polyrestore.errors import (
    DegradationError,
    UnknownDegradationError,
    unknown_name,
)
from polyrestore.registries import Registry

DEGRADATIONS: Registry[Degradation] = Registry(
    {
        entry.name: entry
        for entry in (
            Degradation("haze", "scene", "mist or smoke that grows with distance", Haze()),
            Degradation("rain", "scene", "rain streaks and the veil of distant rain", Rain()),
            Degradation("snow", "scene", "falling snowflakes", Snow()),
            Degradation("raindrop", "scene", "drops of water on the glass", Raindrop()),
            Degradation("shadow", "scene", "a cast shadow", Shadow()),
            Degradation("low_light", "scene", "underexposure with its noise and colour cast", LowLight()),
            Degradation("motion_blur", "lens", "camera shake or moving things", MotionBlur()),
            Degradation("defocus_blur", "lens", "a lens out of focus", DefocusBlur()),
            Degradation("downsampling", "sensor", "low resolution, enlarged", Downsampling()),
            Degradation("noise", "sensor", "Gaussian noise or camera noise", Noise(), 0.5),
            Degradation("jpeg", "file", "JPEG compression", Jpeg()),
            Degradation("missing_pixels", "file", "strokes, holes and lost pixels", MissingPixels(), 0.5),
        )
    }
)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return degradations that can be synthesised in the order in which they happen to a photograph.

    Within a stage that is the order of the registry, in which a plugin's entries come last.

    Raises:
        UnknownNameError: one of them cannot be synthesised.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, DEGRADATIONS, UnknownDegradationError)
    known = [name for name in DEGRADATIONS if name in wanted]
    return tuple(sorted(known, key=lambda name: STAGES.index(DEGRADATIONS[name].stage)))


# What is not damaged, and the figure beside those of single degradations.
_RESERVED = ("clean", "mean")


def check_name(name: str) -> None:
    """Refuse what cannot name a degradation: adapters, their folders and prototypes bear the same name.

    Raises:
        DegradationError: it is reserved, or has other signs than letters, digits, ``_`` and ``-``.
    """
    if name in _RESERVED:
        raise DegradationError(f"{name!r} cannot name a degradation, since it means something else")
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise DegradationError(
            f"{name!r} cannot name a degradation; use up to 64 letters, digits, _ and -, such as wet_glass"
        )
