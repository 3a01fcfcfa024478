"""From which probability on a taught degradation is believed to be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

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


def cross_validated_shares(name: str, bundle: Bundle, sides: Sequence[Views]) -> Shares:
    """Fit prototypes to some of the scenes and tell what the others have.

    Held-back images alone are a dozen, which tells little about mistakes that one image in fifty provokes.

    Args:
        name: of the adapter.
        bundle: whose prototypes the new one competes with.
        sides: images of both sides of the split.
    """
    settings = RecognitionSettings(**bundle.recognition_settings)
    order = sorted({scene for views in sides for scene in views.scenes})
    folds = min(_FOLDS, len(order))
    fold_of = {scene: place % folds for place, scene in enumerate(order)}
    shares = Shares()
    for fold in range(folds):
        # Of each side, the rows whose scene this fold leaves out.
        out = [torch.tensor([fold_of[scene] == fold for scene in views.scenes]) for views in sides]
        left: list[Shown] = []
        kept = []
        for views in sides:
            for each in views.others:
                if fold == (fold_of[each.scene] if each.is_clean else each.scene % folds):
                    left.append(each)
                elif not each.is_clean:
                    kept.append(each.embedding[None])
        fitted = fit_prototype(
            torch.cat([views.inputs[~rows] for views, rows in zip(sides, out, strict=True)]),
            torch.cat([*(views.targets[~rows] for views, rows in zip(sides, out, strict=True)), *kept]),
            bundle.prototypes,
            settings,
        )
        prototypes = {**bundle.prototypes, name: fitted}
        for views, rows in zip(sides, out, strict=True):
            shares.found.extend(shares_of(name, views.inputs[rows], prototypes, settings))
            shares.wrong.extend(shares_of(name, views.targets[rows], prototypes, settings))
        if left:
            rows = torch.stack([each.embedding for each in left])
            own = shares_of(name, rows, prototypes, settings)
            shares.others.extend(zip(left, own, strict=True))
            shares.wrong.extend(share for each, share in zip(left, own, strict=True) if not each.is_clean)
    return shares
