"""Learned metrics: what they lack is said, nothing is fetched, and stand-ins of networks compare images."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from polyrestore.errors import MetricUnavailableError, ProtocolError
from polyrestore.evaluation import learned
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.scores import read_metrics
from tests.support.networks import random_image

PROTOCOL = Protocol(channels="y")


@pytest.fixture
def torchvision_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A library that is found, but not asked for anything, and an empty folder for its weights."""
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision":
            return importlib.machinery.ModuleSpec(name, None)
        return found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_what_is_missing_is_named() -> None:
    if importlib.util.find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed")
    with pytest.raises(
        MetricUnavailableError, match=r"LPIPS needs torchvision, which is not installed; noth"
    ):
        read_metrics("psnr,lpips")


def test_weights_must_be_there_already(torchvision_is_there: Path) -> None:
    for name, file in (("lpips", learned.ALEXNET_FILE), ("dists", learned.VGG16_FILE)):
        with pytest.raises(MetricUnavailableError, match=f"needs the weights .*{file}, which are not there"):
            read_metrics(name)
        torchvision_is_there.mkdir(parents=True, exist_ok=True)
        (torchvision_is_there / file).write_bytes(b"")
        assert read_metrics(name) == (name,)


def alexnet_features(net: str, pretrained: bool = False) -> nn.Sequential:
    """The layers whose features LPIPS compares, with weights of chance."""
    assert (net, pretrained) == ("alex", True) or net == "alexnet"
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(256, 256, 3, padding=1), nn.ReLU())


def test_lpips_compares_colours_and_is_least_for_equal_images(monkeypatch: pytest.MonkeyPatch) -> None:
    places: Any = "torchmetrics.image.lpip._TORCHVISION_AVAILABLE"
    monkeypatch.setattr(places, True)
    monkeypatch.setattr("torchmetrics.functional.image.lpips._get_tv_model_features", alexnet_features)
    learned._lpips_network.cache_clear()
    try:
        target = random_image(64, 72)[0]
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
        near, far = ((target + share * noise).clamp(0, 1) for share in (0.02, 0.2))
        figures = [learned.lpips(image, target, PROTOCOL) for image in (target, near, far, near)]
        assert figures[0] == pytest.approx(0, abs=1e-6)
        assert 0 < figures[1] < figures[2]
        assert figures[3] == figures[1]
        rounded = learned.lpips((near * 255).round() / 255, target, PROTOCOL)
        assert rounded == pytest.approx(figures[1], rel=1e-5)
        with pytest.raises(ProtocolError, match="at least 64x64 px, not 64x56"):
            learned.lpips(near, target, Protocol(crop_px=4))
    finally:
        learned._lpips_network.cache_clear()


def test_dists_hands_both_images_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []

    def distance(first: torch.Tensor, second: torch.Tensor, reduction: str) -> torch.Tensor:
        given.extend((first, second))
        return (first - second).abs().mean()

    name = "torchmetrics.functional.image.dists.deep_image_structure_and_texture_similarity"
    monkeypatch.setattr(name, distance)
    image = torch.full((3, 64, 64), 0.25)
    assert learned.dists(image, image + 0.5, Protocol(rounded=False)) == pytest.approx(0.5)
    assert [each.shape for each in given] == [(1, 3, 64, 64)] * 2
    assert given[0].dtype == torch.float32
