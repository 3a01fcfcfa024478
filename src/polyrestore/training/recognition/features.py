"""The frozen trunk's features of many samples, computed once and kept on disk, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from polyrestore.errors import TrainingError
from polyrestore.files import require_regular, write_bytes
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.training.recognition.samples import Sample

SHARD = 100
_KEYS = ("features", "presence", "certainty", "severity")
_NOTES = ("names", "kinds", "collections")


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of M samples and what is asked about them.

    Attributes:
        names: the N degradations that are asked about.
        features: (M, F) as the recogniser extracts them, not standardised.
        presence: (M, N), see :class:`polyrestore.training.recognition.labels.Label`.
        certainty: (M, N).
        severity: (M, N).
        kinds: how each was made.
        collections: the labelled collection of each, or empty.
    """

    names: tuple[str, ...]
    features: Tensor
    presence: Tensor
    certainty: Tensor
    severity: Tensor
    kinds: tuple[str, ...]
    collections: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)

    def columns(self, names: Sequence[str]) -> list[int]:
        """Return where some of the degradations are asked about."""
        return [self.names.index(name) for name in names]

    def without(self, collection: str) -> FeatureSet:
        """Return the samples that do not come from a labelled collection."""
        kept = [row for row, name in enumerate(self.collections) if name != collection]
        return FeatureSet(
            self.names,
            self.features[kept],
            self.presence[kept],
            self.certainty[kept],
            self.severity[kept],
            tuple(self.kinds[row] for row in kept),
            tuple(self.collections[row] for row in kept),
        )


@torch.inference_mode()
def extract_features(
    recogniser: EncoderRecogniser,
    names: tuple[str, ...],
    make: Callable[[int], Sample],
    count: int,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> FeatureSet:
    """Compute the features of samples 0 to ``count``, or read those that an earlier run left in a folder.

    Args:
        recogniser: with the trunk that extracts.
        names: the degradations that are asked about.
        make: makes the sample of a number.
        count: how many.
        folder: of the shards, each whole or not there.
        progress: told how many samples are done, after each shard.

    Raises:
        TrainingError: a shard is damaged, of another recogniser, or asks about other degradations.
        OutputError: a shard cannot be written.
    """
    shards = []
    for start in range(0, count, SHARD):
        stop = min(start + SHARD, count)
        path = folder / f"{start:06d}-{stop:06d}.safetensors"
        if not path.exists():
            _write_shard(path, [make(number) for number in range(start, stop)], recogniser)
        shards.append(_read_shard(path, recogniser))
        if shards[-1].names != names:
            raise TrainingError(f"{path} asks about other degradations; choose another folder")
        progress(stop)
    return _join(shards)


def features_of(recogniser: EncoderRecogniser, samples: Iterator[Sample]) -> FeatureSet:
    """Return the features of samples, without a file; the images are let go one by one."""
    rows = [(recogniser.extract_features(each.image)[0], each) for each in samples]
    return FeatureSet(
        rows[0][1].label.names,
        torch.stack([row for row, _ in rows]),
        torch.stack([each.label.presence for _, each in rows]),
        torch.stack([each.label.certainty for _, each in rows]),
        torch.stack([each.label.severity for _, each in rows]),
        tuple(each.kind for _, each in rows),
        tuple(each.collection for _, each in rows),
    )


def _write_shard(path: Path, samples: list[Sample], recogniser: EncoderRecogniser) -> None:
    found = features_of(recogniser, iter(samples))
    tensors = {key: getattr(found, key) for key in _KEYS}
    # Half the place, and no less exact than the weights will be.
    tensors["features"] = tensors["features"].half()
    notes = {key: json.dumps(getattr(found, key)) for key in _NOTES}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save_tensors(tensors, metadata=notes))


def _read_shard(path: Path, recogniser: EncoderRecogniser) -> FeatureSet:
    try:
        require_regular(path)
        with safe_open(str(path), framework="pt") as content:
            features, presence, certainty, severity = (content.get_tensor(key).float() for key in _KEYS)
            notes = content.metadata()
            names, kinds, collections = (tuple(json.loads(notes[key])) for key in _NOTES)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} is damaged: {error}; delete it") from error
    if features.shape != (len(kinds), len(recogniser.centre)):
        raise TrainingError(f"{path} holds the features of another recogniser; choose another folder")
    return FeatureSet(names, features, presence, certainty, severity, kinds, collections)


def _join(sets: list[FeatureSet]) -> FeatureSet:
    return FeatureSet(
        sets[0].names,
        torch.cat([each.features for each in sets]),
        torch.cat([each.presence for each in sets]),
        torch.cat([each.certainty for each in sets]),
        torch.cat([each.severity for each in sets]),
        tuple(kind for each in sets for kind in each.kinds),
        tuple(name for each in sets for name in each.collections),
    )
