"""``polyrestore data``: what the sets in a folder hold, whether they are sound, and shards of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.common import (
    AsJson,
    print_json,
    print_table,
)
from polyrestore.cli.terminal import say

if TYPE_CHECKING:
    from polyrestore.data import FoundSet, Sample

data_app = typer.Typer(
    name="data",
    help="Look at training sets, check them, and pack them into shards.",
    rich_markup_mode=None,
)

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder with one set or several, or with shards.")
]
LayoutName = Annotated[
    str, typer.Option("--layout", metavar="NAME", help="Look for this layout only; auto looks for all.")
]


@data_app.command("inspect")
def inspect_command(folder: Folder, layout: LayoutName = "auto", as_json: AsJson = False) -> None:
    """Show which sets lie in a folder, or in shards: their layout, splits, tasks and numbers of images.

    No image is decoded; images without a partner are an error.
    """
    entries = [
        {
            "layout": found.layout,
            "folder": str(found.folder) if as_json else _below(folder, found.folder),
            "split": found.split,
            "task": task,
            "kind": _kind(found, task),
            "samples": count,
        }
        for found in _sets_in(folder, layout)
        for task, count in found.counts().items()
    ]
    if as_json:
        print_json(sets=entries)
        return
    rows = [(*map(str, entry.values()),) for entry in entries]
    print_table(tuple(entries[0]), [tuple(cell or "(to be named)" for cell in row) for row in rows])


@data_app.command("check")
def check_command(
    place: Annotated[
        Path, typer.Argument(metavar="FOLDER|RECIPE", help="A folder with sets, or a recipe that names some.")
    ],
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FOLDER", help="Sets whose images must not occur in the first."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every image: name unreadable files, pairs of different size, and images that are in both sides.

    The sides are FOLDER and the one given with --against; or FOLDER's training and other splits; or what a
    recipe trains and validates on. Copies are found also when they are mirrored, resized or compressed.
    The exit code is 1 when something is found.
    """
    from dataclasses import asdict

    from polyrestore.data import check_sets

    training, held_out = _sides(place, against)
    problems = check_sets(training, held_out)
    if as_json:
        print_json(
            training=len(training),
            held_out=len(held_out),
            problems=[asdict(problem) for problem in problems],
        )
    else:
        for problem in problems:
            say(f"{problem.kind}: {problem.message}")
        count = len(problems)
        found = f"{count} problem{'s' * (count > 1)}" if problems else "nothing wrong"
        say(f"{len(training)} samples to train on, {len(held_out)} held out: {found}")
    if problems:
        raise typer.Exit(1)


@data_app.command("pack")
def pack_command(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="SHARDS", help="A new folder for them.")],
    layout: LayoutName = "auto",
    shard_mb: Annotated[int, typer.Option("--shard-mb", min=1, help="About how large a shard gets.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Pack the sets in a folder into tar shards, with the images' bytes as they are.

    In a recipe, shards = "SHARDS" takes the place of folder = "FOLDER".
    """
    from polyrestore.data import find_sets, pack

    found = find_sets(folder, layout)
    shards = pack(found, folder, output, shard_mb)
    samples = sum(len(each.samples) for each in found)
    if as_json:
        print_json(folder=str(output), shards=len(shards), samples=samples)
        return
    say(f"{samples} samples in {len(shards)} shards, written to {output}")


def _sets_in(place: Path, layout: str = "auto") -> list[FoundSet]:
    from polyrestore.data import find_sets, find_shards, holds_shards

    return find_shards(place) if holds_shards(place) else find_sets(place, layout)


def _below(folder: Path, place: Path) -> str:
    """Return the path from a folder to a place in it, or the whole path of one that is not in it."""
    start = folder.absolute().resolve()
    place = place.absolute().resolve()
    return str(place.relative_to(start)) if place.is_relative_to(start) else str(place)


def _kind(found: FoundSet, task: str) -> str:
    return "pairs" if any(sample.degraded for sample in found.samples if sample.task == task) else "clean"


def _sides(place: Path, against: Path | None) -> tuple[list[Sample], list[Sample]]:
    """Return the samples on both sides of a comparison."""

    def all_of(folder: Path) -> list[Sample]:
        return [sample for found in _sets_in(folder) for sample in found.samples]

    if place.suffix == ".toml":
        from polyrestore.training.reading import load_recipe
        from polyrestore.training.recipes.set_check import recipe_samples

        training, held_out = recipe_samples(load_recipe(place))
        return training, held_out if against is None else all_of(against)
    samples = all_of(place)
    if against is not None:
        return samples, all_of(against)
    training = [sample for sample in samples if sample.split in ("train", "all")]
    return training, [sample for sample in samples if sample.split not in ("train", "all")]
