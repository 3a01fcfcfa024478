from typing import Any

import pytest
import torch
from torch import Tensor

from polyrestore.backbones.contrastive import MomentumContrast


def contrast(**options: Any) -> MomentumContrast:
    torch.manual_seed(0)
    return MomentumContrast(**({"width": 4, "queue_length": 10} | options))


def images(count: int = 4, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_the_slow_copy_follows_by_the_momentum_and_is_not_trained() -> None:
    module = contrast(momentum=0.9)
    with torch.no_grad():
        module.get_parameter("encoder_q.mlp.0.weight").fill_(1.0)
        module.get_parameter("encoder_k.mlp.0.weight").fill_(0.0)
    loss, _ = module(images(), images(seed=2))
    loss.backward()
    torch.testing.assert_close(module.get_parameter("encoder_k.mlp.0.weight"), torch.full((16, 16), 0.1))
    assert all(p.grad is None for p in module.encoder_k.parameters())
    assert all(p.grad is not None for p in module.encoder_q.parameters())


def test_the_queue_is_a_ring_of_the_latest_keys() -> None:
    module = contrast(momentum=1.0)
    before = module.queue.clone()
    for _ in range(3):
        module(images(), images(seed=2))
    assert int(module.queue_ptr) == 12 % 10
    assert not (module.queue == before).all(0).any()
    torch.testing.assert_close(module.queue.norm(dim=0), torch.ones(10))
    torch.testing.assert_close(module.queue[:, :2], module.queue[:, 6:8])
    module(images(12), images(12, seed=3))
    assert int(module.queue_ptr) == 2


def test_the_loss_is_that_of_telling_the_key_from_the_queue() -> None:
    module = contrast(momentum=1.0, temperature=0.5).eval()
    with torch.no_grad():
        query, _ = module.encoder_q(images())
        key, _ = module.encoder_k(images(seed=2))
        same = (query * key).sum(1) / 0.5
        others = query @ module.queue / 0.5
        expected = (torch.logsumexp(torch.cat([same[:, None], others], 1), 1) - same).mean()
        loss, degradation = module(images(), images(seed=2))
    torch.testing.assert_close(loss, expected)
    assert degradation.shape == (4, 4, 8, 8)


def test_an_empty_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        contrast(queue_length=0)


def test_it_learns_in_mixed_precision_too() -> None:
    module = contrast(momentum=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = module(images(), images(seed=2))
    loss.backward()
    exact, _ = contrast(momentum=1.0)(images(), images(seed=2))
    torch.testing.assert_close(loss.detach().float(), exact.detach(), rtol=0.05, atol=0.05)
    assert int(module.queue_ptr) == 4
