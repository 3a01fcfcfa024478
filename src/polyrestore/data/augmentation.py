"""Make clean photographs more varied than the training folder is, without making them damaged ones.

A network that has seen no star takes stars for snow or for noise, and one that has seen no dim photograph
takes dim ones for underexposed.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.degradations.base import chance, log_uniform, pixel_grid, to_display, to_linear, uniform


def vary_light(image: Tensor, share: float, generator: Generator) -> Tensor:
    """Change the light, the contrast and the colours of some clean patches as photographers do.

    Photographs with black backgrounds, burnt-out skies, warm lamps or no colour at all are clean too, but
    rare in training folders; a recogniser that has not seen them takes them for damaged ones.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        share: probability that a patch is changed.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    count = image.shape[0]

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand((count, channels, 1, 1), generator=generator)

    def sometimes(probability: float) -> Tensor:
        return torch.rand((count, 1, 1, 1), generator=generator) < probability

    black = torch.where(sometimes(0.35), draw(0, 0.35), 0)
    white = torch.where(sometimes(0.35), draw(0.7, 1), 1)
    varied = ((image - black) / (white - black)).clamp(0, 1)
    varied = varied ** (2 ** draw(-0.7, 0.7))
    grey = varied.mean(1, keepdim=True)
    colourless = sometimes(0.08).float()
    varied = grey + (varied - grey) * draw(0.4, 1.3) * (1 - colourless)
    varied = varied * (1 + draw(-0.12, 0.12, channels=3) * (1 - colourless))
    return torch.where(sometimes(share), varied.clamp(0, 1), image)


def add_stars(image: Tensor, share: float, generator: Generator) -> Tensor:
    """Put stars into some photographs, most of which become night skies first.

    Stars are points of light as wide as a lens makes them, many faint ones for each bright one; they belong
    to the photograph. What a single pixel does alone does not: that is noise.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        share: probability that a photograph gets stars.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W) in [0, 1]; a photograph without colour, R = G = B, gets white stars.
    """
    rows = chance(generator, image.shape[0], share).flatten().nonzero().flatten()
    starry = image.clone()
    if rows.numel():
        starry[rows] = _put_stars(image[rows], generator)
    return starry


def vary_exposure(dark: Tensor, stops: float, generator: Generator) -> Tensor:
    """Expose dark photographs a little more or less, so that darkness does not give away what they show.

    A few pairs of one camera and place are soon known by heart; the same scene in another exposure is not.

    Args:
        dark: (B, 3, H, W) in [0, 1].
        stops: most of the change of light, in powers of two; each channel differs by up to a tenth of it.
        generator: source of all randomness.

    Returns:
        (B, 3, H, W) in [0, 1], rounded to 8 bits as a camera writes it.
    """
    count = dark.shape[0]
    change = uniform(generator, count, -stops, stops)
    own = 0.1 * stops * (2 * torch.rand((count, 3, 1, 1), generator=generator) - 1)
    # Half a level of dither fills the gaps that more light would open between the levels.
    dither = (torch.rand(dark.shape, generator=generator) - 0.5) / 255
    exposed = to_display(to_linear((dark + dither).clamp(0, 1)) * 2 ** (change + own))
    return (exposed.clamp(0, 1) * 255).round() / 255


def _put_stars(image: Tensor, generator: Generator) -> Tensor:
    count, height, width = image.shape[0], *image.shape[2:]
    glow = uniform(generator, count, 0, 0.06)
    night = glow + image.square() * uniform(generator, count, 0.02, 0.4)
    sky = torch.where(chance(generator, count, 0.75) > 0, night, image)
    wanted = log_uniform(generator, count, 1e-4, 8e-3).view(-1, 1) * height * width + 1
    most = int(wanted.max())
    places = torch.randint(height * width, (count, most), generator=generator)
    # As many stars are brighter than b as b to the power of -1.2 says.
    bright = 0.06 * torch.rand((count, most), generator=generator).clamp(min=1e-4) ** (-1 / 1.2)
    bright = bright.clamp(max=2) * (torch.arange(most) < wanted)
    coloured = (image != image[:, :1]).flatten(1).any(1).float().view(-1, 1, 1)
    tint = 1 + 0.25 * coloured * (torch.rand((count, 3, most), generator=generator) - 0.5)
    points = torch.zeros((count, 3, height * width))
    points.scatter_add_(2, places[:, None].expand(-1, 3, -1), bright[:, None] * tint)
    spread = 2 * log_uniform(generator, count, 0.5, 1.1).square()
    down, across = (axis - 4 for axis in pixel_grid((9, 9)))
    spot = torch.exp(-(down.square() + across.square()) / spread)
    points = points.view(1, count * 3, height, width)
    spots = spot.repeat_interleave(3, 0)
    shine = functional.conv2d(points, spots, padding=4, groups=count * 3).view_as(image)
    return (sky + shine).clamp(0, 1)


def squeeze_range(
    degraded: Tensor, clean: Tensor, share: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Move some noisy photographs and their clean ones into a part of the range, mostly near black.

    So do microscopes, which write 12 bits into files of 16, and photographs of dark or misty things: what
    counts as noise there is small against the range of the picture, and not against that of the file.

    Args:
        degraded: (B, 3, H, W) in [0, 1].
        clean: (B, 3, H, W), the same photographs without the noise.
        share: probability that a photograph is squeezed.
        generator: source of all randomness.

    Returns:
        Both, in [0, 1]. Half of the squeezed ones are rounded to 8 bits again, the others keep finer steps.
    """
    count = degraded.shape[0]
    chosen = chance(generator, count, share)
    factor = log_uniform(generator, count, 1 / 32, 0.7)
    low = (1 - factor) * torch.where(chance(generator, count, 0.7) > 0, 0.05, 1.0)
    offset = uniform(generator, count, 0, 1) * low
    scale, start = 1 + chosen * (factor - 1), chosen * offset
    coarse = chosen * chance(generator, count, 0.5)
    moved = (each * scale + start for each in (degraded, clean))
    first, second = (torch.where(coarse > 0, (each * 255).round() / 255, each) for each in moved)
    return first, second
