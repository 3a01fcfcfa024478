"""Named mixtures of two and three degradations, with fixed severities, after the sets that are published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polyrestore.degradations.registry import in_order
from polyrestore.errors import (
    UnknownDegradationError,
    unknown_name,
)

_CDD = "CDD-11, Guo et al., ECCV 2024, arXiv 2407.04621"
_REDS = "REDS, Nah et al., CVPRW 2019, as mixed in UIR-LoRA, arXiv 2409.20197"
_LOL_BLUR = "LOL-Blur, Zhou et al., ECCV 2022, arXiv 2202.03373, as mixed in UIR-LoRA, arXiv 2409.20197"
_REAL_ESRGAN = "second half of the chain of Real-ESRGAN, Wang et al., ICCVW 2021, arXiv 2107.10833"
_OWN = "chosen here: "


@dataclass(frozen=True)
class Mixture:
    """Several degradations that are met together.

    Attributes:
        severities: severity in [0, 1] by degradation, in the order in which the name states them.
        citation: the set that the mixture is modelled on, or why it was chosen.
    """

    severities: Mapping[str, float]
    citation: str

    @property
    def name(self) -> str:
        """The names of the degradations, joined by "+"."""
        return "+".join(self.severities)

    @property
    def applied(self) -> tuple[str, ...]:
        """The degradations in the order in which they happen, whatever the order in the name."""
        return in_order(self.severities)


# Severities leave the scene to be seen: each degradation is plain, and none hides another.
MIXTURES: dict[str, Mixture] = {
    entry.name: entry
    for entry in (
        Mixture({"low_light": 0.25, "haze": 0.3}, _CDD),
        Mixture({"low_light": 0.25, "rain": 0.4}, _CDD),
        Mixture({"low_light": 0.25, "snow": 0.4}, _CDD),
        Mixture({"haze": 0.3, "rain": 0.4}, _CDD),
        Mixture({"haze": 0.3, "snow": 0.4}, _CDD),
        Mixture({"low_light": 0.2, "haze": 0.25, "rain": 0.35}, _CDD),
        Mixture({"low_light": 0.2, "haze": 0.25, "snow": 0.35}, _CDD),
        Mixture({"motion_blur": 0.3, "jpeg": 0.6}, _REDS),
        Mixture({"low_light": 0.3, "motion_blur": 0.3}, _LOL_BLUR),
        Mixture({"downsampling": 0.35, "jpeg": 0.6}, _REAL_ESRGAN),
        Mixture({"downsampling": 0.3, "noise": 0.2, "jpeg": 0.5}, _REAL_ESRGAN),
        Mixture({"noise": 0.25, "jpeg": 0.65}, _OWN + "a noisy photograph that was sent on"),
        Mixture({"low_light": 0.3, "noise": 0.2}, _OWN + "a photograph in the dark at high sensitivity"),
        Mixture({"rain": 0.4, "noise": 0.25}, _OWN + "rain on a dull day at high sensitivity"),
        Mixture({"haze": 0.3, "noise": 0.2}, _OWN + "mist at high sensitivity"),
        Mixture({"haze": 0.3, "jpeg": 0.6}, _OWN + "the frame of a traffic camera in mist"),
        Mixture({"rain": 0.4, "raindrop": 0.4}, _OWN + "rain seen through a wet pane"),
        Mixture({"motion_blur": 0.3, "noise": 0.2}, _OWN + "a hand-held photograph at dusk"),
        Mixture({"defocus_blur": 0.25, "noise": 0.2}, _OWN + "out of focus at high sensitivity"),
        Mixture({"low_light": 0.25, "noise": 0.2, "jpeg": 0.5}, _OWN + "a telephone's photograph at night"),
    )
}


def named_mixture(name: str) -> Mixture:
    """Return a mixture by its name, in which the degradations may stand in any order.

    Raises:
        UnknownNameError: no mixture is of these degradations.
    """
    wanted = sorted(part.strip() for part in name.split("+"))
    for known in MIXTURES.values():
        if sorted(known.severities) == wanted:
            return known
    raise unknown_name("mixture", name, MIXTURES, UnknownDegradationError)
