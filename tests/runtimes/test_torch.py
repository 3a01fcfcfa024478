"""The torch runtime: a copy of its own, half precision where it is of use, and how far pixels reach."""

from __future__ import annotations

import pytest
import torch

from polyrestore.adapters import AdapterBank, added_radius_px
from polyrestore.errors import BackboneError
from polyrestore.runtimes import base
from polyrestore.runtimes.torch import TorchRuntime
from tests.restoration.conftest import ADAPTERS
from tests.support.tiny_backbone import tiny_backbone
from tests.support.tiny_bundle import tiny_bundle

IMAGE = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "computes_fast_in", lambda dtype, device: True)


@pytest.mark.usefixtures("_fast")
def test_half_precision_stays_near_float32_and_can_be_left() -> None:
    backbone = tiny_backbone()
    half, context = TorchRuntime(backbone, precision="bfloat16"), backbone.context(IMAGE)
    result = half.run(IMAGE, half.context(IMAGE))
    assert result.dtype == torch.float32
    assert 0 < (result - backbone(IMAGE)).abs().mean() < 0.03
    assert torch.equal(half.context(IMAGE), context)
    assert torch.equal(half.run(IMAGE, context, in_float32=True), backbone(IMAGE))


@pytest.mark.usefixtures("_fast")
def test_a_precision_that_the_network_does_not_support_is_refused() -> None:
    message = "'tiny' does not give its results in float16; it does in float32, bfloat16"
    with pytest.raises(BackboneError, match=message):
        TorchRuntime(tiny_backbone(), precision="float16")


def test_a_precision_that_the_device_is_slow_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyrestore.devices.cpu_capabilities", dict)
    with pytest.raises(BackboneError, match="cpu has no instructions of its own for bfloat16"):
        TorchRuntime(tiny_backbone(), precision="bfloat16")
    with pytest.raises(BackboneError, match="cpu has no instructions of its own for float16"):
        TorchRuntime(tiny_backbone(dtypes=(torch.float32, torch.float16)), precision="float16")


def test_a_composition_acts_for_its_block_and_reaches_as_far_as_its_adapters() -> None:
    bundle = tiny_bundle(ADAPTERS, spread=0.3, backbone=tiny_backbone())
    runtime = TorchRuntime(bundle.backbone, bundle.adapters.values())
    radius = bundle.backbone.description.receptive_radius_px
    bare = runtime.run(IMAGE, runtime.context(IMAGE))
    assert torch.equal(bare, bundle.backbone(IMAGE))
    for weights, further in (({"noise": 1.0}, False), ({"haze": 0.5}, True), ({}, False)):
        with runtime.composed(weights):
            assert (runtime.reach_px > radius) is further
            changed = not torch.equal(runtime.run(IMAGE, runtime.context(IMAGE)), bare)
            assert changed is bool(weights)
        assert runtime.reach_px == radius
    assert torch.equal(runtime.run(IMAGE, runtime.context(IMAGE)), bare)
    own = sum(parameter.numel() * 4 for parameter in bundle.backbone.parameters())
    added = sum(tensor.numel() * 4 for each in bundle.adapters.values() for tensor in each.tensors.values())
    assert runtime.weight_bytes == own + added


def test_how_far_adapters_reach_is_found_once_for_those_that_act(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(ADAPTERS, spread=0.3, backbone=tiny_backbone())
    runtime = TorchRuntime(bundle.backbone, bundle.adapters.values())
    found: list[int] = []

    def added(bank: AdapterBank, probe_px: int) -> int:
        found.append(added_radius_px(bank, probe_px))
        return found[-1]

    monkeypatch.setattr("polyrestore.runtimes.torch.added_radius_px", added)
    reaches = []
    for weights in ({"noise": 1.0}, {"noise": 1.0, "haze": 0.0}, {"noise": 0.2, "haze": 0.5}, {"noise": 0.3}):
        with runtime.composed(weights):
            reaches.append(runtime.reach_px)
    assert len(found) == 2
    assert reaches[0] == reaches[1] == reaches[3] < reaches[2]
