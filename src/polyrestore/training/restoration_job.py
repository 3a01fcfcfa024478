"""The jobs whose output is an image: pre-training a backbone, and training one adapter on a frozen one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.data import Batch, BatchSource
from polyrestore.training.loop import TaskLosses
from polyrestore.training.validation import ValidationSet


@dataclass
class RestorationJob:
    """Train the parameters of ``module`` that require gradients to undo degradations, by L1.

    Attributes:
        module: maps (B, 3, H, W) to (B, 3, H, W).
        source: training batches.
        validation: what to measure.
    """

    module: nn.Module
    source: BatchSource
    validation: ValidationSet
    tasks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = self.source.synthesis.tasks

    def trainable(self) -> Mapping[str, Parameter]:
        """Return the parameters that require gradients, by name."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""
        return self.source.batch(step, rank)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sums over each task's samples of their mean absolute error."""
        error = (module(batch.degraded) - batch.clean).abs().float().mean((1, 2, 3))
        return losses_by_task(error, batch.task, len(self.tasks))

    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB by degradation, and "mean"."""
        self.module.eval()
        try:
            return self.validation.measure(self.module)
        finally:
            self.module.train()


def losses_by_task(error: Tensor, task: Tensor, task_count: int) -> TaskLosses:
    """Add up errors (B,) by task index (B,); samples of index -1 belong to no task and are left out."""
    member = torch.nn.functional.one_hot(task.clamp(min=0), task_count).float() * (task >= 0).float()[:, None]
    return TaskLosses((error[:, None] * member).sum(0), member.sum(0))
