"""Damage the example photographs in known ways, restore them blind, and show what came of it.

Writes to the output folder: ``damaged/`` and ``restored/``, one labelled sheet per photograph (input,
restored, truth), and ``overview.png`` with all of them.

    python examples/demo.py [--output FOLDER] [--bundle NAME]
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

import polyrestore
from polyrestore.cli.common import print_table, weights_text
from polyrestore.cli.terminal import error_line
from polyrestore.degradations import degrade
from polyrestore.errors import PolyrestoreError
from polyrestore.evaluation.metrics import Protocol, psnr
from polyrestore.imaging import Image, read_image, write_image
from polyrestore.imaging.sheets import Panel, save_sheet

PHOTOGRAPHS = Path(__file__).resolve().parent / "photographs"
PROTOCOL = Protocol()


@dataclass(frozen=True)
class Case:
    """A photograph in ``photographs/``, and what is done to it: severity by degradation."""

    photograph: str
    severities: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its files are called."""
        return "-".join([Path(self.photograph).stem, *self.severities])

    @property
    def damage(self) -> str:
        """What is wrong with it, for people."""
        return ", ".join(f"{name} {value:g}" for name, value in self.severities.items()) or "nothing"


CASES = (
    Case("astronaut.png", {"noise": 0.4}),
    Case("chelsea.png", {"jpeg": 0.85}),
    Case("coffee.png", {"low_light": 0.5}),
    Case("astronaut.png", {"haze": 0.5}),
    Case("chelsea.png", {"rain": 0.4}),
    Case("camera.png", {"motion_blur": 0.25}),
    Case("camera.png", {"snow": 0.4}),
    Case("coffee.png", {"noise": 0.3, "jpeg": 0.5}),
    Case("rocket.png"),
)


@dataclass(frozen=True)
class Outcome:
    """One case, restored. Figures are PSNR in decibels, infinite for an image that equals the truth."""

    case: Case
    panels: tuple[Panel, ...]
    recognised: str
    before: float
    after: float
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for what is made")
    parser.add_argument("--bundle", default="default", help="shipped bundle, or a bundle's folder")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        restorer = polyrestore.load(options.bundle)
        outcomes = []
        for seed, case in enumerate(CASES):
            with console.status(f"{case.photograph}: {case.damage}"):
                outcomes.append(run_case(restorer, case, seed, options.output))
        save_sheet(options.output / "overview.png", [outcome.panels for outcome in outcomes])
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    columns = ("photograph", "damage", "recognised", "before", "after", "gain", "seconds")
    print_table(columns, map(row, outcomes))
    print(f"before, after, gain: PSNR in dB ({PROTOCOL.comparison})")
    print(f"sheets: {options.output}/overview.png, and one per photograph beside it")
    return 0


def run_case(restorer: polyrestore.Restorer, case: Case, seed: int, output: Path) -> Outcome:
    photograph = read_image(PHOTOGRAPHS / case.photograph)
    damaged_path = output / "damaged" / f"{case.name}.png"
    write_image(damaged_path, damage(photograph, case, seed), photograph.metadata)

    restored = restorer.restore(damaged_path)
    restored.save(output / "restored" / f"{case.name}.png")

    damaged, truth = read_image(damaged_path).pixels, photograph.pixels
    before, after = psnr(damaged, truth, PROTOCOL), psnr(restored.pixels, truth, PROTOCOL)
    recognised = weights_text(restored.weights)
    panels = (
        Panel(f"input: {case.damage}{in_decibels(before)}", damaged),
        Panel(f"restored: {recognised}{in_decibels(after)}", restored.pixels),
        Panel("truth", truth),
    )
    save_sheet(output / f"{case.name}.png", [panels])
    return Outcome(case, panels, recognised, before, after, restored.seconds)


def damage(photograph: Image, case: Case, seed: int) -> torch.Tensor:
    if not case.severities:
        return photograph.pixels
    generator = torch.Generator().manual_seed(seed)
    return degrade(photograph.pixels.unsqueeze(0), case.severities, generator)[0]


def row(outcome: Outcome) -> tuple[str, ...]:
    return (
        Path(outcome.case.photograph).stem,
        outcome.case.damage,
        outcome.recognised,
        figure(outcome.before),
        figure(outcome.after),
        gain(outcome),
        f"{outcome.seconds:.1f}",
    )


def in_decibels(value: float) -> str:
    return "" if math.isinf(value) else f", {value:.1f} dB"


def figure(value: float) -> str:
    return "equal" if math.isinf(value) else f"{value:.2f}"


def gain(outcome: Outcome) -> str:
    change = outcome.after - outcome.before
    return f"{change:+.2f}" if math.isfinite(change) else "-"


if __name__ == "__main__":
    sys.exit(main())
