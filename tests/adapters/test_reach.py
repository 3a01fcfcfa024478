"""The bound on a pixel's reach holds on a network where it can be measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyrestore.adapters import AdapterBank, BottleneckConfig, LoraConfig, added_radius_px


def make_local_network() -> nn.Sequential:
    coarse = nn.Sequential(nn.Conv2d(4, 16, 2, stride=2), nn.Conv2d(16, 16, 1), nn.PixelShuffle(2))
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), coarse, nn.Conv2d(4, 3, 1))


def measured_radius(network: nn.Module, size: int = 32) -> int:
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    centre = size // 2
    network(image)[0, :, centre, centre].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().squeeze(1)
    return int(max(centre - rows.min(), rows.max() - centre))


@pytest.mark.parametrize(
    ("targets", "added"), [(("0",), 1), (("2.1",), 2), (("0", "3"), 2), (("0", "2.1", "3"), 4)]
)
def test_bottlenecks_add_one_pixel_at_their_resolution(targets: tuple[str, ...], added: int) -> None:
    network = make_local_network()
    bare = measured_radius(network)
    bank = AdapterBank(network)
    bank.create("rain", BottleneckConfig(reduction=1, targets=targets), torch.Generator().manual_seed(0))
    for parameter in bank.parameters("rain"):
        parameter.data += 0.1
    bank.merge({"rain": 0.5})
    assert added_radius_px(bank, 32) == added
    assert bare < measured_radius(network) <= bare + added


def test_loras_and_idle_adapters_add_nothing() -> None:
    network = make_local_network()
    bank = AdapterBank(network)
    bank.create("rain", BottleneckConfig(), torch.Generator().manual_seed(0))
    bank.create("noise", LoraConfig(rank=1), torch.Generator().manual_seed(0))
    assert added_radius_px(bank, 32) == 0
    bank.activate({"noise": 1.0, "rain": 0.0})
    assert added_radius_px(bank, 32) == 0
    bank.activate_per_sample([{"noise": 1.0}, {"rain": 0.5}])
    assert added_radius_px(bank, 32) == 4
