"""What is refused before anything in the network changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polyrestore.adapters import (
    Adapter,
    AdapterBank,
    AdapterConfig,
    BottleneckConfig,
    LoraConfig,
    check_adapter_size,
    eligible_layers,
)
from polyrestore.errors import AdapterError, UnknownNameError
from tests.adapters.conftest import TinyNetwork

LORA_LAYERS = {
    *("context.0", "context.2", "intro", "ending", "strided", "up"),
    *(f"levels.{block}.{layer}" for block in ("0.0", "0.1", "1.0") for layer in ("widen", "narrow")),
}
BOTTLENECK_LAYERS = {
    *("intro", "ending", "up", *(f"levels.{block}.spatial" for block in ("0.0", "0.1", "1.0"))),
    *(path for path in LORA_LAYERS if path.startswith("levels.")),
}


Change = Callable[[dict[str, Tensor]], AdapterConfig | None]


def test_the_layers_that_each_kind_takes(network: TinyNetwork) -> None:
    layers = dict(network.named_modules())
    assert set(eligible_layers("lora", layers)) == LORA_LAYERS
    assert set(eligible_layers("bottleneck", layers)) == BOTTLENECK_LAYERS
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        eligible_layers("lorra", layers)


def test_the_unused_weight_inside_attention_is_not_adapted() -> None:
    layers = dict(nn.ModuleDict({"attention": nn.MultiheadAttention(4, 1)}).named_modules())
    assert eligible_layers("lora", layers) == ()


def _changed(adapter: Adapter, change: Change) -> Adapter:
    tensors = {key: tensor.clone() for key, tensor in adapter.tensors.items()}
    config = change(tensors) or adapter.config
    return Adapter(adapter.name, config, tensors)


def _wrong_rank(tensors: dict[str, Tensor]) -> None:
    tensors["intro.lora_A.weight"] = torch.zeros(4, 3, 3, 3)


def _wrong_shape(tensors: dict[str, Tensor]) -> None:
    tensors["intro.lora_B.weight"] = torch.zeros(9, 3, 1, 1)


def _not_finite(tensors: dict[str, Tensor]) -> None:
    tensors["up.lora_B.weight"][5, 1] = float("nan")


def _whole_numbers(tensors: dict[str, Tensor]) -> None:
    tensors["up.lora_B.weight"] = tensors["up.lora_B.weight"].int()


def _half_missing(tensors: dict[str, Tensor]) -> None:
    del tensors["ending.lora_A.weight"]


def _layer_missing(tensors: dict[str, Tensor]) -> None:
    del tensors["ending.lora_A.weight"], tensors["ending.lora_B.weight"]


def _other_backbone(tensors: dict[str, Tensor]) -> None:
    for part in ("lora_A", "lora_B"):
        tensors[f"outro.{part}.weight"] = tensors.pop(f"ending.{part}.weight")


def _unknown_tensor(tensors: dict[str, Tensor]) -> None:
    tensors["ending.lora_C.weight"] = torch.zeros(1)


def _other_rank_in_config(tensors: dict[str, Tensor]) -> LoraConfig:
    return LoraConfig(rank=5)


def _no_tensors(tensors: dict[str, Tensor]) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_wrong_rank, r"intro\.lora_A\.weight has shape \(4, 3, 3, 3\), expected \(3, 3, 3, 3\)"),
        (_wrong_shape, r"intro\.lora_B\.weight has shape"),
        (_not_finite, r"up\.lora_B\.weight holds values that are not finite"),
        (_whole_numbers, "not floating point"),
        (_half_missing, r"lacks the tensor ending\.lora_A\.weight"),
        (_layer_missing, "'ending' is a target but has no tensors"),
        (_other_backbone, "'outro', which the backbone does not have"),
        (_unknown_tensor, "not a tensor of a lora adapter"),
        (_other_rank_in_config, "rank=5"),
        (_no_tensors, "without any tensor"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_anything_changes(
    bank: AdapterBank, images: Tensor, trained: Callable[..., Adapter], change: Change, message: str
) -> None:
    bank.merge({"rain": 1.0})
    modules, output = list(bank.backbone.modules()), bank.backbone(images)
    bad = _changed(trained("bad", LoraConfig(rank=3, alpha=5.0), 9), change)
    with pytest.raises(AdapterError, match=message):
        bank.add(bad)
    assert bank.names == ("noise", "rain", "train")
    assert list(bank.backbone.modules()) == modules
    assert torch.equal(bank.backbone(images), output)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(targets=("levels.0.0.widenn",)), "did you mean 'levels.0.0.widen'"),
        (LoraConfig(targets=("levels.0.0.spatial",)), "cannot take a lora"),
        (BottleneckConfig(targets=("strided",)), "cannot take a bottleneck"),
        (LoraConfig(targets=()), "at least one target"),
        (LoraConfig(ranks={"levels.0.0.widenn": 2}), "did you mean 'levels.0.0.widen'"),
        (LoraConfig(targets=("up",), alphas={"intro": 2.0}), "'intro', which is not a target"),
    ],
)
def test_targets_that_cannot_be_adapted_are_refused(
    network: TinyNetwork, config: AdapterConfig, message: str
) -> None:
    bank = AdapterBank(network)
    with pytest.raises(AdapterError, match=message):
        bank.create("rain", config, torch.Generator())
    assert bank.names == ()


@pytest.mark.parametrize("rank", [0, -1, 2.5, True, 10**9])
def test_ranks_are_positive_whole_numbers(rank: int) -> None:
    with pytest.raises(AdapterError, match="rank"):
        LoraConfig(rank=rank)
    with pytest.raises(AdapterError, match="rank"):
        LoraConfig(ranks={"up": rank})


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_is_positive_and_finite(alpha: float) -> None:
    with pytest.raises(AdapterError, match="alpha"):
        LoraConfig(alpha=alpha)
    with pytest.raises(AdapterError, match="alpha"):
        LoraConfig(alphas={"up": alpha})


def test_reductions_are_positive_whole_numbers() -> None:
    with pytest.raises(AdapterError, match="reduction"):
        BottleneckConfig(reduction=0)


def test_values_that_training_ruined_are_not_exported(bank: AdapterBank) -> None:
    with torch.no_grad():
        bank.parameters("rain")[0].fill_(float("inf"))
    with pytest.raises(AdapterError, match="not finite"):
        bank.export("rain")


def test_an_adapter_that_is_too_large_is_refused(trained: Callable[..., Adapter]) -> None:
    adapter = trained("rain", LoraConfig(rank=2), 1)
    size = adapter.size_bytes(torch.float32)
    assert size == 4 * adapter.parameter_count == 2 * adapter.size_bytes(torch.float16)
    check_adapter_size(adapter, torch.float32, limit_bytes=size)
    with pytest.raises(AdapterError, match=f"takes {size} bytes"):
        check_adapter_size(adapter, torch.float32, limit_bytes=size - 1)
