"""Samples that the recogniser learns from: damaged, drawn, real, and looks that were wanted."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.data.images import image_paths, load_pixels
from polyrestore.data.labelled import LabelledPhotograph
from polyrestore.data.looks import LOOKS, drop_colour, give_look, reencode
from polyrestore.data.negatives import NEGATIVES, draw_negative
from polyrestore.data.negatives.draws import Draws
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.training.recognition.labels import Label, label_by_eye, label_of_pair, label_of_severities

LONGEST_PX = 640
GREY_SHARE = 0.1
# Severities start where the degradation can be told from an ordinary photograph.
LEAST_SEVERITIES: Mapping[str, float] = {
    "noise": 0.03,
    "jpeg": 0.14,
    "downsampling": 0.2,
    "motion_blur": 0.1,
    "defocus_blur": 0.1,
    "low_light": 0.12,
    "shadow": 0.15,
}
_LEAST_SEVERITY = 0.05
_LOOKS_BEFORE_DAMAGE = (
    "dark", "bright", "faded", "soft", "soft", "sharp", "toned", "compressed", "compressed", "corners",
)  # fmt: skip
_DAMAGE_OF_DRAWINGS = ("jpeg", "jpeg", "noise", "noise", "downsampling", "motion_blur")


@dataclass(frozen=True, eq=False)
class Sample:
    """One image and what is asked about it.

    Attributes:
        image: (1, 3, H, W) in [0, 1], multiples of 1/255.
        label: what is there.
        kind: how it was made, such as "synthetic" or "drawn:page".
        collection: name of the labelled collection that it comes from; empty for others.
    """

    image: Tensor
    label: Label
    kind: str
    collection: str = ""


@dataclass(frozen=True)
class SampleSource:
    """Makes samples.

    Attributes:
        names: the degradations that are asked about; those that can be synthesised are.
        seed: with a sample's number, decides everything in it.
        photographs: of clean photographs.
        labelled: photographs labelled by eye, by the name of their collection.
        noisy: folders with ``input`` and ``target`` of camera noise.
        dark: photographs taken with too little light.
        blurred: photographs blurred by motion.
        bursts: lists of sharp frames whose mean is blurred.
        pairs: by degradation, photographs that show it and their clean partners.
        task_shares: how often a degradation is drawn compared with the others; 1 where nothing is said.
    """

    names: tuple[str, ...]
    seed: int
    photographs: Sequence[Path]
    labelled: Mapping[str, Sequence[LabelledPhotograph]] = field(default_factory=dict)
    noisy: Sequence[Path] = ()
    dark: Sequence[Path] = ()
    blurred: Sequence[Path] = ()
    bursts: Sequence[Sequence[Path]] = ()
    pairs: Mapping[str, Sequence[tuple[Path, Path]]] = field(default_factory=dict)
    task_shares: Mapping[str, float] = field(default_factory=dict)

    def sample(self, number: int) -> Sample:
        """Make the sample of a number; nothing but the seed and the number decides about it."""
        digest = hashlib.sha256(f"{self.seed}:{number}".encode()).hexdigest()
        draws = Draws(Generator().manual_seed(int(digest[:12], 16)))
        bounds = list(accumulate(share for _, share in self._makers))
        # The last bound may round to less than 1, and then the last maker is meant.
        place = min(bisect_right(bounds, draws.number(0, 1) * bounds[-1]), len(bounds) - 1)
        made = self._makers[place][0](draws)
        image = drop_colour(made.image) if draws.happens(GREY_SHARE) else made.image
        return Sample((image.clamp(0, 1) * 255).round() / 255, made.label, made.kind, made.collection)

    @cached_property
    def _makers(self) -> list[tuple[Callable[[Draws], Sample], float]]:
        """What is made, and how often compared with the others; what there are no files for is left out."""
        makers: list[tuple[Callable[[Draws], Sample], float, object]] = [
            (self._damage_photograph, 0.37, self.photographs if self._synthesised else ()),
            (self._damage_drawing, 0.04, NEGATIVES),
            (self._give_looks, 0.19, self.photographs),
            (self._draw, 0.12, NEGATIVES),
            (self._take_labelled, 0.21, self._all_labelled),
            (self._take_noisy, 0.03, self.noisy),
            (self._take_dark, 0.025, self.dark),
            (self._take_blurred, 0.015, [*self.blurred, *self.bursts]),
            *((partial(self._take_pair, name), 0.06, pairs) for name, pairs in self.pairs.items()),
        ]
        return [(maker, share) for maker, share, files in makers if files]

    @cached_property
    def _synthesised(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name in DEGRADATIONS)

    @cached_property
    def _all_labelled(self) -> list[tuple[str, LabelledPhotograph]]:
        return [(name, each) for name, photographs in self.labelled.items() for each in photographs]

    def _photograph(self, draws: Draws) -> tuple[Tensor, str]:
        """Return a clean photograph and its collection; now and then one that was labelled clean."""
        labelled = [(name, each.path) for name, each in self._all_labelled if each.is_clean]
        if labelled and not draws.happens(0.9):
            name, path = draws.one_of(labelled)
            return fit_size(read(path), draws), name
        return fit_size(read(draws.one_of(self.photographs)), draws), ""

    def _damage_photograph(self, draws: Draws) -> Sample:
        image, collection = self._photograph(draws)
        for _ in range(2):
            if draws.happens(0.25):
                image = give_look(draws.one_of(_LOOKS_BEFORE_DAMAGE), image, draws.generator)
        place = draws.number(0, 1)
        image, label = self._damage(image, draws, 1 if place < 0.5 else 2 if place < 0.83 else 3)
        if draws.happens(0.2) and not label.shows("jpeg"):
            image = reencode(image, draws.one_of(("JPEG", "WEBP")), draws.whole(88, 97))
            label.doubt({"jpeg": 0.7})
        return Sample(image, label, "synthetic", collection)

    def _damage(self, image: Tensor, draws: Draws, count: int) -> tuple[Tensor, Label]:
        shares = torch.tensor([self.task_shares.get(name, 1.0) for name in self._synthesised])
        severities = {}
        drawn = torch.multinomial(shares, min(count, len(shares)), generator=draws.generator)
        for name in (self._synthesised[index] for index in drawn.tolist()):
            least = LEAST_SEVERITIES.get(name, _LEAST_SEVERITY)
            # Several at once are milder each, or nothing of the photograph is left.
            severities[name] = least + (1 - least) * draws.number(0, 1) * (1 if count == 1 else 0.8)
        return degrade(image, severities, draws.generator), label_of_severities(severities, self.names)

    def _damage_drawing(self, draws: Draws) -> Sample:
        name = draws.one_of(list(NEGATIVES))
        image = draw_negative(name, draws.whole(200, 420), draws.whole(200, 420), draws.generator)
        damage, label = draws.one_of(_DAMAGE_OF_DRAWINGS), Label(self.names)
        severity = draws.number(0.25, 1)
        label.add(damage, severity)
        if damage in ("downsampling", "motion_blur"):
            blurs = ("downsampling", "defocus_blur", "motion_blur")
            label.doubt({other: 0.3 for other in blurs if other != damage})
        return Sample(degrade(image, {damage: severity}, draws.generator), label, "drawing damaged")

    def _give_looks(self, draws: Draws) -> Sample:
        image = fit_size(read(draws.one_of(self.photographs)), draws)
        label, kind = Label(self.names), "look"
        for _ in range(draws.whole(0, 3)):
            name = draws.one_of(list(LOOKS))
            image, kind = give_look(name, image, draws.generator), f"look:{name}"
            if name == "faded":
                label.doubt({"haze": 0.5})
        return Sample(image, label, kind)

    def _draw(self, draws: Draws) -> Sample:
        name, label = draws.one_of(list(NEGATIVES)), Label(self.names)
        image = draw_negative(name, draws.whole(120, 520), draws.whole(120, 520), draws.generator)
        if draws.happens(0.25):
            image = reencode(image, "JPEG", draws.whole(90, 97))
            label.doubt({"jpeg": 0.5})
        elif draws.happens(0.15):
            image = give_look("soft", image, draws.generator)
            label.doubt({"downsampling": 0.5, "defocus_blur": 0.5})
        return Sample(image, label, f"drawn:{name}")

    def _take_labelled(self, draws: Draws) -> Sample:
        everything = self._all_labelled
        damaged = [entry for entry in everything if not entry[1].is_clean]
        rare = [entry for entry in everything if entry[1].labels & {"snow", "raindrop", "noise", "low_light"}]
        name, photograph = draws.one_of(everything if draws.happens(0.55) else damaged or everything)
        if draws.happens(0.12):
            name, photograph = draws.one_of(rare or everything)
        label, image = label_by_eye(photograph, self.names), read(photograph.path)
        if "noise" in photograph.labels:
            # Reduced or stored again it would be another noise.
            image = image.flip(3) if draws.happens(0.5) else image
            image = cut_window(image, draws, 160, 160)
        else:
            image = store_again(_vary(image, draws), photograph, label, draws)
        return Sample(image, label, "real:" + "|".join(sorted(photograph.labels)), name)

    def _take_noisy(self, draws: Draws) -> Sample:
        path, label = draws.one_of(self.noisy), Label(self.names)
        image = read(path)
        target = read(next((path.parent.parent / "target").glob(f"{path.stem}.*")))
        sigma_255 = float((image - target).std()) * 255
        label.doubt({"jpeg": 0.0, "low_light": 0.5})
        label.add("noise", min(1.0, max(0.0, (sigma_255 - 2) / 58)), 0.3 if sigma_255 < 3 else 1.0)
        image = cut_window(image, draws, 170, 170)
        return Sample(image.flip(3) if draws.happens(0.5) else image, label, "noisy")

    def _take_dark(self, draws: Draws) -> Sample:
        image, label = fit_size(read(draws.one_of(self.dark)), draws, 200, 400), Label(self.names)
        label.doubt({"noise": 0.0, "jpeg": 0.0, "haze": 0.5})
        label.add("low_light", 0.6)
        if draws.happens(0.4):
            image = (image * draws.number(1, 1.6)).clamp(0, 1)
        return Sample(image, label, "dark")

    def _take_blurred(self, draws: Draws) -> Sample:
        label = Label(self.names)
        label.doubt({"defocus_blur": 0.3, "downsampling": 0.3, "jpeg": 0.0})
        label.add("motion_blur", 0.4)
        if self.blurred and (draws.happens(0.5) or not self.bursts):
            image = read(draws.one_of(self.blurred))
        else:
            frames = draws.one_of(self.bursts)
            count = draws.one_of((5, 7, 9))
            image = torch.stack([read(path) for path in frames[:count]]).mean(0)
        image = cut_window(image, draws, 300, 400)
        if max(image.shape[-2:]) > LONGEST_PX:
            image = functional.interpolate(image, scale_factor=0.6, mode="bilinear", antialias=True)
        return Sample(image, label, "blurred")

    def _take_pair(self, name: str, draws: Draws) -> Sample:
        degraded, clean = draws.one_of(self.pairs[name])
        shown = draws.happens(0.5)
        label = label_of_pair(name, self.names, shown)
        return Sample(fit_size(read(degraded if shown else clean), draws), label, f"pair:{name}")


def read(path: Path) -> Tensor:
    """Read an image as (1, 3, H, W) in [0, 1]."""
    return load_pixels(path)[None].float() / 255


def folder_bursts(folder: Path) -> list[list[Path]]:
    """Group a folder's frames by the part of their name before the last underscore."""
    groups: dict[str, list[Path]] = {}
    for path in image_paths(folder):
        groups.setdefault(path.stem.rpartition("_")[0], []).append(path)
    return [groups[name] for name in sorted(groups)]


def fit_size(image: Tensor, draws: Draws, low_px: float = 200, high_px: float = 460) -> Tensor:
    """Reduce an image to a random short side, or cut a window at full resolution; mirror it half of the time.

    Args:
        image: (1, 3, H, W) in [0, 1].
        draws: the random choices.
        low_px: least short side; smaller images keep theirs.
        high_px: largest short side.
    """
    height, width = image.shape[-2:]
    shorter, wanted = min(height, width), draws.number(low_px, high_px)
    if shorter > wanted:
        scale = wanted / shorter
        if draws.happens(0.35) and shorter >= 256:
            tall, wide = int(max(256, height * scale)), int(max(256, width * scale))
            image = _window(image, draws, min(tall, height), min(wide, width))
        else:
            size = (round(height * scale), round(width * scale))
            mode = "bicubic" if draws.happens(0.7) else "bilinear"
            image = functional.interpolate(image, size=size, mode=mode, antialias=True).clamp(0, 1)
    if max(image.shape[-2:]) > LONGEST_PX:
        image = _window(image, draws, min(image.shape[2], LONGEST_PX), min(image.shape[3], LONGEST_PX))
    return image.flip(3) if draws.happens(0.5) else image


def cut_window(image: Tensor, draws: Draws, least_tall: int, least_wide: int) -> Tensor:
    """Cut a window of a random size, at least as large as asked where the image is."""
    height, width = image.shape[-2:]
    tall, wide = draws.whole(min(height, least_tall), height), draws.whole(min(width, least_wide), width)
    return _window(image, draws, tall, wide)


def _window(image: Tensor, draws: Draws, tall: int, wide: int) -> Tensor:
    top, left = draws.whole(0, image.shape[2] - tall), draws.whole(0, image.shape[3] - wide)
    return image[..., top : top + tall, left : left + wide]


def _vary(image: Tensor, draws: Draws) -> Tensor:
    """Vary size, window and exposure of a labelled photograph."""
    image = fit_size(image, draws, 200, 480)
    if draws.happens(0.3):
        share = draws.number(0.7, 1)
        image = _window(image, draws, int(image.shape[2] * share), int(image.shape[3] * share))
    return (image ** draws.number(0.8, 1.25)).clamp(0, 1) if draws.happens(0.25) else image


def store_again(image: Tensor, photograph: LabelledPhotograph, label: Label, draws: Draws) -> Tensor:
    """Store a labelled photograph at a random quality, or damage it further; the label follows.

    How a collected file is stored goes with its label; unless all are stored again, that becomes the cue.
    """
    place = draws.number(0, 1)
    if place < 0.35:
        return reencode(image, "JPEG", draws.whole(80, 97))
    if place < 0.55:
        return reencode(image, "WEBP", draws.whole(75, 97))
    if place < 0.68:
        quality = draws.whole(15, 70)
        label.add("jpeg", (95 - quality) / 90)
        return reencode(image, "JPEG", quality)
    if place < (0.76 if photograph.is_clean else 0.72):
        severity = draws.number(0.08, 0.8)
        label.add("noise", severity)
        return degrade(image, {"noise": severity}, draws.generator)
    return image
