"""From which probability on a taught degradation is believed to be there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from polyrestore.adapters import Prototype
from polyrestore.bundles import Bundle
from polyrestore.recognition import RecognitionSettings
from polyrestore.teaching.recognising import Shown, Views, fit_prototype, shares_of
from polyrestore.training.recognition.thresholds import choose_threshold

_FOLDS = 5


@dataclass(frozen=True)
class Shares:
    """What a least share is compared with, of each image under a prototype fitted without its scene.

    Attributes:
        found: of damaged images.
        wrong: of all others.
        others: those that are shown with their pixels, and what they have.
    """

    found: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    others: list[tuple[Shown, float]] = field(default_factory=list)


def trust(prototype: Prototype, shares: Shares, cost: float) -> Prototype:
    """Return a prototype with the probability from which its adapter acts.

    Args:
        prototype: as it was fitted.
        shares: what it is chosen on.
        cost: of acting wrongly, in units of what acting rightly gains.
    """
    return replace(prototype, least_share=choose_threshold(shares.found, shares.wrong, cost))


class _Image(NamedTuple):
    """An embedded image.

    Attributes:
        embedding: (D,).
        fold: that leaves it out.
        damaged: whether it shows what is taught.
        shown: its pixels, where they are at hand.
    """

    embedding: Tensor
    fold: int
    damaged: bool
    shown: Shown | None = None

    @property
    def is_other(self) -> bool:
        """Whether it counts as one that does not show it; clean images are among the targets already."""
        return not self.damaged and (self.shown is None or not self.shown.is_clean)


def cross_validated_shares(name: str, bundle: Bundle, sides: Sequence[Views]) -> Shares:
    """Fit prototypes to some of the scenes and tell what the others have.

    Held-back images alone are a dozen, which tells little about mistakes that one image in fifty provokes.

    Args:
        name: of the adapter.
        bundle: whose prototypes the new one competes with.
        sides: images of both sides of the split.
    """
    settings = RecognitionSettings(**bundle.recognition_settings)
    scenes = sorted({scene for views in sides for scene in views.scenes})
    folds = min(_FOLDS, len(scenes))
    images = [image for views in sides for image in _images(views, scenes, folds)]
    shares = Shares()
    for fold in range(folds):
        kept = [image for image in images if image.fold != fold]
        left = [image for image in images if image.fold == fold]
        fitted = fit_prototype(
            torch.stack([image.embedding for image in kept if image.damaged]),
            torch.stack([image.embedding for image in kept if image.is_other]),
            bundle.prototypes,
            settings,
        )
        rows = torch.stack([image.embedding for image in left])
        found = shares_of(name, rows, {**bundle.prototypes, name: fitted}, settings)
        for image, share in zip(left, found, strict=True):
            if image.damaged:
                shares.found.append(share)
            if image.is_other:
                shares.wrong.append(share)
            if image.shown is not None:
                shares.others.append((image.shown, share))
    return shares


def _images(views: Views, scenes: Sequence[int], folds: int) -> Iterator[_Image]:
    """Give all images of one side, with the folds that leave them out: those of one scene together."""
    for damaged, rows in ((True, views.inputs), (False, views.targets)):
        for row, scene in zip(rows, views.scenes, strict=True):
            yield _Image(row, scenes.index(scene) % folds, damaged)
    for place, shown in enumerate(views.others):
        fold = scenes.index(shown.scene) if shown.is_clean else place
        yield _Image(shown.embedding, fold % folds, False, shown)
