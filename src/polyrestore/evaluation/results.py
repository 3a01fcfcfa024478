"""What was measured: of one image, and of a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polyrestore.evaluation.scores import Score, mean_score, merit, score_as_json


@dataclass(frozen=True)
class ImageResult:
    """What was measured on one image.

    Attributes:
        name: of the image.
        before: the damaged input.
        blind: restored with the recognised composition.
        named: restored with the degradation named; None for clean sets, or without the adapters for it.
        singles: restored with one adapter alone, by adapter; only for mixtures.
        weights: the recognised composition.
        seconds_per_megapixel: of the blind restoration, recognition included.
        key: under which the result is kept; empty where it is not.
    """

    name: str
    before: Score
    blind: Score
    named: Score | None
    singles: dict[str, Score]
    weights: dict[str, float]
    seconds_per_megapixel: float
    key: str = ""


@dataclass(frozen=True)
class SetResult:
    """What was measured on a test set; every mean is over images.

    Attributes:
        name: of the set.
        protocol: how the figures were computed.
        named_as: the composition behind ``named``; None when there is none.
        images: one record per image.
        restored_here: False for what somebody else restored, of which neither weights nor times are known.
    """

    name: str
    protocol: str
    named_as: str | None
    images: list[ImageResult] = field(default_factory=list)
    restored_here: bool = True

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that were computed."""
        return tuple(self.images[0].before)

    @property
    def before(self) -> Score:
        """Mean score of the inputs."""
        return mean_score([image.before for image in self.images])

    @property
    def blind(self) -> Score:
        """Mean score with the recognised composition."""
        return mean_score([image.blind for image in self.images])

    @property
    def named(self) -> Score | None:
        """Mean score with the degradation named."""
        scores = [image.named for image in self.images if image.named is not None]
        return mean_score(scores) if scores else None

    @property
    def singles(self) -> dict[str, Score]:
        """Mean score with one adapter alone, best first."""
        names = self.images[0].singles if self.images else {}
        means = {name: mean_score([image.singles[name] for image in self.images]) for name in names}
        return dict(sorted(means.items(), key=lambda entry: -merit(entry[1])))

    @property
    def weights(self) -> dict[str, float]:
        """Mean recognised weight by adapter, largest first; they add up to 1 less the share left alone."""
        totals: dict[str, float] = {}
        for image in self.images:
            for name, weight in image.weights.items():
                totals[name] = totals.get(name, 0.0) + weight / len(self.images)
        return dict(sorted(totals.items(), key=lambda entry: -entry[1]))

    @property
    def untouched_share(self) -> float:
        """The share of images that were recognised as clean."""
        return sum(not image.weights for image in self.images) / len(self.images)

    @property
    def seconds_per_megapixel(self) -> float:
        """Mean time of the blind restoration."""
        return sum(image.seconds_per_megapixel for image in self.images) / len(self.images)


def image_as_json(image: ImageResult) -> dict[str, Any]:
    """Return the figures of an image as plain JSON values, without its key and its time."""
    return {
        "name": image.name,
        "before": score_as_json(image.before),
        "blind": score_as_json(image.blind),
        "named": None if image.named is None else score_as_json(image.named),
        "singles": {name: score_as_json(score) for name, score in image.singles.items()},
        "weights": image.weights,
    }
