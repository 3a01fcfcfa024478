"""Training a network that also learns, by contrast, to tell degradations apart (AirNet)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn

from polyrestore.backbones import Contrastive
from polyrestore.data import Batch, mixed_seed
from polyrestore.errors import RecipeError
from polyrestore.training.loop.job import TaskLosses
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.recipe import ContrastTable, PretrainingRecipe

# Keeps the draws of the crops apart from those of the samples.
CROP_STREAM = 7


class Contrasting(nn.Module):
    """A network seen through one of its training methods, so that it can be wrapped for several processes."""

    def __init__(self, network: Contrastive, encoder_only: bool) -> None:
        super().__init__()
        self.network = network
        self.encoder_only = encoder_only

    def forward(self, query_crop: Tensor, key_crop: Tensor) -> tuple[Tensor, Tensor]:
        """Map two crops (B, 3, P, P) to the restored first one and the loss."""
        if self.encoder_only:
            return query_crop, self.network.contrastive_loss(query_crop, key_crop)
        return self.network.restore_and_contrast(query_crop, key_crop)


@dataclass
class ContrastiveJob(RestorationJob):
    """Restore one crop of each sample, and tell it and another crop of the sample from all other samples.

    Attributes:
        table: sizes and shares.
        seed: with the step, decides where the crops lie.
        encoder_only: train by the contrast alone, as a task of its own: it compares all samples at once.

    Raises:
        RecipeError: the network has no contrastive loss, or the crops are larger than the patches.
    """

    table: ContrastTable = field(default_factory=ContrastTable)
    seed: int = 0
    encoder_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.network, Contrastive):
            name = self.network.description.name
            raise RecipeError(f"backbone {name!r} cannot be trained by contrast; leave out [contrast]")
        self.module = Contrasting(self.network, self.encoder_only)
        if self.encoder_only:
            self.tasks, self.sparse = ("contrast",), True

    def shares(self) -> Tensor:
        """Return how much each task counts; the contrast is one task."""
        return torch.ones(1) if self.encoder_only else super().shares()

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step, cut to one crop of each sample and with another one beside."""
        whole = self.source.batch(step, rank)
        side = self.table.crop_px or whole.clean.shape[-1]
        span = whole.clean.shape[-1] - side + 1
        if span < 1:
            raise RecipeError(f"contrast.crop_px = {side} is larger than data.patch_px")
        generator = Generator().manual_seed(mixed_seed(self.seed, rank, step, CROP_STREAM))
        top, left, other_top, other_left = torch.randint(span, (4,), generator=generator).tolist()

        def cut(image: Tensor, first: int, second: int) -> Tensor:
            return image[..., first : first + side, second : second + side].contiguous()

        return replace(
            whole,
            degraded=cut(whole.degraded, top, left),
            clean=cut(whole.clean, top, left),
            other_crop=cut(whole.degraded, other_top, other_left),
        )

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the pixel losses by task and the contrastive loss."""
        restored, contrast = module(batch.degraded, batch.other_crop)
        if self.encoder_only:
            count = len(batch.degraded)
            return TaskLosses(contrast.reshape(1) * count, contrast.new_full((1,), count))
        return self.by_task(restored, batch, extra=contrast * self.table.share)

    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB by degradation; nothing while the encoder is trained alone."""
        return {} if self.encoder_only else super().validate()


def encoder_recipe(recipe: PretrainingRecipe) -> PretrainingRecipe:
    """Return the recipe of the steps in which the encoder is trained alone."""
    table = recipe.contrast or ContrastTable()
    rate = table.encoder_learning_rate or recipe.optimiser.learning_rate
    changes = {
        "learning_rate": rate,
        "schedule": "steps",
        "milestones": table.encoder_milestones,
        "decay": 0.1,
        "final_share": 0.0,
    }
    return recipe.model_copy(
        update={
            "name": f"{recipe.name[:56]}-encoder",
            "optimiser": recipe.optimiser.model_copy(update=changes),
            "steps": table.encoder_steps,
            "minutes": 0.0,
        }
    )
