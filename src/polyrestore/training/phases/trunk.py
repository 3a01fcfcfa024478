"""The trunk of a recogniser learns along with what was fitted to it, from whole images and their crops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.backbones.layers import use_channels_last
from polyrestore.bundles import Bundle, load_bundle
from polyrestore.data import Batch, mixed_seed
from polyrestore.errors import RecipeError
from polyrestore.recognition import CLEAN
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.encoder.views import Views, look_at
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.job import Job, TaskLosses, losses_by_task
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.encoder import asked_names, fit_of, held_out_samples, sample_source, settle
from polyrestore.training.phases.export import extended_info, save_trained, training_record
from polyrestore.training.recipes.names import check_trained
from polyrestore.training.recipes.recipe import TrunkRecipe
from polyrestore.training.recognition.fitting import Fit, Targets, errors_of, join_directions, targets_of
from polyrestore.training.recognition.samples import Sample, SampleSource
from polyrestore.training.weighting.uniform import Uniform

# Every third held-back sample: looking at all of them takes minutes.
_HELD_OUT_STRIDE = 3


@dataclass(frozen=True)
class SampleBatch(Batch):
    """Whole images, which differ in size: ``degraded`` and ``clean`` are empty.

    Attributes:
        views: of each image.
        targets: what is asked of each.
    """

    views: tuple[Views, ...] = ()
    targets: Targets | None = None

    def to(self, device: torch.device) -> SampleBatch:
        """Return the batch on another device."""
        assert self.targets is not None
        targets = Targets(*(getattr(self.targets, name).to(device) for name in vars(self.targets)))
        views = tuple(Views(*(tensor.to(device) for tensor in each)) for each in self.views)
        return replace(self, task=self.task.to(device), views=views, targets=targets)


class TunedRecogniser(nn.Module):
    """A recogniser, and the direction of every prototype as each of its members has it.

    Args:
        recogniser: its trunk and members are trained, its statistics of the features stay.
        prototypes: unit vectors by name, "clean" among them.
        names: the K degradations, in the order of the directions; that of "clean" is the last.
    """

    def __init__(
        self, recogniser: EncoderRecogniser, prototypes: Mapping[str, Tensor], names: Sequence[str]
    ) -> None:
        super().__init__()
        self.recogniser = recogniser
        count = len(recogniser.members)
        joint = torch.stack([prototypes[name][: recogniser.dimension] for name in (*names, CLEAN)])
        parts = torch.stack(joint.chunk(count, dim=1)) * math.sqrt(count)
        self.directions = nn.Parameter(parts.clone())

    def forward(self, views: Sequence[Views], dropout: float = 0.0) -> list[tuple[Tensor, Tensor]]:
        """Return each member's unit vectors (B, D), and severities (B, L) before the sigmoid, of B images."""
        features = torch.stack([self.recogniser.extract_features_of(each) for each in views])
        standardised = self.recogniser.standardise(features)
        return [member(standardised, dropout) for member in self.recogniser.members]

    def prototypes(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the prototypes by name, as they are now."""
        return join_directions(list(nn.functional.normalize(self.directions.detach(), dim=2)), names)


@dataclass
class TrunkJob(Job):
    """Learn what there is in an image, trunk included.

    Attributes:
        network: what is trained.
        source: makes the training samples.
        held_out: what is validated on.
        names: the degradations that have a prototype.
        how: dropout and shares; the rest of it is not used.
        batch_size: images a step.
    """

    network: TunedRecogniser
    source: SampleSource
    held_out: Sequence[Sample]
    names: tuple[str, ...]
    how: Fit
    batch_size: int

    def __post_init__(self) -> None:
        self.tasks = ("recognition",)
        self.module = self.network

    def batch(self, step: int, rank: int) -> SampleBatch:
        """Return the samples of a step, each one seen once in a run."""
        # The processes of a run have numbers of their own.
        first = mixed_seed(rank) + step * self.batch_size if rank else step * self.batch_size
        samples = [self.source.sample(first + index) for index in range(self.batch_size)]
        asked, recogniser = self.source.names, self.network.recogniser
        targets = targets_of(
            torch.stack([each.label.presence for each in samples]),
            torch.stack([each.label.certainty for each in samples]),
            torch.stack([each.label.severity for each in samples]),
            [each.kind for each in samples],
            [asked.index(name) for name in self.names],
            [asked.index(name) for name in recogniser.severities],
            self.how.real_share,
        )
        empty = torch.zeros(self.batch_size, 3, 0, 0)
        with torch.no_grad():
            views = tuple(look_at(each.image) for each in samples)
        task = torch.zeros(self.batch_size, dtype=torch.long)
        return SampleBatch(empty, empty, task, targets.presence, views=views, targets=targets)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the members' errors, added up."""
        assert isinstance(batch, SampleBatch)
        assert batch.targets is not None
        said = module(batch.views, self.how.dropout)
        errors = [
            errors_of(vectors.float(), strength.float(), directions, batch.targets, self.how.severity_share)
            for (vectors, strength), directions in zip(said, self.network.directions, strict=True)
        ]
        return losses_by_task(torch.stack(errors).sum(0), batch.task, 1)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Return, for each degradation, how often an image that has it is ranked above one that has not."""
        recogniser, prototypes = self.network.recogniser, self.network.prototypes(self.names)
        bank = torch.stack([prototypes[name] for name in self.names]) - prototypes[CLEAN]
        device = next(self.network.parameters()).device
        scores = torch.cat([recogniser.embed(each.image.to(device)) @ bank.T for each in self.held_out]).cpu()
        figures = {}
        for column, name in enumerate(self.names):
            place = self.source.names.index(name)
            sure = torch.tensor([float(each.label.certainty[place]) >= 0.5 for each in self.held_out])
            there = torch.tensor([bool(each.label.presence[place]) for each in self.held_out])
            shown, other = scores[sure & there, column], scores[sure & ~there, column]
            if len(shown) and len(other):
                figures[name] = round(float((shown[:, None] > other).float().mean()), 4)
        return {**figures, "mean": round(sum(figures.values()) / max(1, len(figures)), 4)}


def train_trunk(recipe: TrunkRecipe, control: RunControl) -> Path:
    """Let the trunk of a bundle's recogniser learn, choose anew when adapters act, and return the bundle.

    Raises:
        RecipeError: the bundle has no recogniser on a pre-trained trunk, or no prototypes for it.
        DataError: photographs or labels are missing.
        TrainingError: a loss is not finite, or the folder holds another run.
        StoppedError: the control said so.
    """
    bundle = load_bundle(recipe.bundle)
    recogniser = bundle.recogniser
    asked = asked_names(recipe, bundle)
    check_trained(recipe, asked)
    names = tuple(name for name in asked if name in bundle.prototypes)
    if not isinstance(recogniser, EncoderRecogniser) or CLEAN not in bundle.prototypes or not names:
        raise RecipeError(
            f"bundle {recipe.bundle!r} has no recogniser with a trunk to go on with; "
            'train phase "encoder" first'
        )
    recogniser.requires_grad_(True)
    held_out = list(islice(held_out_samples(recipe, asked), 0, None, _HELD_OUT_STRIDE))
    network = TunedRecogniser(recogniser, bundle.prototypes, names)
    source = sample_source(recipe, asked)
    job = TrunkJob(network, source, held_out, names, fit_of(recipe), recipe.data.batch_size)
    # On CPUs a step takes three quarters of the time so.
    use_channels_last(recogniser.trunk)
    train(job, Uniform(1), recipe, control, steps=recipe.steps)
    network.cpu().eval().requires_grad_(False)
    bundle.prototypes = {**bundle.prototypes, **network.prototypes(names)}
    settings, figures = settle(recogniser, bundle.prototypes, held_out_samples(recipe, asked), names)
    bundle.recognition_settings = {**settings.to_dict(), **bundle.composing_settings(settings.activation)}
    record = {**training_record(recipe, {}), "validation": figures}
    bundle.info = extended_info(bundle.info, recipe, recipe.phase, record)
    return save_trained(control.folder / "bundle", bundle)


def _shrink(recipe: TrunkRecipe, folder: Path) -> dict[str, Any]:
    torch.manual_seed(recipe.seed)
    tasks = recipe.synthesis.tasks or ("noise", "jpeg")
    recogniser = EncoderRecogniser(tasks, taps=(0, 1), members=2, hidden=8, dimension=4)
    directions = nn.functional.normalize(torch.randn(len(tasks) + 1, recogniser.dimension), dim=1)
    bundle = Bundle(
        "tiny",
        build_backbone("compact", **BACKBONES["compact"].tiny_options),
        recogniser=recogniser,
        prototypes=dict(zip((*tasks, CLEAN), directions, strict=True)),
    )
    return {"bundle": str(save_trained(folder / "bundle", bundle))}


TRUNK = Phase(TrunkRecipe, train_trunk, _shrink)
