import builtins
from types import ModuleType
from typing import Any

import pytest
import torch

from polyrestore.errors import MissingExtraError
from polyrestore.training.weighting.pcgrad import PCGrad

BOTH = torch.tensor([True, True])
LOSSES = torch.tensor([0.1, 0.2])


def test_without_conflict_it_is_uniform() -> None:
    gradients = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    assert PCGrad(2).weights(LOSSES, BOTH, gradients @ gradients.T).tolist() == [0.5, 0.5]


def test_two_tasks_in_conflict_by_hand() -> None:
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    weights = PCGrad(2).weights(LOSSES, BOTH, gradients @ gradients.T)
    # Off each other: (1, 0) becomes (0.5, 0.5), and (-1, 1) becomes (0, 1); their mean is (0.25, 0.75).
    assert (weights @ gradients).tolist() == pytest.approx([0.25, 0.75])


def test_the_order_of_the_projections_does_not_touch_the_global_generator() -> None:
    gradients = torch.randn((4, 3), generator=torch.Generator().manual_seed(1))
    products, present = gradients @ gradients.T, torch.ones(4, dtype=torch.bool)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    strategy = PCGrad(4)
    drawn = [strategy.weights(torch.ones(4), present, products) for _ in range(6)]
    assert torch.equal(torch.rand(1), expected)
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_without_torchjd_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if name.startswith("torchjd"):
            raise ImportError(name=name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"needs torchjd: pip install 'polyrestore\[train\]'"):
        PCGrad(2)
