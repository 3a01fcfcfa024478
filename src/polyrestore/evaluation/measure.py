"""Restore a test set blind, with the degradation named and, for mixtures, with each adapter alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from polyrestore.data.alignment import aligned
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.errors import DataError
from polyrestore.evaluation.kept import KeptResults
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.results import ImageResult, SetResult
from polyrestore.evaluation.scores import DEFAULT_METRICS, Score, score_of
from polyrestore.evaluation.sets import EvaluationImage, EvaluationSet
from polyrestore.files import sha256_of
from polyrestore.restoration.restored import Restored
from polyrestore.restoration.restorer import Restorer


def measure_set(
    restorer: Restorer,
    evaluation_set: EvaluationSet,
    *,
    limit: int | None = None,
    protocol: Protocol | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    kept: KeptResults | None = None,
    on_image: Callable[[str], None] | None = None,
) -> SetResult:
    """Measure a restorer on a test set.

    Args:
        restorer: what is measured.
        evaluation_set: on what.
        limit: the first so many images only; None for all.
        protocol: how to compare; RGB rounded to 8 bits when None.
        metrics: what to compute, by name; the first one orders images.
        kept: where results are looked for before an image is restored, and kept afterwards, with the identity
            of the restorer; None for nowhere.
        on_image: called with the name of each image when it is done.

    Raises:
        DataError: images are missing or do not pair up.
    """
    protocol = protocol or Protocol()
    named_as = _available(evaluation_set.named, restorer.adapters)
    stated = f"{protocol}, after the best whole-pixel shift" if evaluation_set.aligned else str(protocol)
    result = SetResult(evaluation_set.name, stated, named_as)
    how = _how(evaluation_set, protocol, metrics) | {"named": named_as}

    for index, sample in enumerate(evaluation_set.samples[:limit]):
        # What is made from a clean image depends on its place.
        key = "" if kept is None else kept.key(sample, how | {"place": index if evaluation_set.damage else 0})
        measured = None if kept is None else kept.find(key)
        if measured is None:
            image = middle_of(evaluation_set.image(index), protocol)
            made, pixels = _measure_image(restorer, evaluation_set, image, named_as, protocol, metrics)
            measured = replace(made, key=key)
            if kept is not None:
                kept.keep(measured, pixels)
        result.images.append(measured)
        if on_image is not None:
            on_image(measured.name)
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
    kept: KeptResults | None = None,
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
        kept: where results are looked for before they are measured, and kept afterwards; None for nowhere.
        on_image: called with the name of each image when it is done.

    Raises:
        DataError: an image has no result, several, or one of another size.
        ImageError: an image cannot be read.
    """
    protocol = protocol or Protocol()
    result = SetResult(evaluation_set.name, str(protocol), None, restored_here=False)
    given = GivenResults(folder)
    how = _how(evaluation_set, protocol, metrics)
    for index, sample in enumerate(evaluation_set.samples[:limit]):
        key = ""
        if kept is not None:
            theirs = sha256_of(given.path_for(*evaluation_set.names(index)))
            key = kept.key(sample, how | {"place": index if evaluation_set.damage else 0, "result": theirs})
        measured = None if kept is None else kept.find(key)
        if measured is None:
            image = evaluation_set.image(index)
            pixels = protocol.middle(given.read(image))
            middle = middle_of(image, protocol)
            before = score_of(middle.degraded, middle.target, protocol, metrics)
            after = score_of(pixels, middle.target, protocol, metrics)
            measured = ImageResult(image.name, before, after, None, {}, {}, 0.0, key)
            if kept is not None:
                kept.keep(measured, None)
        result.images.append(measured)
        if on_image is not None:
            on_image(measured.name)
    return result


class GivenResults:
    """Images of a test set that something else restored, in a folder.

    Raises:
        DataError: the folder is missing or empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, list[Path]] = {}
        for path in image_paths(folder):
            self._found.setdefault(path.stem, []).append(path)

    def path_for(self, name: str, input_name: str) -> Path:
        """Return the file with the result of a test image, whose target and input have these names.

        Raises:
            DataError: there is none, or there are several.
        """
        paths = next((self._found[each] for each in (name, input_name) if each in self._found), [])
        if len(paths) != 1:
            problem = "no result" if not paths else f"{len(paths)} results"
            raise DataError(f"{self.folder} holds {problem} for {name}")
        return paths[0]

    def read(self, sample: EvaluationImage) -> Tensor:
        """Return the result (3, H, W) in [0, 1] of a test image.

        Raises:
            DataError: there is none, or there are several, or it is of another size.
            ImageError: it cannot be read.
        """
        path = self.path_for(sample.name, sample.input_name)
        theirs = load_pixels(path) / 255
        if theirs.shape != sample.target.shape:
            sizes = [f"{pixels.shape[-1]}x{pixels.shape[-2]} px" for pixels in (theirs, sample.target)]
            raise DataError(f"{path} has {sizes[0]}, its target {sizes[1]}")
        return theirs


def middle_of(sample: EvaluationImage, protocol: Protocol) -> EvaluationImage:
    """Return the part of a sample that a protocol compares."""
    return replace(sample, degraded=protocol.middle(sample.degraded), target=protocol.middle(sample.target))


def _how(evaluation_set: EvaluationSet, protocol: Protocol, metrics: Sequence[str]) -> dict[str, Any]:
    """Return all that decides about the figures of a set's images beside their files."""
    return {
        "protocol": str(protocol),
        "metrics": list(metrics),
        "aligned": evaluation_set.aligned,
        "mixture": evaluation_set.mixture,
        "damage": repr(evaluation_set.damage),
    }


def _measure_image(
    restorer: Restorer,
    evaluation_set: EvaluationSet,
    sample: EvaluationImage,
    named_as: str | None,
    protocol: Protocol,
    metrics: Sequence[str],
) -> tuple[ImageResult, Tensor]:
    """Return the figures of an image, and the image restored blind."""

    def score(image: Tensor) -> Score:
        pair = aligned(image, sample.target) if evaluation_set.aligned else (image, sample.target)
        return score_of(*pair, protocol, metrics)

    def restored_as(composition: str | Mapping[str, float]) -> Restored:
        return restorer.restore(sample.degraded, as_=composition)

    blind = restorer.restore(sample.degraded)
    single_names = restorer.adapters if evaluation_set.mixture else ()
    megapixels = sample.target.shape[-1] * sample.target.shape[-2] / 1e6
    result = ImageResult(
        name=sample.name,
        before=score(sample.degraded),
        blind=score(blind.pixels),
        named=None if named_as is None else score(restored_as(named_as).pixels),
        singles={name: score(restored_as({name: 1.0}).pixels) for name in single_names},
        weights=blind.weights,
        seconds_per_megapixel=blind.seconds / megapixels,
    )
    return result, blind.pixels


def _available(named: str | None, adapters: tuple[str, ...]) -> str | None:
    if named is None or not set(named.split(",")) <= set(adapters):
        return None
    return named
