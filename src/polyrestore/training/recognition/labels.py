"""What is asked of the recogniser about one image: what is there, how strongly, and how sure we are of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from polyrestore.data.labelled import LabelledPhotograph

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
# How far it can be trusted that a pair shows nothing but its own degradation.
_BESIDE_PAIRS = 0.3
_SEVERITIES = {"faint": 0.25, "clear": 0.5, "strong": 0.85}
_FALLING = ("rain", "snow", "raindrop")


@dataclass
class Label:
    """What is asked about one image; at first that nothing is there, for certain.

    Attributes:
        names: the N degradations that are asked about; what is said about others is left out.
        presence: (N,) 1 where the degradation is there, otherwise 0.
        certainty: (N,) how much an error about it counts, from 0 (unknown) to 1.
        severity: (N,) from 0 to 1; NaN where it is absent or unknown.
    """

    names: tuple[str, ...]
    presence: Tensor = field(init=False)
    certainty: Tensor = field(init=False)
    severity: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.presence = torch.zeros(len(self.names))
        self.certainty = torch.ones(len(self.names))
        self.severity = torch.full((len(self.names),), float("nan"))

    def add(self, name: str, severity: float | None = None, certainty: float = 1.0) -> None:
        """Note that a degradation is there."""
        if name in self.names:
            column = self.names.index(name)
            self.presence[column] = 1
            self.certainty[column] = certainty
            if severity is not None:
                self.severity[column] = severity

    def doubt(self, certainties: Mapping[str, float]) -> None:
        """Set how much an error about some degradations counts."""
        for name, certainty in certainties.items():
            if name in self.names:
                self.certainty[self.names.index(name)] = certainty

    def doubt_others(self, names: Iterable[str], certainty: float) -> None:
        """Set how much an error about some degradations counts, but for those that are there."""
        self.doubt({name: certainty for name in names if not self.shows(name)})

    def shows(self, name: str) -> bool:
        """Return whether a degradation is asked about and there."""
        return name in self.names and bool(self.presence[self.names.index(name)])


def label_of_severities(severities: Mapping[str, float], names: tuple[str, ...]) -> Label:
    """Return the label of an image that was damaged with severities by degradation.

    Neighbours that cannot be told apart by looking, such as two kinds of blur, count less.

    Args:
        severities: from 0 to 1, by degradation.
        names: the degradations that are asked about.
    """
    label = Label(names)
    for name, severity in severities.items():
        label.add(name, severity, _UNSURE if severity < _UNSURE_BELOW.get(name, 0.0) else 1.0)
    there = set(severities)
    if there & {"haze", "low_light"}:
        label.doubt({"shadow": 1.0 if "shadow" in there else 0.5})
    if there & {"rain", "snow"} and "haze" not in there:
        label.doubt({"haze": 0.3})
    if there & set(_BLURS):
        label.doubt_others(_BLURS, 0.5)
    if "low_light" in there and "noise" not in there:
        label.doubt({"noise": 0.0})
    return label


def label_of_pair(name: str, names: tuple[str, ...], shown: bool) -> Label:
    """Return the label of a photograph with a degradation, or of its clean partner; the rest is a guess.

    Args:
        name: the degradation.
        names: the degradations that are asked about.
        shown: True for the photograph that shows it.
    """
    label = Label(names)
    label.doubt({**dict.fromkeys(names, _BESIDE_PAIRS), "jpeg": 0.0, name: 1.0})
    if shown:
        label.add(name)
    return label


def label_by_eye(photograph: LabelledPhotograph, names: tuple[str, ...]) -> Label:
    """Return the label of a photograph that somebody labelled by eye; compression is not labelled at all.

    Args:
        photograph: with what was seen in it.
        names: the degradations that are asked about.
    """
    label = Label(names)
    label.doubt({"jpeg": 0.0})
    if photograph.is_clean:
        label.doubt(dict.fromkeys(("noise", *_BLURS), 0.5))
        if photograph.kind == "clouds":
            label.doubt({"haze": 0.5})
        return label
    label.doubt(_UNNOTED)
    seen = photograph.labels
    for name in seen:
        # The eye grades how much noise disturbs, which is not how strong it is.
        severity = None if name == "noise" else _SEVERITIES.get(photograph.strength)
        label.add(name, severity, 0.6 if photograph.strength == "faint" else 1.0)
    if any(name in seen for name in _FALLING):
        if "haze" not in seen:
            label.doubt({"haze": 0.1})
        label.doubt_others(("rain", "raindrop"), 0.4)
    if photograph.kind == "night_haze":
        label.doubt({"low_light": 0.0})
    if "noise" in seen:
        label.doubt({"low_light": 0.2})
    if "low_light" in seen:
        label.doubt({"noise": 0.0} | ({} if "haze" in seen else {"haze": 0.5}))
    if photograph.kind == "maybe_composite":
        label.certainty *= 0.7
    return label
