"""When a taught degradation is believed to be there: by how probable it is, and by what there is to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from polyrestore.adapters import Prototype
from polyrestore.bundles import Bundle
from polyrestore.recognition import RecognitionSettings
from polyrestore.teaching.recognising import Judged, Shown, Views, fit_prototype, shares_of
from polyrestore.training.recognition.thresholds import choose_threshold

_FOLDS = 5
# A limit is this part of the least that counts, and less where few were seen: the next may be lower yet.
_UNDER = 0.95
# What is less probable is not there, whatever an adapter would find to do.
LEAST_SHARE = 0.5


def trust(
    prototype: Prototype, judged: Sequence[Judged], change_in: Callable[[Shown], float], cost: float
) -> tuple[Prototype, list[Judged]]:
    """Choose how probable a degradation has to be, and how much there has to be to do.

    Args:
        prototype: as it was fitted.
        judged: images with and without the degradation.
        change_in: gives by how many grey levels the adapter changes what the others make of an image.
        cost: of acting wrongly, in units of what acting rightly gains.

    Returns:
        the prototype with both, and the images as they are judged by them: where there is too little to do,
        the share is 0.
    """
    changes = [change_in(each.shown) if each.share >= LEAST_SHARE else 0.0 for each in judged]
    damaged = [each.shown.is_damaged for each in judged]
    least = choose_change(
        [change for change, there in zip(changes, damaged, strict=True) if there],
        [change for change, there in zip(changes, damaged, strict=True) if not there],
        cost,
    )
    sure = [
        each if change >= least else each._replace(share=0.0)
        for each, change in zip(judged, changes, strict=True)
    ]
    found = [each.share for each in sure if each.shown.is_damaged]
    wrong = [each.share for each in sure if not each.shown.is_damaged]
    share = choose_threshold(found, wrong, cost, LEAST_SHARE)
    # No lower than needed for those that are found.
    kept = [each for each in found if each >= share]
    share = max(share, _under(kept)) if kept else share
    return replace(prototype, least_share=share, least_change=least), sure


def choose_change(damaged: Sequence[float], others: Sequence[float], cost: float) -> float:
    """Return the change from which on acting gains most.

    Args:
        damaged: changes of images with the degradation, in grey levels; 0 where it is too improbable.
        others: of images without.
        cost: of acting on one of these.

    Returns:
        a little less than one of them, above the widest gap where several gain the same: what damaged images
        change less than any that was seen is not worth a mistake. 0 where nothing is changed.
    """
    levels = sorted({change for change in (*damaged, *others) if change > 0})
    best = (-math.inf, 0.0, 0.0)
    for place, level in enumerate(levels):
        kept = [change for change in damaged if change >= level]
        found = len(kept) / max(1, len(damaged))
        wrong = sum(change >= level for change in others) / max(1, len(others))
        below = levels[place - 1] if place else level / 4
        limit = _under(kept) if kept else level
        limit = limit if limit > below else (below + level) / 2
        best = max(best, (round(found - cost * wrong, 9), level / below, limit))
    return best[2]


def _under(kept: Sequence[float]) -> float:
    return min(kept) * max(0.0, min(_UNDER, 1 - 2 / len(kept)))


def cross_validated_shares(name: str, bundle: Bundle, sides: Sequence[Views]) -> list[Judged]:
    """Judge images by prototypes that were fitted without their scenes.

    Held-back images alone are a dozen, which tells little about mistakes that one image in fifty provokes.

    Args:
        name: of the adapter.
        bundle: whose prototypes the new one competes with.
        sides: images of both sides of the split.
    """
    settings = RecognitionSettings(**bundle.recognition_settings)
    scenes = sorted({scene for views in sides for scene in views.scenes})
    folds = min(_FOLDS, len(scenes))
    rows: list[tuple[Tensor, int, bool]] = []
    shown: list[tuple[Shown, int]] = []
    for views in sides:
        out = [scenes.index(scene) % folds for scene in views.scenes]
        rows += [(row, fold, True) for row, fold in zip(views.inputs, out, strict=True)]
        rows += [(row, fold, False) for row, fold in zip(views.targets, out, strict=True)]
        for place, each in enumerate((*views.damaged, *views.others)):
            fold = (scenes.index(each.scene) if each.scene >= 0 else place) % folds
            shown.append((each, fold))
            if each.scene < 0:
                rows.append((each.embedding, fold, False))
    judged: list[Judged] = []
    for fold in range(folds):
        fitted = fit_prototype(
            torch.stack([row for row, out_of, shows in rows if out_of != fold and shows]),
            torch.stack([row for row, out_of, shows in rows if out_of != fold and not shows]),
            bundle.prototypes,
            settings,
        )
        left = [each for each, out_of in shown if out_of == fold]
        embeddings = torch.stack([each.embedding for each in left])
        shares = shares_of(name, embeddings, {**bundle.prototypes, name: fitted}, settings)
        judged += [Judged(each, share) for each, share in zip(left, shares, strict=True)]
    return judged
