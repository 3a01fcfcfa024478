"""The frozen trunk's features of many samples, computed once and kept on disk, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from polyrestore.errors import TrainingError
from polyrestore.files import write_bytes
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.training.recognition.samples import Sample

SHARD = 100
_KEYS = ("features", "presence", "certainty", "severity")


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of M samples and what is asked about them.

    Attributes:
        features: (M, F) as the recogniser extracts them, not standardised.
        presence: (M, N), see :class:`polyrestore.training.recognition.labels.Label`.
        certainty: (M, N).
        severity: (M, N).
        kinds: how each was made.
        collections: the labelled collection of each, or empty.
    """

    features: Tensor
    presence: Tensor
    certainty: Tensor
    severity: Tensor
    kinds: tuple[str, ...]
    collections: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kinds)

    def without(self, collection: str) -> FeatureSet:
        """Return the samples that do not come from a labelled collection."""
        kept = [row for row, name in enumerate(self.collections) if name != collection]
        return FeatureSet(
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
    make: Callable[[int], Sample],
    count: int,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> FeatureSet:
    """Compute the features of samples 0 to ``count``, or read those that an earlier run left in a folder.

    Args:
        recogniser: with the trunk that extracts.
        make: makes the sample of a number.
        count: how many.
        folder: of the shards, each whole or not there.
        progress: told how many samples are done, after each shard.

    Raises:
        TrainingError: a shard is damaged or of another recogniser.
        OutputError: a shard cannot be written.
    """
    shards = []
    for start in range(0, count, SHARD):
        stop = min(start + SHARD, count)
        path = folder / f"{start:06d}-{stop:06d}.safetensors"
        if not path.exists():
            _write_shard(path, [make(number) for number in range(start, stop)], recogniser)
        shards.append(_read_shard(path, recogniser))
        progress(stop)
    return _join(shards)


def features_of(recogniser: EncoderRecogniser, samples: Iterator[Sample]) -> FeatureSet:
    """Return the features of samples, without a file; the images are let go one by one."""
    rows = [(recogniser.extract_features(each.image)[0], each) for each in samples]
    return FeatureSet(
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
    names = {"kinds": json.dumps(found.kinds), "collections": json.dumps(found.collections)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save_tensors(tensors, metadata=names))


def _read_shard(path: Path, recogniser: EncoderRecogniser) -> FeatureSet:
    try:
        with safe_open(str(path), framework="pt") as content:
            features, presence, certainty, severity = (content.get_tensor(key).float() for key in _KEYS)
            names = content.metadata()
            kinds, collections = (tuple(json.loads(names[key])) for key in ("kinds", "collections"))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} is damaged: {error}; delete it") from error
    if features.shape != (len(kinds), len(recogniser.centre)):
        raise TrainingError(f"{path} holds the features of another recogniser; choose another folder")
    return FeatureSet(features, presence, certainty, severity, kinds, collections)


def _join(sets: list[FeatureSet]) -> FeatureSet:
    return FeatureSet(
        torch.cat([each.features for each in sets]),
        torch.cat([each.presence for each in sets]),
        torch.cat([each.certainty for each in sets]),
        torch.cat([each.severity for each in sets]),
        tuple(kind for each in sets for kind in each.kinds),
        tuple(name for each in sets for name in each.collections),
    )
