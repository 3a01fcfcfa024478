"""Charts, line drawings, cartoons, codes and halftones: sharp, flat and regular, and not damaged."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from polyrestore.data.negatives.draws import Draws
from polyrestore.data.negatives.text import draw_line, draw_word, font_of


def draw_chart(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw curves, bars or points on axes with a grid, labels and a legend."""
    ink, paper = draws.ink_and_paper()
    if draws.happens(0.15):
        ink, paper = paper, ink
    chart = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(chart)
    size = draws.whole(8, 14)
    left, top, right, low = width // 8, height // 10, width - width // 16, height - height // 7
    lines = draws.whole(3, 9)
    grid = tuple((a + 2 * b) // 3 for a, b in zip(ink, paper, strict=True))
    for index in range(lines + 1):
        y = top + (low - top) * index // lines
        x = left + (right - left) * index // lines
        if draws.happens(0.8):
            pen.line((left, y, right, y), fill=grid)
        if draws.happens(0.5):
            pen.line((x, top, x, low), fill=grid)
        pen.text((2, y - size // 2), f"{draws.number(0, 99):.1f}", font=font_of(size, draws.font), fill=ink)
        pen.text((x - size, low + 4), f"{draws.whole(0, 99)}", font=font_of(size, draws.font), fill=ink)
    kind = draws.one_of(("lines", "bars", "points"))
    for _ in range(draws.whole(1, 5)):
        colour, thick = draws.colour(), draws.whole(1, 3)
        count = draws.whole(5, 60)
        steps = draws.plane(1, count)[0].cumsum(0)
        levels = (steps - steps.min()) / (steps.max() - steps.min()).clamp(min=1e-3)
        points = [
            (left + (right - left) * i / (count - 1), low - (low - top) * v)
            for i, v in enumerate(levels.tolist())
        ]
        if kind == "lines":
            pen.line(points, fill=colour, width=thick)
        for along, level in points if kind != "lines" or draws.happens(0.4) else ():
            box = (
                (along - 3, level, along + 3, low)
                if kind == "bars"
                else (along - thick - 1, level - thick - 1, along + thick + 1, level + 2)
            )
            (pen.rectangle if kind == "bars" else pen.ellipse)(box, fill=colour)
    pen.rectangle((left, top, right, low), outline=ink)
    pen.text((left, 2), draw_line(draws, 4), font=font_of(size + 3, draws.font), fill=ink)
    return chart


def draw_lines(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a technical drawing or a map: thin lines, circles, hatching and dimensions on paper."""
    ink, paper = draws.ink_and_paper()
    sheet = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(sheet)
    for _ in range(draws.whole(10, 60)):
        colour = ink if draws.happens(0.8) else draws.colour(0, 160)
        x, y = draws.whole(0, width), draws.whole(0, height)
        reach = draws.number(5, min(width, height) / 2)
        kind = draws.one_of(("line", "circle", "box", "hatch", "curve"))
        thick = draws.whole(1, 3)
        if kind == "circle":
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=thick)
        elif kind == "box":
            pen.rectangle((x, y, x + reach, y + reach * draws.number(0.3, 2)), outline=colour, width=thick)
        elif kind == "hatch":
            gap, lean = draws.whole(3, 9), draws.number(-1, 1)
            for step in range(0, int(reach), gap):
                pen.line((x + step, y, x + step + lean * reach, y + reach), fill=colour)
        else:
            angle, points = draws.number(0, 2 * math.pi), [(float(x), float(y))]
            for _ in range(1 if kind == "line" else draws.whole(5, 20)):
                points.append(
                    (points[-1][0] + reach * math.cos(angle), points[-1][1] + reach * math.sin(angle))
                )
                angle, reach = angle + draws.number(-0.6, 0.6), reach * (1 if kind == "line" else 0.8)
            pen.line(points, fill=colour, width=thick)
        if draws.happens(0.15):
            pen.text((x, y), draw_word(draws), font=font_of(draws.whole(8, 14), draws.font), fill=ink)
    return sheet


def draw_cartoon(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw flat coloured shapes with outlines, at twice the size and reduced, as cartoons and icons are."""
    big = Image.new("RGB", (2 * width, 2 * height), draws.colour(60, 255))
    pen = ImageDraw.Draw(big)
    outline = draws.colour(0, 60)
    for _ in range(draws.whole(6, 40)):
        x, y = draws.whole(0, 2 * width), draws.whole(0, 2 * height)
        a, b = draws.number(10, width), draws.number(10, height)
        fill, thick = draws.colour(), draws.whole(0, 6)
        kind = draws.one_of(("ellipse", "polygon", "box"))
        if kind == "ellipse":
            pen.ellipse((x - a / 2, y - b / 2, x + a / 2, y + b / 2), fill=fill, outline=outline, width=thick)
        elif kind == "box":
            pen.rounded_rectangle(
                (x, y, x + a, y + b), draws.whole(0, 9), fill=fill, outline=outline, width=thick
            )
        else:
            corners = draws.whole(3, 8)
            turn = draws.number(0, 6.3)
            around = [turn + 2 * math.pi * i / corners for i in range(corners)]
            points = [
                (
                    x + a / 2 * math.cos(t) * draws.number(0.5, 1),
                    y + b / 2 * math.sin(t) * draws.number(0.5, 1),
                )
                for t in around
            ]
            pen.polygon(points, fill=fill, outline=outline, width=max(1, thick))
    return (
        big.resize((width, height), Image.Resampling.LANCZOS)
        if draws.happens(0.7)
        else big.crop((0, 0, width, height))
    )


def draw_code(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a code of black and white squares or bars, as printed on goods."""
    cell = draws.whole(2, 12)
    rows, columns = -(-height // cell), -(-width // cell)
    if draws.happens(0.3):
        cells = (draws.evenly(1, columns) < 0.5).expand(rows, columns)
    else:
        cells = draws.evenly(rows, columns) < draws.number(0.35, 0.65)
    pixels = cells.float().repeat_interleave(cell, 0).repeat_interleave(cell, 1)[:height, :width]
    border = draws.whole(0, min(width, height) // 6)
    pixels = pixels.clone()
    if border:
        pixels[:border], pixels[-border:], pixels[:, :border], pixels[:, -border:] = 1, 1, 1, 1
    return image_of(pixels.expand(3, height, width))


def draw_halftone(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a smooth picture as a screen of dots, as newspapers print it, in black or in three colours."""
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    period = draws.number(3, 9)
    planes = []
    for index in range(3):
        tone = smooth_plane(draws, height, width, draws.whole(2, 7))
        angle = math.radians(draws.number(0, 90) if index else 45)
        along = (rows * math.cos(angle) + columns * math.sin(angle)) * 2 * math.pi / period
        across = (columns * math.cos(angle) - rows * math.sin(angle)) * 2 * math.pi / period
        screen = (along.cos() * across.cos() + 1) / 2
        planes.append(torch.sigmoid((tone - screen) * draws.number(6, 40)))
        if draws.happens(0.6) and index == 0:
            planes *= 3
            break
    return image_of(torch.stack(planes[:3]))


def smooth_plane(draws: Draws, height: int, width: int, cells: int) -> Tensor:
    """Return a smooth random field (H, W) from 0 to 1 with about so many hills along a side."""
    coarse = draws.evenly(cells + 1, cells + 1)[None, None]
    field = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)[
        0, 0
    ]
    low, high = field.min(), field.max()
    return (field - low) / (high - low).clamp(min=1e-6)


def image_of(pixels: Tensor) -> Image.Image:
    """Return an 8-bit picture of (3, H, W) in [0, 1]; what is outside is clipped."""
    levels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(levels.numpy()), "RGB")
