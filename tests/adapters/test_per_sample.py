"""A weight of its own for each sample of a batch: what each would get alone, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from polyrestore.adapters import AdapterBank
from polyrestore.errors import CompositionError
from tests.adapters.test_bank import WEIGHTS


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_weights_per_sample_equal_separate_runs(
    bank: AdapterBank, images: Tensor, memory_format: torch.memory_format
) -> None:
    for parameter in bank.backbone.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
    images = images.contiguous(memory_format=memory_format)
    samples = [{"rain": 1.0}, {}, {"train": 0.5, "noise": 0.2}, {"rain": 0.3, "noise": 1.0}]
    bank.activate_per_sample(samples)
    together = bank.backbone(images)
    for index, weights in enumerate(samples):
        bank.activate(weights)
        alone = bank.backbone(images[index : index + 1])
        assert (together[index : index + 1] - alone).abs().max() < 1e-5
    bank.activate_per_sample([WEIGHTS] * 4)
    same = bank.backbone(images)
    bank.activate(WEIGHTS)
    assert (bank.backbone(images) - same).abs().max() < 1e-5


def gradients_of(bank: AdapterBank, name: str) -> list[Tensor]:
    gradients = [parameter.grad for parameter in bank.parameters(name)]
    return [gradient for gradient in gradients if gradient is not None]


def test_gradients_per_sample_reach_only_the_adapters_that_acted(bank: AdapterBank, images: Tensor) -> None:
    bank.activate_per_sample([{"rain": 1.0}, {"rain": 0.5}, {}, {}])
    bank.backbone(images).square().sum().backward()
    together = [gradient.clone() for gradient in gradients_of(bank, "rain")]
    assert all(parameter.grad is None for parameter in bank.parameters("train"))
    for parameter in bank.parameters("rain"):
        parameter.grad = None
    for index, weight in enumerate((1.0, 0.5)):
        bank.activate({"rain": weight})
        bank.backbone(images[index : index + 1]).square().sum().backward()
    separate = gradients_of(bank, "rain")
    scale = max(gradient.abs().max() for gradient in separate)
    assert all((a - b).abs().max() < 1e-5 * scale for a, b in zip(together, separate, strict=True))


def test_weights_per_sample_must_match_the_batch(bank: AdapterBank, images: Tensor) -> None:
    bank.activate_per_sample([{"rain": 1.0}] * 3)
    with pytest.raises(CompositionError, match="3 samples but the batch has 4"):
        bank.backbone(images)
    with pytest.raises(CompositionError, match="at least one"):
        bank.activate_per_sample([])
