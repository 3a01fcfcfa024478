"""How well adapters compose: a mixture of degradations restored in every way that the adapters allow.

What recognition makes of an image is set between what one adapter does alone and what the best weights would
do, which are searched with the truth at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.composition.weight_search import Weights, best_of_any_sum, best_on_simplex
from polyrestore.data.images import image_paths, load_pixels
from polyrestore.data.mixture_sets import centre_crop, damaged_alike
from polyrestore.degradations import DEGRADATIONS, Mixture
from polyrestore.errors import (
    CompositionError,
    DataError,
    ProtocolError,
)
from polyrestore.evaluation.composition_runs import CompositionRuns
from polyrestore.evaluation.metrics import Protocol, mean_psnr
from polyrestore.evaluation.scores import Score, mean_score
from polyrestore.evaluation.sets import EvaluationImage
from polyrestore.recognition import RecognitionSettings, weigh_similarities
from polyrestore.restoration.restorer import Restorer

INPUT = "input"
BEST_SINGLE = "best single"
BEST_SINGLE_EACH = "best single per image"
UNIFORM_ALL = "uniform, all"
UNIFORM_PRESENT = "uniform, present"
FULL_PRESENT = "full, present"
CHAIN = "chain"
ORACLE = "oracle"
ORACLE_SUM = "oracle, any sum"
BLIND = "blind"
BLIND_CHAIN = "blind chain"
TOP = (1, 2, 3)
TEMPERATURES = (0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Way:
    """One way to restore a set.

    Attributes:
        name: such as ``"oracle"``.
        images: the score of each image.
        weights: the composition, the mean over images where they differ; empty where none acts, or where
            adapters act one after another.
        detail: what else decides about the way, such as the order of a chain.
    """

    name: str
    images: tuple[Score, ...]
    weights: Mapping[str, float]
    detail: str = ""

    @property
    def score(self) -> Score:
        """The mean over images."""
        return mean_score(list(self.images))


@dataclass(frozen=True)
class CompositionResult:
    """What was measured on the images of one mixture.

    Attributes:
        mixture: what was done to them.
        present: adapters for what was done, in the order in which it was done.
        protocol: how the figures were computed.
        names: of the images.
        ways: by name, in the order of the module's constants.
        singles: mean PSNR in dB with one adapter alone, best first.
        probabilities: mean share by prototype that was recognised, largest first.
        untouched_share: share of images that were recognised as clean.
    """

    mixture: Mixture
    present: tuple[str, ...]
    protocol: str
    names: tuple[str, ...]
    ways: dict[str, Way]
    singles: dict[str, float]
    probabilities: dict[str, float]
    untouched_share: float

    def margin(self, other: str) -> float | None:
        """Return how far blind restoration is above another way, in dB; None where that was not measured."""
        if other not in self.ways:
            return None
        return self.ways[BLIND].score["psnr"] - self.ways[other].score["psnr"]


def mixture_samples(
    folder: Path, mixture: Mixture, *, limit: int | None = None, crop_px: int | None = None
) -> list[EvaluationImage]:
    """Damage the photographs of a folder, as :func:`polyrestore.data.write_mixture_set` does with seed 0.

    Args:
        folder: holds clean photographs.
        mixture: what to do to them.
        limit: the first so many by name; None for all.
        crop_px: cut so much from the centre of larger photographs first; None keeps them whole.

    Raises:
        DataError: the folder is missing or holds no image, or the limit leaves none.
        ImageError: an image cannot be read.
    """
    samples = []
    for path in image_paths(folder)[:limit]:
        target = centre_crop(load_pixels(path).float() / 255, crop_px)
        samples.append(
            EvaluationImage(path.stem, damaged_alike(target, mixture.severities, path.stem), target)
        )
    if not samples:
        raise DataError(f"no photograph of {folder} is left with a limit of {limit}")
    return samples


def measure_composition(
    restorer: Restorer,
    mixture: Mixture,
    samples: Sequence[EvaluationImage],
    *,
    protocol: Protocol | None = None,
    on_way: Callable[[str], None] | None = None,
) -> CompositionResult:
    """Restore the images of one mixture in every way, and score each.

    - ``input``: as it is.
    - ``best single``: of all adapters the one that does best on the set; ``best single per image``: on each
      image.
    - ``uniform, all`` and ``uniform, present``: equal weights for all adapters, or for those of the
      degradations that are present; ``full, present``: the latter at weight 1 each.
    - ``chain``: the present adapters one after another at weight 1, what was done last undone first; what one
      returns, in [0, 1] and not rounded, the next is given.
    - ``oracle``: weights of the present adapters by :func:`best_on_simplex` on the set's mean PSNR;
      ``oracle, any sum``: weights by :func:`best_of_any_sum`, which starts at those or at weight 1 each.
    - ``blind``: as recognised, image by image; ``blind top 1`` to ``3`` with another K, ``blind T x0.5``,
      ``x2`` and ``x4`` with the bundle's temperature times that.
    - ``blind chain``: the adapters that have a weight in ``blind``, as a chain at weight 1.

    Args:
        restorer: what is measured; it needs adapters and a recogniser.
        mixture: what was done to the images.
        samples: the images.
        protocol: how to compare; it has to round, since a restored image is kept as 8 bits.
        on_way: called with the name of each way when it is done.

    Raises:
        DataError: there is no image, or the protocol does not round.
        CompositionError: the bundle has no adapters.
        BundleError: the bundle has no recogniser.
    """
    protocol = protocol or Protocol()
    if not samples:
        raise DataError(f"no image to measure {mixture.name} on")
    if not protocol.rounded:
        raise ProtocolError("compositions are compared as 8-bit images; use a protocol that rounds")
    if not restorer.adapters:
        raise CompositionError(f"bundle {restorer.bundle.name!r} has no adapters to compose")
    runs = CompositionRuns(restorer, samples, protocol)
    recognised = [restorer.recognise(sample.degraded) for sample in samples]
    present = tuple(name for name in mixture.applied if name in restorer.adapters)
    ways: dict[str, Way] = {}

    def add(name: str, scores: Sequence[Score], weights: Mapping[str, float], detail: str = "") -> None:
        ways[name] = Way(name, tuple(scores), dict(weights), detail)
        if on_way is not None:
            on_way(name)

    def add_shared(name: str, weights: Mapping[str, float], detail: str = "") -> None:
        add(name, runs.scores([weights] * len(samples)), weights, detail)

    def add_each(name: str, compositions: Sequence[Mapping[str, float]]) -> None:
        add(name, runs.scores(compositions), mean_weights(compositions))

    add_shared(INPUT, {})
    singles = {name: runs.psnrs({name: 1.0}) for name in restorer.adapters}
    means = {name: mean_psnr(values) for name, values in singles.items()}
    best = max(means, key=means.__getitem__)
    add_shared(BEST_SINGLE, {best: 1.0}, best)
    add_each(BEST_SINGLE_EACH, [{_best_at(index, singles): 1.0} for index in range(len(samples))])
    add_shared(UNIFORM_ALL, _uniform(restorer.adapters))
    if present:
        add_shared(UNIFORM_PRESENT, _uniform(present))
        full = dict.fromkeys(present, 1.0)
        add_shared(FULL_PRESENT, full)
        order = undoing_order(present)
        add(CHAIN, runs.chain([order] * len(samples)), {}, " > ".join(order))
        oracle = best_on_simplex(present, runs.mean_psnr)
        add_shared(ORACLE, oracle)
        add_shared(ORACLE_SUM, best_of_any_sum([oracle, full], runs.mean_psnr))
    add_each(BLIND, [recognition.weights for recognition in recognised])
    add(BLIND_CHAIN, runs.chain([undoing_order(recognition.weights) for recognition in recognised]), {})
    for name, settings in _variants(restorer.recognition_settings).items():
        add_each(name, [weigh_similarities(each.similarities, settings).weights for each in recognised])
    return CompositionResult(
        mixture=mixture,
        present=present,
        protocol=str(protocol),
        names=tuple(sample.name for sample in samples),
        ways=ways,
        singles=dict(sorted(means.items(), key=lambda entry: -entry[1])),
        probabilities=mean_weights([recognition.probabilities for recognition in recognised]),
        untouched_share=sum(not recognition.weights for recognition in recognised) / len(samples),
    )


def undoing_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return adapters in the order in which a chain runs them: what happens last to an image comes first.

    Adapters that are not named after a degradation come last, by name.
    """
    position = {name: index for index, name in enumerate(DEGRADATIONS)}
    return tuple(sorted(names, key=lambda name: (-position.get(name, -1), name)))


def blind_variants() -> tuple[str, ...]:
    """Return the names of the ways that differ from ``blind`` by a setting of the recognition."""
    return tuple(_variants(RecognitionSettings()))


def _variants(settings: RecognitionSettings) -> dict[str, RecognitionSettings]:
    tops = {f"{BLIND} top {count}": replace(settings, top_k=count) for count in TOP}
    temperatures = {
        f"{BLIND} T x{factor:g}": replace(settings, temperature=settings.temperature * factor)
        for factor in TEMPERATURES
    }
    return tops | temperatures


def _uniform(names: Sequence[str]) -> Weights:
    return {name: 1 / len(names) for name in names}


def _best_at(index: int, singles: Mapping[str, Sequence[float]]) -> str:
    return max(singles, key=lambda name: singles[name][index])


def mean_weights(compositions: Sequence[Mapping[str, float]]) -> Weights:
    """Return the mean weight by adapter, largest first; an adapter that does not act on an image counts 0."""
    totals: Weights = {}
    for composition in compositions:
        for name, weight in composition.items():
            totals[name] = totals.get(name, 0.0) + weight / len(compositions)
    return dict(sorted(totals.items(), key=lambda entry: (-entry[1], entry[0])))
