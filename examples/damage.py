"""Two ways to spoil a photograph, for ``polyrestore teach``: a coarse print, and an old film.

polyrestore teach halftone --clean PHOTOGRAPHS --function examples/damage.py:halftone --into my-bundle
"""

import math

import torch
from torch import Generator, Tensor


def halftone(image: Tensor, generator: Generator) -> Tensor:
    """Print a photograph with three screens of dots, 4 to 6 pixels apart, turned against each other.

    Args:
        image: (3, H, W), RGB in [0, 1].
        generator: source of all randomness.
    """
    _, height, width = image.shape
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    draws = torch.rand(8, generator=generator).tolist()
    frequency = 2 * math.pi / (4 + 2 * draws[0])
    printed = []
    for channel, degrees in enumerate((15, 75, 0)):
        angle = draws[1] * math.pi / 2 + math.radians(degrees)
        along = columns * math.cos(angle) + rows * math.sin(angle)
        across = rows * math.cos(angle) - columns * math.sin(angle)
        first, second = (2 * math.pi * draw for draw in draws[2 + 2 * channel : 4 + 2 * channel])
        screen = 0.5 + (torch.cos(along * frequency + first) + torch.cos(across * frequency + second)) / 4
        # Ink ends softly, as it does on paper.
        printed.append(torch.sigmoid((image[channel] - screen) * 12))
    return torch.stack(printed)


def film_scratches(image: Tensor, generator: Generator) -> Tensor:
    """Scratch a film along its way, and let dust and hair settle on it.

    Args:
        image: (3, H, W), RGB in [0, 1].
        generator: source of all randomness.
    """

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    _, height, width = image.shape
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    damaged = image.clone()
    for _ in range(int(draw(3, 11))):
        place = draw(0, width) + draw(-0.03, 0.03) * rows + draw(0, 1.5) * torch.sin(rows / 37)
        line = torch.exp(-(((columns - place) / draw(0.5, 1.7)) ** 2)) * draw(0.5, 1)
        seen = (rows > draw(0, height / 2)) & (rows < height - draw(0, height / 2))
        damaged = torch.lerp(damaged, torch.tensor(_tone(draw)), line * seen)
    for _ in range(5 + int(draw(1.3e-4, 5.3e-4) * height * width)):
        row, column, radius = draw(0, height), draw(0, width), 0.8 + 5 * draw(0, 1) ** 3
        top, left = max(0, int(row) - 14), max(0, int(column) - 14)
        part = (slice(top, int(row) + 14), slice(left, int(column) + 14))
        down, right = (rows[part[0]] - row) * draw(0.5, 1.5), columns[:, part[1]] - column
        spot = torch.sigmoid((radius - (down**2 + right**2).sqrt()) * 3)
        damaged[:, part[0], part[1]] = torch.lerp(
            damaged[:, part[0], part[1]], torch.tensor(_tone(draw)), spot
        )
    return damaged


def _tone(draw) -> float:  # type: ignore[no-untyped-def]
    """Return what is seen there: the light of the lamp more often than none."""
    return 0.96 if draw(0, 1) < 0.65 else 0.04
