"""Why the strategies behave as they do: what Art's ratios look like, and what a step costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import mean, median, quantiles
from typing import Any

import numpy as np
import torch

from benchmarks.weighting.runs import SETTINGS, Bench, Run, read_log, recipe_of
from benchmarks.weighting.variants import STRATEGIES, build_variant
from polyrestore.training.loop.optimisers import build_optimiser
from polyrestore.training.loop.step import Stepper
from polyrestore.training.weighting import Evidence
from polyrestore.training.weighting.art import Art

SETTLED = 0.25
FEWEST = 4
TEMPERATURES = (0.1, 0.5, 2.0)


def ratio_statistics(bench: Bench, run: Run) -> dict[str, Any]:
    """Replay Art over the losses of a finished run, and describe its ratios after the first quarter.

    Returns:
        By task the ratio's mean, deviation, and correlation with the task's next one; by number of samples
        the deviation of the logarithm of loss / average; by temperature the effective number of tasks, how
        often one task has nine tenths of the weight, and mean weights; and the share of the ratios' variance
        that lies between the tasks rather than within them.
    """
    source = bench.source(run.setting, run.seed, run.steps)
    tasks = source.synthesis.tasks
    ratios, relative, losses = _replay(bench, run, tasks)
    counts = np.stack([(np.asarray(source.task_pool) == index).sum(1) for index in range(len(tasks))], axis=1)
    first = int(SETTLED * run.steps)
    ratios, relative, counts, losses = ratios[first:], relative[first:], counts[first:], losses[first:]
    by_task = {}
    for index, task in enumerate(tasks):
        values = ratios[:, index][counts[:, index] > 0]
        if len(values) < FEWEST:
            continue
        by_task[task] = {
            "mean_loss": round(float(np.nanmean(losses[:, index])), 4),
            "mean": round(float(values.mean()), 3),
            "deviation": round(float(values.std(ddof=1)), 3),
            "next_correlation": round(float(np.corrcoef(values[:-1], values[1:])[0, 1]), 3),
        }
    spread = {}
    for low, high, label in ((1, 1, "1"), (2, 2, "2"), (3, 3, "3"), (4, 99, "4 or more")):
        chosen = (counts >= low) & (counts <= high)
        # A task's own level is taken out: tasks that are drawn rarely have few samples more often.
        logs = [np.log(relative[:, k][chosen[:, k]]) for k in range(len(tasks)) if chosen[:, k].sum() > 9]
        if logs:
            spread[label] = round(float(np.sqrt(mean(float(each.var(ddof=1)) for each in logs))), 3)
    present = counts > 0
    found = [ratios[:, k][present[:, k]] for k in range(len(tasks)) if present[:, k].any()]
    within, between = (
        mean(float(each.var()) for each in found),
        float(np.var([each.mean() for each in found])),
    )
    return {
        "ratios": by_task, "spread_by_samples": spread,
        "variance_between_tasks": round(between / (between + within), 3),
        "temperatures": {str(t): _concentration(ratios, present, t, tasks) for t in TEMPERATURES},
    }  # fmt: skip


def _replay(
    bench: Bench, run: Run, tasks: Sequence[str]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return (steps, K) ratios, losses over their averages, and losses; NaN where a task is absent."""
    art = Art(len(tasks))
    ratios, relative, losses = [], [], []
    for record in read_log(bench.folder / run.name):
        row = torch.tensor([record["losses"].get(task, float("nan")) for task in tasks])
        held = row.clamp(1e-6, 0.99)
        relative.append((held / art.average).numpy().copy())
        ratios.append(relative[-1] * (art.best.log10() / held.log10()).numpy())
        losses.append(row.numpy())
        art.weights(row.nan_to_num(), ~row.isnan())
    return np.stack(ratios), np.stack(relative), np.stack(losses)


def _concentration(
    ratios: np.ndarray[Any, Any], present: np.ndarray[Any, Any], temperature: float, tasks: Sequence[str]
) -> dict[str, Any]:
    scores = np.where(present, ratios / temperature, -np.inf)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    entropy = -(weights * np.log(np.maximum(weights, 1e-12))).sum(1)
    return {
        "effective_tasks": round(float(np.exp(entropy).mean()), 2),
        "nine_tenths_on_one": round(float((weights.max(1) > 0.9).mean()), 3),
        "mean_weight": {task: round(float(weights[:, k].mean()), 3) for k, task in enumerate(tasks)},
    }


def step_costs(bench: Bench, setting: str, steps: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure the processor time of a step of every strategy, in turns, against uniform in the same turn.

    Args:
        bench: has the batches.
        setting: whose batches.
        steps: length of the runs that the batches were drawn for.
        rounds: how often each strategy has its turn, of one step.

    Returns:
        Milliseconds per step (median), the median and the quartiles of the ratio to uniform, and the
        milliseconds in which the strategy turns losses into weights, without what it asks the loop for.
    """
    # Uniform takes part twice: its second ratio shows what the measurement itself makes of no difference.
    entries = {**{name: name for name in STRATEGIES}, "uniform again": "uniform"}
    steppers = {label: _stepper(bench, Run(setting, name, 0, steps)) for label, name in entries.items()}
    order = list(steppers)
    times: dict[str, list[float]] = {label: [] for label in order}
    for turn in range(min(rounds + 2, steps)):
        for label in order[turn % len(order) :] + order[: turn % len(order)]:
            start = time.process_time()
            steppers[label].make(turn)
            times[label].append(time.process_time() - start)
    # The first turns fill caches.
    kept = {label: values[2:] for label, values in times.items()}
    result = {}
    for label, values in kept.items():
        ratio = [value / base for value, base in zip(values, kept["uniform"], strict=True)]
        low, middle, high = quantiles(ratio, n=4) if len(ratio) > 1 else [ratio[0]] * 3
        result[label] = {
            "milliseconds": round(1000 * median(values), 2), "ratio": round(middle, 3),
            "lower_quartile": round(low, 3), "upper_quartile": round(high, 3),
            "judging_milliseconds": round(_judging(entries[label], setting), 3),
        }  # fmt: skip
    return result


def _judging(variant: str, setting: str, calls: int = 300) -> float:
    """Return the processor time in milliseconds of one call of a strategy."""
    count = len(SETTINGS[setting].tasks)
    weighting = build_variant(variant, count)
    present = torch.ones(count, dtype=torch.bool)
    losses = 0.05 + 0.1 * torch.rand((calls, count), generator=torch.Generator().manual_seed(0))
    gradients = torch.eye(count) if weighting.evidence is not Evidence.SCALES else torch.ones(count)
    start = time.process_time()
    for row in losses:
        weighting.weights(row, present, gradients)
    return 1000 * (time.process_time() - start) / calls


def _stepper(bench: Bench, run: Run) -> Stepper:
    from accelerate import Accelerator

    weighting = build_variant(run.variant, len(SETTINGS[run.setting].tasks))
    job = bench.job(run, weighting.evidence)
    recipe = recipe_of(run)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    parameters = list(job.trainable().values())
    optimiser = build_optimiser(parameters, recipe.optimiser)
    module, prepared = accelerator.prepare(job.module, optimiser)
    batches = (job.batch(step, 0) for step in range(run.steps))
    return Stepper(job, module, parameters, prepared, weighting, job.shares(), accelerator, recipe, batches)
