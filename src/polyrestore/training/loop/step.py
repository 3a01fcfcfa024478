"""One optimiser step: the losses of all processes, what the strategy asks for, weights, gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.data import Batch, mixed_seed
from polyrestore.errors import TrainingError
from polyrestore.training.loop.job import Job, TaskLosses
from polyrestore.training.recipes.recipe import Recipe
from polyrestore.training.weighting import Evidence, Weighting

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Stepper:
    """Makes the steps of a run.

    Losses of a task are averaged over all processes before they are weighted, so that N processes do what one
    process with an N times larger batch does, and hold the same state of the strategy.

    Attributes:
        job: what is trained.
        module: the job's module, wrapped for several processes.
        parameters: what the optimiser changes.
        optimiser: prepared by the accelerator.
        weighting: balances the tasks.
        shares: (K,) how much each task counts besides, with a mean of 1, unless the strategy balances alone.
        accelerator: knows the processes, the device and the precision.
        recipe: the accumulation, the clipping and the seed.
        batches: this process's batches, one for each part of each step.
    """

    job: Job
    module: nn.Module
    parameters: Sequence[Parameter]
    optimiser: Any
    weighting: Weighting
    shares: Tensor
    accelerator: Accelerator
    recipe: Recipe
    batches: Iterator[Batch]

    def make(self, step: int) -> Tensor:
        """Make one step; return (3, K): summed losses, sample counts and weights.

        Raises:
            TrainingError: a loss is not finite.
        """
        table, accelerator = self.recipe.optimiser, self.accelerator
        # Whatever a network draws, such as dropout, depends on the step alone, as the batches do.
        torch.manual_seed(mixed_seed(self.recipe.seed, accelerator.process_index, step))
        figures = torch.zeros(3, len(self.job.tasks))
        self.optimiser.zero_grad()
        for part in range(table.accumulation):
            last = part == table.accumulation - 1
            synchronised = contextlib.nullcontext() if last else accelerator.no_sync(self.module)
            with synchronised:
                batch = next(self.batches).to(accelerator.device)
                with accelerator.autocast():
                    local = self.job.losses(self.module, batch)
                loss, seen = self._weighted(local, step)
                accelerator.backward(loss * (accelerator.num_processes / table.accumulation))
            figures += seen
        if table.clip_norm:
            accelerator.clip_grad_norm_(self.parameters, table.clip_norm)
        self.optimiser.step()
        return figures

    def _weighted(self, local: TaskLosses, step: int) -> tuple[Tensor, Tensor]:
        """Return this process's part of the loss, and (3, K) figures over all processes."""
        rows = [local.sums, local.counts] + ([] if local.scales is None else [local.scales])
        reduced = self._sum(torch.stack(rows).detach()).cpu()
        sums, counts = reduced[0], reduced[1]
        means, present = sums / counts.clamp(min=1), counts > 0
        self._check(means, step)
        if local.extra is not None:
            self._check(self._sum(local.extra.detach()).cpu().reshape(1), step)
        evidence = self._evidence(local, counts, reduced)
        weights = self.weighting.weights(means, present, evidence)
        if not self.weighting.balances_alone:
            weights = weights * self.shares
        device, divisor = local.sums.device, counts.clamp(min=1)
        loss = ((weights / divisor).to(device) * local.sums).sum()
        if local.scales is not None and evidence is not None:
            slopes = self.weighting.scale_slopes(means, present, evidence) * self.shares
            loss = loss + ((slopes / divisor).to(device) * local.scales).sum()
        if local.extra is not None:
            loss = loss + local.extra / self.accelerator.num_processes
        return loss, torch.stack([sums, counts, weights])

    def _evidence(self, local: TaskLosses, counts: Tensor, reduced: Tensor) -> Tensor | None:
        kind = self.weighting.evidence
        if kind is Evidence.SCALES:
            return reduced[2] / counts.clamp(min=1)
        if kind is Evidence.SHARED_LAYER:
            return self._inner_products(local, counts, self.job.shared_layer())
        if kind is Evidence.ALL_LAYERS:
            return self._inner_products(local, counts, self.parameters)
        return None

    def _inner_products(self, local: TaskLosses, counts: Tensor, parameters: Sequence[Parameter]) -> Tensor:
        """Return (K, K) inner products of the gradients of the tasks' shares of the loss."""
        # A factor common to all tasks, which no strategy sees, keeps half-precision gradients above zero.
        scaler = self.accelerator.scaler
        factor = 1.0 if scaler is None else scaler.get_scale()
        size = sum(parameter.numel() for parameter in parameters)
        gradients = local.sums.new_zeros(len(counts), size, dtype=torch.float32)
        for index, count in enumerate(counts.tolist()):
            if not local.counts[index]:
                continue
            loss = local.sums[index] * (float(self.shares[index]) * factor / count)
            parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            gradients[index] = torch.cat(
                [
                    torch.zeros_like(parameter).flatten() if part is None else part.flatten().float()
                    for part, parameter in zip(parts, parameters, strict=True)
                ]
            )
        gradients = self._sum(gradients)
        return (gradients @ gradients.T).cpu()

    def _sum(self, values: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(values, reduction="sum")
        return summed

    def _check(self, means: Tensor, step: int) -> None:
        finite = torch.isfinite(means)
        if bool(finite.all()):
            return
        tasks = self.job.tasks
        bad = (
            tasks if len(means) != len(tasks) else [tasks[i] for i in (~finite).nonzero().flatten().tolist()]
        )
        raise TrainingError(
            f"the loss of {', '.join(bad)} is not finite at step {step}; lower the learning rate, or "
            "look at the data; the last checkpoint is untouched"
        )
