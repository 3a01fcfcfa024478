"""PSNR and SSIM with a stated protocol, by torchmetrics.

The same two images can differ by decibels in their PSNR depending on channels, rounding and crop, so a figure
never travels without its :class:`Protocol`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyrestore.errors import DataError

PSNR_CAP_DB = 100.0

_GAUSSIAN_SIGMA = 1.5
_WINDOW_PX = {"gaussian": 11, "uniform": 7}
# ITU-R BT.601 luma in [16, 235] / 255, as MATLAB's rgb2ycbcr gives it.
_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
_LUMA_OFFSET = 16 / 255


@dataclass(frozen=True)
class Protocol:
    """How a metric is computed.

    Attributes:
        channels: ``"rgb"``, or ``"y"`` for BT.601 luma.
        rounded: True to round to 8 bits first, as a file would be.
        crop_px: border that is left out.
        window: SSIM's window: ``"gaussian"`` (11x11, sigma 1.5) or ``"uniform"`` (7x7).
    """

    channels: str = "rgb"
    rounded: bool = True
    crop_px: int = 0
    window: str = "gaussian"

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "y"):
            raise DataError(f"protocol channels must be 'rgb' or 'y', not {self.channels!r}")
        if self.window not in _WINDOW_PX:
            raise DataError(f"protocol window must be 'gaussian' or 'uniform', not {self.window!r}")
        if self.crop_px < 0:
            raise DataError(f"protocol crop must be at least 0 px, not {self.crop_px}")

    def __str__(self) -> str:
        channels = "RGB" if self.channels == "rgb" else "BT.601 luma"
        depth = "rounded to 8 bits" if self.rounded else "not rounded"
        crop = f"{self.crop_px} px border left out" if self.crop_px else "no crop"
        size = _WINDOW_PX[self.window]
        window = f"{self.window} {size}x{size}"
        if self.window == "gaussian":
            window += f" sigma {_GAUSSIAN_SIGMA}"
        return f"{channels}, {depth}, {crop}, SSIM window {window}"


def psnr(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the peak signal-to-noise ratio in decibels; infinity for equal images.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: how to compare.

    Raises:
        DataError: the shapes differ, or the crop leaves nothing.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    first, second = _prepare(image, target, protocol)
    return float(peak_signal_noise_ratio(first, second, data_range=1.0))


def ssim(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the structural similarity (Wang et al., TIP 2004), the mean over channels and full windows.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: how to compare.

    Raises:
        DataError: the shapes differ, or the crop leaves less than one window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = _prepare(image, target, protocol)
    size = _WINDOW_PX[protocol.window]
    if min(first.shape[-2:]) < size:
        raise DataError(f"SSIM needs at least {size}x{size} px, not {first.shape[-1]}x{first.shape[-2]}")
    value = structural_similarity_index_measure(
        first,
        second,
        gaussian_kernel=protocol.window == "gaussian",
        sigma=_GAUSSIAN_SIGMA,
        kernel_size=size,
        data_range=1.0,
    )
    return float(value)


def mean_psnr(values: Iterable[float]) -> float:
    """Return the mean of figures in decibels; equal images count as :data:`PSNR_CAP_DB`.

    Without the cap, one image that is left alone would make the mean of a set infinite.

    Raises:
        DataError: there are no values.
    """
    capped = [min(value, PSNR_CAP_DB) for value in values]
    if not capped:
        raise DataError("no figures to average")
    return sum(capped) / len(capped)


def json_number(value: float) -> float | str:
    """Return a number that JSON can hold: the words ``"inf"`` and ``"nan"`` where it has none."""
    return value if math.isfinite(value) else str(value)


def _prepare(image: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    if image.shape != target.shape or image.dim() != 3 or image.shape[0] != 3:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise DataError(f"images to compare must have one shape (3, H, W), not {shapes}")
    crop = protocol.crop_px
    if min(image.shape[-2:]) <= 2 * crop:
        raise DataError(f"a crop of {crop} px leaves nothing of {image.shape[-1]}x{image.shape[-2]} px")
    return _as_compared(image, protocol), _as_compared(target, protocol)


def _as_compared(image: Tensor, protocol: Protocol) -> Tensor:
    # Sums over millions of squared differences lose digits in float32.
    pixels = image.detach().to("cpu", torch.float64).clamp(0, 1)
    if protocol.rounded:
        pixels = (pixels * 255).round() / 255
    if protocol.channels == "y":
        luma = torch.tensor(_LUMA, dtype=pixels.dtype).view(3, 1, 1)
        pixels = (pixels * luma).sum(0, keepdim=True) + _LUMA_OFFSET
    crop = protocol.crop_px
    height, width = pixels.shape[-2:]
    return pixels[:, crop : height - crop, crop : width - crop].unsqueeze(0)
