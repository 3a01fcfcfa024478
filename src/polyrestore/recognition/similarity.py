"""From an embedding to composition weights: similarity to prototypes, temperature, top K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from polyrestore.recognition.network import Recogniser

CLEAN = "clean"


@dataclass(frozen=True)
class RecognitionSettings:
    """How similarities become weights.

    Attributes:
        temperature: divides the similarities before the softmax.
        top_k: at most this many adapters act on one image.
        minimum_share: adapters with a smaller share of the degradations' probability are dropped.
        clean_threshold: an image whose probability of being clean reaches this is left alone.
    """

    temperature: float = 0.1
    top_k: int = 3
    minimum_share: float = 0.12
    clean_threshold: float = 0.5

    def to_dict(self) -> dict[str, float | int]:
        """Return the settings as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Recognition:
    """What was recognised in one image.

    Attributes:
        weights: weights by adapter, largest first, with a sum of 1; empty when the image is clean.
        probabilities: softmax share by prototype name, "clean" among them.
        similarities: cosine similarity by prototype name, "clean" among them.
    """

    weights: dict[str, float]
    probabilities: dict[str, float]
    similarities: dict[str, float]

    @property
    def is_clean(self) -> bool:
        """True when no adapter should act."""
        return not self.weights


@torch.no_grad()
def recognise(
    recogniser: Recogniser, prototypes: Mapping[str, Tensor], image: Tensor, settings: RecognitionSettings
) -> Recognition:
    """Say which degradations an image shows.

    UIR-LoRA's router s = norm_K(d B) (arXiv 2409.20197) with image prototypes as the bank B.

    Args:
        recogniser: gives the embedding d.
        prototypes: (D,) unit vectors by name; "clean" is optional.
        image: (1, 3, H, W), RGB in [0, 1], the whole image.
        settings: temperature, K and thresholds.
    """
    embedding = recogniser.embed(image)[0]
    return weigh(embedding, prototypes, settings)


def weigh(embedding: Tensor, prototypes: Mapping[str, Tensor], settings: RecognitionSettings) -> Recognition:
    """Turn an embedding (D,) into weights; see :func:`recognise`."""
    names = sorted(prototypes)
    if not names:
        return Recognition({}, {}, {})
    bank = torch.stack([prototypes[name] for name in names]).to(embedding)
    cosine = bank @ embedding
    shares = torch.softmax(cosine / settings.temperature, 0)
    similarities = dict(zip(names, cosine.tolist(), strict=True))
    probabilities = dict(zip(names, shares.tolist(), strict=True))
    return Recognition(composition_of(probabilities, settings), probabilities, similarities)


def composition_of(probabilities: Mapping[str, float], settings: RecognitionSettings) -> dict[str, float]:
    """Keep the top K degradations that matter and let their weights add up to 1; none for a clean image."""
    if probabilities.get(CLEAN, 0.0) >= settings.clean_threshold:
        return {}
    damage = {name: value for name, value in probabilities.items() if name != CLEAN}
    total = sum(damage.values())
    ranked = sorted(damage.items(), key=lambda entry: (-entry[1], entry[0]))[: settings.top_k]
    kept = [(name, value) for name, value in ranked if value >= settings.minimum_share * total] or ranked[:1]
    scale = sum(value for _, value in kept)
    return {name: value / scale for name, value in kept}


def prototype_of(embeddings: Tensor) -> Tensor:
    """Return the unit vector in the middle of embeddings: (N, D) to (D,)."""
    return torch.nn.functional.normalize(embeddings.mean(0), dim=0)
