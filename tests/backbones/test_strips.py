"""Blocks in strips give what the network gives otherwise, and only where nothing else is asked for."""

from __future__ import annotations

import pytest
import torch

from polyrestore.adapters import AdapterBank, BottleneckConfig, LoraConfig
from polyrestore.backbones import build_backbone, strips
from polyrestore.backbones.compact import Compact
from tests.support.tiny_bundle import TINY_COMPACT


def _network(**options: object) -> Compact:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_backbone("compact", **{**TINY_COMPACT, **options})
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, parameter.detach().mean().item(), 0.1)
    assert isinstance(network, Compact)
    return network.eval()


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (37, 22), (64, 40)])
@pytest.mark.parametrize("values", [1, 2000, 10**6])
def test_strips_of_any_height_give_the_same(
    size: tuple[int, int], values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "STRIP_VALUES", values)
    network = _network(shuffle=2)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    wanted = network(image)
    assert wanted.requires_grad
    calls = []
    monkeypatch.setattr(network, "core", lambda *_given: calls.append(1))
    with torch.no_grad():
        found = network(image)
    with torch.inference_mode():
        assert torch.equal(network(image), found)
    assert calls == []
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=5e-5)


def test_adapters_act_merged_and_beside_a_layer() -> None:
    image = torch.rand(1, 3, 24, 16, generator=torch.Generator().manual_seed(0))
    for config in (LoraConfig(rank=2), BottleneckConfig(reduction=2)):
        network = _network()
        bare = network(image).detach()
        bank = AdapterBank(network)
        generator = torch.Generator().manual_seed(1)
        bank.create("noise", config, generator)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if ".parts." in name:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
            bank.activate({"noise": 0.7})
            unmerged = network(image)
            bank.merge({"noise": 0.7})
            merged = network(image)
            bank.deactivate()
            again = network(image)
        assert (unmerged - bare).abs().max() > 1e-3
        torch.testing.assert_close(merged, unmerged, rtol=1e-6, atol=5e-5)
        torch.testing.assert_close(again, bare, rtol=1e-6, atol=5e-5)


def test_batches_and_other_formats_run_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise AssertionError("run in strips")

    monkeypatch.setattr("polyrestore.backbones.compact.run_in_strips", refuse)
    network = _network()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert network(images).shape == images.shape
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert network(images[:1]).shape == (1, 3, 16, 16)
        with pytest.raises(AssertionError, match="run in strips"):
            network(images[:1])
