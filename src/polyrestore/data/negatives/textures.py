"""Textures that resemble rain, snow or noise: facades, gratings, grass, fur, gravel; and starry skies."""

from __future__ import annotations

import math

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from polyrestore.data.negatives.drawings import image_of, smooth_plane
from polyrestore.data.negatives.draws import Draws


def _axes(height: int, width: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return rows, columns


def _tinted(draws: Draws, tone: Tensor) -> Tensor:
    """Mix two colours by a field (H, W) from 0 to 1: (3, H, W)."""
    dark = torch.tensor(draws.colour(0, 120)).view(3, 1, 1) / 255
    bright = torch.tensor(draws.colour(100, 255)).view(3, 1, 1) / 255
    return dark + (bright - dark) * tone


def draw_facade(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a building's front: rows of windows, blinds, bricks or planks under a slant of light."""
    rows, columns = _axes(height, width)
    slant = draws.number(-0.15, 0.15)
    down, right = rows + slant * columns, columns * (1 + draws.number(-0.2, 0.2) * rows / height)
    tall, wide = draws.number(8, 60), draws.number(6, 50)
    brick = draws.happens(0.4)
    shift = (down / tall).floor() % 2 * wide / 2 if brick else torch.zeros_like(down)
    y, x = (down % tall) / tall, ((right + shift) % wide) / wide
    gap = draws.number(0.05, 0.4)
    inside = ((y > gap) & (x > gap)).float()
    pixels = _tinted(draws, 0.3 + 0.7 * inside)
    if not brick and draws.happens(0.6):
        blinds = ((down / draws.number(2, 6) * 2 * math.pi).sin() > 0).float()
        pixels = torch.lerp(pixels, _tinted(draws, blinds), inside * draws.number(0.3, 1))
    cell = (down / tall).floor() * 53 + ((right + shift) / wide).floor() * 17
    variation = ((cell * 12.9898).sin() * 43758.5).frac().abs()
    pixels = pixels * (1 - draws.number(0, 0.4) * variation)
    return image_of(pixels * (0.7 + 0.3 * smooth_plane(draws, height, width, 2)))


def draw_grating(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw fine parallel or crossed lines: fences, blinds, corrugated sheet, woven cloth."""
    rows, columns = _axes(height, width)
    tone = torch.zeros(height, width)
    for _ in range(draws.whole(1, 2)):
        angle = draws.one_of((0.0, math.pi / 2, draws.number(0, math.pi)))
        period = draws.number(2.2, 24)
        bend = draws.number(0, 3) * smooth_plane(draws, height, width, 3)
        wave = ((rows * math.cos(angle) + columns * math.sin(angle)) * 2 * math.pi / period + bend).sin()
        tone = tone + torch.sigmoid(wave * draws.number(1, 12))
    tone = tone / tone.max().clamp(min=1e-3)
    return image_of(_tinted(draws, tone) * (0.6 + 0.4 * smooth_plane(draws, height, width, 2)))


def draw_strands(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw thousands of thin strands, as grass, fur, hair, straw and needles are."""
    back = draws.colour(0, 110)
    big = Image.new("RGB", (2 * width, 2 * height), back)
    pen = ImageDraw.Draw(big)
    base = draws.colour(40, 220)
    lean, spread = draws.number(0, math.pi), draws.number(0.1, 0.9)
    length, thick = draws.number(12, 90), draws.whole(1, 4)
    flow = smooth_plane(draws, 8, 8, 3)
    count = min(6000, int(width * height / (length * thick) * draws.number(1, 9)))
    shades = draws.plane(count, 6)
    places = draws.evenly(count, 2)
    for place, shade in zip(places.tolist(), shades.tolist(), strict=True):
        x, y = place[0] * 2 * width, place[1] * 2 * height
        angle = lean + spread * shade[0] + 1.5 * float(flow[int(place[1] * 7.99), int(place[0] * 7.99)])
        reach = length * (0.6 + 0.4 * abs(shade[1]))
        level = 1 + 0.3 * shade[2]
        colour = tuple(int(max(0, min(255, value * level + 12 * shade[3]))) for value in base)
        middle = (x + reach / 2 * math.cos(angle), y + reach / 2 * math.sin(angle))
        turned = angle + 0.4 * shade[4]
        end = (middle[0] + reach / 2 * math.cos(turned), middle[1] + reach / 2 * math.sin(turned))
        pen.line([(x, y), middle, end], fill=colour, width=thick)
    return big.resize((width, height), Image.Resampling.LANCZOS)


def draw_grains(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw gravel, sand, bark, leaves or terrazzo: random cells, each lit and coloured by itself."""
    size = draws.number(3, 22)
    rows, columns = -(-height // int(size)) + 2, -(-width // int(size)) + 2
    step = int(size)
    places = torch.stack(
        [
            (torch.arange(float(rows)).view(-1, 1) + draws.evenly(rows, columns) - 0.5) * step,
            (torch.arange(float(columns)).view(1, -1) + draws.evenly(rows, columns) - 0.5) * step,
        ]
    )
    shade = draws.evenly(rows, columns)
    y, x = _axes(height, width)
    best = torch.full((height, width), 1e9)
    second, tone = best.clone(), torch.zeros(height, width)
    home_row, home_column = (y / step).long() + 1, (x / step).long() + 1
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            r, c = (home_row + down).clamp(0, rows - 1), (home_column + right).clamp(0, columns - 1)
            far = (places[0][r, c] - y - step) ** 2 + (places[1][r, c] - x - step) ** 2
            nearer = far < best
            second = torch.where(nearer, best, torch.minimum(second, far))
            tone = torch.where(nearer, shade[r, c], tone)
            best = torch.minimum(best, far)
    edge = ((second.sqrt() - best.sqrt()) / step).clamp(0, 1)
    light = (0.35 + 0.65 * tone) * (1 - draws.number(0.2, 0.9) * (1 - edge * 3).clamp(0, 1))
    pixels = _tinted(draws, light.clamp(0, 1))
    fine = functional.avg_pool2d(draws.plane(height, width)[None, None], 3, 1, 1)[0, 0]
    return image_of(pixels + fine * draws.number(0, 0.08))


def draw_stars(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a night sky: points of light of all magnitudes on black, with or without a nebula and spikes."""
    rows, columns = _axes(height, width)
    sky = torch.zeros(3, height, width)
    if draws.happens(0.6):
        cloud = smooth_plane(draws, height, width, draws.whole(3, 8)) * smooth_plane(draws, height, width, 2)
        sky = _tinted(draws, cloud) * cloud * draws.number(0.1, 0.9)
    sky = sky + draws.number(0, 0.06)
    flux = torch.zeros(height, width)
    count = draws.whole(20, 1500)
    magnitudes = (-draws.evenly(1, count)[0].clamp(min=1e-4).log()) ** draws.number(1, 3)
    for value, (down, right) in zip(magnitudes.tolist(), draws.evenly(count, 2).tolist(), strict=True):
        flux[int(down * (height - 1)), int(right * (width - 1))] += value * 0.4
    width_px = draws.number(0.5, 1.6)
    reach = max(2, int(width_px * 4))
    line = torch.arange(-reach, reach + 1.0)
    spread = (-(line.square()[:, None] + line.square()[None]) / (2 * width_px**2)).exp()
    spread = spread + draws.number(0, 0.02) / (1 + line.square()[:, None] + line.square()[None])
    spots = functional.conv2d(flux[None, None], spread[None, None], padding=reach)[0, 0]
    tint = torch.tensor(draws.colour(170, 255)).view(3, 1, 1) / 255
    sky = sky + spots * tint
    for _ in range(draws.whole(0, 5)):
        down, right, size = draws.number(0, height), draws.number(0, width), draws.number(1, 14)
        far_y, far_x = (rows - down).abs(), (columns - right).abs()
        spike = (1 / (1 + (far_x * 3 / size) ** 2)) / (1 + (far_y / size) ** 2)
        sky = sky + spike + (1 / (1 + (far_y * 3 / size) ** 2)) / (1 + (far_x / size) ** 2)
    return image_of(1 - (-sky * draws.number(0.8, 2)).exp())


def draw_specimen(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw what a fluorescence microscope or an X-ray shows: glowing cells and threads on a black ground."""
    tone = torch.zeros(height, width)
    rows, columns = _axes(height, width)
    for _ in range(draws.whole(3, 30)):
        down, right = draws.number(0, height), draws.number(0, width)
        tall, wide = draws.number(4, height / 6), draws.number(4, width / 6)
        far = ((rows - down) / tall).square() + ((columns - right) / wide).square()
        tone = tone + draws.number(0.2, 1) * torch.sigmoid((1 - far) * draws.number(1, 9))
    texture = smooth_plane(draws, height, width, draws.whole(8, 30))
    tone = (tone * (0.5 + 0.5 * texture) * draws.number(0.2, 1)).clamp(0, 1)
    tints = ((1.0, 1.0, 1.0), (0.1, 1.0, 0.2), (0.2, 0.4, 1.0), (1.0, 0.2, 0.2))
    tint = torch.tensor(draws.one_of(tints)).view(3, 1, 1)
    return image_of(tone * tint + draws.number(0, 0.04))
