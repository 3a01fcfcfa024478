"""Generative pre-training: a backbone learns clean photographs by flow matching (arXiv 2210.02747)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from polyrestore.backbones import Backbone, Generative
from polyrestore.data import Batch, Source, Synthesis, load_clean, mixed_seed
from polyrestore.errors import RecipeError
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.job import Job, TaskLosses, losses_by_task
from polyrestore.training.loop.losses import LOSSES
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.export import export_backbone
from polyrestore.training.phases.shrinking import tiny_backbone_options
from polyrestore.training.recipes.batches import batch_source, held_out_images, starting_backbone
from polyrestore.training.recipes.recipe import GenerativeRecipe
from polyrestore.training.validation.crops import batch_psnr, centres
from polyrestore.training.weighting.uniform import Uniform

# Keeps the draws of noise and times apart from those of the patches.
PATH_STREAM = 11
VALIDATION_SIGMAS_255 = (15, 25, 50)
VALIDATION_CROPS = 12
VALIDATION_SEED = 1234


class Generating(nn.Module):
    """A network seen through its velocity, so that it can be wrapped for several processes."""

    def __init__(self, network: Generative) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: Tensor, time: Tensor) -> Tensor:
        """Return the velocity of states (B, 3, H, W) at times (B,)."""
        return self.network.velocity(state, time)


@dataclass
class GenerativeJob(Job):
    """Learn the velocity that leads from noise to photographs.

    Attributes:
        network: what is trained.
        source: batches whose clean images count.
        recipe: how times are drawn, the loss, and the seed.
        held_out: uint8 (3, H, W) each, to validate on.

    Raises:
        RecipeError: the network is not a generative one.
    """

    network: Backbone
    source: Source
    recipe: GenerativeRecipe
    held_out: Sequence[Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.network, Generative):
            name = self.network.description.name
            raise RecipeError(f"backbone {name!r} does not generate; use one that does, such as 'flow'")
        self.tasks = ("clean",)
        self.module = Generating(self.network)
        self.network.freeze_restoring()

    def batch(self, step: int, rank: int) -> Batch:
        """Return clean patches and, as ``state``, where they are on their paths at ``time``."""
        batch = self.source.batch(step, rank)
        generator = Generator().manual_seed(mixed_seed(self.recipe.seed, PATH_STREAM, rank, step))
        normal = torch.randn(len(batch.clean), generator=generator)
        time = torch.sigmoid(self.recipe.time_centre + self.recipe.time_spread * normal)
        noise = torch.randn(batch.clean.shape, generator=generator)
        along = time[:, None, None, None]
        state = along * (2 * batch.clean - 1) + (1 - along) * noise
        return replace(batch, state=state, task=torch.zeros(len(time), dtype=torch.long), time=time)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sum over the samples of the mean loss of their velocities."""
        assert batch.time is not None
        assert batch.state is not None
        along = batch.time[:, None, None, None]
        target = (2 * batch.clean - 1 - batch.state) / (1 - along)
        predicted = module(batch.state, batch.time).float()
        error = LOSSES[self.recipe.loss](predicted, target)
        return losses_by_task(error, batch.task, 1)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB after one step to the end of the path from images with Gaussian noise."""
        clean = centres(self.held_out, VALIDATION_CROPS)
        device = next(self.network.parameters()).device
        self.network.eval()
        figures = {}
        for sigma_255 in VALIDATION_SIGMAS_255:
            generator = Generator().manual_seed(VALIDATION_SEED + sigma_255)
            noisy = clean + sigma_255 / 255 * torch.randn(clean.shape, generator=generator)
            along = 1 / (1 + 2 * sigma_255 / 255)
            state = (along * (2 * noisy - 1)).to(device)
            time = torch.full((len(state),), along, device=device)
            parts = zip(torch.split(state, 4), torch.split(time, 4), strict=True)
            ends = [part + (1 - along) * self.module(part, when) for part, when in parts]
            restored = (torch.cat(ends).float().cpu() + 1) / 2
            figures[f"noise {sigma_255}"] = round(batch_psnr(restored, clean), 3)
        self.network.train()
        figures["mean"] = round(sum(figures.values()) / len(figures), 3)
        return figures


def train_generative(recipe: GenerativeRecipe, control: RunControl) -> Path:
    """Train a recipe's generative backbone and return the bundle that holds it."""
    backbone = starting_backbone(recipe)
    untouched = Synthesis(clean_share=1.0, region_share=0.0)
    source = batch_source(recipe, untouched, load_clean(recipe.data.clean), {})
    job = GenerativeJob(backbone, source, recipe, held_out_images(recipe.data))
    figures = train(job, Uniform(1), recipe, control, steps=recipe.steps)
    backbone.requires_grad_(True)
    return export_backbone(recipe, backbone, {}, figures, control.folder / "bundle")


def _shrink(recipe: GenerativeRecipe, folder: Path) -> dict[str, Any]:
    return {"backbone_options": tiny_backbone_options(recipe.backbone), "start_from": ""}


GENERATIVE = Phase(GenerativeRecipe, train_generative, _shrink)
