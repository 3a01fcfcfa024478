from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.data.alignment import aligned, best_shift
from polyrestore.errors import DataError


@settings(deadline=None, max_examples=20)
@given(down=st.integers(-6, 6), right=st.integers(-6, 6))
def test_a_shift_is_found_and_undone(down: int, right: int) -> None:
    target = torch.rand(3, 40, 45, generator=torch.Generator().manual_seed(0))
    shifted = target.roll((down, right), dims=(1, 2))
    assert best_shift(shifted, target) == (down, right)
    image, truth = aligned(shifted, target)
    assert image.shape == (3, 28, 33)
    assert torch.equal(truth, target[:, 6:-6, 6:-6])
    assert torch.equal(image, truth)


def test_of_equal_shifts_the_smallest_is_taken() -> None:
    flat = torch.full((3, 40, 40), 0.5)
    assert best_shift(flat, flat) == (0, 0)


def test_what_cannot_be_aligned_is_refused() -> None:
    with pytest.raises(DataError, match="24x40 px is too small to search shifts of up to 6 px"):
        best_shift(torch.zeros(3, 40, 24), torch.zeros(3, 40, 24))
    with pytest.raises(DataError, match="must have one shape"):
        best_shift(torch.zeros(3, 40, 40), torch.zeros(3, 40, 41))
    with pytest.raises(DataError, match="must be finite"):
        best_shift(torch.full((3, 40, 40), float("nan")), torch.zeros(3, 40, 40))
