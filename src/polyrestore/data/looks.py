"""Looks that a photographer chose: dark, bright, faded, soft, cut out; nothing is wrong with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional

from polyrestore.data.negatives.drawings import smooth_plane
from polyrestore.data.negatives.draws import Draws
from polyrestore.degradations.base import to_display, to_linear
from polyrestore.errors import (
    UnknownDataNameError,
    unknown_name,
)


def darken(image: Tensor, draws: Draws) -> Tensor:
    """Bend the tones down and leave white and black where they are, as for a picture meant to be dark."""
    return image ** draws.number(1.4, 3.2) * draws.number(0.8, 1)


def light_at_night(image: Tensor, draws: Draws) -> Tensor:
    """Leave little of the light, unevenly, and add lamps with their glow."""
    height, width = image.shape[-2:]
    light = smooth_plane(draws, height, width, draws.whole(1, 5)) * draws.number(0.05, 0.5)
    dark = to_linear(image) ** draws.number(1, 1.5) * light
    lamps = torch.zeros(1, 1, height, width)
    for _ in range(draws.whole(0, 60)):
        lamps[0, 0, draws.whole(0, height - 1), draws.whole(0, width - 1)] = draws.number(1, 30)
    small = functional.avg_pool2d(lamps, 3, 1, 1)
    glow = lamps
    for _ in range(3):
        glow = functional.avg_pool2d(glow, 9, 1, 4)
    tint = torch.tensor(draws.colour(140, 255)).view(1, 3, 1, 1) / 255
    return to_display((dark + (small + glow * draws.number(0, 2)) * tint).clamp(0, 1))


def shade_corners(image: Tensor, draws: Draws) -> Tensor:
    """Darken towards the corners, or leave a spot in light alone."""
    height, width = image.shape[-2:]
    rows = torch.linspace(-1, 1, height).view(-1, 1) - draws.number(-0.4, 0.4)
    columns = torch.linspace(-1, 1, width).view(1, -1) - draws.number(-0.4, 0.4)
    far = (rows.square() + columns.square()).sqrt()
    mask = torch.sigmoid((draws.number(0.5, 1.4) - far) * draws.number(2, 9))
    return image * (1 - draws.number(0.4, 1) * (1 - mask))


def brighten(image: Tensor, draws: Draws) -> Tensor:
    """Bend the tones up to a picture that is meant to be bright, with white in it."""
    return 1 - (1 - image) ** draws.number(1.3, 3.5)


def fade(image: Tensor, draws: Draws) -> Tensor:
    """Lift the black evenly and lower the contrast, as a matte print or a soft portrait has it."""
    black, white = draws.number(0, 0.22), draws.number(0.75, 1)
    tint = 1 + (torch.tensor(draws.colour()).view(1, 3, 1, 1) / 255 - 0.5) * 0.12
    return black * tint + (white - black) * image


def cut_out(image: Tensor, draws: Draws) -> Tensor:
    """Put what is inside of a blob on a flat or softly graded background, as goods are shown."""
    height, width = image.shape[-2:]
    rows = torch.linspace(-1, 1, height).view(-1, 1)
    columns = torch.linspace(-1, 1, width).view(1, -1)
    angle = torch.atan2(rows - draws.number(-0.2, 0.2), columns - draws.number(-0.2, 0.2))
    reach = draws.number(0.4, 0.8) * torch.ones(height, width)
    for order in range(1, 6):
        reach = reach + draws.number(-0.15, 0.15) * (order * angle + draws.number(0, 6.3)).cos()
    inside = torch.sigmoid((reach - (rows.square() + columns.square()).sqrt()) * min(height, width) / 2)
    level = draws.one_of((0.0, 1.0, draws.number(0, 1)))
    ground = torch.full((1, 3, 1, 1), level)
    if draws.happens(0.3):
        ground = torch.tensor(draws.colour()).view(1, 3, 1, 1) / 255
    if draws.happens(0.3):
        ground = ground * (1 - draws.number(0, 0.3) * smooth_plane(draws, height, width, 1))
    return torch.lerp(ground.expand_as(image), image, inside)


def soften(image: Tensor, draws: Draws) -> Tensor:
    """Enlarge a little or blur a little, as most photographs are at full resolution."""
    height, width = image.shape[-2:]
    if draws.happens(0.5):
        factor = draws.number(1.05, 1.6)
        size = (max(1, round(height / factor)), max(1, round(width / factor)))
        small = functional.interpolate(image, size=size, mode="bicubic", antialias=True)
        return functional.interpolate(small, size=(height, width), mode="bicubic").clamp(0, 1)
    sigma = draws.number(0.4, 1.0)
    line = torch.arange(-3, 4.0)
    kernel = (-line.square() / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 7).expand(3, 1, 1, 7)
    padded = functional.pad(image, (3, 3, 3, 3), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def sharpen(image: Tensor, draws: Draws) -> Tensor:
    """Raise the fine contrast, as cameras do."""
    smooth = functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    return image + draws.number(0.2, 1.2) * (image - smooth)


def tone(image: Tensor, draws: Draws) -> Tensor:
    """Change the saturation and the balance of colours, up to sepia."""
    grey = image.mean(1, keepdim=True)
    gains = 1 + (torch.tensor(draws.colour()).view(1, 3, 1, 1) / 255 - 0.5) * draws.number(0, 0.5)
    return (grey + (image - grey) * draws.number(0, 1.7)) * gains


def frame(image: Tensor, draws: Draws) -> Tensor:
    """Put bars of one colour at two or all four sides."""
    height, width = image.shape[-2:]
    framed = image.clone()
    colour = draws.one_of((0.0, 1.0, draws.number(0, 1)))
    tall, wide = draws.whole(1, max(1, height // 6)), draws.whole(1, max(1, width // 6))
    if draws.happens(0.6):
        framed[..., :tall, :] = colour
        framed[..., height - tall :, :] = colour
    if draws.happens(0.5):
        framed[..., :wide] = colour
        framed[..., width - wide :] = colour
    return framed


def compress_lightly(image: Tensor, draws: Draws) -> Tensor:
    """Store and read once as every camera does: JPEG or WebP of a quality from 86 to 97."""
    return reencode(image, draws.one_of(("JPEG", "JPEG", "WEBP")), draws.whole(86, 97))


def reencode(image: Tensor, file_format: str, quality: int) -> Tensor:
    """Store (1, 3, H, W) in memory in a lossy format of Pillow's and read it again."""
    buffer = io.BytesIO()
    levels = (image[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(levels.numpy()), "RGB").save(buffer, file_format, quality=quality)
    with Image.open(buffer) as decoded:
        return (
            torch.from_numpy(np.asarray(decoded.convert("RGB")).copy()).permute(2, 0, 1)[None].float() / 255
        )


def drop_colour(image: Tensor) -> Tensor:
    """Return a grey picture in three equal channels, rounded to multiples of 1/255."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (image * weights).sum(1, keepdim=True).clamp(0, 1)
    return ((grey * 255).round() / 255).expand_as(image).contiguous()


LOOKS: MappingProxyType[str, Callable[[Tensor, Draws], Tensor]] = MappingProxyType(
    {
        "dark": darken,
        "night": light_at_night,
        "corners": shade_corners,
        "bright": brighten,
        "faded": fade,
        "cut_out": cut_out,
        "soft": soften,
        "sharp": sharpen,
        "toned": tone,
        "framed": frame,
        "compressed": compress_lightly,
    }
)


def give_look(name: str, image: Tensor, generator: Generator) -> Tensor:
    """Give a photograph a look that somebody may have wanted.

    Args:
        name: one of ``LOOKS``.
        image: (1, 3, H, W), RGB in [0, 1].
        generator: source of all randomness.

    Returns:
        the same size, clipped to [0, 1] and rounded to multiples of 1/255.

    Raises:
        UnknownNameError: there is no such look.
    """
    if name not in LOOKS:
        raise unknown_name("look", name, LOOKS, UnknownDataNameError)
    return (LOOKS[name](image, Draws(generator)).clamp(0, 1) * 255).round() / 255
