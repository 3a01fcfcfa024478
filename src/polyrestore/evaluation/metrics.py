"""PSNR, SSIM and MS-SSIM with a stated protocol.

The same two images can differ by decibels in their PSNR depending on channels, rounding and crop, so a figure
never travels without its :class:`Protocol`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.errors import ProtocolError

PSNR_CAP_DB = 100.0

_GAUSSIAN_SIGMA = 1.5
_WINDOW_PX = {"gaussian": 11, "uniform": 7}
# The squares of (0.01, 0.03) times the range of the values, which keep SSIM's quotients finite.
_SSIM_CONSTANTS = (0.01**2, 0.03**2)
# MS-SSIM's, from the finest scale to the coarsest.
_SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
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
        window: SSIM's window: ``"gaussian"`` (11x11, sigma 1.5, as published) or ``"uniform"`` (7x7 with the
            sample covariance: scikit-image's default, by which all-in-one restoration is compared).
        multiple: images are cut in their middle to multiples of this many pixels before they are restored.
    """

    channels: str = "rgb"
    rounded: bool = True
    crop_px: int = 0
    window: str = "gaussian"
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "y"):
            raise ProtocolError(f"protocol channels must be 'rgb' or 'y', not {self.channels!r}")
        if self.window not in _WINDOW_PX:
            raise ProtocolError(f"protocol window must be 'gaussian' or 'uniform', not {self.window!r}")
        if self.crop_px < 0:
            raise ProtocolError(f"protocol crop must be at least 0 px, not {self.crop_px}")
        if self.multiple < 1:
            raise ProtocolError(f"protocol multiple must be at least 1 px, not {self.multiple}")

    def middle(self, image: Tensor) -> Tensor:
        """Cut the middle of an image (..., H, W) whose sides are whole multiples.

        Raises:
            ProtocolError: the image is smaller than one of them.
        """
        height, width = image.shape[-2:]
        tall, wide = (side // self.multiple * self.multiple for side in (height, width))
        if min(tall, wide) == 0:
            raise ProtocolError(f"{width}x{height} px are less than the protocol's {self.multiple} px")
        top, left = (height - tall) // 2, (width - wide) // 2
        return image[..., top : top + tall, left : left + wide]

    @property
    def comparison(self) -> str:
        """What is compared, in words: all that matters to PSNR."""
        channels = "RGB" if self.channels == "rgb" else "BT.601 luma"
        depth = "rounded to 8 bits" if self.rounded else "not rounded"
        crop = f"{self.crop_px} px border left out" if self.crop_px else "no crop"
        middle = f", cut to multiples of {self.multiple} px" if self.multiple > 1 else ""
        return f"{channels}, {depth}, {crop}{middle}"

    def __str__(self) -> str:
        size = _WINDOW_PX[self.window]
        detail = f"sigma {_GAUSSIAN_SIGMA}" if self.window == "gaussian" else "sample covariance"
        return f"{self.comparison}, SSIM window {self.window} {size}x{size} {detail}"


def psnr(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the peak signal-to-noise ratio in decibels; infinity for equal images.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: how to compare.

    Raises:
        ProtocolError: the shapes differ, or the crop leaves nothing.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    first, second = prepare(image, target, protocol)
    return float(peak_signal_noise_ratio(first, second, data_range=1.0))


def ssim(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the structural similarity (Wang et al., IEEE TIP 2004, eq. 13).

    It is the mean over channels and over the windows that lie in the image as a whole, with variances and
    covariance divided by N for the Gaussian window and by N - 1 for the uniform one of N pixels.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: how to compare.

    Raises:
        ProtocolError: the shapes differ, or the crop leaves less than one window.
    """
    first, second = prepare(image, target, protocol)
    _require_windows(first, protocol.window, "SSIM", 1)
    similarity, _ = _compare_windows(first, second, protocol.window)
    return float(similarity.mean())


def ms_ssim(image: Tensor, target: Tensor, protocol: Protocol) -> float:
    """Return the multi-scale structural similarity (Wang et al., Asilomar 2003, eq. 7).

    Contrast and structure are compared at five scales, each half as large as the one before, and luminance at
    the coarsest, with the published exponents; a product for each channel, of which the mean is returned. A
    negative mean of a scale counts as 0, since it has no power.

    Args:
        image: (3, H, W), RGB in [0, 1].
        target: the truth, of the same shape.
        protocol: how to compare; its window is that of every scale.

    Raises:
        ProtocolError: the shapes differ, or the coarsest scale is smaller than one window.
    """
    first, second = prepare(image, target, protocol)
    coarsest = 2 ** (len(_SCALE_EXPONENTS) - 1)
    _require_windows(first, protocol.window, "MS-SSIM", coarsest)
    product = torch.ones(first.shape[1], dtype=first.dtype)
    for scale, exponent in enumerate(_SCALE_EXPONENTS):
        if scale:
            first, second = _halve(first), _halve(second)
        whole, contrast = _compare_windows(first, second, protocol.window)
        last = scale == len(_SCALE_EXPONENTS) - 1
        product *= (whole if last else contrast).clamp(min=0) ** exponent
    return float(product.mean())


def mean_psnr(values: Iterable[float]) -> float:
    """Return the mean of figures in decibels; equal images count as :data:`PSNR_CAP_DB`.

    Without the cap, one image that is left alone would make the mean of a set infinite.

    Raises:
        ProtocolError: there are no values.
    """
    capped = [min(value, PSNR_CAP_DB) for value in values]
    if not capped:
        raise ProtocolError("no figures to average")
    return sum(capped) / len(capped)


def json_number(value: float) -> float | str:
    """Return a number that JSON can hold: the words ``"inf"`` and ``"nan"`` where it has none."""
    return value if math.isfinite(value) else str(value)


def _compare_windows(first: Tensor, second: Tensor, window: str) -> tuple[Tensor, Tensor]:
    """Return SSIM and its factor of contrast and structure: (C,) each, the means over all windows."""
    size = _WINDOW_PX[window]
    products = torch.cat([first, second, first.square(), second.square(), first * second])
    mean1, mean2, square1, square2, product = _window_means(products, _window_profile(window))
    correction = size**2 / (size**2 - 1) if window == "uniform" else 1.0
    variances = correction * (square1 - mean1.square() + square2 - mean2.square())
    covariance = correction * (product - mean1 * mean2)
    c1, c2 = _SSIM_CONSTANTS
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean1 * mean2 + c1) / (mean1.square() + mean2.square() + c1)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


def _halve(image: Tensor) -> Tensor:
    """Map (1, C, H, W) to the means of squares of 2 px; an odd last row or column counts twice."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    return functional.avg_pool2d(padded, 2)


def _require_windows(image: Tensor, window: str, title: str, coarsest: int) -> None:
    height, width = image.shape[-2:]
    least = (_WINDOW_PX[window] - 1) * coarsest + 1
    if min(height, width) < least:
        raise ProtocolError(f"{title} needs at least {least}x{least} px, not {width}x{height}")


def _window_profile(window: str) -> Tensor:
    """Return one axis of SSIM's window, float64 with a sum of 1."""
    size = _WINDOW_PX[window]
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    spread = 2 * _GAUSSIAN_SIGMA**2
    profile = (-offsets.square() / spread).exp() if window == "gaussian" else torch.ones_like(offsets)
    return profile / profile.sum()


def _window_means(maps: Tensor, profile: Tensor) -> Tensor:
    """Map (N, C, H, W) to the weighted means (N, C, H - s + 1, W - s + 1) over all windows inside it."""
    # Shifted sums: a convolution in float64 is ten times slower.
    for axis in (2, 3):
        count = maps.shape[axis] - len(profile) + 1
        total = torch.zeros_like(maps.narrow(axis, 0, count))
        for place, weight in enumerate(profile.tolist()):
            total.add_(maps.narrow(axis, place, count), alpha=weight)
        maps = total
    return maps


def prepare(image: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Return an image and its target as a protocol compares them, (1, C, H, W) in float64 on the CPU.

    Args:
        image: (3, H, W), RGB; what is outside [0, 1] is clipped.
        target: the truth, of the same shape.
        protocol: how to compare: C is 1 for luma, else 3; H and W are less where it crops.

    Raises:
        ProtocolError: the shapes differ, or the crop leaves nothing.
    """
    if image.shape != target.shape or image.dim() != 3 or image.shape[0] != 3:
        shapes = f"{tuple(image.shape)} and {tuple(target.shape)}"
        raise ProtocolError(f"images to compare must have one shape (3, H, W), not {shapes}")
    crop = protocol.crop_px
    if min(image.shape[-2:]) <= 2 * crop:
        raise ProtocolError(f"a crop of {crop} px leaves nothing of {image.shape[-1]}x{image.shape[-2]} px")
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
