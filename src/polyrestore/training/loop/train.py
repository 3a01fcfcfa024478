"""The training loop that all phases share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyrestore.errors import OutputError, StoppedError, TrainingError
from polyrestore.files import lock_for_life
from polyrestore.training.loop.allotment import Allotment
from polyrestore.training.loop.checkpoint import (
    Checkpoint,
    load_newest_checkpoint,
    load_optimiser_tensors,
    optimiser_tensors,
    same_recipe,
    save_checkpoint,
)
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.ema import ParameterAverage
from polyrestore.training.loop.events import Advanced, Noticed, OnEvent, Started, Validated, ignore
from polyrestore.training.loop.job import Job
from polyrestore.training.loop.log import RunLog
from polyrestore.training.loop.optimisers import build_optimiser
from polyrestore.training.loop.prefetch import batches
from polyrestore.training.loop.schedule import learning_rate
from polyrestore.training.loop.step import Stepper
from polyrestore.training.recipes.precision import describe_precision, resolve_precision
from polyrestore.training.recipes.recipe import Recipe
from polyrestore.training.weighting import Weighting

if TYPE_CHECKING:
    from accelerate import Accelerator

LOCK_NAME = ".lock"


def train(
    job: Job, weighting: Weighting, recipe: Recipe, control: RunControl, *, steps: int
) -> dict[str, float]:
    """Train a job to its last step, and leave its parameters at their moving average.

    Args:
        job: what to train.
        weighting: how to balance its tasks.
        recipe: optimiser, precision and intervals.
        control: where checkpoints and ``log.jsonl`` go, and who is told.
        steps: number of optimiser steps; fewer where the recipe's minutes are over before.

    Returns:
        The last validation figures.

    Raises:
        TrainingError: a loss is not finite, the newest checkpoint belongs to another recipe, or another run
            is using the folder.
        StoppedError: the caller asked for an end; a checkpoint of the last step was written.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedDataParallelKwargs

    # The precision is global in accelerate, and an earlier run of this process may have had another one.
    AcceleratorState._reset_state()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = resolve_precision(recipe.precision, device)
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=device.type == "cpu",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=job.sparse)],
    )
    folder, is_main = control.folder, accelerator.is_main_process
    tell = control.on_event if is_main else ignore
    with _held_alone(folder) if is_main else nullcontext():
        job.module.to(accelerator.device)
        table = recipe.optimiser
        parameters, moving = dict(job.trainable()), dict(job.moving())
        optimiser = build_optimiser(parameters.values(), table)
        average = ParameterAverage(parameters, table.ema_decay)
        allotment = Allotment(recipe.minutes)
        run = _State(parameters, moving, average, optimiser, weighting, recipe, allotment)
        start = run.restore(folder, tell) if control.resume else 0
        module, prepared = accelerator.prepare(job.module, optimiser)
        log = RunLog(folder, enabled=is_main, first_step=start, tensorboard=recipe.tensorboard)
        processes = accelerator.num_processes
        batch = recipe.data.batch_size * processes * table.accumulation
        trainable = sum(parameter.numel() for parameter in parameters.values())
        log.write(
            event="start", recipe=recipe.model_dump(mode="json"), first_step=start, steps=steps,
            updates=steps - start, processes=processes, effective_batch=batch, trainable=trainable,
            precision=precision, torch=torch.__version__,
        )  # fmt: skip
        summary = (
            f"{recipe.name}: {steps - start:,} updates of {trainable:,} parameters, effective batch {batch} "
            f"({recipe.data.batch_size} x {processes} processes x {table.accumulation} accumulated), "
            f"{describe_precision(precision)}" + (f", going on after step {start:,}" if start else "")
        )
        tell(Started(recipe.name, start, steps, summary))
        wanted = range(start * table.accumulation, steps * table.accumulation)
        made = batches(job, wanted, accelerator.process_index, recipe.data.workers)
        stepper = Stepper(
            job, module, list(parameters.values()), prepared, weighting, job.shares(), accelerator, recipe,
            made,
        )  # fmt: skip
        figures: dict[str, float] = {}
        running = torch.zeros(3, len(job.tasks))
        clock, clock_step = time.perf_counter(), start
        allotment.begin()
        for step in range(start, start if _is_over(allotment, accelerator) else steps):
            rate = learning_rate(step, allotment.expected_steps(step, steps), table)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("rate_ratio", 1.0)
            running += stepper.make(step)
            average.update(step)
            done = step + 1
            tell(Advanced(done))
            ended = done == steps or _is_over(allotment, accelerator)
            if done % recipe.log_every == 0 or ended:
                spent = time.perf_counter() - clock
                speed = round((done - clock_step) / max(spent, 1e-9), 3)
                log.losses(job.tasks, running, done, steps_per_second=speed, learning_rate=rate)
                running.zero_()
                clock, clock_step = time.perf_counter(), done
            if done % recipe.validate_every == 0 or ended:
                with average.applied():
                    figures = job.validate()
                log.validation(done, figures)
                tell(Validated(done, figures))
            stopped = not ended and _any_votes(control.stop_when(), accelerator)
            if is_main and (stopped or done % recipe.checkpoint_every == 0 or ended):
                run.save(folder, done)
            if ended:
                break
            if stopped:
                log.close()
                raise StoppedError(
                    f"stopped after step {done:,} of {steps:,}, which is saved; run the same command to go on"
                )
        log.close()
        accelerator.wait_for_everyone()
        average.apply()
        if not figures:
            figures = job.validate()
        accelerator.free_memory()
    return figures


def _is_over(allotment: Allotment, accelerator: Accelerator) -> bool:
    return allotment.seconds is not None and _any_votes(allotment.is_over, accelerator)


def _any_votes(wanted: bool, accelerator: Accelerator) -> bool:
    """Ask every process, so that all of them stop after the same step."""
    if accelerator.num_processes == 1:
        return wanted
    votes = accelerator.reduce(torch.tensor(float(wanted), device=accelerator.device), reduction="sum")
    return bool(votes > 0)


@contextmanager
def _held_alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder for the length of a block."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        if not lock_for_life(descriptor):
            raise TrainingError(f"another run is training in {folder}; wait for it, or choose another folder")
        yield
    finally:
        os.close(descriptor)


class _State:
    """All that a checkpoint holds, as the live objects that it is taken from and put back into."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        moving: Mapping[str, Tensor],
        average: ParameterAverage,
        optimiser: torch.optim.Optimizer,
        weighting: Weighting,
        recipe: Recipe,
        allotment: Allotment,
    ) -> None:
        self.tensors = {"parameters": parameters, "moving": moving}
        self.average = average
        self.optimiser = optimiser
        self.weighting = weighting
        self.recipe = recipe
        self.allotment = allotment

    def save(self, folder: Path, step: int) -> None:
        groups: dict[str, Mapping[str, Tensor]] = {
            **self.tensors,
            "average": self.average.values,
            "optimiser": optimiser_tensors(self.optimiser),
            "weighting": self.weighting.state(),
            "allotment": self.allotment.state(),
        }
        save_checkpoint(folder, Checkpoint(step, groups, self.recipe.model_dump_json()))

    def restore(self, folder: Path, tell: OnEvent) -> int:
        """Load the newest whole checkpoint of a folder, if any, and return the number of finished steps."""
        checkpoint, messages = load_newest_checkpoint(folder)
        for message in messages:
            tell(Noticed(message))
        if checkpoint is None:
            return 0
        if not same_recipe(checkpoint.recipe, self.recipe):
            raise TrainingError(
                f"{folder} holds checkpoints of a different recipe; choose another output folder, or "
                "start --fresh"
            )
        for group, tensors in self.tensors.items():
            saved = checkpoint.tensors.get(group, {})
            if {name: value.shape for name, value in saved.items()} != {
                name: value.shape for name, value in tensors.items()
            }:
                raise TrainingError(
                    f"{folder} holds the {group} of another network; choose another output folder"
                )
            with torch.no_grad():
                for name, tensor in tensors.items():
                    tensor.copy_(saved[name])
        self.average.load(checkpoint.tensors["average"])
        load_optimiser_tensors(self.optimiser, checkpoint.tensors["optimiser"])
        self.weighting.load_state(dict(checkpoint.tensors.get("weighting", {})))
        self.allotment.load_state(checkpoint.tensors.get("allotment", {}))
        return checkpoint.step
