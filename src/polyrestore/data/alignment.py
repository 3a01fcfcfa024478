"""Find by how many whole pixels an image is shifted against its target.

Some data sets pair a blurred image with a frame that is not its middle one. A correct result is then shifted
against the target, and a plain PSNR punishes it for that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyrestore.errors import DataError

MAXIMUM_SHIFT_PX = 6


def best_shift(image: Tensor, target: Tensor, maximum_px: int = MAXIMUM_SHIFT_PX) -> tuple[int, int]:
    """Return the shift (down, right) of an image against its target with the smallest mean squared error.

    Every shift is judged on the same part of the target, its interior beyond ``maximum_px``, so that none
    gains by leaving something out. Of equally good shifts the smallest is taken.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        maximum_px: largest shift that is tried, in each direction.

    Raises:
        DataError: the shapes differ, or the images are too small for the search.
    """
    _check(image, target, maximum_px)
    grey, truth = image.mean(0, keepdim=True), target.mean(0, keepdim=True)
    interior = _window(truth, 0, 0, maximum_px)
    steps = range(-maximum_px, maximum_px + 1)
    shifts = [(down, right) for down in steps for right in steps]
    shifts.sort(key=lambda shift: shift[0] ** 2 + shift[1] ** 2)
    errors = [float((_window(grey, *shift, maximum_px) - interior).square().mean()) for shift in shifts]
    return shifts[errors.index(min(errors))]


def aligned(image: Tensor, target: Tensor, maximum_px: int = MAXIMUM_SHIFT_PX) -> tuple[Tensor, Tensor]:
    """Return an image, shifted onto its target, and the target, both without a border of ``maximum_px``.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        maximum_px: largest shift that is tried, in each direction.

    Returns:
        two tensors (3, H - 2 * maximum_px, W - 2 * maximum_px).

    Raises:
        DataError: the shapes differ, or the images are too small for the search.
    """
    return cut_shifted(image, target, best_shift(image, target, maximum_px), maximum_px)


def cut_shifted(
    image: Tensor, target: Tensor, shift: tuple[int, int], maximum_px: int = MAXIMUM_SHIFT_PX
) -> tuple[Tensor, Tensor]:
    """Return an image, shifted back onto its target, and the target, both without a border of ``maximum_px``.

    Args:
        image: (3, H, W).
        target: of the same shape.
        shift: of the image against the target, down and right, at most ``maximum_px`` each.
        maximum_px: width of the border.

    Returns:
        two tensors (3, H - 2 * maximum_px, W - 2 * maximum_px).
    """
    return _window(image, *shift, maximum_px), _window(target, 0, 0, maximum_px)


def _window(image: Tensor, down: int, right: int, margin_px: int) -> Tensor:
    height, width = image.shape[-2:]
    top, left = margin_px + down, margin_px + right
    return image[:, top : top + height - 2 * margin_px, left : left + width - 2 * margin_px]


def _check(image: Tensor, target: Tensor, maximum_px: int) -> None:
    if image.shape != target.shape:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise DataError(f"images to align must have one shape, not {shapes}")
    if min(image.shape[-2:]) <= 4 * maximum_px:
        raise DataError(
            f"{image.shape[-1]}x{image.shape[-2]} px is too small to search shifts of up to {maximum_px} px"
        )
    if not bool(torch.isfinite(image).all() and torch.isfinite(target).all()):
        raise DataError("images to align must be finite")
