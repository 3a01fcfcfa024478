import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.backbones.deformable import deformable_convolution


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (5, 4)])
def test_without_offsets_it_is_an_ordinary_convolution(height: int, width: int) -> None:
    features, weight = random(2, 3, height, width), random(4, 3, 3, 3)
    offsets, mask = torch.zeros(2, 18, height, width).double(), torch.ones(2, 9, height, width).double()
    result = deformable_convolution(features, weight, offsets, mask)
    torch.testing.assert_close(result, functional.conv2d(features, weight, padding=1))
    torch.testing.assert_close(
        deformable_convolution(features, weight, offsets, 0.25 * mask),
        0.25 * functional.conv2d(features, weight, padding=1),
    )


def test_every_tap_reads_where_its_offset_says_and_zero_outside() -> None:
    features, weight = random(1, 1, 6, 5), random(1, 1, 3, 3)
    offsets = 6 * random(1, 18, 6, 5) - 3
    mask = random(1, 9, 6, 5)

    def pixel(y: int, x: int) -> float:
        return float(features[0, 0, y, x]) if 0 <= y < 6 and 0 <= x < 5 else 0.0

    expected = torch.zeros(1, 1, 6, 5, dtype=torch.float64)
    for row in range(6):
        for column in range(5):
            for tap in range(9):
                y = row + tap // 3 - 1 + float(offsets[0, 2 * tap, row, column])
                x = column + tap % 3 - 1 + float(offsets[0, 2 * tap + 1, row, column])
                top, left = int(y // 1), int(x // 1)
                down, right = y - top, x - left
                value = (1 - down) * ((1 - right) * pixel(top, left) + right * pixel(top, left + 1))
                value += down * ((1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1))
                factor = float(weight[0, 0, tap // 3, tap % 3]) * float(mask[0, tap, row, column])
                expected[0, 0, row, column] += factor * value
    torch.testing.assert_close(deformable_convolution(features, weight, offsets, mask), expected)


def test_gradients_equal_finite_differences() -> None:
    features, weight = random(1, 2, 3, 2), random(1, 2, 3, 3)
    # Away from whole pixels, where bilinear reading has a kink; some taps lie outside.
    offsets = 0.1 + 0.8 * random(1, 18, 3, 2) + torch.arange(-2, 2).repeat(27).view(1, 18, 3, 2)
    inputs = [tensor.requires_grad_() for tensor in (features, weight, offsets, random(1, 9, 3, 2))]
    assert torch.autograd.gradcheck(deformable_convolution, inputs)
