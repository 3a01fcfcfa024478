"""Restore a test set blind, with the degradation named and, for mixtures, with each adapter alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from polyrestore.data.alignment import aligned
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.errors import DataError
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.scores import DEFAULT_METRICS, Score, mean_score, merit, score_of
from polyrestore.evaluation.sets import EvaluationImage, EvaluationSet
from polyrestore.restoration.restored import Restored
from polyrestore.restoration.restorer import Restorer


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
    """

    name: str
    before: Score
    blind: Score
    named: Score | None
    singles: dict[str, Score]
    weights: dict[str, float]
    seconds_per_megapixel: float


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


def measure_set(
    restorer: Restorer,
    evaluation_set: EvaluationSet,
    *,
    limit: int | None = None,
    protocol: Protocol | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    on_image: Callable[[str], None] | None = None,
) -> SetResult:
    """Measure a restorer on a test set.

    Args:
        restorer: what is measured.
        evaluation_set: on what.
        limit: the first so many images only; None for all.
        protocol: how to compare; RGB rounded to 8 bits when None.
        metrics: what to compute, by name; the first one orders images.
        on_image: called with the name of each image when it is done.

    Raises:
        DataError: images are missing or do not pair up.
    """
    protocol = protocol or Protocol()
    named_as = _available(evaluation_set.named, restorer.adapters)
    stated = f"{protocol}, after the best whole-pixel shift" if evaluation_set.aligned else str(protocol)
    result = SetResult(evaluation_set.name, stated, named_as)
    for whole in evaluation_set.images(limit):
        sample = _middle(whole, protocol)
        result.images.append(_measure_image(restorer, evaluation_set, sample, named_as, protocol, metrics))
        if on_image is not None:
            on_image(sample.name)
    if not result.images:
        raise DataError(f"no image of test set {evaluation_set.name!r} was measured; the limit is {limit}")
    return result


def measure_results(
    folder: Path,
    evaluation_set: EvaluationSet,
    *,
    limit: int | None = None,
    protocol: Protocol | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    on_image: Callable[[str], None] | None = None,
) -> SetResult:
    """Measure what somebody else made of a test set: images of the inputs' or the targets' names in a folder.

    The result's ``blind`` is theirs; there are no other figures, weights or times.

    Args:
        folder: with the restored images, of any readable format.
        evaluation_set: on what.
        limit: the first so many images only; None for all.
        protocol: how to compare; RGB rounded to 8 bits when None.
        metrics: what to compute, by name; the first one orders images.
        on_image: called with the name of each image when it is done.

    Raises:
        DataError: an image has no result, several, or one of another size.
        ImageError: an image cannot be read.
    """
    protocol = protocol or Protocol()
    result = SetResult(evaluation_set.name, str(protocol), None, restored_here=False)
    theirs_for = read_results(folder)
    for sample in evaluation_set.images(limit):
        theirs = theirs_for(sample)
        middle = _middle(sample, protocol)
        before = score_of(middle.degraded, middle.target, protocol, metrics)
        after = score_of(protocol.middle(theirs), middle.target, protocol, metrics)
        result.images.append(ImageResult(sample.name, before, after, None, {}, {}, 0.0))
        if on_image is not None:
            on_image(sample.name)
    return result


def read_results(folder: Path) -> Callable[[EvaluationImage], Tensor]:
    """Return what reads the restored image (3, H, W) in [0, 1] of a test image from somebody else's folder.

    It raises DataError where an image has no result, several, or one of another size.
    """
    found: dict[str, list[Path]] = {}
    for path in image_paths(folder):
        found.setdefault(path.stem, []).append(path)

    def read(sample: EvaluationImage) -> Tensor:
        paths = next((found[name] for name in (sample.name, sample.input_name) if name in found), [])
        if len(paths) != 1:
            problem = "no result" if not paths else f"{len(paths)} results"
            raise DataError(f"{folder} holds {problem} for {sample.name}")
        theirs = load_pixels(paths[0]) / 255
        if theirs.shape != sample.target.shape:
            sizes = [f"{pixels.shape[-1]}x{pixels.shape[-2]} px" for pixels in (theirs, sample.target)]
            raise DataError(f"{paths[0]} has {sizes[0]}, its target {sizes[1]}")
        return theirs

    return read


def _middle(sample: EvaluationImage, protocol: Protocol) -> EvaluationImage:
    """Return the part of a sample that a protocol compares."""
    return replace(sample, degraded=protocol.middle(sample.degraded), target=protocol.middle(sample.target))


def _measure_image(
    restorer: Restorer,
    evaluation_set: EvaluationSet,
    sample: EvaluationImage,
    named_as: str | None,
    protocol: Protocol,
    metrics: Sequence[str],
) -> ImageResult:
    def score(image: Tensor) -> Score:
        pair = aligned(image, sample.target) if evaluation_set.aligned else (image, sample.target)
        return score_of(*pair, protocol, metrics)

    def restored_as(composition: str | Mapping[str, float]) -> Restored:
        return restorer.restore(sample.degraded, as_=composition)

    blind = restorer.restore(sample.degraded)
    single_names = restorer.adapters if evaluation_set.mixture else ()
    megapixels = sample.target.shape[-1] * sample.target.shape[-2] / 1e6
    return ImageResult(
        name=sample.name,
        before=score(sample.degraded),
        blind=score(blind.pixels),
        named=None if named_as is None else score(restored_as(named_as).pixels),
        singles={name: score(restored_as({name: 1.0}).pixels) for name in single_names},
        weights=blind.weights,
        seconds_per_megapixel=blind.seconds / megapixels,
    )


def _available(named: str | None, adapters: tuple[str, ...]) -> str | None:
    if named is None or not set(named.split(",")) <= set(adapters):
        return None
    return named
