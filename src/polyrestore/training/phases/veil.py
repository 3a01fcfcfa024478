"""A network learns to see haze in a whole image: transmission and airlight, which the synthesis knows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from polyrestore.adapters import Adapter, LoraConfig, carry_over
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.layers import use_channels_last
from polyrestore.backbones.veil import OVERVIEW_PX, VeilEstimator, scene_behind
from polyrestore.bundles import load_bundle
from polyrestore.data import Batch, load_clean, mixed_seed
from polyrestore.data.augmentation import vary_light
from polyrestore.degradations.haze import Haze
from polyrestore.errors import RecipeError
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.job import Job, TaskLosses, losses_by_task
from polyrestore.training.loop.train import train
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.export import extended_info, save_trained, training_record
from polyrestore.training.phases.shrinking import save_tiny_bundle
from polyrestore.training.recipes.batches import held_out_images
from polyrestore.training.recipes.recipe import VeilRecipe
from polyrestore.training.validation.crops import SEVERITIES, batch_psnr
from polyrestore.training.weighting.uniform import Uniform

VEIL_PATH = "veil"
GATE = f"{VEIL_PATH}.gate"
TINY_WIDTH = 4
# Photographs are kept at a little more than the size that the network sees, to cut parts of them.
STORED_SIDE_PX = 160
LEAST_PART = 0.65
LARGEST_RATIO = 1.8
# How much the transmission and the light count beside the image that they give.
CAUSES_SHARE = 0.2
VALIDATION_SEED = 1234
# Light that is rarely dim or coloured: learned from more of such samples, it is found too dark in all others.
HAZE = Haze(light=(0.65, 1.0), dim_share=0.03, dust_share=0.05)


@dataclass(frozen=True)
class HazyBatch(Batch):
    """Small copies of hazy photographs, and what was put over them.

    Attributes:
        transmission: (B, 1, S, S).
        light: (B, 3, 1, 1).
    """

    transmission: Tensor | None = None
    light: Tensor | None = None


@dataclass
class VeilJob(Job):
    """Learn to see transmission and airlight.

    Attributes:
        estimator: what is trained.
        overviews: small copies of clean photographs, uint8 (3, H, W) each.
        held_out: such copies to validate on.
        recipe: seed, size of the batches, severities and how the light varies.
    """

    estimator: VeilEstimator
    overviews: Sequence[Tensor]
    held_out: Sequence[Tensor]
    recipe: VeilRecipe

    def __post_init__(self) -> None:
        self.tasks = ("haze",)
        self.module = self.estimator

    def batch(self, step: int, rank: int) -> HazyBatch:
        """Return hazy copies of parts of photographs."""
        recipe = self.recipe
        generator = Generator().manual_seed(mixed_seed(recipe.seed, "veil", rank, step))
        count = recipe.data.batch_size
        chosen = torch.randint(len(self.overviews), (count,), generator=generator).tolist()
        clean = torch.cat([random_part(self.overviews[index], generator) for index in chosen])
        if recipe.data.vary_light:
            clean = vary_light(clean, recipe.data.vary_light, generator)
        low, high = recipe.synthesis.severity
        severity = low + (high - low) * torch.rand(count, generator=generator)
        return hazy_batch(clean, severity, generator)

    def losses(self, module: nn.Module, batch: Batch) -> TaskLosses:
        """Return the errors of the image without its veil, and of what was estimated."""
        assert isinstance(batch, HazyBatch)
        assert batch.transmission is not None
        assert batch.light is not None
        transmission, light = module(batch.degraded)
        restored = scene_behind(batch.degraded, transmission, light)
        error = (restored - batch.clean).abs().mean((1, 2, 3))
        causes = (transmission - batch.transmission).abs().mean((1, 2, 3)) + (light - batch.light).abs().mean(
            (1, 2, 3)
        )
        return losses_by_task(error + CAUSES_SHARE * causes, batch.task, 1)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Return the PSNR in dB of held-back copies without their veil, and with it."""
        clean = torch.cat([_sized(image[None].float() / 255) for image in self.held_out])
        severity = torch.tensor(SEVERITIES).repeat(len(clean))[: len(clean)]
        batch = hazy_batch(clean, severity, Generator().manual_seed(VALIDATION_SEED))
        device = next(self.estimator.parameters()).device
        restored = scene_behind(
            batch.degraded, *(each.cpu() for each in self.estimator(batch.degraded.to(device)))
        )
        figures = {"haze": batch_psnr(restored, clean), "untouched": batch_psnr(batch.degraded, clean)}
        return {name: round(value, 3) for name, value in figures.items()} | {
            "mean": round(figures["haze"], 3)
        }


def hazy_batch(clean: Tensor, severity: Tensor, generator: Generator) -> HazyBatch:
    """Put veils over small images (B, 3, S, S) in [0, 1] at severities (B,), and store them in 8 bits."""
    hazy = HAZE.scatter(clean, severity, generator)
    count = len(clean)
    return HazyBatch(
        degraded=(hazy.image.clamp(0, 1) * 255).round() / 255,
        clean=clean,
        task=torch.zeros(count, dtype=torch.long),
        presence=torch.ones(count, 1),
        transmission=hazy.transmission,
        light=hazy.light,
    )


def overviews_of(images: Sequence[Tensor]) -> list[Tensor]:
    """Make small copies of images, uint8 (3, H, W) each, whose shorter side has ``STORED_SIDE_PX``."""
    copies = []
    for image in images:
        height, width = image.shape[1:]
        factor = STORED_SIDE_PX / min(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        small = functional.interpolate(image[None].float(), size=size, mode="area")[0]
        copies.append(small.round().clamp(0, 255).to(torch.uint8))
    return copies


def random_part(image: Tensor, generator: Generator) -> Tensor:
    """Cut a large part out of an image, uint8 (3, H, W): (1, 3, S, S) in [0, 1] with S = ``OVERVIEW_PX``."""
    draws = torch.rand(5, generator=generator).tolist()
    height, width = (
        max(1, round(length * (LEAST_PART + (1 - LEAST_PART) * draw)))
        for length, draw in zip(image.shape[1:], draws, strict=False)
    )
    height, width = (
        min(height, round(LARGEST_RATIO * width)),
        min(width, round(LARGEST_RATIO * height)),
    )
    top, left = int(draws[2] * (image.shape[1] - height + 1)), int(draws[3] * (image.shape[2] - width + 1))
    part = _sized(image[None, :, top : top + height, left : left + width].float() / 255)
    return part.flip(3) if draws[4] < 0.5 else part


def _sized(image: Tensor) -> Tensor:
    return functional.interpolate(image, size=(OVERVIEW_PX, OVERVIEW_PX), mode="area")


def train_veil(recipe: VeilRecipe, control: RunControl) -> Path:
    """Give the network of a bundle an estimator of haze, train it, and let an adapter open its gate."""
    bundle = load_bundle(recipe.bundle)
    before = copy.deepcopy(bundle.backbone)
    network = with_veil(bundle.backbone, recipe.width, recipe.seed)
    adapter = opened(recipe.adapter, bundle.adapters.get(recipe.adapter))
    assert network.veil is not None
    estimator = network.veil.estimator
    use_channels_last(estimator)
    clean = overviews_of(load_clean(recipe.data.clean))
    job = VeilJob(estimator, clean, overviews_of(held_out_images(recipe.data)), recipe)
    figures = train(job, Uniform(1), recipe, control, steps=recipe.steps)
    bundle.backbone = network
    # All but the one that opens it have it closed, whatever it has learned.
    bundle.adapters = {
        name: carry_over(each, before, network, free=(VEIL_PATH,))
        for name, each in {**bundle.adapters, recipe.adapter: adapter}.items()
    }
    bundle.info = extended_info(bundle.info, recipe, recipe.phase, training_record(recipe, figures))
    return save_trained(control.folder / "bundle", bundle)


def with_veil(backbone: Backbone, width: int, seed: int) -> Compact:
    """Return a network with all weights of ``backbone`` and a closed veil beside them.

    Raises:
        RecipeError: the network is of a kind that has none, or has one of another width.
    """
    if not isinstance(backbone, Compact):
        name = backbone.description.name
        raise RecipeError(f"backbone {name!r} cannot take a veil of haze off; 'compact' and 'flow' can")
    if backbone.veil is not None:
        held = backbone.options["veil_width"]
        if held != width:
            raise RecipeError(f"the bundle's veil has width {held}, the recipe says {width}")
        return backbone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mixed_seed(seed, "veil"))
        network = cast(
            Compact,
            build_backbone(backbone.description.name, **{**backbone.options, "veil_width": width}),
        )
    network.load_state_dict({**network.state_dict(), **backbone.state_dict()})
    return network


def opened(name: str, adapter: Adapter | None) -> Adapter:
    """Return a LoRA that opens the gate of a veil in full, beside all that it did before.

    Raises:
        RecipeError: the adapter is not a LoRA.
    """
    if adapter is None:
        adapter = Adapter(name, LoraConfig(rank=1, alpha=1.0, targets=()), {})
    config = adapter.config
    if not isinstance(config, LoraConfig):
        raise RecipeError(f"adapter {name!r} is a {config.kind}; only a LoRA can open the gate of a veil")
    if any(key.startswith(f"{GATE}.") for key in adapter.tensors):
        return adapter
    own = config.at(GATE)
    down, up = torch.zeros(own.rank, 1), torch.zeros(1, own.rank)
    down[0, 0], up[0, 0] = 1, own.rank / own.alpha
    tensors = {**adapter.tensors, f"{GATE}.lora_A.weight": down, f"{GATE}.lora_B.weight": up}
    targets = tuple(sorted((*(config.targets or ()), GATE)))
    return replace(adapter, config=replace(config, targets=targets), tensors=tensors)


def _shrink(recipe: VeilRecipe, folder: Path) -> dict[str, Any]:
    return {"bundle": str(save_tiny_bundle("compact", folder / "bundle")), "width": TINY_WIDTH}


VEIL = Phase(VeilRecipe, train_veil, _shrink)
