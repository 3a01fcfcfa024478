"""Take a veil of haze off by its physics: transmission and airlight estimated from a small copy of the image.

Koschmieder's law says I = J t + A (1 - t); given t and A, the scene is J = (I - A) / t + A. How dense haze
is cannot be told from a patch, so a small network sees the whole image at a fixed size, with the dark
channel (He et al., CVPR 2009) as a further input. What it predicts is made to follow the image's edges by a
guided filter whose coefficients are found at the small size and applied at full resolution (He and Sun,
"Fast Guided Filter", arXiv 1505.00996): there a transmission is two interpolated numbers and the pixel's
own brightness, so tiles equal the whole exactly.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyrestore.backbones.context_unet import scale_down
from polyrestore.backbones.layers import COLOUR_LEVELS, average_pool, colour_levels, size_of

OVERVIEW_PX = 96
LEAST_TRANSMISSION = 0.06
_DARK_WINDOW_PX = 7
_FILTER_RADIUS_PX = 4
_FILTER_SOFTNESS = 1e-3
_DARK_LEVELS = 3
# Learned from invented depths, a veil is found a little too thin where depths were measured.
_DENSER = 1.07
# Where the veil is thickest, the light itself is seen: shares of the image whose mean colour is looked at.
_THICKEST = (0.01, 0.05)


class VeilEstimator(nn.Module):
    """A small U-Net that estimates transmission and airlight on a small copy of the image.

    Args:
        width: channels at the first of three levels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.intro = nn.Conv2d(6, width, 3, padding=1)
        self.level1, self.down1 = _Residual(width), nn.Conv2d(width, 2 * width, 2, stride=2)
        self.level2, self.down2 = _Residual(2 * width), nn.Conv2d(2 * width, 4 * width, 2, stride=2)
        self.middle = nn.Sequential(_Residual(4 * width), _Residual(4 * width))
        self.up2, self.refine2 = nn.Conv2d(4 * width, 2 * width, 1), _Residual(2 * width)
        self.up1, self.refine1 = nn.Conv2d(2 * width, width, 1), _Residual(width)
        self.ending = nn.Conv2d(width, 1, 3, padding=1)
        pooled = 8 * width + COLOUR_LEVELS + _DARK_LEVELS + 3 * len(_THICKEST)
        self.density = nn.Linear(pooled, 1)
        self.airlight1, self.airlight2 = nn.Linear(pooled, 64), nn.Linear(64, 3)

    def forward(self, overview: Tensor) -> tuple[Tensor, Tensor]:
        """Return transmission (B, 1, S, S) and airlight (B, 3, 1, 1) of images (B, 3, S, S).

        S is a multiple of 4.
        """
        dark = dark_channel(overview)
        low, high = overview.amin(1, keepdim=True), overview.amax(1, keepdim=True)
        seen = torch.cat([overview, dark, low, high - low], dim=1) * 2 - 1
        fine = self.level1(self.intro(seen.contiguous(memory_format=torch.channels_last)))
        half = self.level2(self.down1(fine))
        quarter = self.middle(self.down2(half))
        ordered = dark.flatten(1).sort(dim=1).values
        levels = [ordered[:, round(share * (int(ordered.shape[1]) - 1)), None] for share in (0.1, 0.5, 0.99)]
        thickest = thickest_colours(overview, dark)
        pooled = [quarter.mean((2, 3)), quarter.amax((2, 3)), colour_levels(overview), *levels, *thickest]
        overall = torch.cat(pooled, dim=1)
        half = self.refine2(_doubled(self.up2(quarter)) + half)
        fine = self.refine1(_doubled(self.up1(half)) + fine)
        logits = self.ending(fine) + self.density(overall)[:, :, None, None]
        # The light is at least as bright as what is seen through most of it.
        beyond = self.airlight2(functional.gelu(self.airlight1(overall)))
        seen_light = thickest[0].clamp(0.02, 0.98)
        # In these words, since not every engine that a graph is made for knows the logit.
        light = torch.sigmoid((seen_light / (1 - seen_light)).log() + beyond)
        # Most photographs are lit brightly and show more scene than veil; training starts there.
        transmission = torch.sigmoid(logits + 1).clamp(min=0.04)
        return transmission, light[:, :, None, None]


class Veil(nn.Module):
    """Takes the veil off images and tiles of them, as far as its gate is open; a new one leaves images alone.

    What the whole image tells goes into a vector of :data:`VEIL_DIM` numbers: strength (1), airlight (3),
    height and width of the image and top and left of the tile in pixels (4), and slope and offset of the
    transmission over brightness, ``OVERVIEW_PX`` squared each.

    The gate is a linear layer with a constant input, for adapters to open: what they add to its weight, from
    0 to 1, is how much of the veil is taken off. An adapter that acts at half its weight takes off half.

    Args:
        width: channels of the estimator's first level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.estimator = VeilEstimator(width)
        self.gate = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.gate.weight)

    def context(self, image: Tensor) -> Tensor:
        """Map whole images (B, 3, H, W) in [0, 1] to (B, VEIL_DIM), for the tile that is the whole."""
        strength = cast(Tensor, self.gate(image.new_ones(len(image), 1)))
        place = torch.cat([size_of(image), image.new_zeros(2)]).expand(len(image), 4)
        if _closed(strength):
            nothing = image.new_zeros(len(image), VEIL_DIM - 5)
            return torch.cat([strength, nothing[:, :3], place, nothing[:, 3:]], dim=1)
        overview = average_pool(image, OVERVIEW_PX)
        transmission, light = self.estimator(overview)
        denser = transmission**_DENSER
        maps = [each.flatten(1) for each in guided_coefficients(overview, denser)]
        return torch.cat([strength, light.flatten(1), place, *maps], dim=1)

    def forward(self, image: Tensor, veil: Tensor) -> Tensor:
        """Return (B, 3, H, W), images or tiles under vectors (B, VEIL_DIM), not clipped."""
        strength = veil[:, 0, None, None, None]
        if _closed(strength):
            return image
        return torch.lerp(image, without_veil(image, veil), strength.clamp(0, 1).to(image.dtype))


VEIL_DIM = 8 + 2 * OVERVIEW_PX**2


def _closed(strength: Tensor) -> bool:
    """Return whether nothing is taken off and training cannot change that: the estimator need not run."""
    return not strength.requires_grad and not bool((strength > 0).any())


def veil_at(veil: Tensor, top: int, left: int) -> Tensor:
    """Return the vectors (B, VEIL_DIM) for a tile whose first pixel is at ``top``, ``left`` of the image."""
    moved = veil.clone()
    moved[:, 6], moved[:, 7] = top, left
    return moved


def without_veil(image: Tensor, veil: Tensor) -> Tensor:
    """Return J = (I - A) / t + A, not clipped, of images or tiles (B, 3, H, W).

    Args:
        image: RGB in [0, 1].
        veil: (B, VEIL_DIM), see :class:`Veil`.
    """
    light = veil[:, 1:4, None, None]
    size, corner = veil[:, 4:6], veil[:, 6:8]
    maps = veil[:, 8:].view(-1, 2, OVERVIEW_PX, OVERVIEW_PX)
    grids = []
    for axis, length in ((1, image.shape[3]), (0, image.shape[2])):
        pixels = torch.arange(length, device=image.device, dtype=torch.float32) + 0.5
        grids.append(2 * (pixels + corner[:, axis, None]) / size[:, axis, None] - 1)
    across = grids[0][:, None, :].expand(-1, image.shape[2], -1)
    down = grids[1][:, :, None].expand(-1, -1, image.shape[3])
    places = torch.stack([across, down], dim=3)
    fine = functional.grid_sample(maps, places, padding_mode="border", align_corners=False)
    slope, offset = fine.chunk(2, dim=1)
    return scene_behind(image, slope * image.mean(1, keepdim=True) + offset, light)


def scene_behind(hazy: Tensor, transmission: Tensor, light: Tensor) -> Tensor:
    """Return J = (I - A) / t + A, not clipped, with t between ``LEAST_TRANSMISSION`` and 1.

    Args:
        hazy: I, RGB in [0, 1], (B, 3, H, W).
        transmission: t, (B, 1, H, W).
        light: A, (B, 3, 1, 1).
    """
    return (hazy - light) / transmission.clamp(LEAST_TRANSMISSION, 1) + light


def dark_channel(image: Tensor) -> Tensor:
    """Return the least value of any channel in a window around every pixel: (B, 3, H, W) to (B, 1, H, W)."""
    least = image.amin(1, keepdim=True)
    return -functional.max_pool2d(-least, _DARK_WINDOW_PX, 1, _DARK_WINDOW_PX // 2)


def thickest_colours(image: Tensor, dark: Tensor) -> list[Tensor]:
    """Return the mean colours (B, 3) of the pixels whose dark channel is highest (He et al., CVPR 2009).

    Args:
        image: (B, 3, H, W).
        dark: its dark channel (B, 1, H, W).
    """
    colours, ordered = image.flatten(2), dark.flatten(1)
    found = []
    for share in _THICKEST:
        count = max(1, round(share * int(ordered.shape[1])))
        places = ordered.topk(count, dim=1).indices[:, None].expand(-1, 3, -1)
        found.append(colours.gather(2, places).mean(2))
    return found


def guided_coefficients(guide: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and offset (B, 1, H, W) each, so that slope x brightness + offset follows ``wanted``.

    Args:
        guide: (B, 3, H, W), whose mean over the channels is the brightness.
        wanted: (B, 1, H, W), what to make smooth but for the guide's edges.
    """

    def local(values: Tensor) -> Tensor:
        side = 2 * _FILTER_RADIUS_PX + 1
        return functional.avg_pool2d(values, side, 1, _FILTER_RADIUS_PX, count_include_pad=False)

    brightness = guide.mean(1, keepdim=True)
    mean, mean_wanted = local(brightness), local(wanted)
    covariance = local(brightness * wanted) - mean * mean_wanted
    slope = covariance / (local(brightness.square()) - mean.square() + _FILTER_SOFTNESS)
    return local(slope), local(mean_wanted - slope * mean)


class _Residual(nn.Module):
    """x + conv3(relu(conv3(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        scale_down(self.conv2)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = features + self.conv2(functional.relu(self.conv1(features)))
        return result


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
