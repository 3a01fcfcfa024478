"""``polyrestore data``: what the sets in a folder hold, whether they are sound, and shards of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.options import AsJson
from polyrestore.cli.show import print_json, print_table

if TYPE_CHECKING:
    from polyrestore.data import Sample

data_app = typer.Typer(
    name="data",
    help="Look at training sets, check them, and pack them into shards.",
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with one set or several.")]
LayoutName = Annotated[
    str, typer.Option("--layout", metavar="NAME", help="Look for this layout only; auto looks for all.")
]


@data_app.command("inspect")
def inspect_command(folder: Folder, layout: LayoutName = "auto", as_json: AsJson = False) -> None:
    """Show which sets lie in a folder: their layout, splits, tasks and numbers of images.

    No image is decoded; images without a partner are an error.
    """
    from polyrestore.data import find_sets

    entries = [
        {
            "layout": found.layout,
            "folder": str(found.folder if as_json else found.folder.relative_to(folder)),
            "split": found.split,
            "task": task,
            "kind": "clean photographs" if found.layout == "clean" else "pairs",
            "samples": count,
        }
        for found in find_sets(folder, layout)
        for task, count in found.counts().items()
    ]
    if as_json:
        print_json(entries)
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
            {
                "training": len(training),
                "held_out": len(held_out),
                "problems": [asdict(problem) for problem in problems],
            }
        )
    else:
        for problem in problems:
            print(f"{problem.kind}: {problem.message}")
        found = f"{len(problems)} problems" if problems else "nothing wrong"
        print(f"{len(training)} samples to train on, {len(held_out)} held out: {found}")
    if problems:
        raise typer.Exit(1)


def _sides(place: Path, against: Path | None) -> tuple[list[Sample], list[Sample]]:
    """Return the samples on both sides of a comparison."""
    from polyrestore.data import find_sets
    from polyrestore.training.recipe import load_recipe
    from polyrestore.training.set_check import recipe_samples

    def all_of(folder: Path) -> list[Sample]:
        return [sample for found in find_sets(folder) for sample in found.samples]

    if place.suffix == ".toml":
        training, held_out = recipe_samples(load_recipe(place))
        return training, held_out if against is None else all_of(against)
    samples = all_of(place)
    if against is not None:
        return samples, all_of(against)
    training = [sample for sample in samples if sample.split in ("train", "all")]
    return training, [sample for sample in samples if sample.split not in ("train", "all")]
