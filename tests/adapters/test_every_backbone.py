"""Both kinds of adapter on every backbone: what each backbone says about its layers is true."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.adapters import (
    ADAPTER_KINDS,
    AdaptedLayer,
    AdapterBank,
    AdapterConfig,
    BottleneckConfig,
    LoraConfig,
    adaptable_layers,
    eligible_layers,
)
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.errors import AdapterError
from polyrestore.testing import check_adapter
from tests.support.networks import TINY, random_image, tiny

CONFIGS: dict[str, AdapterConfig] = {
    "lora": LoraConfig(rank=2, alpha=3.0),
    "bottleneck": BottleneckConfig(reduction=2),
}
every_backbone = pytest.mark.parametrize("name", sorted(BACKBONES))
every_kind = pytest.mark.parametrize("kind", sorted(ADAPTER_KINDS))


def bank_of(name: str, kind: str, seed: int = 0) -> AdapterBank:
    """Two adapters with every value away from zero, on a tiny backbone."""
    bank = AdapterBank(tiny(name, TINY[name]))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for adapter in ("rain", "haze"):
            bank.create(adapter, CONFIGS[kind], generator)
            for parameter in bank.parameters(adapter):
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return bank


def test_every_backbone_and_kind_is_tried() -> None:
    assert all(TINY.values())
    assert set(CONFIGS) == set(ADAPTER_KINDS)


@every_backbone
@every_kind
@settings(max_examples=3, deadline=None)
@given(rain=st.floats(0.05, 1), haze=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_promises_hold(name: str, kind: str, rain: float, haze: float, seed: int) -> None:
    image, weights = random_image(20, 24), {"rain": rain, "haze": haze}
    before = {key: value.clone() for key, value in tiny(name, TINY[name]).state_dict().items()}
    bank = bank_of(name, kind, seed)
    backbone = bank.backbone
    with torch.no_grad():
        bare = tiny(name, TINY[name])(image)
        assert torch.equal(backbone(image), bare)
        bank.activate({"rain": 0.0, "haze": 0.0})
        assert torch.equal(backbone(image), bare)
        bank.activate(weights)
        acting = backbone(image)
        assert float((acting - bare).abs().max()) > 1e-5
        bank.merge(weights)
        torch.testing.assert_close(backbone(image), acting, atol=1e-5, rtol=1e-5)
        bank.detach()
        assert torch.equal(backbone(image), bare)
    assert not any(isinstance(module, AdaptedLayer) for module in backbone.modules())
    after = backbone.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


@every_backbone
@every_kind
def test_a_kind_is_what_others_rely_on(name: str, kind: str) -> None:
    check_adapter(kind, CONFIGS[kind], tiny(name, TINY[name]))


@every_backbone
def test_idle_layers_are_those_that_restoring_never_runs(name: str) -> None:
    backbone, run = tiny(name, TINY[name]), set()
    layers = dict(backbone.named_modules())
    for path, layer in layers.items():
        layer.register_forward_hook(lambda *_call, path=path: run.add(path))
    # With gradients, because without them blocks may run without calling their layers.
    backbone(random_image(20, 24))
    for kind in ADAPTER_KINDS:
        everything = set(eligible_layers(kind, layers))
        assert set(eligible_layers(kind, layers, adaptable_layers(backbone))) == everything & run
        for path in sorted(everything - run)[:1]:
            with pytest.raises(AdapterError, match="never runs"):
                AdapterBank(tiny(name, TINY[name])).create(
                    "rain", ADAPTER_KINDS[kind].config_class(targets=(path,)), torch.Generator()
                )


def sizes(name: str, config: AdapterConfig) -> dict[str, float]:
    """Parameters by tensor name, in millions, of an adapter on the full-size network."""
    with torch.device("meta"):
        bank = AdapterBank(build_backbone(name))
        bank.create("rain", config, torch.Generator())
    layers = [module for module in bank.backbone.modules() if isinstance(module, AdaptedLayer)]
    found: dict[str, float] = {}
    for layer in layers:
        for key, parameter in layer.part("rain").named_parameters():
            found[key] = found.get(key, 0) + parameter.numel() / 1e6
    return found


@pytest.mark.parametrize(("rank", "millions"), [(2, 0.239), (4, 0.478), (8, 0.957), (16, 1.913)])
def test_loras_on_restormer_have_the_published_sizes(rank: int, millions: float) -> None:
    assert sum(sizes("restormer", LoraConfig(rank=rank)).values()) == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("reduction", "pointwise"), [(4, 0.908), (8, 0.454)])
def test_bottlenecks_on_restormer_have_the_published_sizes(reduction: int, pointwise: float) -> None:
    with torch.device("meta"):
        paralleled = build_backbone("restormer").adaptable_layers().paralleled
    attention = tuple(path for path in paralleled or () if "attn" in path)
    found = sizes("restormer", BottleneckConfig(reduction=reduction, targets=attention))
    # One per block: the figure in the literature counts the 1x1 convolutions alone.
    ends = found["bottleneck_down.weight"] + found["bottleneck_up.weight"]
    assert ends == pytest.approx(pointwise, abs=5e-4)
    if reduction == 4:
        # Two per block, counting all.
        assert 2 * sum(found.values()) == pytest.approx(1.87, abs=5e-3)


@pytest.mark.parametrize("name", ["airnet", "nafnet", "promptir", "restormer", "transweather"])
@pytest.mark.parametrize(("config", "largest_share"), [(LoraConfig(), 0.08), (BottleneckConfig(), 0.14)])
def test_default_adapters_are_light(name: str, config: AdapterConfig, largest_share: float) -> None:
    with torch.device("meta"):
        whole = sum(parameter.numel() for parameter in build_backbone(name).parameters()) / 1e6
    assert 0.005 < sum(sizes(name, config).values()) / whole < largest_share
