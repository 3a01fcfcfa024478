"""Pages of text, terminals and windows: not damaged, though letters look like streaks and holes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from polyrestore.data.negatives.draws import Colour, Draws

_SYLLABLES = (
    "re", "sto", "ra", "tion", "ima", "ge", "pa", "per", "the", "of", "and", "no", "is", "e", "we", "are",
    "fil", "ter", "co", "lor", "vi", "si", "on", "ta", "ble", "ne", "two", "rk", "de", "grad", "a", "light",
    "m", "ark", "sur", "face", "mo", "del", "in", "put", "out", "er", "ror", "sam", "ple", "me", "an", "va",
    "ri", "an", "ce", "con", "tra", "st", "1", "20", "37", "4.5",
)  # fmt: skip


@lru_cache(maxsize=64)
def font_of(size_px: int, font: str = "") -> Any:
    """Return a font of a file at a size, Pillow's own one without a file."""
    return ImageFont.truetype(font, size_px) if font else ImageFont.load_default(size=size_px)


def draw_word(draws: Draws) -> str:
    """Return a word of one to four syllables."""
    word = "".join(draws.one_of(_SYLLABLES) for _ in range(draws.whole(1, 4)))
    return word.capitalize() if draws.happens(0.15) else word.upper() if draws.happens(0.05) else word


def draw_line(draws: Draws, words: int) -> str:
    """Return several words."""
    return " ".join(draw_word(draws) for _ in range(words))


def draw_page(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw printed text in one or two columns, with headings, rules and now and then a figure."""
    ink, paper = draws.ink_and_paper()
    if draws.happens(0.15):
        ink, paper = paper, ink
    page = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(page)
    size = draws.whole(8, 26)
    columns = 2 if draws.happens(0.35) and width > 30 * size else 1
    margin = draws.whole(4, max(5, width // 10))
    gap = draws.number(1.15, 1.9)
    for column in range(columns):
        left = margin + column * (width - margin) // columns
        right = left + (width - margin) // columns - margin
        top = float(margin)
        while top < height:
            heading = draws.happens(0.08)
            font = (
                font_of(round(size * draws.number(1.3, 2)), draws.font)
                if heading
                else font_of(size, draws.font)
            )
            if draws.happens(0.05):
                box = (left, top, right, top + size * draws.number(3, 8))
                pen.rectangle(box, fill=draws.colour(), outline=ink)
                top = box[3] + size
                continue
            words = draw_line(draws, 40)
            while words and pen.textlength(words, font=font) > right - left:
                words = words.rpartition(" ")[0]
            pen.text((left, top), words, font=font, fill=ink)
            top += size * gap * (2 if heading else 1)
            if draws.happens(0.12):
                top += size * gap
            if draws.happens(0.04):
                pen.line((left, top, right, top), fill=ink, width=draws.whole(1, 2))
    return page


def draw_terminal(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw bright characters on black in a fixed grid, as terminals and editors show them."""
    dark = draws.whole(0, 45)
    back: Colour = (dark, min(255, dark + draws.whole(0, 12)), min(255, dark + draws.whole(0, 25)))
    window = Image.new("RGB", (width, height), back)
    pen = ImageDraw.Draw(window)
    size = draws.whole(8, 20)
    font = font_of(size, draws.font)
    cell = size * 0.62
    palette = [draws.colour(90, 255) for _ in range(draws.whole(1, 6))]
    row = 2.0
    while row < height:
        column, colour = cell * draws.whole(0, 6), draws.one_of(palette)
        length = draws.whole(0, int(width / cell))
        while column < min(width, length * cell):
            word = draw_word(draws)
            colour = draws.one_of(palette) if draws.happens(0.3) else colour
            for letter in word:
                pen.text((column, row), letter, font=font, fill=colour)
                column += cell
            column += cell
        row += size * 1.25
    if draws.happens(0.5):
        left, top = draws.whole(0, width), draws.whole(0, height)
        pen.rectangle((left, top, left + cell, top + size), fill=draws.one_of(palette))
    return window


def draw_window(draws: Draws, width: int, height: int) -> Image.Image:
    """Draw a user interface: bars, panels, buttons, fields, lists and icons on a flat background."""
    light = draws.happens(0.65)
    base = draws.colour(225, 255) if light else draws.colour(15, 60)
    ink = draws.colour(0, 70) if light else draws.colour(190, 255)
    accent = draws.colour()
    window = Image.new("RGB", (width, height), base)
    pen = ImageDraw.Draw(window)
    size = draws.whole(9, 16)
    bar = draws.whole(18, 40)
    pen.rectangle((0, 0, width, bar), fill=draws.colour(60, 235))
    pen.text((8, bar // 3), draw_line(draws, 3), font=font_of(size, draws.font), fill=ink)
    side = draws.whole(0, width // 3)
    pen.rectangle((0, bar, side, height), fill=draws.colour(200, 245) if light else draws.colour(30, 80))
    for top in range(bar + 6, height, size * 2):
        if side > 40:
            pen.text((8, top), draw_line(draws, 2), font=font_of(size, draws.font), fill=ink)
    for _ in range(draws.whole(4, 22)):
        left, top = draws.whole(side, width), draws.whole(bar, height)
        right, low = left + draws.whole(14, max(15, width // 3)), top + draws.whole(12, 60)
        fill = accent if draws.happens(0.4) else draws.colour(170, 255) if light else draws.colour(20, 90)
        radius = draws.whole(0, 10)
        pen.rounded_rectangle((left, top, right, low), radius, fill=fill, outline=draws.one_of((ink, base)))
        if draws.happens(0.7):
            pen.text((left + 5, top + 4), draw_word(draws), font=font_of(size, draws.font), fill=ink)
        elif draws.happens(0.5):
            pen.ellipse((left + 3, top + 3, left + 13, top + 13), fill=draws.colour())
    return window
