"""What a recogniser is held against: photographs, labels, drawings and damage that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Generator, Tensor

from polyrestore.data.batch import mixed_seed
from polyrestore.data.images import image_paths
from polyrestore.data.labelled import LabelledPhotograph
from polyrestore.data.looks import LOOKS, give_look
from polyrestore.data.negatives import NEGATIVES, draw_negative
from polyrestore.degradations import DEGRADATIONS, MIXTURES, degrade
from polyrestore.training.recognition.features import FeatureSet
from polyrestore.training.recognition.labels import (
    Label,
    label_by_eye,
    label_of_pair,
    label_of_severities,
)
from polyrestore.training.recognition.samples import Sample, read

SEVERITIES = (0.3, 0.7)
# What most photographs have, each strength on all of them: how low a bar beside others may be hangs on what
# is seen wrongly there. Gaussian noise has a sigma of 15, 25 and 50 so, JPEG a quality of 40, 20 and 10.
COMMON: Mapping[str, tuple[float, ...]] = {"noise": (0.25, 0.42, 0.83), "jpeg": (0.58, 0.82, 0.94)}
# Looks that were wanted, of photographs that something happened to afterwards.
DAMAGED_LOOKS = ("dark", "bright", "faded")
DAMAGE_OF_LOOKS = {"noise": 0.2, "jpeg": 0.5, "rain": 0.4, "snow": 0.4, "motion_blur": 0.3}
_SEED = 991
_DRAWINGS_OF_A_KIND = 7


def validation_samples(
    names: tuple[str, ...],
    photographs: Path,
    held_back: Sequence[Path],
    labelled: Mapping[str, Sequence[LabelledPhotograph]],
    pairs: Mapping[str, Sequence[tuple[Path, Path]]],
) -> Iterator[Sample]:
    """Make every validation sample; what is drawn for a degradation comes from a seed of its name.

    Args:
        names: the degradations that are asked about; those that can be synthesised are.
        photographs: folder of clean photographs, which are shown as they are, with a look, and damaged.
        held_back: further clean photographs.
        labelled: photographs labelled by eye, by collection.
        pairs: by degradation, photographs that show it and their clean partners.
    """
    for name, entries in labelled.items():
        for each in entries:
            kind = "real:" + "|".join(sorted(each.labels)) + f":{each.strength}:{each.kind}"
            yield Sample(read(each.path), label_by_eye(each, names), kind, name)
    for name, shown in pairs.items():
        for degraded, clean in shown:
            yield Sample(read(degraded), label_of_pair(name, names, True), f"pair:{name}")
            yield Sample(read(clean), label_of_pair(name, names, False), "clean:pair")
    for path in held_back:
        yield Sample(read(path), Label(names), "clean:photograph")
    generator = Generator().manual_seed(_SEED)
    paths = image_paths(photographs)
    for path in paths:
        yield Sample(read(path), Label(names), "clean:validation")
    for index, name in enumerate(LOOKS):
        for path in paths[index % 6 :: 6]:
            yield Sample(give_look(name, read(path), generator), Label(names), f"clean:look:{name}")
    for name in NEGATIVES:
        for _ in range(_DRAWINGS_OF_A_KIND):
            width, height = (int(torch.randint(160, 560, (), generator=generator)) for _ in range(2))
            yield Sample(draw_negative(name, width, height, generator), Label(names), f"clean:drawn:{name}")
    for name in names:
        if name in DEGRADATIONS:
            for severity, chosen in _strengths(name, paths):
                yield from _damage(chosen, {name: severity}, names)
    for index, mixture in enumerate(MIXTURES.values()):
        if set(mixture.severities) <= set(names):
            yield from _damage(paths[index % 4 :: 4], mixture.severities, names)
    for index, look in enumerate(DAMAGED_LOOKS):
        for name, severity in DAMAGE_OF_LOOKS.items():
            if name in names:
                yield from _damage(paths[index::6], {name: severity}, names, look)


def _strengths(name: str, paths: Sequence[Path]) -> list[tuple[float, Sequence[Path]]]:
    """Return how severely a degradation is shown, and on which of the photographs."""
    if name in COMMON:
        return [(severity, paths) for severity in COMMON[name]]
    return [(severity, paths[place :: len(SEVERITIES)]) for place, severity in enumerate(SEVERITIES)]


def _damage(
    paths: Sequence[Path], severities: Mapping[str, float], names: tuple[str, ...], look: str = ""
) -> Iterator[Sample]:
    damage = "+".join(severities)
    generator = Generator().manual_seed(mixed_seed(_SEED, damage, *map(str, severities.values())))
    for path in paths:
        image = give_look(look, read(path), generator) if look else read(path)
        image = degrade(image, severities, generator)
        yield Sample(
            image,
            label_of_severities(severities, names),
            f"damaged:{damage}" + (f" of a look:{look}" if look else ""),
        )


def found_and_false(acting: Tensor, held_out: FeatureSet, names: Sequence[str]) -> dict[str, float]:
    """Return the shares that count: found of what is there, and acted on of what is clean.

    Args:
        acting: (M, K) whether each adapter would act.
        held_out: the samples.
        names: of the K adapters.
    """
    columns = held_out.columns(names)
    presence = held_out.presence[:, columns] > 0.5
    sure = held_out.certainty[:, columns] >= 0.5
    figures = {}
    for column, name in enumerate(names):
        there = presence[:, column] & sure[:, column]
        if there.any():
            figures[f"{name} found"] = round(float(acting[there, column].float().mean()), 4)
    clean = torch.tensor(["clean" in kind.split(":")[:2] for kind in held_out.kinds])
    if clean.any():
        # Compression of collected photographs is labelled nowhere.
        wrong = (acting & sure)[clean].any(1)
        figures["clean left alone"] = round(1 - float(wrong.float().mean()), 4)
    found = [value for key, value in figures.items() if key.endswith("found")]
    return figures | {"mean": round(sum(found) / max(1, len(found)), 4)}
