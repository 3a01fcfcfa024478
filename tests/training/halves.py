"""Train on halves of one batch in as many processes as there are, and save what each of them ends with.

Started by ``test_processes.py``, alone and as torchrun does it, with the strategies' names and a folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from polyrestore.backbones import build_backbone
from polyrestore.data import Batch
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.train import train
from polyrestore.training.phases.expected_error import ExpectedErrorJob
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.data_table import DataTable
from polyrestore.training.recipes.recipe import OptimiserTable, PretrainingRecipe
from polyrestore.training.validation.crops import Prepare
from polyrestore.training.weighting import Evidence, build_weighting

TASKS = ("noise", "jpeg", "low_light")
STEPS = 5
BATCH = 8


@dataclass(frozen=True)
class Halves:
    """Gives each process its part of a batch that depends on the step alone."""

    processes: int
    tasks: tuple[str, ...] = TASKS
    names: tuple[str, ...] = TASKS

    def drawing_shares(self) -> torch.Tensor:
        return torch.ones(len(TASKS))

    def batch(self, step: int, rank: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(step)
        clean = torch.rand((BATCH, 3, 16, 16), generator=generator)
        degraded = (clean * 0.7 + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
        # The first process has no sample of the last task.
        task = torch.tensor([0, 0, 1, 1, 0, 2, 2, 1])
        size = BATCH // self.processes
        part = slice(rank * size, (rank + 1) * size)
        return Batch(degraded[part], clean[part], task[part], torch.zeros(size, len(TASKS)))


class NoValidation:
    """Validates nothing."""

    def degradations(self) -> dict[str, tuple[str, ...]]:
        return {}

    def measure(self, restore: nn.Module, prepare: Prepare | None = None) -> dict[str, float]:
        return {}


def main(folder: Path, processes: int, rank: int, strategies: list[str]) -> None:
    for name in strategies:
        torch.manual_seed(7)
        backbone = build_backbone(
            "compact", width=8, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,), context_dim=8
        )
        recipe = PretrainingRecipe(
            phase="pretraining",
            name=name,
            steps=STEPS,
            # Sums of another order are equal to 1e-5 in float32 alone.
            precision="no",
            data=DataTable(clean=(Path("."),), validation=Path("."), batch_size=BATCH // processes),
            optimiser=OptimiserTable(warmup_steps=0, learning_rate=1e-3, ema_decay=0.5),
        )
        weighting = build_weighting(name, len(TASKS))
        job_class = ExpectedErrorJob if weighting.evidence is Evidence.SCALES else RestorationJob
        job = job_class(backbone, Halves(processes), NoValidation())
        train(job, weighting, recipe, RunControl(folder / name, resume=False), steps=STEPS)
        state = {f"state:{key}": value for key, value in weighting.state().items()}
        parameters = {f"parameter:{key}": value.detach() for key, value in backbone.named_parameters()}
        save_file({**state, **parameters}, folder / name / f"rank-{rank}.safetensors")


if __name__ == "__main__":
    import os

    main(
        Path(sys.argv[1]),
        int(os.environ.get("WORLD_SIZE", "1")),
        int(os.environ.get("RANK", "0")),
        sys.argv[2:],
    )
