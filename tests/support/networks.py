"""What the tests of published networks share."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import BACKBONES, Backbone, BorrowsModel, build_backbone
from polyrestore.errors import BackboneError
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from polyrestore.testing.images import random_image as random_image
from polyrestore.testing.networks import check_size_is_kept as check_size_is_kept
from polyrestore.testing.networks import check_tiles, measure_radius_px

TINY: dict[str, dict[str, Any]] = {name: dict(kind.tiny_options) for name, kind in BACKBONES.items()}
"""Options of a network of each kind that is small enough for tests."""

PUBLISHED = sorted(name for name, kind in BACKBONES.items() if not issubclass(kind, BorrowsModel))
"""The networks whose weights are published as one state dict: all but those that run on another model."""


def tiny(name: str, options: dict[str, object], seed: int = 0) -> Backbone:
    """Return a tiny network whose every part changes the image."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = build_backbone(name, **options)
        with torch.no_grad():
            for parameter in backbone.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            for key, parameter in backbone.named_parameters():
                if key.endswith(("beta", "gamma")):
                    parameter.add_(1)
    return backbone.eval()


def parameter_count(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_backbone(name, **options).parameters())


def check_published_keys(
    name: str, expected: dict[str, tuple[int, ...]], others: str, **options: object
) -> None:
    """Check the default network's keys and shapes: these, and only what ``others`` matches."""
    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape) for key, value in build_backbone(name, **options).state_dict().items()
        }
    assert {key: shapes.get(key) for key in expected} == expected
    assert [key for key in shapes if not re.fullmatch(others, key)] == []


def check_strict_load(name: str, options: dict[str, object]) -> None:
    """A state dict under the published names makes another network the same."""
    source, target = tiny(name, options), tiny(name, options, seed=1)
    target.load_state_dict({key: value.clone() for key, value in source.state_dict().items()}, strict=True)
    image = random_image(20, 12)
    assert torch.equal(target(image), source(image))


def check_reach(backbone: Backbone) -> None:
    """Some pixel reaches as far as is described, and none further, whatever place it has in a cell."""
    assert measure_radius_px(backbone) == backbone.description.receptive_radius_px


def check_tiles_equal_the_whole(backbone: Backbone, height: int, width: int, tile_px: int) -> None:
    check_tiles(backbone, height, width, tile_px)
    image = random_image(height, width, batch=2)
    with torch.no_grad():
        whole = backbone(image)
        alone = run_tiled(TorchRuntime(_Forgetful(backbone)), image, tile_px)
    # Without the statistics of the whole the same tiles are visibly wrong, so the comparison means something.
    assert float((alone - whole).abs().max()) > 1e-3
    assert float((whole - image).abs().max()) > 1e-2


class _Forgetful(Backbone):
    """The same network, given no context."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.description = backbone.description

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        restored: Tensor = self.backbone(image)
        return restored


def check_context(backbone: Backbone) -> None:
    """The context is one row per image, replays the whole, decides globally, and leaves nothing behind."""
    image = random_image(24, 40, batch=2)
    attributes = {name: set(vars(module)) for name, module in backbone.named_modules()}
    with torch.no_grad():
        own = backbone(image)
        context = backbone.context(image)
        torch.testing.assert_close(backbone(image, context), own, atol=1e-5, rtol=0)
        torch.testing.assert_close(backbone(image[1:], context[1:]), own[1:], atol=1e-5, rtol=0)
        other = backbone(image, backbone.context(image * 0.1))
        with pytest.raises(BackboneError, match="does not belong to this network"):
            backbone(image, context[:, :-1])
        with pytest.raises(BackboneError, match="does not belong to this network"):
            backbone(image, torch.cat([context, context], 1))
        assert torch.equal(backbone(image), own)
    assert float((other - own).abs().max()) > 1e-3
    assert attributes == {name: set(vars(module)) for name, module in backbone.named_modules()}


def check_large_images(backbone: Backbone, limited: Backbone) -> None:
    """Beyond the limit the context is an average over crops: near the whole's, and the same for any tiles."""
    image = random_image(40, 72)
    with torch.no_grad():
        exact, near = backbone.context(image), limited.context(image)
        assert exact.shape == near.shape
        assert not torch.equal(exact, near)
        assert float((exact - near).norm() / exact.norm()) < 0.1
        whole = limited(image, near)
        torch.testing.assert_close(run_tiled(TorchRuntime(limited), image, 16), whole, atol=1e-4, rtol=0)


def check_gradients(backbone: Backbone, unused: tuple[str, ...] = ()) -> None:
    backbone.train()
    backbone(random_image(16, 24, batch=2)).square().mean().backward()
    without = {
        name
        for name, parameter in backbone.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    }
    assert without == {name for name, _ in backbone.named_parameters() if name.startswith(unused) and unused}


def check_adapters(backbone: Backbone) -> None:
    """A LoRA on every layer changes the result, in tiles as in the whole, and goes without a trace."""
    image, other = random_image(24, 40), copy.deepcopy(backbone)
    with torch.no_grad():
        bare = backbone(image)
        bank = AdapterBank(backbone)
        bank.create("rain", LoraConfig(rank=2), torch.Generator().manual_seed(0))
        for parameter in bank.parameters("rain"):
            parameter.add_(0.05)
        bank.activate({"rain": 1.0})
        adapted = backbone(image)
        assert float((adapted - bare).abs().max()) > 1e-3
        runtime = TorchRuntime(other, [bank.export("rain")])
        with runtime.composed({"rain": 1.0}):
            torch.testing.assert_close(run_tiled(runtime, image, 16), adapted, atol=1e-4, rtol=0)
        bank.detach()
        assert torch.equal(backbone(image), bare)
