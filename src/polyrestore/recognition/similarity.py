"""From an embedding to composition weights: similarity to prototypes, temperature, top K."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from polyrestore.errors import RecognitionError, nearest_names
from polyrestore.notes import Note
from polyrestore.recognition.base import BaseRecogniser

CLEAN = "clean"
NORMALISATIONS = ("softmax", "sum", "max", "none")
# Those with which each weight may reach 1; with the others, all of them share 1.
FULL_NORMALISATIONS = ("max", "none")
ACTIVATIONS = ("softmax", "sigmoid")
# From this probability on, a degradation that acts lowers the bar for others beside it.
PLAIN_SHARE = 0.9


@dataclass(frozen=True)
class RecognitionSettings:
    """How similarities become weights.

    Attributes:
        temperature: divides the similarities before the activation; at least 1e-6.
        top_k: at most this many adapters act on one image; at least 1.
        minimum_share: in [0, 1]. With ``softmax``, adapters with a smaller share of the degradations'
            probability are dropped, but for the most probable one; with ``sigmoid``, all with a smaller
            probability, so that an image in which nothing is probable enough is left alone.
        clean_threshold: an image whose probability of being clean reaches this is left alone; above 1, none.
        normalisation: what becomes of the K that are kept. ``softmax``: their probabilities divided by their
            sum. ``sum``: their similarities, negative ones as 0, divided by their sum. ``max``: their
            probabilities divided by the largest. ``none``: their probabilities divided by the saturation, at
            most 1, so that what is doubtful acts the less; of little use with ``softmax``, where all share
            one.
        saturation: before that, everything from this share of the largest on (with ``none``: from this
            probability on) counts alike, so that what is plainly there acts alike however certain the
            recogniser is; 1 leaves them as they are.
        activation: from similarities to probabilities. ``softmax``: over all prototypes, so that each
            degradation makes the others less probable. ``sigmoid``: of each degradation by itself, compared
            with "clean" alone, so that several can be certain; "clean" is as probable as that none is there.
        minimum_shares: by adapter, what it has in place of ``minimum_share``: one that does no harm where it
            is not needed can act on a slight suspicion, one that does much harm on near certainty alone.
        mention_share: with ``sigmoid``, what does not act but is at least this probable is mentioned as
            uncertain; above 1, nothing is.
        supersedes: by adapter, others that do not act beside it, since it was taught to do their work as well
            on what it is for.
        least_changes: by adapter, how much it has to find to do before it acts: the root mean square, in grey
            levels of 255, by which it changes what the others make of the image; see
            :func:`~polyrestore.restoration.confirming.confirmed`.
        beside_shares: by adapter, what it has in place of its minimum share where another one acts that is at
            least 0.9 probable: an image that is plainly damaged was not wanted as it is.

    Raises:
        RecognitionError: a value outside its range, or an unknown activation or normalisation.
    """

    temperature: float = 0.1
    top_k: int = 3
    minimum_share: float = 0.12
    clean_threshold: float = 0.5
    normalisation: str = "softmax"
    saturation: float = 1.0
    activation: str = "softmax"
    minimum_shares: Mapping[str, float] = field(default_factory=dict)
    mention_share: float = 0.4
    supersedes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    least_changes: Mapping[str, float] = field(default_factory=dict)
    beside_shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Below, float32 cannot hold the quotients.
        _require(self.temperature, "temperature", "a number of at least 1e-6", lambda value: value >= 1e-6)
        for word in ("minimum_shares", "least_changes", "beside_shares"):
            if not isinstance(getattr(self, word), Mapping):
                raise RecognitionError(f"{word} must be numbers by adapter, not {getattr(self, word)!r}")
        _require_names(self.supersedes)
        for name, value in self.least_changes.items():
            _require(value, f"least_changes of {name}", "a number of at least 0", lambda value: value >= 0)
        shares = {"minimum_share": self.minimum_share}
        for word in ("minimum_shares", "beside_shares"):
            shares |= {f"{word} of {name}": value for name, value in getattr(self, word).items()}
        for name, value in shares.items():
            _require(value, name, "a number from 0 to 1", lambda value: 0 <= value <= 1)
        _require(self.clean_threshold, "clean_threshold", "a number of at least 0", lambda value: value >= 0)
        _require(self.mention_share, "mention_share", "a number of at least 0", lambda value: value >= 0)
        _require(self.saturation, "saturation", "a number above 0, up to 1", lambda value: 0 < value <= 1)
        whole = isinstance(self.top_k, int)
        _require(self.top_k, "top_k", "a whole number of at least 1", lambda value: whole and value >= 1)
        for word, known in (("activation", ACTIVATIONS), ("normalisation", NORMALISATIONS)):
            value = getattr(self, word)
            if value not in known:
                raise RecognitionError(f"unknown {word} {value!r}; {nearest_names(str(value), known)}")

    @property
    def in_full(self) -> bool:
        """True when each weight may reach 1, False when all of them share 1."""
        return self.normalisation in FULL_NORMALISATIONS

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


def full_normalisation(activation: str) -> str:
    """Return the normalisation with which adapters that act in full are composed.

    Probabilities of each degradation by itself are weights as they are; where all share one, the largest
    becomes 1.
    """
    return "none" if activation == "sigmoid" else "max"


@dataclass(frozen=True)
class Recognition:
    """What was recognised in one image.

    Attributes:
        weights: weights by adapter, largest first, normalised as the settings say (usually to a sum of 1);
            empty when the image is clean.
        probabilities: by prototype name, "clean" among them.
        similarities: cosine similarity by prototype name, "clean" among them.
        uncertain: probabilities of what may be there but is not acted on, most probable first.
        severities: how strong each degradation is if it is there, from 0 to 1; empty where the recogniser
            does not estimate it.
    """

    weights: dict[str, float]
    probabilities: dict[str, float]
    similarities: dict[str, float]
    uncertain: dict[str, float] = field(default_factory=dict)
    severities: dict[str, float] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """True when no adapter should act."""
        return not self.weights

    def remarks(self) -> tuple[Note, ...]:
        """Return one sentence for each degradation that may be there but is not acted on."""
        return tuple(
            Note("uncertain", f"maybe {name}, {probability:.2f}; --as {name} to apply")
            for name, probability in self.uncertain.items()
        )


@torch.no_grad()
def recognise(
    recogniser: BaseRecogniser,
    prototypes: Mapping[str, Tensor],
    image: Tensor,
    settings: RecognitionSettings,
) -> Recognition:
    """Say which degradations an image shows.

    UIR-LoRA's router s = norm_K(d B) (arXiv 2409.20197); the prototypes are the bank B, of images for the
    shipped recogniser and of words for CLIP's.

    Args:
        recogniser: gives the embedding d.
        prototypes: (D,) unit vectors by name, or (D + H,) where there is a detail; "clean" is optional.
        image: (1, 3, H, W), RGB in [0, 1], the whole image.
        settings: temperature, K and thresholds.
    """
    reading = recogniser.read(image)
    described = reading.embedding
    if reading.detail is not None:
        described = torch.cat([described, reading.detail])
    return replace(weigh(described, prototypes, settings), severities=dict(reading.severities))


def weigh(embedding: Tensor, prototypes: Mapping[str, Tensor], settings: RecognitionSettings) -> Recognition:
    """Turn an embedding (D,), or one that is followed by its detail (D + H,), into weights.

    Each prototype is compared with as much of it as the prototype is long; see :func:`recognise`.
    """
    names = sorted(prototypes)
    if not names:
        return Recognition({}, {}, {})
    return weigh_similarities({name: similarity(embedding, prototypes[name]) for name in names}, settings)


def similarity(embedding: Tensor, prototype: Tensor) -> float:
    """Return the cosine similarity of a prototype to as much of an embedding (D,) as it is long."""
    return float((prototype.to(embedding) @ embedding[: len(prototype)]).detach())


def weigh_similarities(
    similarities: Mapping[str, float], settings: RecognitionSettings, refuted: Collection[str] = ()
) -> Recognition:
    """Turn cosine similarities by prototype name into weights; see :func:`recognise`.

    Args:
        similarities: by prototype name.
        settings: temperature, K and thresholds.
        refuted: what does not act, however probable it is.
    """
    probabilities = probabilities_of(similarities, settings)
    weights = composition_of(probabilities, settings, similarities, refuted)
    return Recognition(
        weights, probabilities, dict(similarities), _uncertain(probabilities, weights, settings)
    )


def _uncertain(
    probabilities: Mapping[str, float], weights: Mapping[str, float], settings: RecognitionSettings
) -> dict[str, float]:
    """Return the probabilities of what does not act and yet is worth a word, most probable first."""
    if settings.activation != "sigmoid":
        return {}
    left = {name: value for name, value in probabilities.items() if name not in (CLEAN, *weights)}
    ranked = sorted(left.items(), key=lambda entry: (-entry[1], entry[0]))
    return {name: value for name, value in ranked if value >= settings.mention_share}


def probabilities_of(similarities: Mapping[str, float], settings: RecognitionSettings) -> dict[str, float]:
    """Return the probability by prototype name, as the settings' activation and temperature say.

    Without a prototype of "clean", ``sigmoid`` compares with a similarity of 0.
    """
    if settings.activation == "softmax":
        scores = torch.tensor(list(similarities.values())) / settings.temperature
        return dict(zip(similarities, torch.softmax(scores, 0).tolist(), strict=True))
    names = [name for name in similarities if name != CLEAN]
    beyond = torch.tensor([similarities[name] for name in names]) - similarities.get(CLEAN, 0.0)
    present = torch.sigmoid(beyond / settings.temperature)
    found = dict(zip(names, present.tolist(), strict=True))
    return found | {CLEAN: float((1 - present).prod())} if CLEAN in similarities else found


def composition_of(
    probabilities: Mapping[str, float],
    settings: RecognitionSettings,
    similarities: Mapping[str, float],
    refuted: Collection[str] = (),
) -> dict[str, float]:
    """Keep the top K degradations that matter and normalise their weights; none for a clean image.

    Args:
        probabilities: by prototype name.
        settings: K, thresholds and normalisation.
        similarities: cosine similarity by prototype name, for the normalisation ``sum``.
        refuted: what does not act, however probable it is.
    """
    if probabilities.get(CLEAN, 0.0) >= settings.clean_threshold:
        return {}
    damage = {name: value for name, value in probabilities.items() if name != CLEAN}
    total = sum(damage.values()) if settings.activation == "softmax" else 1.0
    ranked = sorted(damage.items(), key=lambda entry: (-entry[1], entry[0]))
    ranked = [entry for entry in ranked if entry[0] not in refuted]
    least = {name: settings.minimum_shares.get(name, settings.minimum_share) * total for name in damage}
    likely = [(name, value) for name, value in ranked if value >= least[name]]
    if any(value >= PLAIN_SHARE * total for _, value in likely):
        beside = {name: settings.beside_shares.get(name, math.inf) * total for name in damage}
        likely = [entry for entry in ranked if entry[1] >= min(least[entry[0]], beside[entry[0]])]
    if settings.activation == "softmax":
        likely = likely or ranked[:1]
    kept = dict(_side_by_side(likely, settings)[: settings.top_k])
    if settings.normalisation == "sum":
        positive = {name: max(0.0, similarities[name]) for name in kept}
        # An image that resembles nothing is told apart by its shares alone.
        kept = positive if any(positive.values()) else kept
    largest = 1.0 if settings.normalisation == "none" else max(kept.values(), default=0.0)
    limit = settings.saturation * largest
    kept = {name: min(value, limit) for name, value in kept.items()}
    scale = limit if settings.in_full else sum(kept.values())
    # Shares that a low temperature made too small for a number are none.
    return {name: value / scale for name, value in kept.items() if value > 0}


def _side_by_side(likely: list[tuple[str, float]], settings: RecognitionSettings) -> list[tuple[str, float]]:
    """Leave out what is superseded by another one; of two that supersede each other the likelier stays."""
    kept: dict[str, float] = {}
    for name, value in likely:
        if not any(name in settings.supersedes.get(other, ()) for other in kept):
            for other in settings.supersedes.get(name, ()):
                kept.pop(other, None)
            kept[name] = value
    return list(kept.items())


def prototype_of(embeddings: Tensor) -> Tensor:
    """Return the unit vector in the middle of embeddings: (N, D) to (D,)."""
    return torch.nn.functional.normalize(embeddings.mean(0), dim=0)


def _require(value: object, name: str, range_: str, fits: Callable[[float], bool]) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not fits(value):  # type: ignore[arg-type]
        raise RecognitionError(f"{name} must be {range_}, not {value!r}")


def _require_names(supersedes: object) -> None:
    fits = isinstance(supersedes, Mapping) and all(
        isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names)
        for names in supersedes.values()
    )
    if not fits:
        raise RecognitionError(f"supersedes must be lists of adapters by adapter, not {supersedes!r}")
