from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Generator, Tensor, nn

from polyrestore.adapters import ADAPTER_KINDS, AdapterConfig
from polyrestore.adapters.lora import LoraPart
from polyrestore.adapters.part import AdapterPart, Scale, Weights
from polyrestore.backbones.base import AdaptableLayers
from polyrestore.errors import UnknownNameError
from polyrestore.testing import ContractError, check_adapter


@dataclass(frozen=True)
class ShiftConfig(AdapterConfig):
    kind: ClassVar[str] = "shift"


class ShiftPart(AdapterPart):
    """``scale * weight * mean(x)`` over all channels: a number for each output channel."""

    config_class: ClassVar[type[AdapterConfig]] = ShiftConfig
    mergeable: ClassVar[bool] = False
    tensor_names: ClassVar[tuple[str, ...]] = ("shift.weight",)

    def __init__(self, config: AdapterConfig, layer: nn.Module) -> None:
        super().__init__(config, layer)
        assert isinstance(layer, nn.Conv2d)
        self.shift = Weights((layer.out_channels, 1, 1, 1), like=layer.weight)

    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        return type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.stride == (1, 1)

    @staticmethod
    def preferred(layers: AdaptableLayers) -> tuple[str, ...] | None:
        return layers.paralleled

    def initialise(self, generator: Generator) -> None:
        nn.init.zeros_(self.shift.weight)

    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        return nn.functional.conv2d(features.mean(1, keepdim=True), self.shift.weight) * scale

    def scaled_state(self, scale: float) -> dict[str, Tensor]:
        return {"shift.weight": self.shift.weight * scale}


class BeginsWithSomething(ShiftPart):
    def initialise(self, generator: Generator) -> None:
        self.shift.draw(generator)


class FromTheGlobalGenerator(ShiftPart):
    def initialise(self, generator: Generator) -> None:
        torch.rand(1)


class Dead(ShiftPart):
    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        return super().forward(features, layer, scale) * 0


class Squared(ShiftPart):
    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        return super().forward(features, layer, scale) * scale


class Unscaled(ShiftPart):
    def scaled_state(self, scale: float) -> dict[str, Tensor]:
        return {"shift.weight": self.shift.weight}


class FarSighted(ShiftPart):
    def forward(self, features: Tensor, layer: nn.Module, scale: Scale) -> Tensor:
        return super().forward(nn.functional.avg_pool2d(features, 3, 1, 1), layer, scale)


class Misnamed(ShiftPart):
    tensor_names: ClassVar[tuple[str, ...]] = ("move.weight",)


class Choosy(ShiftPart):
    @staticmethod
    def accepts(layer: nn.Module) -> bool:
        return False


@dataclass(frozen=True)
class CarelessConfig(AdapterConfig):
    kind: ClassVar[str] = "careless"

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]) -> Self:
        return cls(targets=tuple(sorted(tensors)))


class Careless(ShiftPart):
    config_class = CarelessConfig


class WrongMerge(LoraPart):
    def weight_update(self) -> Tensor:
        return super().weight_update() * 2


def test_a_sound_kind_passes_and_is_not_left_in_the_registry() -> None:
    before = dict(ADAPTER_KINDS)
    check_adapter(ShiftPart)
    assert before == ADAPTER_KINDS


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (BeginsWithSomething, "a new adapter must add nothing"),
        (FromTheGlobalGenerator, "global generator"),
        (Dead, "it cannot learn"),
        (Squared, "half the weight does not add half as much"),
        (Unscaled, r"scaled_state\(0.5\)"),
        (FarSighted, "an output sees 1 px far, further than the layer's own 0 px and the 0 px"),
        (Misnamed, "tensor_names are"),
        (Choosy, "fits no layer of 'compact'"),
        (Careless, "unknown key is read as if"),
    ],
)
def test_what_is_not_sound_is_told(kind: type[AdapterPart], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_adapter(kind)


def test_a_wrong_merge_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTER_KINDS, "lora", WrongMerge)
    with pytest.raises(ContractError, match="does not add what its merged update adds"):
        check_adapter("lora")


def test_names_and_attributes_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        check_adapter("lorra")
    with pytest.raises(ContractError, match="the kind 'lora' is another class already"):
        check_adapter(WrongMerge)
    with pytest.raises(ContractError, match="needs a config_class"):
        check_adapter(AdapterPart)
