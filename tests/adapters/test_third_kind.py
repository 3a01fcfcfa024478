"""A kind of adapter is one file and one line: this one is registered here, and lives a whole life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from polyrestore.adapters import (
    ADAPTER_KINDS,
    AdapterBank,
    AdapterConfig,
    BottleneckConfig,
    LoraConfig,
    added_radius_px,
    grow_adapter,
    load_adapter,
    save_adapter,
)
from polyrestore.adapters.part import AdapterPart, Scale, Weights
from polyrestore.adapters.storage import CONFIG_FILE
from polyrestore.backbones.base import AdaptableLayers
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.cli.main import run
from polyrestore.errors import AdapterError
from polyrestore.training.tiny import generated_photograph
from tests.support.tiny_bundle import tiny_bundle


@dataclass(frozen=True)
class PooledConfig(AdapterConfig):
    """Directions along which a layer's output moves with the mean of its input.

    Attributes:
        directions: how many.
    """

    kind: ClassVar[str] = "pooled"
    directions: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.directions, int) or self.directions < 1:
            raise AdapterError(f"directions must be a whole number of at least 1, not {self.directions!r}")

    @classmethod
    def shrink_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**options, "directions": 1}


class PooledPart(AdapterPart):
    """``scale * up(down(x averaged over 3x3))``: an output sees one pixel further."""

    config_class = PooledConfig
    mergeable: ClassVar[bool] = False
    tensor_names: ClassVar[tuple[str, ...]] = ("down.weight", "up.weight")

    def __init__(self, config: AdapterConfig, layer: nn.Module) -> None:
        super().__init__(config, layer)
        assert isinstance(config, PooledConfig)
        assert isinstance(layer, nn.Conv2d)
        self.down = Weights((config.directions, layer.in_channels, 1, 1), like=layer.weight)
        self.up = Weights((layer.out_channels, config.directions, 1, 1), like=layer.weight)

    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        return type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.stride == (1, 1)

    @staticmethod
    def preferred(layers: AdaptableLayers) -> tuple[str, ...] | None:
        return layers.paralleled

    def initialise(self, generator: Generator) -> None:
        self.down.draw(generator)

    def added_reach(self, layer: nn.Module) -> int:
        return 1

    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        pooled = nn.functional.avg_pool2d(features, 3, stride=1, padding=1)
        hidden = nn.functional.conv2d(pooled, self.down.weight)
        return nn.functional.conv2d(hidden, self.up.weight) * scale

    def scaled_state(self, scale: float) -> dict[str, Tensor]:
        return {"down.weight": self.down.weight, "up.weight": self.up.weight * scale}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTER_KINDS, "pooled", PooledPart)


def save_photograph(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (generated_photograph(seed).permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    Image.fromarray(pixels).save(path)


def write_recipe(folder: Path, bundle: Path, directions: int, steps: int = 2) -> str:
    """Write a recipe that trains one adapter of the kind, and the images for it."""
    for name, seeds in {"clean": range(3), "validation": range(3, 5)}.items():
        for seed in seeds:
            save_photograph(folder / name / f"{seed}.png", seed)
    path = folder / f"{directions}.toml"
    path.write_text(
        f"""
        phase = "adapters"
        name = "pooled"
        steps = {steps}
        bundle = "{bundle}"
        adapters = ["noise"]
        kind = "pooled"
        adapter_options = {{ directions = {directions} }}
        [data]
        clean = ["clean"]
        validation = "validation"
        patch_px = 32
        batch_size = 2
        check_duplicates = false
        [optimiser]
        warmup_steps = 1
        """
    )
    return str(path)


def test_it_is_trained_saved_listed_composed_and_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, first, second = (tmp_path / name for name in ("start", "first", "second"))
    save_bundle(start, tiny_bundle({}))
    assert run(["train", write_recipe(tmp_path, start, 1), "-o", str(first)]) == 0
    small = load_bundle(first / "bundle").adapters["noise"]
    assert small.config.size_text() == "directions 1"
    assert any(bool(tensor.any()) for key, tensor in small.tensors.items() if key.endswith("up.weight"))

    capsys.readouterr()
    assert run(["list", "adapters", "--bundle", str(first / "bundle"), "--json"]) == 0
    assert '"kind": "pooled"' in capsys.readouterr().out
    assert "| `noise` | pooled | directions 1 |" in (first / "bundle" / "README.md").read_text()
    photograph, restored = tmp_path / "validation" / "3.png", tmp_path / "restored"
    by_name = ["--bundle", str(first / "bundle"), "--as", "noise"]
    assert run(["restore", str(photograph), "-o", str(restored), *by_name]) == 0
    assert (restored / "3.png").is_file()

    larger = write_recipe(tmp_path, first / "bundle", 3, steps=1)
    assert run(["train", larger, "-o", str(second)]) == 0
    grown = load_bundle(second / "bundle").adapters["noise"]
    for key, tensor in grown.tensors.items():
        corner = tensor[tuple(slice(0, length) for length in small.tensors[key].shape)]
        assert tensor.shape != small.tensors[key].shape
        assert (corner - small.tensors[key]).abs().max() < 0.01
    assert run(["train", larger, "-o", str(tmp_path / "tiny"), "--tiny"]) == 0


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (PooledConfig(directions=1), PooledConfig(directions=4)),
        (LoraConfig(rank=1, alpha=3.0), LoraConfig(rank=3, alpha=2.0)),
        (BottleneckConfig(reduction=4), BottleneckConfig(reduction=2)),
    ],
    ids=["pooled", "lora", "bottleneck"],
)
def test_a_larger_adapter_begins_with_what_a_smaller_one_computes(
    small: AdapterConfig, large: AdapterConfig
) -> None:
    bundle = tiny_bundle({"noise": small})
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    bank = AdapterBank(bundle.backbone)
    bank.create("fresh", large, torch.Generator().manual_seed(1))
    bank.add(bundle.adapters["noise"])
    bank.add(replace(grow_adapter(bank.export("fresh"), bundle.adapters["noise"]), name="grown"))
    outputs = {}
    for name in bank.names:
        bank.activate({name: 0.6})
        outputs[name] = bank.backbone(image)
    assert (outputs["grown"] - outputs["noise"]).abs().max() < 1e-5
    assert (outputs["fresh"] - outputs["noise"]).abs().max() > 1e-3
    with pytest.raises(AdapterError, match="'fresh' cannot go on from the earlier one, which is"):
        grow_adapter(replace(bundle.adapters["noise"], name="fresh"), bank.export("grown"))


def test_it_says_how_much_further_a_pixel_reaches() -> None:
    bank = AdapterBank(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 3, padding=1)))
    bank.create("noise", PooledConfig(), torch.Generator().manual_seed(0))
    bank.activate({"noise": 1.0})
    assert added_radius_px(bank, 16) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": 2}, "did you mean 'directions'"),
        ({"directions": 0}, "at least 1, not 0"),
        ({"targets": []}, "name other layers"),
        ({"kind": "puled"}, "unknown adapter kind 'puled'; did you mean 'pooled'"),
    ],
)
def test_its_file_is_checked_without_a_line_of_its_own(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    save_adapter(tmp_path / "noise", tiny_bundle({"noise": PooledConfig()}).adapters["noise"], "tiny")
    path = tmp_path / "noise" / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(AdapterError, match=message):
        load_adapter(tmp_path / "noise")


def test_a_file_that_lacks_a_value_is_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path / "noise", tiny_bundle({"noise": PooledConfig()}).adapters["noise"], "tiny")
    path = tmp_path / "noise" / CONFIG_FILE
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "directions"}))
    with pytest.raises(AdapterError, match="lacks 'directions'"):
        load_adapter(tmp_path / "noise")
