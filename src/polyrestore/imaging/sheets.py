"""Sheets that show images side by side, each under its label: for looking, which no figure replaces."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from torch import Tensor

from polyrestore.errors import DataError
from polyrestore.files import write_bytes

_MARGIN_PX = 8
_TEXT_PX = 14
_PAPER = (250, 250, 250)
_INK = (20, 20, 20)

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class Panel:
    """A label and the image (3, H, W) below it, RGB in [0, 1]."""

    label: str
    pixels: Tensor


def encode_sheet(rows: Sequence[Sequence[Panel]]) -> bytes:
    """Return rows of labelled images as one PNG file, pixel by pixel as they are.

    Args:
        rows: panels from left to right; rows may differ in number and size.

    Raises:
        DataError: there is nothing to show.
    """
    if not any(rows):
        raise DataError("no panels for a sheet")
    font = ImageFont.load_default(_TEXT_PX)
    drawn = [_draw_row(row, font) for row in rows if row]
    size = (max(row.width for row in drawn), sum(row.height for row in drawn))
    sheet = PillowImage.new("RGB", size, _PAPER)
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def save_sheet(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write the PNG file of :func:`encode_sheet`, whole or not at all.

    Raises:
        DataError: there is nothing to show.
        OutputError: the file cannot be written.
    """
    write_bytes(path, encode_sheet(rows))


def _draw_row(panels: Sequence[Panel], font: Font) -> PillowImage.Image:
    label_px = _TEXT_PX + _MARGIN_PX
    height = label_px + max(panel.pixels.shape[-2] for panel in panels) + 2 * _MARGIN_PX
    width = sum(panel.pixels.shape[-1] + _MARGIN_PX for panel in panels) + _MARGIN_PX
    row = PillowImage.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(row)
    left = _MARGIN_PX
    for panel in panels:
        panel_px = panel.pixels.shape[-1]
        pen.text((left, _MARGIN_PX), _shortened(panel.label, panel_px, pen, font), fill=_INK, font=font)
        row.paste(_as_pillow(panel.pixels), (left, _MARGIN_PX + label_px))
        left += panel_px + _MARGIN_PX
    return row


def _shortened(label: str, width_px: int, pen: ImageDraw.ImageDraw, font: Font) -> str:
    if pen.textlength(label, font) <= width_px:
        return label
    while label and pen.textlength(label + "...", font) > width_px:
        label = label[:-1]
    return label.rstrip(" ,:") + "..."


def _as_pillow(pixels: Tensor) -> PillowImage.Image:
    levels = (pixels.detach().to("cpu").clamp(0, 1) * 255).round().to(torch.uint8)
    return PillowImage.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
