"""The jobs whose output is an image: pre-training a backbone, and training one adapter on a frozen one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.adapters import AdapterBank
from polyrestore.data import Batch, Source
from polyrestore.degradations import DEGRADATIONS
from polyrestore.training.loop import TaskLosses
from polyrestore.training.validation import Validation


@dataclass
class RestorationJob:
    """Train the parameters of ``module`` that require gradients to undo degradations, by L1.

    Attributes:
        module: maps (B, 3, H, W) to (B, 3, H, W).
        source: training batches.
        validation: what to measure.
        bank: adapters, each sample goes through those of its own degradations; None where there are none.
    """

    module: nn.Module
    source: Source
    validation: Validation
    bank: AdapterBank | None = None
    tasks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = self.source.tasks

    def trainable(self) -> Mapping[str, Parameter]:
        """Return the parameters that require gradients, by name."""
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""
        return self.source.drawing_shares()

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""
        return self.source.batch(step, rank)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the sums over each task's samples of their mean absolute error."""
        if self.bank is not None:
            routes = compositions(batch.presence, self.bank.names)
            if all(route == routes[0] for route in routes):
                self.bank.activate(routes[0])
            else:
                self.bank.activate_per_sample(routes)
        error = (module(batch.degraded) - batch.clean).abs().float().mean((1, 2, 3))
        return losses_by_task(error, batch.task, len(self.tasks))

    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB by task, and "mean"."""
        bank = self.bank

        def activate(composition: tuple[str, ...]) -> None:
            if bank is not None:
                present = [name for name in composition if name in bank.names]
                bank.activate(dict.fromkeys(present, 1 / max(1, len(present))))

        self.module.eval()
        try:
            return self.validation.measure(self.module, activate)
        finally:
            self.module.train()


def compositions(presence: Tensor, adapters: Collection[str]) -> list[dict[str, float]]:
    """Give every sample's degradations equal weights with a sum of 1.

    Args:
        presence: (B, N) in the order of ``DEGRADATIONS``, 1 where a sample has a degradation.
        adapters: names to use; other degradations are left out.
    """
    names = list(DEGRADATIONS)
    found = [[names[i] for i in row.nonzero().flatten().tolist() if names[i] in adapters] for row in presence]
    return [dict.fromkeys(present, 1 / max(1, len(present))) for present in found]


def losses_by_task(error: Tensor, task: Tensor, task_count: int) -> TaskLosses:
    """Add up errors (B,) by task index (B,); samples of index -1 belong to no task and are left out."""
    member = torch.nn.functional.one_hot(task.clamp(min=0), task_count).float() * (task >= 0).float()[:, None]
    return TaskLosses((error[:, None] * member).sum(0), member.sum(0))
