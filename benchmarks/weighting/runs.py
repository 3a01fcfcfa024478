"""The runs of the experiment on weighting strategies: settings, shared batches, one run at a time."""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.weighting.variants import VARIANTS, build_variant
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.layers import use_channels_last
from polyrestore.data import Batch, BatchSource, Synthesis
from polyrestore.files import write_bytes, write_text
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.train import train
from polyrestore.training.phases.expected_error import ExpectedErrorJob
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.data_table import DataTable
from polyrestore.training.recipes.recipe import OptimiserTable, Recipe
from polyrestore.training.tiny import generated_photograph
from polyrestore.training.validation.crops import SEVERITIES, ValidationSet
from polyrestore.training.weighting import Evidence

PATCH_PX, ZOOM_OUT = 48, 2.0
WINDOW_STEPS = 20
CURVE_STEPS = 1000

# Clipping is off: it would undo, for some strategies more than for others, what the weights say.
OPTIMISER = OptimiserTable(
    name="muon", learning_rate=2e-3, warmup_steps=50, clip_norm=0.0, ema_decay=0.995, final_share=0.02
)


@dataclass(frozen=True)
class Setting:
    """Tasks, how often each is drawn compared with the others, and samples per batch."""

    tasks: tuple[str, ...]
    task_shares: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 12

    @property
    def synthesis(self) -> Synthesis:
        """Return pure samples: in a mixture, a sample would be of several tasks."""
        return Synthesis(self.tasks, mixture_share=0.0, region_share=0.0, task_shares=self.task_shares)


BALANCED = ("noise", "jpeg", "rain", "haze", "motion_blur")
SETTINGS = {
    "balanced": Setting(BALANCED),
    "large": Setting(BALANCED, batch_size=48),
    "rare": Setting(("noise", "jpeg", "rain", "haze", "low_light"), {"low_light": 0.2}),
    "weather": Setting(("rain", "snow", "raindrop")),
}

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "compact": ("compact", {
        "width": 16, "encoder_blocks": (1, 1), "middle_blocks": 2, "decoder_blocks": (1, 1),
        "context_dim": 32, "shuffle": 2,
    }),
    "airnet": ("airnet", {"width": 16, "groups": 1, "blocks": 1, "queue_length": 96}),
    "transweather": ("transweather", {
        "dims": (24, 48, 64, 96), "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 4), "decoder_depth": 1,
        "decoder_heads": 4, "tail_dims": (16, 8),
    }),
    "promptir": ("promptir", {
        "dim": 8, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 1, 2, 2),
        "prompt_widths": (8, 16, 32), "prompt_sizes": (16, 8, 4),
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training run, by the names that its results are filed under."""

    setting: str
    variant: str
    seed: int
    steps: int
    network: str = "compact"

    @property
    def name(self) -> str:
        """Return a name for its folder."""
        whole = f"{self.network}-{self.setting}-{self.variant}-{self.seed}-{self.steps}"
        return re.sub(r"[^A-Za-z0-9-]+", "_", whole)


@dataclass
class PooledSource(BatchSource):
    """Reads the batches of a run from a file, so that all strategies see the same and none pays for them.

    Attributes:
        pool: (steps, 2, B, 3, P, P) uint8, degraded and clean.
        task_pool: (steps, B) task indices.
    """

    pool: Any = None
    task_pool: Any = None

    def batch(self, step: int, rank: int = 0) -> Batch:
        pixels = torch.from_numpy(np.array(self.pool[step])).float() / 255
        task = torch.from_numpy(np.array(self.task_pool[step])).long()
        return Batch(pixels[0], pixels[1], task, torch.zeros(len(task), len(self.names)))


@dataclass
class Bench:
    """What runs share: the images, and the folder in which pools, logs and results are kept.

    Attributes:
        images: uint8 (3, H, W), to train on.
        held_back: uint8 (3, H, W), to measure on.
        folder: for everything that is not a result of the project.
    """

    images: list[Tensor]
    held_back: list[Tensor]
    folder: Path
    _validation: dict[tuple[str, ...], ValidationSet] = field(default_factory=dict)

    def finished(self, run: Run) -> bool:
        """Return whether a run has been made."""
        return (self.folder / run.name / "result.json").exists()

    def result(self, run: Run) -> dict[str, Any]:
        """Return a run's record, from its file if it has been made before."""
        path = self.folder / run.name / "result.json"
        if not self.finished(run):
            write_text(path, json.dumps(self._make(run)))
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def source(self, setting: str, seed: int, steps: int) -> PooledSource:
        """Return the batches of a setting and a seed; they are drawn once."""
        chosen = SETTINGS[setting]
        drawing = (self.images, chosen.synthesis, chosen.batch_size, PATCH_PX, ZOOM_OUT, seed)
        stem = self.folder / "pools" / f"{setting}-{seed}-{steps}".replace(" ", "_")
        pixels, tasks = stem.with_suffix(".pixels.npy"), stem.with_suffix(".tasks.npy")
        if not tasks.exists():
            stem.parent.mkdir(parents=True, exist_ok=True)
            self._draw(BatchSource(*drawing), steps, pixels, tasks)
        return PooledSource(*drawing, pool=np.load(pixels, mmap_mode="r"), task_pool=np.load(tasks))

    def job(self, run: Run, weighting_evidence: Evidence) -> RestorationJob:
        """Build the network of a run from its seed, and what trains it."""
        torch.manual_seed(run.seed)
        network = build_network(run.network)
        source = self.source(run.setting, run.seed, run.steps)
        kind = ExpectedErrorJob if weighting_evidence is Evidence.SCALES else RestorationJob
        return kind(network, source, self.validation(source.synthesis.tasks))

    def validation(self, tasks: tuple[str, ...]) -> ValidationSet:
        """Return the damaged crops of some tasks, all held-back images each."""
        if tasks not in self._validation:
            self._validation[tasks] = ValidationSet(self.held_back, tasks, crops=len(self.held_back))
        return self._validation[tasks]

    def _make(self, run: Run) -> dict[str, Any]:
        strategy, options = VARIANTS[run.variant]
        weighting = build_variant(run.variant, len(SETTINGS[run.setting].tasks))
        job = self.job(run, weighting.evidence)
        folder = self.folder / run.name
        start = time.process_time()
        figures = train(job, weighting, recipe_of(run), RunControl(folder, resume=False), steps=run.steps)
        spent = time.process_time() - start
        for checkpoint in folder.glob("*.safetensors"):
            checkpoint.unlink()
        job.network.eval()
        severities = by_severity(job.network, self.validation(job.tasks))
        return {
            **vars(run), "strategy": strategy, "options": options, "psnr": figures,
            "psnr_by_severity": severities, "parameters": sum(p.numel() for p in job.network.parameters()),
            "processor_seconds": round(spent, 1), "curve": curve(read_log(folder, "validation")),
            **traces(read_log(folder), job.tasks),
        }  # fmt: skip

    @staticmethod
    def _draw(source: BatchSource, steps: int, pixels: Path, tasks: Path) -> None:
        size = (steps, 2, source.batch_size, 3, source.patch_px, source.patch_px)
        # Written under a name of its own first: a pool that was cut short must not be taken for a whole one,
        # and two processes may draw the same.
        partial = pixels.with_suffix(f".{os.getpid()}")
        pool = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=size)
        index = np.zeros((steps, source.batch_size), dtype=np.int8)
        for step in range(steps):
            batch = source.batch(step)
            both = torch.stack([batch.degraded, batch.clean])
            pool[step] = (both.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
            index[step] = batch.task.numpy()
        pool.flush()
        partial.replace(pixels)
        content = io.BytesIO()
        np.save(content, index)
        write_bytes(tasks, content.getvalue())


def build_network(name: str) -> Backbone:
    """Build one of the small networks."""
    kind, options = NETWORKS[name]
    network = build_backbone(kind, **options)
    use_channels_last(network)
    return network


@torch.inference_mode()
def by_severity(network: Backbone, validation: ValidationSet) -> dict[str, list[float]]:
    """Return the PSNR in dB of each task at each of the fixed severities, in their order."""
    figures: dict[str, list[float]] = {}
    for task, degraded in validation.degraded.items():
        figures[task] = []
        for start in range(len(SEVERITIES)):
            restored = torch.cat([network(crop[None]) for crop in degraded[start :: len(SEVERITIES)]])
            error = (restored.clamp(0, 1) - validation.clean[task][start :: len(SEVERITIES)]).square()
            psnr = -10 * error.mean((1, 2, 3)).clamp(min=1e-8).log10()
            figures[task].append(round(float(psnr.mean()), 3))
    return figures


def recipe_of(run: Run) -> Recipe:
    """Describe a run for the training loop; the batches come from the pool, so no folder is read."""
    none = Path("pool")
    size = SETTINGS[run.setting].batch_size
    data = DataTable(clean=(none,), validation=none, patch_px=PATCH_PX, batch_size=size)
    return Recipe(
        phase="pretraining", name=run.name, seed=run.seed, steps=run.steps, data=data, optimiser=OPTIMISER,
        log_every=1, validate_every=min(run.steps, CURVE_STEPS), checkpoint_every=10 * run.steps,
    )  # fmt: skip


def read_log(folder: Path, event: str = "losses") -> list[dict[str, Any]]:
    """Return the log's records of an event: the losses of every step, or what was measured along the way."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["event"] == event]


def curve(log: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean PSNR in dB over the tasks by the step after which it was measured."""
    return {str(record["step"]): record["mean"] for record in log}


def traces(log: list[dict[str, Any]], tasks: tuple[str, ...]) -> dict[str, dict[str, list[float]]]:
    """Return each task's loss and share of the weight, averaged over windows of steps where it is present."""
    result: dict[str, dict[str, list[float]]] = {"losses": {}, "weights": {}}
    for key, rows in result.items():
        for task in tasks:
            rows[task] = []
            for start in range(0, len(log), WINDOW_STEPS):
                window = log[start : start + WINDOW_STEPS]
                values = [record[key][task] for record in window if task in record["losses"]]
                rows[task].append(round(sum(values) / len(values), 5) if values else float("nan"))
    return result


def generated_images(count: int, seed: int, side: int = 96) -> list[Tensor]:
    """Draw images without any file: uint8 (3, side, side)."""
    # Far enough apart that no image occurs under two seeds.
    first = 1000 * seed
    return [
        (generated_photograph(first + index, (side, side)) * 255).to(torch.uint8) for index in range(count)
    ]
