"""Draw the figures of docs/method.md, as SVG files in docs/figures.

python -m scripts.draw_method
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from polyrestore.bundles import load_bundle
from polyrestore.files import write_bytes
from polyrestore.restoration.settings import recognition_settings
from polyrestore.training.weighting.art import Art

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
COLOURS = {"silent": "#dddddd", "mentioned": "#ccbb44", "acts": "#228833"}
TASKS = {"falls steadily": "#4477aa", "gets worse": "#ee6677", "jumps about": "#228833"}
STEPS = 600
WORSE_FROM = 300
WINDOW_STEPS = 30


def main(arguments: list[str] | None = None) -> int:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER, help="where to write them")
    folder = parser.parse_args(arguments).output
    for name, draw in {"way": draw_way, "acting": draw_acting, "art": draw_art}.items():
        write_bytes(folder / f"method-{name}.svg", encode(draw()))
    return 0


def encode(figure: Figure) -> bytes:
    """Return a figure as an SVG file that is the same every time."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "polyrestore", "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None}, facecolor="white")
    lines = content.getvalue().decode().splitlines()
    return ("\n".join(line.rstrip() for line in lines) + "\n").encode()


def make_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_way() -> Figure:
    """Draw the way of one image: what is computed once on the whole, and what is computed in tiles."""
    figure = make_figure(9, 2.8)
    axes = figure.subplots()
    axes.set_xlim(0.3, 17.6)
    axes.set_ylim(0.7, 5.4)
    axes.set_axis_off()
    boxes: dict[str, tuple[float, float, str]] = {
        "image": (1.4, 1.5, "damaged\nimage"),
        "recogniser": (5.2, 4.6, "recogniser\nd, once per image"),
        "similarity": (9.6, 4.6, "prototypes B\nprobability of each"),
        "weights": (14.2, 4.6, "composition\ns: who acts, how much"),
        "merge": (9.6, 1.5, "backbone, frozen, with\nthe weighted sum of adapters"),
        "result": (15.6, 1.5, "restored image,\nor the input itself"),
    }
    for x, y, text in boxes.values():
        axes.text(
            x, y, text, ha="center", va="center", fontsize=9, bbox={"boxstyle": "round", "fc": "#eef3f8"}
        )
    arrows = (
        ((2.0, 2.3), (4.4, 3.8), ""),
        ((7.0, 4.6), (7.8, 4.6), ""),
        ((11.6, 4.6), (12.1, 4.6), ""),
        ((13.2, 3.8), (10.6, 2.3), "merged into its weights"),
        ((2.5, 1.5), (6.6, 1.5), "in tiles"),
        ((12.6, 1.5), (13.7, 1.5), ""),
        ((15.0, 3.8), (15.5, 2.3), "nobody acts"),
    )
    for start, end, text in arrows:
        axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": "#444444"})
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        aside = {"in tiles": (0, 0.15, "center"), "nobody acts": (0.2, 0, "left")}.get(
            text, (-0.3, 0, "right")
        )
        place = (middle[0] + aside[0], middle[1] + aside[1])
        axes.text(*place, text, fontsize=8, color="#444444", ha=aside[2])
    return figure


def draw_acting() -> Figure:
    """Draw from which probability on each adapter of the shipped bundle acts, and is mentioned."""
    settings = recognition_settings(load_bundle("default"))
    least = dict(sorted(settings.minimum_shares.items(), key=lambda entry: -entry[1]))
    figure = make_figure(7, 3.6)
    axes = figure.subplots()
    names = [name.replace("_", " ") for name in least]
    for title, left, right in (
        ("silent", [0.0] * len(least), [settings.mention_share] * len(least)),
        ("mentioned", [settings.mention_share] * len(least), list(least.values())),
        ("acts", list(least.values()), [1.0] * len(least)),
    ):
        widths = [end - start for start, end in zip(left, right, strict=True)]
        axes.barh(names, widths, left=left, color=COLOURS[title], label=title, height=0.7)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability that the degradation is there")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def draw_art() -> Figure:
    """Draw the weights that Art gives three made-up losses, at the paper's temperature and at 2."""
    losses = made_up_losses()
    shown = {"loss": losses}
    for temperature in (0.1, 2.0):
        strategy = Art(len(TASKS), temperature=temperature)
        present = torch.ones(len(TASKS), dtype=torch.bool)
        shown[f"weight, T = {temperature:g}"] = torch.stack([strategy.weights(s, present) for s in losses])
    figure = make_figure(9, 2.8)
    for axes, (title, values) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        means = values.view(-1, WINDOW_STEPS, len(TASKS)).mean(1)
        spread = values.view(-1, WINDOW_STEPS, len(TASKS)).std(1)
        middles = [WINDOW_STEPS * (place + 0.5) for place in range(len(means))]
        for index, (task, colour) in enumerate(TASKS.items()):
            low, high = ((means + sign * spread)[:, index].clamp(0) for sign in (-1, 1))
            axes.fill_between(middles, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(middles, means[:, index], color=colour, label=task)
        axes.set_title(title, fontsize=10)
        axes.set_ylim(0, None if title == "loss" else 1)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


def made_up_losses() -> torch.Tensor:
    """Return losses (steps, 3): one that falls, one that rises from the middle on, one of large variance."""
    steps = torch.arange(STEPS)
    falling = 0.03 + 0.05 * torch.exp(-steps / 150)
    worse = falling + 0.0002 * (steps - WORSE_FROM).clamp(min=0)
    generator = torch.Generator().manual_seed(0)
    noise = torch.exp(torch.randn((STEPS, 3), generator=generator) * torch.tensor([0.05, 0.05, 0.4]))
    return torch.stack([falling, worse, falling], 1) * noise


if __name__ == "__main__":
    sys.exit(main())
