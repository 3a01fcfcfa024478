"""Drawn images: every kind, of any size, decided by the generator, and with something to see."""

import pytest
import torch
from torch import Tensor

from polyrestore.data.negatives import NEGATIVES, draw_negative
from polyrestore.errors import UnknownNameError


@pytest.mark.parametrize("name", NEGATIVES)
def test_every_kind_is_seeded_and_holds_something(name: str) -> None:
    def drawn(seed: int, width: int = 150, height: int = 110) -> Tensor:
        return draw_negative(name, width, height, torch.Generator().manual_seed(seed))

    first = drawn(1)
    assert first.shape == (1, 3, 110, 150)
    assert torch.equal(first, (first * 255).round() / 255)
    assert torch.equal(first, drawn(1))
    assert not torch.equal(first, drawn(2))
    assert float(first.std()) > 0.004
    assert drawn(3, 32, 32).shape == (1, 3, 32, 32)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownNameError, match="terminal"):
        draw_negative("terminals", 64, 64, torch.Generator())
