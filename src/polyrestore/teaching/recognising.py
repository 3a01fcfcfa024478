"""How a taught degradation is recognised: a prototype for the frozen recogniser.

The mean embedding of the damaged images would lie near whatever they resemble. What is looked for instead is
the direction that tells them best from everything that they are not: logistic regression on the embeddings
and their detail, with the prototype as its only weights, so that it is a prototype like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.bundles import Bundle
from polyrestore.data import Pair, mixed_seed
from polyrestore.data.negatives import NEGATIVES, draw_negative
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.recognition import CLEAN, RecognitionSettings, weigh_similarities
from polyrestore.recognition.similarity import similarity
from polyrestore.teaching.training import spread

SEVERITIES = (0.25, 0.5, 0.8)
DRAWN = "drawn"
TAUGHT = "taught"
_STEPS = 400
_RATE = 0.05
# Images that are looked at for each purpose at most; each takes about a tenth of a second.
_PAIRS, _OTHERS = 40, 6
_MIDDLE_PX = 512
# From which share of the images on an adapter is held to be asked for by what is taught.
_TELLING = 0.05
_PAGE = (480, 360)


@dataclass(frozen=True, eq=False)
class Shown:
    """An image, and what the recogniser makes of it.

    Attributes:
        group: ``taught``, ``clean``, ``drawn``, or the degradation that it shows.
        image: uint8 (3, H, W).
        clean: the same without damage.
        embedding: (D,) what the recogniser makes of it, its detail included.
        scene: the number that its pair has; -1 where it is of no pair.
    """

    group: str
    image: Tensor
    clean: Tensor
    embedding: Tensor
    scene: int = -1

    @property
    def is_damaged(self) -> bool:
        """Whether it shows what is taught."""
        return self.group == TAUGHT


@dataclass(frozen=True, eq=False)
class Views:
    """What the recogniser makes of the images of one side of the split.

    Attributes:
        inputs: (N, D) of the damaged images.
        targets: (N, D) of their clean partners.
        scenes: of the N, a number each.
        damaged: the damaged images as they are.
        others: of what else there is, the clean partners among it.
    """

    inputs: Tensor
    targets: Tensor
    scenes: tuple[int, ...]
    damaged: tuple[Shown, ...]
    others: tuple[Shown, ...]

    @property
    def negatives(self) -> Tensor:
        """(M, D) of all that does not show what is taught."""
        beside = [each.embedding[None] for each in self.others if each.group != CLEAN]
        return torch.cat([self.targets, *beside])


class Judged(NamedTuple):
    """An image, and what a least share is compared with."""

    shown: Shown
    share: float


@torch.no_grad()
def look_at(
    bundle: Bundle,
    pairs: Sequence[tuple[Pair, int]],
    seed: int,
    tell: Callable[[], None],
    changed: bool = False,
) -> Views:
    """Embed the images of pairs, and images that show other things.

    Args:
        bundle: with a recogniser; what its adapters are for is synthesised on the targets.
        pairs: to look at, each with a number for its scene.
        seed: of the synthesis and the drawings.
        tell: called after each image, and may raise.
        changed: show every pair mirrored, and a part of it, as well.

    Raises:
        StoppedError: ``tell`` said so.
    """
    recogniser = bundle.recogniser
    assert recogniser is not None

    def embed(image: Tensor) -> Tensor:
        tell()
        return recogniser.describe(image[None].float() / 255)[0]

    shown = spread(pairs, _PAIRS)
    rows: list[list[Tensor]] = []
    scenes: list[int] = []
    damaged: list[Shown] = []
    others: list[Shown] = []
    for index, (pair, scene) in enumerate(shown):
        both = [pair.degraded, pair.clean]
        rows.append([embed(image) for image in both])
        damaged.append(Shown(TAUGHT, _middle(both[0]), _middle(both[1]), rows[-1][0], scene))
        others.append(Shown(CLEAN, _middle(pair.clean), _middle(pair.clean), rows[-1][1], scene))
        if changed:
            generator = Generator().manual_seed(mixed_seed(seed, pair.name, index))
            for view in ([image.flip(2) for image in both], _part(both, generator)):
                rows.append([embed(image) for image in view])
        scenes += [scene] * (len(rows) - len(scenes))
    for group, image, clean in _others(bundle, [pair.clean for pair, _ in shown], seed):
        others.append(Shown(group, image, clean, embed(image)))
    inputs, targets = (torch.stack([row[side] for row in rows]) for side in (0, 1))
    return Views(inputs, targets, tuple(scenes), tuple(damaged), tuple(others))


def _part(images: Sequence[Tensor], generator: Generator) -> list[Tensor]:
    """Return the same part of all images, seven tenths of each side."""
    height, width = images[0].shape[1:]
    tall, wide = max(48, int(height * 0.7)), max(48, int(width * 0.7))
    top = int(torch.randint(height - tall + 1, (), generator=generator))
    left = int(torch.randint(width - wide + 1, (), generator=generator))
    return [image[:, top : top + tall, left : left + wide] for image in images]


def _others(bundle: Bundle, targets: Sequence[Tensor], seed: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Give images of other kinds, and the same without damage: other degradations, then drawn ones."""
    chosen = [
        _middle(targets[i * len(targets) // min(_OTHERS, len(targets))])
        for i in range(min(_OTHERS, len(targets)))
    ]
    for name in sorted(bundle.adapters):
        if name not in DEGRADATIONS:
            continue
        generator = Generator().manual_seed(mixed_seed(seed, name))
        for index, clean in enumerate(chosen):
            severity = SEVERITIES[index % len(SEVERITIES)]
            damaged = degrade(clean[None].float() / 255, {name: severity}, generator)[0]
            yield name, (damaged * 255).round().to(torch.uint8), clean
    generator = Generator().manual_seed(mixed_seed(seed, DRAWN))
    for name in NEGATIVES:
        drawn = (draw_negative(name, *_PAGE, generator)[0] * 255).round().to(torch.uint8)
        yield DRAWN, drawn, drawn


def _middle(image: Tensor) -> Tensor:
    height, width = (min(_MIDDLE_PX, side) for side in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


def fit_prototype(
    inputs: Tensor, negatives: Tensor, prototypes: Mapping[str, Tensor], settings: RecognitionSettings
) -> Tensor:
    """Return the unit vector (D,) whose similarity tells damaged images best from others.

    Args:
        inputs: (N, D) embeddings of damaged images.
        negatives: (M, D) embeddings of others.
        prototypes: those of the bundle; with ``sigmoid`` it competes with that of clean images, with
            ``softmax`` with all.
        settings: temperature and activation.
    """
    competing = _competition(prototypes, settings)
    against = [competing(rows) for rows in (inputs, negatives)]
    with torch.enable_grad():
        direction = functional.normalize(inputs.mean(0), dim=0).clone().requires_grad_()
        optimiser = torch.optim.Adam([direction], _RATE)
        for _ in range(_STEPS):
            prototype = functional.normalize(direction, dim=0)
            found = (inputs @ prototype - against[0]) / settings.temperature
            wrong = (negatives @ prototype - against[1]) / settings.temperature
            loss = functional.softplus(-found).mean() + functional.softplus(wrong).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return functional.normalize(direction.detach(), dim=0)


def _competition(
    prototypes: Mapping[str, Tensor], settings: RecognitionSettings
) -> Callable[[Tensor], Tensor]:
    """Return what the similarity to the new prototype has to exceed, for rows (N, D) of embeddings."""

    def competing(rows: Tensor) -> Tensor:
        def along(prototype: Tensor) -> Tensor:
            return rows[:, : len(prototype)] @ prototype

        if settings.activation == "sigmoid":
            return along(prototypes[CLEAN]) if CLEAN in prototypes else torch.zeros(len(rows))
        columns = torch.stack([along(each) for each in prototypes.values()], 1)
        return torch.logsumexp(columns / settings.temperature, 1) * settings.temperature

    return competing


def shares_of(
    name: str, rows: Tensor, prototypes: Mapping[str, Tensor], settings: RecognitionSettings
) -> list[float]:
    """Return for rows (N, D) of embeddings what a least share is compared with."""
    found = []
    for row in rows:
        probabilities = weigh_similarities(similarities_of(row, prototypes), settings).probabilities
        total = 1.0
        if settings.activation == "softmax":
            total = sum(value for other, value in probabilities.items() if other != CLEAN)
        found.append(probabilities[name] / max(total, 1e-12))
    return found


def weights_of(
    row: Tensor, prototypes: Mapping[str, Tensor], settings: RecognitionSettings
) -> dict[str, float]:
    """Return the weights with which the adapters act on an image of this embedding (D,)."""
    return weigh_similarities(similarities_of(row, prototypes), settings).weights


def similarities_of(row: Tensor, prototypes: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the similarity of an embedding (D,) to each prototype."""
    return {name: similarity(row, each) for name, each in prototypes.items()}


def superseded(views: Views, bundle: Bundle) -> tuple[str, ...]:
    """Return the adapters that a bundle lets act on damaged images and not on their clean partners.

    What is taught looks like their work. A new adapter learns all that there is to be done to such an image.
    """
    settings = RecognitionSettings(**bundle.recognition_settings)
    found: dict[str, int] = {}
    for damaged, clean in zip(views.inputs, views.targets, strict=True):
        on_clean = weights_of(clean, bundle.prototypes, settings)
        for name in weights_of(damaged, bundle.prototypes, settings):
            found[name] = found.get(name, 0) + (name not in on_clean)
    return tuple(sorted(name for name, count in found.items() if count >= _TELLING * len(views.inputs)))
