"""What is asked of the recogniser about one image: what is there, how strongly, and how sure we are of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyrestore.data.labelled import LabelledPhotograph
from polyrestore.degradations import DEGRADATIONS

NAMES = tuple(DEGRADATIONS)
COLUMN = {name: index for index, name in enumerate(NAMES)}

# Below such a severity it is a matter of taste whether a degradation is there.
_UNSURE_BELOW = {
    "noise": 0.06,
    "jpeg": 0.2,
    "downsampling": 0.3,
    "motion_blur": 0.18,
    "defocus_blur": 0.2,
    "low_light": 0.25,
    "shadow": 0.3,
    "haze": 0.15,
    "rain": 0.12,
    "snow": 0.12,
    "raindrop": 0.15,
}
_UNSURE = 0.4
_BLURS = ("motion_blur", "defocus_blur", "downsampling")
# How far an eye that looked for weather can be trusted about what it did not note.
_UNNOTED = {
    "jpeg": 0.0,
    "noise": 0.1,
    "downsampling": 0.1,
    "defocus_blur": 0.1,
    "motion_blur": 0.1,
    "haze": 0.5,
    "shadow": 0.5,
    "low_light": 0.7,
    "raindrop": 0.6,
    "snow": 0.7,
}
_SEVERITIES = {"faint": 0.25, "clear": 0.5, "strong": 0.85}
_FALLING = ("rain", "snow", "raindrop")


def _nothing() -> Tensor:
    return torch.zeros(len(NAMES))


def _certain() -> Tensor:
    return torch.ones(len(NAMES))


def _unknown() -> Tensor:
    return torch.full((len(NAMES),), float("nan"))


@dataclass
class Label:
    """What is asked about one image, by degradation in the order of ``DEGRADATIONS``.

    Attributes:
        presence: (N,) 1 where the degradation is there, otherwise 0.
        certainty: (N,) how much an error about it counts, from 0 (unknown) to 1.
        severity: (N,) from 0 to 1; NaN where it is absent or unknown.
    """

    presence: Tensor = field(default_factory=_nothing)
    certainty: Tensor = field(default_factory=_certain)
    severity: Tensor = field(default_factory=_unknown)

    def add(self, name: str, severity: float | None = None, certainty: float = 1.0) -> None:
        """Note that a degradation is there."""
        self.presence[COLUMN[name]] = 1
        self.certainty[COLUMN[name]] = certainty
        if severity is not None:
            self.severity[COLUMN[name]] = severity

    def doubt(self, certainties: Mapping[str, float]) -> None:
        """Set how much an error about some degradations counts."""
        for name, certainty in certainties.items():
            self.certainty[COLUMN[name]] = certainty


def label_of_severities(severities: Tensor) -> Label:
    """Return the label of an image that was damaged with severities (N,), NaN where there is none.

    Neighbours that cannot be told apart by looking, such as two kinds of blur, count less.
    """
    presence = (~severities.isnan()).float()
    label = Label(presence, _certain(), severities.clone())
    for name, least in _UNSURE_BELOW.items():
        if presence[COLUMN[name]] and severities[COLUMN[name]] < least:
            label.certainty[COLUMN[name]] = _UNSURE
    there = {name for name in NAMES if presence[COLUMN[name]]}
    if there & {"haze", "low_light"}:
        label.certainty[COLUMN["shadow"]] = max(0.5, float(presence[COLUMN["shadow"]]))
    if there & {"rain", "snow"} and "haze" not in there:
        label.doubt({"haze": 0.3})
    if there & set(_BLURS):
        label.doubt(dict.fromkeys([name for name in _BLURS if name not in there], 0.5))
    if "low_light" in there and "noise" not in there:
        label.doubt({"noise": 0.0})
    return label


def label_by_eye(photograph: LabelledPhotograph) -> Label:
    """Return the label of a photograph that somebody labelled by eye; compression is not labelled at all."""
    label = Label()
    label.doubt({"jpeg": 0.0})
    if photograph.is_clean:
        label.doubt(dict.fromkeys(("noise", *_BLURS), 0.5))
        if photograph.kind == "clouds":
            label.doubt({"haze": 0.5})
        return label
    label.doubt(_UNNOTED)
    seen = [name for name in NAMES if name in photograph.labels]
    for name in seen:
        # The eye grades how much noise disturbs, which is not how strong it is.
        severity = None if name == "noise" else _SEVERITIES.get(photograph.strength)
        label.add(name, severity, 0.6 if photograph.strength == "faint" else 1.0)
    if any(name in seen for name in _FALLING):
        if "haze" not in seen:
            label.doubt({"haze": 0.1})
        label.doubt(dict.fromkeys([name for name in ("rain", "raindrop") if name not in seen], 0.4))
    if photograph.kind == "night_haze":
        label.doubt({"low_light": 0.0})
    if "noise" in seen:
        label.doubt({"low_light": 0.2})
    if "low_light" in seen:
        label.doubt({"noise": 0.0} | ({} if "haze" in seen else {"haze": 0.5}))
    if photograph.kind == "maybe_composite":
        label.certainty *= 0.7
    return label
