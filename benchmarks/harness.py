"""What the benchmarks share: their options, one line for what goes wrong, and where figures are written."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import polyrestore
from polyrestore.cli.terminal import error_line
from polyrestore.errors import PolyrestoreError
from polyrestore.files import write_text

RESULTS = Path(__file__).resolve().parent / "results"


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def make_parser(
    document: str | None, name: str, *, bundle: bool = True, bundles: bool = False, device: bool = False
) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark has, and of those that it asks for.

    Args:
        document: docstring of the benchmark's module; its first line is the description.
        name: of the files in which the figures are written.
        bundle: whether one bundle is measured.
        bundles: whether several may be; ``bundle`` is then a list.
        device: whether the device may be chosen.
    """
    parser = argparse.ArgumentParser(description=(document or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for JSON and Markdown")
    parser.add_argument("--name", default=name, help="name of the files in it")
    if bundles:
        parser.add_argument(
            "--bundle", action="append", help="shipped bundle or a bundle's folder; may be repeated"
        )
    elif bundle:
        parser.add_argument("--bundle", default="default", help="shipped bundle, or a bundle's folder")
    if device:
        parser.add_argument("--device", help="cpu, cuda, ...; a GPU where there is one by default")
    return parser


def run_reported(run: Callable[[], None]) -> int:
    """Run a benchmark and return its exit code; what goes wrong is one line on standard error."""
    try:
        run()
    except PolyrestoreError as error:
        error_line(str(error))
        return 1
    return 0


def make_progress() -> Progress:
    """Return a bar for each task: its name, how many of how many are done, and for how long."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console())


def describe_bundle(restorer: polyrestore.Restorer) -> dict[str, Any]:
    """Say which bundle was measured, as plain JSON values."""
    bundle = restorer.bundle
    parameters = sum(parameter.numel() for parameter in bundle.backbone.parameters())
    return {
        "bundle": f"{bundle.name}, version {bundle.info.version}",
        "backbone": f"{bundle.backbone.description.name}, {parameters / 1e6:.2f} M parameters",
    }


def describe_versions() -> str:
    """Say what was measured with."""
    return f"polyrestore {polyrestore.__version__}, torch {torch.__version__}"


def describe_machine() -> str:
    """Say what was measured on."""
    return f"{torch.get_num_threads()} threads, {platform.machine()}"


def write_results(options: argparse.Namespace, content: object, markdown: str | None = None) -> None:
    """Write figures as JSON, and as Markdown where there is any, each file whole or not at all."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_text(options.output / f"{options.name}.json", text)
    if markdown is not None:
        write_text(options.output / f"{options.name}.md", markdown)
