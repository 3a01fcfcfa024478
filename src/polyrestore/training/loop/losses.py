"""Losses between restored and clean images, one value for each sample."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

CHARBONNIER_SOFTNESS = 1e-3
STRUCTURE_SHARE = 0.1
_SCALES = 3
_WINDOW_PX = 7
# For values in [0, 1] (Wang et al., IEEE TIP 2004).
_MEAN_FLOOR, _VARIANCE_FLOOR = 0.01**2, 0.03**2


def charbonnier(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the mean of sqrt(error^2 + 1e-6), an L1 smooth at zero (Charbonnier et al., ICIP 1994)."""
    return _mean(((restored - clean).square() + CHARBONNIER_SOFTNESS**2).sqrt())


def l1_and_structure(restored: Tensor, clean: Tensor) -> Tensor:
    """Return L1 + 0.1 x (1 - SSIM averaged over three scales), a perceptual loss that needs no weights.

    L1 with multi-scale SSIM is what Zhao et al. found best for the eye (IEEE TCI 2017, arXiv 1511.08861,
    section III). They multiply the scales, under Gaussian windows, and give L1 a share of 0.16. Ours: the
    mean over scales, whose gradient does not vanish with one of them; uniform windows of 7 px, each scale
    half the last by averaging; and shares at which both terms are about as large for small errors.
    """
    return _mean((restored - clean).abs()) + STRUCTURE_SHARE * structure_error(restored, clean)


def structure_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Return one minus the mean SSIM (Wang et al., IEEE TIP 2004) over up to three scales.

    Args:
        restored: (B, 3, H, W), in [0, 1] or near it.
        clean: likewise.

    Returns:
        (B,), 0 for equal images and at most 2. Scales smaller than a window of 7 px are left out, but for the
        first, whose window is then the image.
    """
    total, scales = restored.new_zeros(len(restored)), 0
    for scale in range(_SCALES):
        if scale:
            if min(restored.shape[-2:]) < 2 * _WINDOW_PX:
                break
            restored, clean = functional.avg_pool2d(restored, 2), functional.avg_pool2d(clean, 2)
        total, scales = total + _mean(_ssim(restored, clean)), scales + 1
    return 1 - total / scales


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    window = min(_WINDOW_PX, *first.shape[-2:])

    def local(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, window, stride=1)

    mean_first, mean_second = local(first), local(second)
    # Rounding can take a variance just below zero.
    variance = (local(first * first) - mean_first**2 + local(second * second) - mean_second**2).clamp(min=0)
    covariance = local(first * second) - mean_first * mean_second
    means = (2 * mean_first * mean_second + _MEAN_FLOOR) / (mean_first**2 + mean_second**2 + _MEAN_FLOOR)
    return means * (2 * covariance + _VARIANCE_FLOOR) / (variance + _VARIANCE_FLOOR)


def _mean(values: Tensor) -> Tensor:
    return values.mean((1, 2, 3))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda restored, clean: _mean(functional.l1_loss(restored, clean, reduction="none")),
    "mse": lambda restored, clean: _mean(functional.mse_loss(restored, clean, reduction="none")),
    "smooth_l1": lambda restored, clean: _mean(functional.smooth_l1_loss(restored, clean, reduction="none")),
    "charbonnier": charbonnier,
    "l1+structure": l1_and_structure,
}
"""By name: map (B, 3, H, W) twice to (B,)."""
