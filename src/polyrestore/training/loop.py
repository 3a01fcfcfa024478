"""The training loop that all phases share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import Parameter

from polyrestore.data import Batch
from polyrestore.errors import TrainingError
from polyrestore.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_optimiser_tensors,
    newest_checkpoint,
    optimiser_tensors,
    same_recipe,
    save_checkpoint,
)
from polyrestore.training.ema import ParameterAverage
from polyrestore.training.optimisers import build_optimiser
from polyrestore.training.recipe import Recipe
from polyrestore.training.weighting import Weighting


@dataclass(frozen=True)
class TaskLosses:
    """Losses of one batch by task.

    Attributes:
        sums: (K,) sum over each task's samples of their mean loss, differentiable.
        counts: (K,) number of samples of each task.
    """

    sums: Tensor
    counts: Tensor


class Job(Protocol):
    """What a phase trains: a module, the losses of a batch, and how to validate it."""

    tasks: tuple[str, ...]
    module: nn.Module

    def trainable(self) -> Mapping[str, Parameter]:
        """Return the parameters to train, by name."""

    def drawing_shares(self) -> Tensor:
        """Return how often each task is drawn, (K,), not normalised."""

    def batch(self, step: int, rank: int) -> Batch:
        """Return the training batch of a step."""

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return a batch's losses; ``module`` is the job's own, perhaps wrapped for several processes."""

    def validate(self) -> dict[str, float]:
        """Return the figures of merit on the validation images."""


def train(
    job: Job, weighting: Weighting, recipe: Recipe, folder: Path, *, steps: int, resume: bool
) -> dict[str, float]:
    """Train a job to its last step, and leave its parameters at their moving average.

    Losses of a task are averaged over all processes before they are weighted, so that N processes do what one
    process with an N times larger batch does.

    Args:
        job: what to train.
        weighting: how to balance its tasks.
        recipe: optimiser, precision and intervals.
        folder: where checkpoints and ``log.jsonl`` go.
        steps: number of optimiser steps.
        resume: go on from the newest checkpoint of the folder, if there is one.

    Returns:
        The last validation figures.

    Raises:
        TrainingError: a loss is not finite, or the newest checkpoint belongs to another recipe.
    """
    accelerator = Accelerator(mixed_precision=recipe.precision, cpu=not torch.cuda.is_available())
    job.module.to(accelerator.device)
    parameters = dict(job.trainable())
    table = recipe.optimiser
    optimiser = build_optimiser(parameters.values(), table)
    average = ParameterAverage(parameters, table.ema_decay)
    shares = task_shares(job)
    description = recipe.model_dump_json()
    start = _restore(folder, description, parameters, average, optimiser, weighting) if resume else 0
    module, prepared = accelerator.prepare(job.module, optimiser)
    log = _Log(folder / "log.jsonl", accelerator.is_main_process, append=start > 0)
    log.write(
        event="start", recipe=json.loads(description), first_step=start, steps=steps,
        updates=steps - start, processes=accelerator.num_processes, torch=torch.__version__,
        effective_batch=recipe.data.batch_size * accelerator.num_processes * table.accumulation,
        trainable=sum(p.numel() for p in parameters.values()),
    )  # fmt: skip
    figures: dict[str, float] = {}
    running = torch.zeros(3, len(job.tasks))
    clock, clock_step = time.perf_counter(), start
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not accelerator.is_main_process, transient=True) as progress:
        bar = progress.add_task(recipe.name, total=steps, completed=start)
        for step in range(start, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, recipe) * group.get("rate_ratio", 1.0)
            rates = _step(job, module, prepared, weighting, shares, accelerator, recipe, step)
            average.update(step)
            running += rates
            progress.update(bar, completed=step + 1)
            done = step + 1
            if done % recipe.log_every == 0 or done == steps:
                spent = time.perf_counter() - clock
                _log_losses(log, job.tasks, running, done, (done - clock_step) / max(spent, 1e-9))
                running.zero_()
                clock, clock_step = time.perf_counter(), done
            if done % recipe.validate_every == 0 or done == steps:
                with average.applied():
                    figures = job.validate()
                log.write(event="validation", step=done, **figures)
            if (done % recipe.checkpoint_every == 0 or done == steps) and accelerator.is_main_process:
                groups: dict[str, Mapping[str, Tensor]] = {
                    "parameters": parameters,
                    "average": average.values,
                    "optimiser": optimiser_tensors(optimiser),
                    "weighting": weighting.state(),
                }
                save_checkpoint(folder, Checkpoint(done, groups, description))
    accelerator.wait_for_everyone()
    average.apply()
    if not figures:
        figures = job.validate()
    accelerator.free_memory()
    return figures


def task_shares(job: Job) -> Tensor:
    """Return how much each task counts, (K,) with a mean of 1: as often as it is drawn."""
    shares = job.drawing_shares()
    return shares / shares.mean()


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to its final share."""
    table = recipe.optimiser
    warmup = min(1.0, (step + 1) / max(1, table.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    return table.learning_rate * warmup * (table.final_share + (1 - table.final_share) * cosine)


def _step(
    job: Job,
    module: nn.Module,
    optimiser: Any,
    weighting: Weighting,
    shares: Tensor,
    accelerator: Accelerator,
    recipe: Recipe,
    step: int,
) -> Tensor:
    """Make one optimiser step; return (3, K): summed losses, sample counts and weights."""
    table = recipe.optimiser
    rates = torch.zeros(3, len(job.tasks))
    optimiser.zero_grad()
    for part in range(table.accumulation):
        batch = job.batch(step * table.accumulation + part, accelerator.process_index)
        batch = Batch(*(getattr(batch, name).to(accelerator.device) for name in Batch.__dataclass_fields__))
        with accelerator.autocast():
            local = job.losses(module, batch)
        reduced = accelerator.reduce(torch.stack([local.sums.detach(), local.counts]), reduction="sum")
        sums, counts = reduced[0].cpu(), reduced[1].cpu()
        means = sums / counts.clamp(min=1)
        if not bool(torch.isfinite(means).all()):
            bad = [job.tasks[index] for index in (~torch.isfinite(means)).nonzero().flatten().tolist()]
            raise TrainingError(
                f"the loss of {', '.join(bad)} is not finite at step {step}; lower the learning rate, or "
                "look at the data; the last checkpoint is untouched"
            )
        weights = weighting.weights(means, counts > 0) * shares
        scale = weights.to(local.sums.device) / counts.clamp(min=1).to(local.sums.device)
        loss = (scale * local.sums).sum() * accelerator.num_processes / table.accumulation
        accelerator.backward(loss)
        rates += torch.stack([sums, counts, weights * (counts > 0)])
    accelerator.clip_grad_norm_([p for p in module.parameters() if p.requires_grad], table.clip_norm)
    optimiser.step()
    return rates


def _restore(
    folder: Path,
    description: str,
    parameters: Mapping[str, Parameter],
    average: ParameterAverage,
    optimiser: torch.optim.Optimizer,
    weighting: Weighting,
) -> int:
    """Load the newest checkpoint of a folder, if any, and return the number of finished steps."""
    path = newest_checkpoint(folder)
    if path is None:
        return 0
    checkpoint = load_checkpoint(path)
    if not same_recipe(checkpoint.recipe, description):
        raise TrainingError(
            f"{path} was made by a different recipe; choose another output folder, or start --fresh"
        )
    saved = checkpoint.tensors["parameters"]
    if saved.keys() != parameters.keys():
        raise TrainingError(f"{path} holds the parameters of another network")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])
    average.load(checkpoint.tensors["average"])
    load_optimiser_tensors(optimiser, checkpoint.tensors["optimiser"])
    weighting.load_state(dict(checkpoint.tensors.get("weighting", {})))
    return checkpoint.step


def _log_losses(log: _Log, tasks: tuple[str, ...], running: Tensor, step: int, rate: float) -> None:
    losses = {
        name: round(total / count, 6)
        for name, total, count in zip(tasks, running[0].tolist(), running[1].tolist(), strict=True)
        if count
    }
    shares = running[2] / running[2].sum().clamp(min=1e-12)
    weights = {name: round(share, 4) for name, share in zip(tasks, shares.tolist(), strict=True)}
    mean = sum(losses.values()) / max(1, len(losses))
    log.write(event="losses", step=step, mean=round(mean, 6), losses=losses, weights=weights,
              steps_per_second=round(rate, 3))  # fmt: skip


class _Log:
    """JSON lines, one per event, written by the main process only."""

    def __init__(self, path: Path, enabled: bool, append: bool) -> None:
        self.path = path
        self.enabled = enabled
        if enabled:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not append:
                path.write_text("")

    def write(self, **record: Any) -> None:
        if self.enabled:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
