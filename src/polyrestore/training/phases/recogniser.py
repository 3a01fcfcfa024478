"""Train the recogniser, make the prototypes, and calibrate how similarities become weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.bundles import load_bundle
from polyrestore.data import Batch, BatchSource, load_clean, mixed_seed
from polyrestore.degradations import DEGRADATIONS, MIXTURES, degrade
from polyrestore.recognition import (
    CLEAN,
    BaseRecogniser,
    RecognitionSettings,
    build_recogniser,
    weigh,
    weigh_similarities,
)
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.job import Job, TaskLosses, losses_by_task
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.export import extended_info, save_trained, training_record
from polyrestore.training.phases.shrinking import save_tiny_bundle
from polyrestore.training.recipes.batches import (
    batch_source,
    held_out_images,
    held_out_pairs,
    load_real_pairs,
    synthesis_of,
)
from polyrestore.training.recipes.names import check_trained
from polyrestore.training.recipes.recipe import RecogniserRecipe
from polyrestore.training.weighting import build_weighting

# Of a sigmoid each, since what is wrong with a photograph in one way does not make another less likely. It is
# low enough for three degradations to be certain at once: their directions share one unit vector.
SETTINGS = RecognitionSettings(temperature=0.05, activation="sigmoid", minimum_share=0.5, clean_threshold=0.5)
VALIDATION_SEVERITIES = (0.2, 0.9)
KEPT_CLEAN = 0.95

_TINY_OPTIONS = {"width": 8, "dimension": 16}


class PrototypeClassifier(nn.Module):
    """A recogniser and one learned direction per class, which becomes the prototype."""

    def __init__(self, recogniser: BaseRecogniser, classes: int) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.directions = nn.Parameter(torch.randn(classes, recogniser.dimension) * 0.1)

    def continue_from(
        self, recogniser: BaseRecogniser, prototypes: Mapping[str, Tensor], classes: Sequence[str]
    ) -> None:
        """Start from a trained recogniser, and from its prototypes where there are some."""
        self.recogniser.load_state_dict(recogniser.state_dict())
        with torch.no_grad():
            for row, name in enumerate(classes):
                if name in prototypes:
                    self.directions[row] = prototypes[name]

    def prototypes(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """Return the directions as unit vectors (D,) by class.

        Means of embeddings would do for single degradations, but mixtures are told apart by the directions
        that they were trained against.
        """
        directions = functional.normalize(self.directions.detach(), dim=1)
        return {name: direction.clone() for name, direction in zip(classes, directions, strict=True)}

    def forward(self, image: Tensor) -> Tensor:
        """Return cosine similarities (B, K) of whole images (B, 3, H, W)."""
        return self.recogniser.embed(image).float() @ functional.normalize(self.directions, dim=1).T


class RecogniserJob(Job):
    """Binary cross-entropy of each degradation against "clean", the last class."""

    def __init__(
        self,
        module: PrototypeClassifier,
        source: BatchSource,
        names: tuple[str, ...],
        held_out: list[Tensor],
        inputs: Mapping[str, Sequence[Tensor]] = MappingProxyType({}),
    ) -> None:
        self.module: nn.Module = module
        self.source = source
        self.tasks = (*names, CLEAN)
        self.columns = [source.names.index(name) for name in names]
        self.samples = validation_samples(held_out, names, 99, inputs)

    def shares(self) -> Tensor:
        """Return how much each class counts: as often as it is drawn."""
        shares = torch.cat([self.source.drawing_shares(), torch.ones(1)])
        return shares / shares.mean()

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""
        return self.source.batch(step, rank)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sums of the cross-entropies by the first degradation of each sample."""
        presence = batch.presence[:, self.columns]
        similarities = module(batch.degraded)
        scores = (similarities[:, :-1] - similarities[:, -1:]) / SETTINGS.temperature
        entropies = functional.binary_cross_entropy_with_logits(scores, presence, reduction="none")
        task = torch.where(batch.task < 0, len(self.tasks) - 1, batch.task)
        return losses_by_task(entropies.sum(1), task, len(self.tasks))

    def validate(self) -> dict[str, float]:
        """Return the share of images of which exactly what is wrong is recognised, by what is wrong."""
        self.module.eval()
        hits = {
            name: sum(self._recognised(image) == set(name.split("+")) - {CLEAN} for image in images)
            / len(images)
            for name, images in self.samples.items()
        }
        self.module.train()
        return {**hits, "mean": round(sum(hits.values()) / len(hits), 4)}

    @torch.inference_mode()
    def _recognised(self, image: Tensor) -> set[str]:
        similarities = dict(zip(self.tasks, self.module(image)[0].tolist(), strict=True))
        return set(weigh_similarities(similarities, SETTINGS).weights)


def validation_samples(
    images: list[Tensor],
    names: tuple[str, ...],
    seed: int,
    inputs: Mapping[str, Sequence[Tensor]] = MappingProxyType({}),
) -> dict[str, list[Tensor]]:
    """Damage whole validation images by one degradation each: (1, 3, H, W) by name, and "clean".

    Every fourth one is damaged by each named mixture as well, if all of its parts are among the names.

    Args:
        images: clean photographs, uint8 (3, H, W) each.
        names: the degradations.
        seed: of the damage.
        inputs: by degradation, photographs that show it already, uint8 (3, H, W) each, in place of that.
    """
    mixtures = [name for name, mixture in MIXTURES.items() if set(mixture.severities) <= set(names)]
    singles = {
        name: [image[None].float() / 255 for image in inputs[name]]
        if name in inputs
        else damaged_copies(images, name, seed)
        for name in (*names, CLEAN)
    }
    return singles | {name: damaged_copies(images[::4], name, seed) for name in mixtures}


def damaged_copies(images: list[Tensor], name: str, seed: int) -> list[Tensor]:
    """Damage whole images, uint8 (3, H, W), by a degradation or a mixture, not by "clean": (1, 3, H, W) each.

    The severities of single ones are drawn from ``VALIDATION_SEVERITIES``; seed and name decide everything.
    """
    clean = [image[None].float() / 255 for image in images]
    if name == CLEAN:
        return clean
    generator = Generator().manual_seed(mixed_seed(seed, name))
    if name in MIXTURES:
        return [degrade(image, MIXTURES[name].severities, generator) for image in clean]
    low, high = VALIDATION_SEVERITIES
    severities = [low + (high - low) * float(torch.rand((), generator=generator)) for _ in clean]
    return [degrade(i, {name: s}, generator) for i, s in zip(clean, severities, strict=True)]


def train_recogniser(recipe: RecogniserRecipe, control: RunControl) -> Path:
    """Train a recogniser for the adapters of a bundle and return the bundle that has it.

    A recogniser that is in the bundle already, with the recipe's options, is trained further. Every adapter
    gets a prototype; in a bundle without adapters, every task of the recipe does, or every degradation that
    can be synthesised or has pairs where the recipe names no tasks.

    Raises:
        UnknownNameError: an adapter's degradation can neither be synthesised nor has pairs in the recipe.
        RecipeError: one that cannot be synthesised has no pairs to be validated on.
    """
    bundle = load_bundle(recipe.bundle)
    every = tuple(dict.fromkeys((*DEGRADATIONS, *recipe.data.pairs)))
    names = tuple(sorted(bundle.adapters)) or recipe.synthesis.tasks or every
    check_trained(recipe, names)
    held_out = held_out_images(recipe.data)
    synthesis = synthesis_of(recipe, names)
    source = batch_source(recipe, synthesis, load_clean(recipe.data.clean), load_real_pairs(recipe.data))
    recogniser = build_recogniser(recipe.recogniser, **recipe.recogniser_options)
    classifier = PrototypeClassifier(recogniser, len(names) + 1)
    earlier = bundle.recogniser
    if earlier is not None and (earlier.kind, earlier.options) == (recogniser.kind, recogniser.options):
        classifier.continue_from(earlier, bundle.prototypes, (*names, CLEAN))
    inputs = {
        name: [pair.degraded for pair in pairs]
        for name, pairs in held_out_pairs(recipe.data).items()
        if name in names and name not in DEGRADATIONS
    }
    job = RecogniserJob(classifier, source, names, held_out, inputs)
    weighting = build_weighting("uniform", len(job.tasks))
    figures = train(job, weighting, recipe, control, steps=recipe.steps)
    recogniser.eval()
    prototypes = classifier.prototypes(job.tasks)
    settings = calibrate(recogniser, prototypes, job.samples[CLEAN])
    record = training_record(recipe, {})
    record["validation_accuracy"] = figures
    info = extended_info(bundle.info, recipe, "recogniser", record)
    finished = replace(
        bundle,
        recogniser=recogniser,
        prototypes=prototypes,
        recognition_settings={
            **settings.to_dict(),
            **bundle.composing_settings(settings.activation),
        },
        info=info,
    )
    return save_trained(control.folder / "bundle", finished)


@torch.inference_mode()
def calibrate(
    recogniser: BaseRecogniser, prototypes: Mapping[str, Tensor], clean: Sequence[Tensor]
) -> RecognitionSettings:
    """Choose the clean threshold by what it costs clean images; the rest is as in the training.

    Args:
        recogniser: trained.
        prototypes: by name.
        clean: whole undamaged validation images, (1, 3, H, W) each.
    """

    def clean_share(image: Tensor) -> float:
        return weigh(recogniser.embed(image)[0], prototypes, SETTINGS).probabilities[CLEAN]

    shares = [clean_share(image) for image in clean]
    return replace(SETTINGS, clean_threshold=clean_threshold(shares))


def clean_threshold(clean: Sequence[float]) -> float:
    """Return the largest threshold from 0.3 to 0.6 that leaves ``KEPT_CLEAN`` of the clean images alone.

    Where none does, 0.3: below, what is most probably damaged would be left alone as well.

    Args:
        clean: probabilities of being clean, of clean images.
    """

    def kept(threshold: float) -> float:
        return sum(value >= threshold for value in clean) / max(1, len(clean))

    return max((step / 100 for step in range(30, 61) if kept(step / 100) >= KEPT_CLEAN), default=0.3)


def _shrink(recipe: RecogniserRecipe, folder: Path) -> dict[str, Any]:
    return {
        "bundle": str(save_tiny_bundle("compact", folder / "bundle")),
        "recogniser_options": dict(_TINY_OPTIONS),
    }


RECOGNISER = Phase(RecogniserRecipe, train_recogniser, _shrink)
