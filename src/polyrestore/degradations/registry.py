"""The twelve degradations, in the order in which they happen."""

from __future__ import annotations

from polyrestore.degradations.base import Degradation
from polyrestore.degradations.haze import Haze
from polyrestore.degradations.holes import MissingPixels
from polyrestore.degradations.jpeg import Jpeg
from polyrestore.degradations.lens import DefocusBlur, MotionBlur
from polyrestore.degradations.light import LowLight, Shadow
from polyrestore.degradations.precipitation import Rain, Snow
from polyrestore.degradations.raindrop import Raindrop
from polyrestore.degradations.sensor import Downsampling, Noise

DEGRADATIONS: dict[str, Degradation] = {
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
