"""Train the recogniser, make the prototypes, and calibrate how similarities become weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import Parameter, functional

from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.data import Batch, BatchSource, Synthesis, load_clean
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.errors import RecipeError
from polyrestore.recognition import (
    CLEAN,
    Recogniser,
    RecognitionSettings,
    build_recogniser,
    prototype_of,
    weigh,
)
from polyrestore.training.export import extended_info, training_record
from polyrestore.training.loop import TaskLosses, train
from polyrestore.training.recipe import RecogniserRecipe
from polyrestore.training.restoration_job import losses_by_task
from polyrestore.training.sources import batch_source, load_real_pairs, synthesis_of
from polyrestore.training.weighting import build_weighting

TRAINING_TEMPERATURE = 0.1
PROTOTYPE_BATCHES = 40
VALIDATION_SEVERITIES = (0.2, 0.9)


class PrototypeClassifier(nn.Module):
    """A recogniser and one learned direction per class; the directions are only needed for training."""

    def __init__(self, recogniser: Recogniser, classes: int) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.directions = nn.Parameter(torch.randn(classes, recogniser.output.out_features) * 0.1)

    def continue_from(
        self, recogniser: Recogniser, prototypes: Mapping[str, Tensor], classes: Sequence[str]
    ) -> None:
        """Start from a trained recogniser, and from its prototypes where there are some."""
        self.recogniser.load_state_dict(recogniser.state_dict())
        with torch.no_grad():
            for row, name in enumerate(classes):
                if name in prototypes:
                    self.directions[row] = prototypes[name]

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores (B, K) of whole images (B, 3, H, W)."""
        directions = functional.normalize(self.directions, dim=1)
        return self.recogniser.embed(image).float() @ directions.T / TRAINING_TEMPERATURE


class RecogniserJob:
    """Cross-entropy against the shares of the degradations in each sample; "clean" is the last class."""

    def __init__(
        self, module: PrototypeClassifier, source: BatchSource, names: tuple[str, ...], held_out: list[Tensor]
    ) -> None:
        self.module: nn.Module = module
        self.source = source
        self.tasks = (*names, CLEAN)
        self.columns = [list(DEGRADATIONS).index(name) for name in names]
        self.samples = validation_samples(held_out, names, seed=99)

    def trainable(self) -> Mapping[str, Parameter]:
        """Return all parameters."""
        return dict(self.module.named_parameters())

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""
        return self.source.batch(step, rank)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sums of the cross-entropies by the first degradation of each sample."""
        presence = batch.presence[:, self.columns]
        nothing = (presence.sum(1, keepdim=True) == 0).float()
        target = torch.cat([presence, nothing], 1)
        target = target / target.sum(1, keepdim=True)
        scores = functional.log_softmax(module(batch.degraded), dim=1)
        task = torch.where(batch.task < 0, len(self.tasks) - 1, batch.task)
        return losses_by_task(-(target * scores).sum(1), task, len(self.tasks))

    def validate(self) -> dict[str, float]:
        """Return the share of single degradations, and of clean images, whose class comes first."""
        self.module.eval()
        with torch.inference_mode():
            hits = {
                name: sum(self.tasks[int(self.module(image).argmax())] == name for image in images)
                / len(images)
                for name, images in self.samples.items()
            }
        self.module.train()
        return {**hits, "mean": round(sum(hits.values()) / len(hits), 4)}


def validation_samples(images: list[Tensor], names: tuple[str, ...], seed: int) -> dict[str, list[Tensor]]:
    """Damage whole validation images by one degradation each: (1, 3, H, W) by name, and "clean"."""
    return {name: damaged_copies(images, name, seed) for name in (*names, CLEAN)}


def damaged_copies(images: list[Tensor], name: str, seed: int) -> list[Tensor]:
    """Damage whole images, uint8 (3, H, W), by one degradation (not at all by "clean"): (1, 3, H, W) each.

    The severities are drawn from ``VALIDATION_SEVERITIES``; seed and name decide everything.
    """
    clean = [image[None].float() / 255 for image in images]
    if name == CLEAN:
        return clean
    generator = Generator().manual_seed(seed + list(DEGRADATIONS).index(name))
    low, high = VALIDATION_SEVERITIES
    severities = [low + (high - low) * float(torch.rand((), generator=generator)) for _ in clean]
    return [degrade(i, {name: s}, generator) for i, s in zip(clean, severities, strict=True)]


def train_recogniser(recipe: RecogniserRecipe, folder: Path, resume: bool) -> Path:
    """Train a recogniser for the adapters of a bundle and return the bundle that has it.

    A recogniser that is in the bundle already, with the recipe's options, is trained further.

    Raises:
        RecipeError: the bundle has no adapters and the recipe names no tasks.
    """
    bundle = load_bundle(recipe.bundle)
    names = tuple(name for name in DEGRADATIONS if name in bundle.adapters) or recipe.synthesis.tasks
    if not names:
        raise RecipeError(f"bundle {recipe.bundle!r} has no adapters to recognise degradations for")
    held_out = load_clean([recipe.data.validation])
    synthesis = synthesis_of(recipe, names)
    source = batch_source(recipe, synthesis, load_clean(recipe.data.clean), load_real_pairs(recipe.data))
    recogniser = build_recogniser(**recipe.recogniser_options)
    classifier = PrototypeClassifier(recogniser, len(names) + 1)
    if bundle.recogniser is not None and bundle.recogniser.options == recogniser.options:
        classifier.continue_from(bundle.recogniser, bundle.prototypes, (*names, CLEAN))
    job = RecogniserJob(classifier, source, names, held_out)
    weighting = build_weighting("uniform", len(job.tasks))
    figures = train(job, weighting, recipe, folder, steps=recipe.steps, resume=resume)
    recogniser.eval()
    prototypes = make_prototypes(recogniser, source, names)
    settings = calibrate(recogniser, prototypes, job.samples)
    record = training_record(recipe, {})
    record["validation_accuracy"] = figures
    info = extended_info(bundle.info, recipe, "recogniser", record)
    finished = replace(
        bundle,
        recogniser=recogniser,
        prototypes=prototypes,
        recognition_settings=settings.to_dict(),
        info=info,
    )
    save_bundle(folder / "bundle", finished, dtype=torch.float32)
    return folder / "bundle"


@torch.inference_mode()
def make_prototypes(recogniser: Recogniser, source: BatchSource, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Average the embeddings of singly damaged training samples, and of clean ones: (D,) unit vectors."""
    single = Synthesis(tasks=names, mixture_share=0, region_share=0, clean_share=0.15, severity=(0.15, 1.0))
    plain = replace(source, synthesis=single, seed=source.seed + 1)
    found: dict[str, list[Tensor]] = {name: [] for name in (*names, CLEAN)}
    for step in range(PROTOTYPE_BATCHES):
        batch = plain.batch(step)
        for embedding, task in zip(recogniser.embed(batch.degraded), batch.task.tolist(), strict=True):
            found[names[task] if task >= 0 else CLEAN].append(embedding)
    return {name: prototype_of(torch.stack(embeddings)) for name, embeddings in found.items() if embeddings}


@torch.inference_mode()
def calibrate(
    recogniser: Recogniser, prototypes: Mapping[str, Tensor], samples: Mapping[str, list[Tensor]]
) -> RecognitionSettings:
    """Choose the temperature by likelihood, and the clean threshold by separation.

    Args:
        recogniser: trained.
        prototypes: by name.
        samples: whole validation images (1, 3, H, W) by class, "clean" among them.
    """
    embeddings = {
        name: torch.cat([recogniser.embed(image) for image in images]) for name, images in samples.items()
    }
    names = sorted(prototypes)
    bank = torch.stack([prototypes[name] for name in names])

    def surprise(temperature: float) -> float:
        losses = [
            -functional.log_softmax(vectors @ bank.T / temperature, 1)[:, names.index(name)].mean()
            for name, vectors in embeddings.items()
        ]
        return float(torch.stack(losses).mean())

    temperature = min((0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2), key=surprise)
    settings = RecognitionSettings(temperature=temperature)
    share = {
        name: [weigh(vector, prototypes, settings).probabilities[CLEAN] for vector in vectors]
        for name, vectors in embeddings.items()
    }
    damaged = [value for name, values in share.items() if name != CLEAN for value in values]
    return replace(settings, clean_threshold=clean_threshold(share[CLEAN], damaged))


def clean_threshold(clean: Sequence[float], damaged: Sequence[float]) -> float:
    """Return the threshold that separates best: most clean images at or above it, most damaged ones below.

    The sum of both shares counts (Youden's index), over thresholds from 0.05 to 0.6.

    Args:
        clean: probabilities of being clean, of clean images.
        damaged: the same of damaged images.
    """

    def separation(threshold: float) -> float:
        kept = sum(value >= threshold for value in clean) / max(1, len(clean))
        treated = sum(value < threshold for value in damaged) / max(1, len(damaged))
        return kept + treated

    return max((step / 100 for step in range(5, 61)), key=separation)
