"""Plain statistics that a network pre-trained on small photographs of objects does not see."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

COUNT = 62
_LUMA = (0.299, 0.587, 0.114)
_REGION_PX = 512
_SMALL = 1e-4


def measure_statistics(image: Tensor, whole: Tensor, crops: Tensor) -> Tensor:
    """Measure light, colour, noise, sharpness and the traces of compression.

    Args:
        image: one image (1, 3, H, W), RGB in [0, 1].
        whole: the same image reduced, (1, 3, h, w).
        crops: crops of it at full resolution, (N, 3, p, q), the flattest last but one.

    Returns:
        (62,) of the order of 1.
    """
    height, width = image.shape[-2:]
    top, left = max(0, (height - _REGION_PX) // 2) // 8 * 8, max(0, (width - _REGION_PX) // 2) // 8 * 8
    region = _grey(image[..., top : top + _REGION_PX, left : left + _REGION_PX])
    parts = [
        _light(whole),
        _noise(crops),
        _sharpness(_grey(whole)),
        _sharpness(_grey(crops[-1:])),
        _grid(region),
        _grid(region.transpose(2, 3)),
        _flatness(image[..., top : top + _REGION_PX, left : left + _REGION_PX]),
    ]
    return torch.cat(parts)


def _grey(image: Tensor) -> Tensor:
    return (image * torch.tensor(_LUMA).to(image).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _log(value: Tensor) -> Tensor:
    """Return logarithms brought to the order of 1; what is below 1e-4 counts as 1e-4."""
    return value.clamp(min=_SMALL).log10() + 2


def _quantiles(values: Tensor, at: tuple[float, ...]) -> Tensor:
    flat = values.flatten()
    # Sorting is what it costs, and a part of the values tells as much.
    step = max(1, flat.numel() // 12_000)
    return torch.quantile(flat[::step], torch.tensor(at).to(flat))


def _light(whole: Tensor) -> Tensor:
    """Levels of light, of the dark channel (He et al., CVPR 2009), of the colour, and of its cast: (24,)."""
    small = functional.avg_pool2d(whole, 2)
    grey = _grey(small)
    least = -functional.max_pool2d(-small.amin(1, keepdim=True), 5, 1, 2)
    most, low = small.amax(1), small.amin(1)
    saturation = (most - low) / most.clamp(min=0.02)
    means = small.mean((0, 2, 3))
    local = (grey - functional.avg_pool2d(grey, 7, 1, 3, count_include_pad=False)).abs()
    return torch.cat(
        [
            _quantiles(grey, (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)),
            _quantiles(least, (0.05, 0.25, 0.5, 0.75, 0.95)),
            _quantiles(saturation, (0.1, 0.5, 0.9)),
            (means - means.mean()) / means.mean().clamp(min=0.02),
            _log(means.mean()[None]),
            _log(_quantiles(local, (0.25, 0.5, 0.9))),
            torch.stack([(grey < 2.5 / 255).float().mean(), (grey > 252.5 / 255).float().mean()]),
        ]
    )


def _noise(crops: Tensor) -> Tensor:
    """Deviations of the finest detail in blocks of 8 pixels, of light and of colour: (16,)."""
    grey = _grey(crops)
    colour = crops[:, :1] - crops[:, 2:]
    found = []
    for plane in (grey, colour):
        detail = plane[..., 1:, 1:] - plane[..., :-1, 1:] - plane[..., 1:, :-1] + plane[..., :-1, :-1]
        blocks = functional.avg_pool2d(detail.square(), 8).sqrt() / 2
        found.append(_log(_quantiles(blocks, (0.05, 0.1, 0.25, 0.5, 0.75, 0.95))))
        found.append(_log(_quantiles(blocks[-2:-1], (0.25, 0.5))))
    return torch.cat(found)


def _sharpness(grey: Tensor) -> Tensor:
    """Contrast at five scales, each relative to the next coarser one but the last: (5,)."""
    contrasts = []
    for _ in range(5):
        smooth = functional.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)
        contrasts.append((grey - smooth).square().mean().sqrt())
        if min(grey.shape[-2:]) > 4:
            grey = functional.avg_pool2d(grey, 2)
    logs = _log(torch.stack(contrasts))
    return torch.cat([logs[:-1] - logs[1:], logs[-1:]])


def _grid(grey: Tensor) -> Tensor:
    """How much the columns of a grid of 8 pixels stand out, whatever its origin: (4,)."""
    if grey.shape[3] < 18:
        return grey.new_zeros(4)
    steps = (grey[..., 1:] - grey[..., :-1]).abs()
    jump = (steps[..., 1:-1] - (steps[..., :-2] + steps[..., 2:]) / 2).clamp(min=0)
    columns = jump.clamp(max=0.1).mean((0, 1, 2))
    columns = columns[: columns.numel() // 8 * 8].view(-1, 8)
    phases = columns.mean(0)
    # Where nothing changes at all, no column stands out.
    ranked = phases.sort(descending=True).values.clamp(min=_SMALL)
    middle = ranked[2:].mean()
    # The same of every single period tells compression from a picture with eight lines of its own.
    each = columns.gather(1, phases.argmax().expand(columns.shape[0], 1))[:, 0]
    rest = (columns.sum(1) - each) / 7
    share = (each > rest * 1.2).float().mean()
    return torch.stack([(ranked[0] / middle).log(), (ranked[0] / ranked[1]).log(), share, _log(middle)])


def _flatness(image: Tensor) -> Tensor:
    """Shares of equal neighbours and of colourless pixels, as in drawings and grey pictures: (4,)."""
    across = (image[..., 1:] - image[..., :-1]).abs().amax(1)
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().amax(1)
    spread = image.amax(1) - image.amin(1)
    shares = [
        (each < 0.5 / 255).float().mean() if each.numel() else image.new_ones(()) for each in (across, down)
    ]
    shares += [(spread < 1.5 / 255).float().mean(), spread.mean() * 4]
    return torch.stack(shares)
