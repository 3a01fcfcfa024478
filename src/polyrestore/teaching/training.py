"""Training one adapter beside a bundle's frozen backbone, kept as it was where it was best."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from polyrestore.adapters import Adapter, AdapterBank, LoraConfig
from polyrestore.backbones.layers import use_channels_last
from polyrestore.bundles import Bundle
from polyrestore.data import Pair
from polyrestore.errors import AdapterError, StoppedError, needs_extra
from polyrestore.recognition import RecognitionSettings
from polyrestore.teaching.source import PairSource
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.events import OnEvent, StopWhen
from polyrestore.training.loop.train import train
from polyrestore.training.phases.adapters import continue_from
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.recipes.data_table import DataTable, SetTable
from polyrestore.training.recipes.recipe import AdapterRecipe, OptimiserTable
from polyrestore.training.validation.crops import ValidationSet, batch_psnr, centres
from polyrestore.training.weighting import build_weighting

# What an adapter of the bundle has to gain by itself before the new one starts from it, in dB.
Item = TypeVar("Item")
LEAST_HEAD_START = 0.2
# What has been learned already is lost at the rate of a new adapter.
WARM_RATE = 0.1
_CROPS = 12


@dataclass(frozen=True)
class Training:
    """How an adapter is trained.

    Attributes:
        steps: how many are made at most.
        minutes: how long it trains at most; the learning rate follows the clock. 0 for no limit.
        rank: of the LoRA, unless it starts from a larger one.
        patch_px: side of the patches.
        batch_size: patches per step.
        validate_every: steps between two looks at the held-back crops.
        patience: so many looks without a better figure end the training.
        learning_rate: of Muon, for what is no matrix.
        seed: of the starting values and the batches.
    """

    steps: int = 3000
    minutes: float = 11.0
    rank: int = 16
    patch_px: int = 96
    batch_size: int = 8
    validate_every: int = 50
    patience: int = 15
    learning_rate: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained adapter.

    Attributes:
        adapter: as it was where the figure was best.
        start: the adapter of the bundle that it started from; empty for none.
        steps: how many were made.
        best_step: the one that was kept; 0 where no step was better than the start.
        before: PSNR in dB of the held-back crops through the bare start.
        after: PSNR in dB where it was best.
        seconds: how long the training took.
    """

    adapter: Adapter
    start: str
    steps: int
    best_step: int
    before: float
    after: float
    seconds: float


@dataclass
class _TeachingJob(RestorationJob):
    """A job that remembers its adapter where the held-back crops were restored best."""

    patience: int = 0
    best: Adapter | None = None
    best_figure: float = -1.0
    best_look: int = 0
    looks: int = -1

    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB, and remember the adapter where it is the highest so far."""
        figures = super().validate()
        self.looks += 1
        if figures["mean"] > self.best_figure:
            assert self.bank is not None
            adapter = self.bank.export(self.tasks[0])
            tensors = {key: tensor.cpu() for key, tensor in adapter.tensors.items()}
            self.best, self.best_look = replace(adapter, tensors=tensors), self.looks
            self.best_figure = figures["mean"]
        return figures

    @property
    def is_exhausted(self) -> bool:
        """True when it has not become better for long."""
        return self.looks - self.best_look >= self.patience


def train_adapter(
    name: str,
    bundle: Bundle,
    pairs: Sequence[Pair],
    held_back: Sequence[Pair],
    bystanders: tuple[str, ...],
    how: Training,
    folder: Path,
    on_event: OnEvent,
    stop_when: StopWhen,
) -> Trained:
    """Train an adapter for a degradation on pairs, with early stopping on others.

    Args:
        name: of the degradation.
        bundle: its backbone stays as it is.
        pairs: to learn from.
        held_back: to look at while training.
        bystanders: adapters of the bundle that may act beside the new one, on degradations that can be
            synthesised.
        how: sizes and limits.
        folder: where the pairs lie, for the recipe.
        on_event: told what happens.
        stop_when: asked after every step whether the user wants to stop.

    Raises:
        MissingExtraError: a library that trains is not installed.
        TrainingError: a loss is not finite.
        StoppedError: ``stop_when`` said so.
    """
    with needs_extra("teaching", "train"):
        import accelerate  # noqa: F401
    began = time.perf_counter()
    backbone = bundle.backbone
    use_channels_last(backbone)
    shown = centres([pair.degraded for pair in spread(pairs, _CROPS)], _CROPS)
    wanted = centres([pair.clean for pair in spread(pairs, _CROPS)], _CROPS)
    bank = AdapterBank(backbone)
    try:
        start = _begin(bank, name, bundle, shown, wanted, how)
        # They act beside the new one now and then, and stay as they are.
        for other in bystanders:
            bank.add(bundle.adapters[other])
            for parameter in bank.parameters(other):
                parameter.requires_grad_(False)
        in_full = RecognitionSettings(**bundle.recognition_settings).in_full
        source = PairSource(
            name, pairs, how.batch_size, how.patch_px, how.seed, bystanders, weight=1.0 if in_full else 0.5
        )
        crops = ValidationSet([], [name], _CROPS, pairs={name: spread(held_back, _CROPS)})
        job = _TeachingJob(backbone, source, crops, bank, "l1", patience=how.patience)
        before = job.validate()["mean"]
        rate = how.learning_rate * (WARM_RATE if start else 1.0)
        recipe = _recipe(name, replace(how, learning_rate=rate), folder)
        made = _run(job, recipe, how, on_event, stop_when)
        assert job.best is not None
        return Trained(
            job.best, start, made, min(made, job.best_look * how.validate_every), before,
            job.best_figure, time.perf_counter() - began,
        )  # fmt: skip
    finally:
        bank.detach()
        # A bundle is on the CPU, wherever it was trained.
        backbone.eval().cpu()


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Choose so many of a sequence evenly: neighbours often show one scene."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _run(
    job: _TeachingJob, recipe: AdapterRecipe, how: Training, on_event: OnEvent, stop_when: StopWhen
) -> int:
    """Train, and return how many steps were made."""
    made = 0

    def stop() -> bool:
        nonlocal made
        made += 1
        return stop_when() or job.is_exhausted

    with tempfile.TemporaryDirectory(prefix="polyrestore-teach-") as temporary:
        control = RunControl(Path(temporary), resume=False, on_event=on_event, stop_when=stop)
        try:
            train(job, build_weighting("uniform", 1), recipe, control, steps=how.steps)
            # After the last one nobody is asked.
            made += 1
        except StoppedError as error:
            if not job.is_exhausted:
                raise StoppedError(f"stopped after {made} steps; nothing was installed") from error
    return made


def _begin(bank: AdapterBank, name: str, bundle: Bundle, shown: Tensor, wanted: Tensor, how: Training) -> str:
    """Create the adapter, from the one of the bundle that helps most if one does, and return its name."""
    best, gain = "", batch_psnr(shown, wanted) + LEAST_HEAD_START
    backbone = bank.backbone
    with torch.inference_mode():
        bare = torch.cat([backbone(part) for part in torch.split(shown, 4)])
        gain = max(gain, batch_psnr(bare, wanted) + LEAST_HEAD_START)
        for other, adapter in sorted(bundle.adapters.items()):
            bank.add(adapter)
            bank.activate({other: 1.0})
            figure = batch_psnr(torch.cat([backbone(part) for part in torch.split(shown, 4)]), wanted)
            bank.remove(other)
            if figure > gain and isinstance(adapter.config, LoraConfig):
                best, gain = other, figure
    rank = how.rank
    if best:
        config = bundle.adapters[best].config
        assert isinstance(config, LoraConfig)
        rank = max([rank, *(config.at(path).rank for path in config.targets or ())])
    generator = torch.Generator().manual_seed(how.seed)
    config = LoraConfig(rank=rank, alpha=float(rank))
    bank.create(name, config, generator)
    if best:
        try:
            continue_from(bank, name, bundle.adapters[best], generator)
        except AdapterError:
            # Of another shape than a new one may have: then from nothing.
            best = ""
            if name in bank.names:
                bank.remove(name)
            bank.create(name, config, generator)
    return best


def _recipe(name: str, how: Training, folder: Path) -> AdapterRecipe:
    table = SetTable(folder=folder, degradations=(name,))
    return AdapterRecipe(
        phase="adapters",
        name=name,
        bundle="",
        adapters=(name,),
        adapter_options={"rank": how.rank, "alpha": float(how.rank)},
        seed=how.seed,
        steps=how.steps,
        minutes=how.minutes,
        data=DataTable(
            sets=(table,), validation_sets=(table,), patch_px=how.patch_px, batch_size=how.batch_size
        ),
        optimiser=OptimiserTable(
            name="muon",
            matrix_ratio=1.5,
            learning_rate=how.learning_rate,
            warmup_steps=20,
            ema_decay=0.99,
        ),
        validate_every=how.validate_every,
        checkpoint_every=how.steps,
        log_every=how.validate_every,
    )
