"""From which probability on a taught degradation is believed to be there."""

from __future__ import annotations

from dataclasses import replace

import torch

from polyrestore.adapters import Prototype
from polyrestore.bundles import Bundle
from polyrestore.recognition import RecognitionSettings
from polyrestore.teaching.recognising import Views, fit_prototype, shares_of
from polyrestore.training.recognition.thresholds import choose_threshold

_FOLDS = 5


def trust(
    name: str, prototype: Prototype, bundle: Bundle, seen: Views, unseen: Views, cost: float
) -> Prototype:
    """Return a prototype with the probability from which its adapter acts.

    Args:
        name: of the adapter.
        prototype: as it was fitted.
        bundle: as it was before.
        seen: what the prototype was fitted to.
        unseen: what it was not.
        cost: of acting wrongly, in units of what acting rightly gains.
    """
    found, wrong = cross_validated_shares(name, bundle, seen, unseen)
    return replace(prototype, least_share=choose_threshold(found, wrong, cost))


def cross_validated_shares(
    name: str, bundle: Bundle, seen: Views, unseen: Views
) -> tuple[list[float], list[float]]:
    """Return what a least share is compared with, of each image under a prototype fitted without its scene.

    Held-back images alone are a dozen, which tells little about mistakes that one image in fifty provokes.

    Args:
        name: of the adapter.
        bundle: whose prototypes the new one competes with.
        seen: images of one side of the split.
        unseen: those of the other.

    Returns:
        the shares of damaged images, and those of all others.
    """
    settings = RecognitionSettings(**bundle.recognition_settings)
    order = sorted({*seen.scenes, *unseen.scenes})
    found: list[float] = []
    wrong: list[float] = []
    folds = min(_FOLDS, len(order))
    fold_of = {scene: place % folds for place, scene in enumerate(order)}
    for fold in range(folds):
        inputs, negatives, left_inputs, left_negatives = [], [], [], []
        for views in (seen, unseen):
            left = torch.tensor([fold_of[scene] == fold for scene in views.scenes])
            left_beside = torch.arange(len(views.beside)) % folds == fold
            inputs.append(views.inputs[~left])
            negatives += [views.targets[~left], views.beside[~left_beside]]
            left_inputs.append(views.inputs[left])
            left_negatives += [views.targets[left], views.beside[left_beside]]
        fitted = fit_prototype(torch.cat(inputs), torch.cat(negatives), bundle.prototypes, settings)
        prototypes = {**bundle.prototypes, name: fitted}
        found += shares_of(name, torch.cat(left_inputs), prototypes, settings)
        wrong += shares_of(name, torch.cat(left_negatives), prototypes, settings)
    return found, wrong
