from __future__ import annotations

import torch

from polyrestore.adapters import AdapterBank, BottleneckConfig, LoraConfig
from polyrestore.backbones.compact import Compact
from polyrestore.restoration.reach import added_reach_px, layer_strides
from tests.restoration.conftest import random_adapter
from tests.restoration.tiny_backbone import tiny_backbone


def small_compact() -> Compact:
    return Compact(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1), context_dim=16)


def test_strides_follow_the_levels_of_the_network() -> None:
    paths = {"encoders.0.0.conv1", "encoders.1.0.conv3", "middle.0.conv5", "ups.1"}
    assert layer_strides(small_compact().eval(), paths) == {
        "encoders.0.0.conv1": 1,
        "encoders.1.0.conv3": 2,
        "middle.0.conv5": 4,
        "ups.1": 2,
    }


def test_only_parallel_adapters_add_reach() -> None:
    backbone = tiny_backbone()
    bank = AdapterBank(backbone)
    bank.add(random_adapter("noise", LoraConfig(rank=1), 1))
    assert added_reach_px(backbone, bank, {"noise": 1.0}) == 0


def test_parallel_adapters_of_one_layer_count_once() -> None:
    backbone = small_compact().eval()
    bank = AdapterBank(backbone)
    generator = torch.Generator().manual_seed(0)
    bank.create("haze", BottleneckConfig(targets=("encoders.0.0.conv1", "middle.0.conv1")), generator)
    bank.create("snow", BottleneckConfig(targets=("middle.0.conv1", "middle.0.conv3")), generator)
    assert added_reach_px(backbone, bank, {"haze": 1.0}) == 1 + 4
    assert added_reach_px(backbone, bank, {"haze": 0.5, "snow": 0.5}) == 1 + 4 + 4
    assert added_reach_px(backbone, bank, {"haze": 0.0}) == 0
