"""What the loop needs of a phase: a module, its losses by task, and how to validate it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.data import Batch


@dataclass(frozen=True)
class TaskLosses:
    """Losses of one process's batch by task.

    Attributes:
        sums: (K,) sum over each task's samples of their mean loss, differentiable.
        counts: (K,) number of samples of each task.
        scales: (K,) sum over each task's samples of the error that the network expects, differentiable; only
            for strategies that read them.
        extra: a scalar that is added to the weighted loss, the mean over the batch; None for nothing.
    """

    sums: Tensor
    counts: Tensor
    scales: Tensor | None = None
    extra: Tensor | None = None


class Job:
    """What a phase trains.

    Attributes:
        tasks: the K names that losses are kept apart by.
        module: what computes the losses; wrapped by the loop where several processes train together.
        sparse: True when some of the trainable parameters have no gradient in some steps.
    """

    tasks: tuple[str, ...]
    module: nn.Module
    sparse: bool = False

    def trainable(self) -> Mapping[str, Parameter]:
        """Return the parameters to train, by name: those of the module that require gradients."""
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}

    def moving(self) -> Mapping[str, Tensor]:
        """Return the tensors that training changes without a gradient, by name; checkpoints hold them too."""
        return dict(self.module.named_buffers())

    def shared_layer(self) -> Sequence[Parameter]:
        """Return the parameters of the last layer that all tasks share, for strategies that look there."""
        raise NotImplementedError

    def shares(self) -> Tensor:
        """Return how much each task counts whatever the strategy says, (K,) with a mean of 1."""
        return torch.ones(len(self.tasks))

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step, for one of several processes."""
        raise NotImplementedError

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return a batch's losses; ``module`` is the job's own, perhaps wrapped for several processes."""
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """Return the figures of merit on the validation images."""
        raise NotImplementedError


def losses_by_task(
    error: Tensor,
    task: Tensor,
    task_count: int,
    *,
    scales: Tensor | None = None,
    extra: Tensor | None = None,
) -> TaskLosses:
    """Add up errors (B,) by task index (B,); samples of index -1 belong to no task and are left out.

    ``scales`` (B,), if given, are added up likewise; ``extra`` is passed on.
    """
    member = torch.nn.functional.one_hot(task.clamp(min=0), task_count).float() * (task >= 0).float()[:, None]
    return TaskLosses(
        sums=(error[:, None] * member).sum(0),
        counts=member.sum(0),
        scales=None if scales is None else (scales[:, None] * member).sum(0),
        extra=extra,
    )
