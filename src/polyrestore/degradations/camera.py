"""Noise as a camera leaves it in the file: from the sensor through development to the stored values.

The ranges below were fitted to 60 crops of ten scenes at ISO 800 to 6400 by three makers (PolyU, Xu et al.,
2018, arXiv 1804.02603), in the smooth parts of the pictures, less what varies over more than 12 px. There
the noise of luma correlates by 0.1 to 0.6 between neighbours and by -0.2 to 0.3 at two pixels, since cameras
sharpen or smooth; that of Cr is 0.1 to 0.85 times as strong, and correlates by 0.8, 0.63, 0.33 and 0.08 at
1, 2, 4 and 8 px; luma noise peaks at values of 70 to 130 of 255, and falls to about half in black and near
white.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import log_uniform, uniform

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
CONTRAST = (0.4, 1.0)
GAMMA = (1.7, 2.3)
RED_GAIN, BLUE_GAIN = (1.4, 2.4), (1.2, 2.2)
READ_SHARE = (1e-5, 3e-3)
LUMA_SIDE_TAP = (-0.26, 0.12)
CHROMA_RATIO = (0.12, 0.85)
COARSE_CHROMA = (0.2, 0.8)
_LEVELS = 256


def camera_error(image: Tensor, strength: Tensor, generator: Generator) -> Tensor:
    """Draw what a camera adds to a photograph.

    Noise arises on the one colour that each sensor pixel measures: shot noise, whose variance grows with the
    light, and read noise. White balance, demosaicing, colour matrix and tone curve carry it into the file;
    the camera sharpens or smooths luma and smooths chroma. The error is carried through to first order, so
    the photograph itself is not developed a second time.

    Args:
        image: (B, 3, H, W), developed RGB in [0, 1].
        strength: (B, 1, 1, 1) standard deviation of luma at the brightness where it is greatest, in [0, 1].
        generator: source of all randomness.

    Returns:
        (B, 3, H, W), to be added to the image.
    """
    count = image.shape[0]
    linear, slope = _tone_tables(count, generator)
    gains = torch.cat(
        [
            uniform(generator, count, *RED_GAIN),
            torch.ones(count, 1, 1, 1),
            uniform(generator, count, *BLUE_GAIN),
        ],
        1,
    )
    read = log_uniform(generator, count, *READ_SHARE)
    deviation = (linear[:, None] / gains.flatten(2) + read.flatten(2)).sqrt()
    index = (image.clamp(0, 1) * (_LEVELS - 1)).round().long().flatten(2)
    measured = deviation.gather(2, index).view_as(image)
    slopes = slope[:, None].expand(-1, 3, -1).gather(2, index).view_as(image)
    raw = mosaic(measured * torch.randn((count, 1, *image.shape[2:]), generator=generator))
    developed = torch.einsum("bij,bjhw->bihw", _colour_matrix(count, generator), demosaic(raw) * gains)
    luma, chroma = _split(developed * slopes)
    luma = _filter_plane(luma, uniform(generator, count, *LUMA_SIDE_TAP))
    profile = deviation[:, 1] * slope
    here = (measured[:, 1:2] * slopes[:, 1:2]).square().mean((2, 3), keepdim=True).sqrt()
    target = strength * here / profile.amax(1).view(-1, 1, 1, 1)
    chroma = _smooth_chroma(chroma, generator)
    ratio = uniform(generator, count, *CHROMA_RATIO)
    return _join(luma * target / _spread(luma), chroma * target * ratio / _spread(chroma[:, 1:]))


def _tone_tables(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw tone curves; return for 256 stored levels the linear light and the curve's slope, (B, 256).

    A power, followed by a part of the curve 3 x^2 - 2 x^3 that Brooks et al. use (CVPR 2019,
    arXiv 1811.11127), which has an inverse in closed form.
    """
    contrast, gamma = uniform(generator, count, *CONTRAST), uniform(generator, count, *GAMMA)
    contrast, gamma = contrast.view(-1, 1), gamma.view(-1, 1)
    stored = torch.linspace(0.5 / _LEVELS, 1 - 0.5 / _LEVELS, _LEVELS)[None]
    inverse = 0.5 - torch.sin(torch.asin(1 - 2 * stored) / 3)
    linear = torch.lerp(stored.expand_as(inverse), inverse, contrast) ** gamma
    step = torch.gradient(linear, spacing=1.0 / _LEVELS, dim=1)[0]
    return linear, 1 / step.clamp(min=1e-3)


def _colour_matrix(count: int, generator: Generator) -> Tensor:
    """Draw matrices from sensor colours to RGB (B, 3, 3); each row sums to 1, so that grey stays grey."""
    mixing = 0.15 + 0.45 * torch.rand((count, 3, 3), generator=generator)
    mixing = -mixing * torch.tensor([[0.0, 1.0, 0.25], [0.4, 0.0, 0.7], [0.1, 1.0, 0.0]])
    return mixing + torch.diag_embed(1 - mixing.sum(2))


def _split(error: Tensor) -> tuple[Tensor, Tensor]:
    """Split (B, 3, H, W) into luma (B, 1, H, W) and the chroma Cb, Cr (B, 2, H, W)."""
    weights = torch.tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)
    luma = (error * weights).sum(1, keepdim=True)
    return luma, torch.cat([(error[:, 2:] - luma) / 1.772, (error[:, :1] - luma) / 1.402], 1)


def _join(luma: Tensor, chroma: Tensor) -> Tensor:
    blue, red = chroma[:, :1], chroma[:, 1:]
    return torch.cat([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], 1)


def _filter_plane(planes: Tensor, side: Tensor) -> Tensor:
    """Filter with (side, 1 - 2 side, side) along both axes: positive smooths, negative sharpens."""
    for axis in (2, 3):
        if planes.shape[axis] > 1:
            planes = planes + side * (planes.roll(1, axis) + planes.roll(-1, axis) - 2 * planes)
    return planes


def _smooth_chroma(chroma: Tensor, generator: Generator) -> Tensor:
    """Smooth chroma as cameras do: fine noise goes, blotches of a few pixels and some larger ones stay."""
    size, count = chroma.shape[2:], chroma.shape[0]
    half = _filter_plane(
        functional.avg_pool2d(chroma, 2, ceil_mode=True), uniform(generator, count, 0.12, 0.3)
    )
    quarter = functional.avg_pool2d(half, 2, ceil_mode=True)
    quarter = functional.interpolate(quarter, size=half.shape[2:], mode="bilinear")
    coarse = uniform(generator, count, *COARSE_CHROMA)
    mixed = half / _spread(half) * (1 - coarse) + quarter / _spread(quarter) * coarse
    return functional.interpolate(mixed, size=size, mode="bilinear")


def _spread(planes: Tensor) -> Tensor:
    """Return the root mean square of each image, (B, 1, 1, 1)."""
    return planes.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6)


def mosaic(image: Tensor) -> Tensor:
    """Keep the one colour that each pixel of an RGGB sensor measures: (B, 3, H, W) with zeros elsewhere."""
    mask = torch.zeros_like(image[:1])
    mask[:, 0, 0::2, 0::2] = 1
    mask[:, 1, 0::2, 1::2] = 1
    mask[:, 1, 1::2, 0::2] = 1
    mask[:, 2, 1::2, 1::2] = 1
    return image * mask


def demosaic(raw: Tensor) -> Tensor:
    """Fill the missing colours of an RGGB mosaic bilinearly: (B, 3, H, W) to the same shape."""
    red_blue = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
    green = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
    kernels = torch.stack([red_blue, green, red_blue])[:, None]
    present = mosaic(torch.ones_like(raw[:1]))
    filled = functional.conv2d(raw, kernels, padding=1, groups=3)
    return filled / functional.conv2d(present, kernels, padding=1, groups=3).clamp(min=0.25)
