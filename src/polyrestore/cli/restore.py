"""``polyrestore restore``: files and folders in, restored files and a report out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyrestore.cli.options import Bundle, Device
from polyrestore.cli.show import error_line, print_table, weights_text
from polyrestore.errors import CompositionError

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch import Tensor

    from polyrestore.restoration.batch import BatchSummary
    from polyrestore.restoration.report import FileRecord
    from polyrestore.restoration.restorer import Restored, Restorer

# A table of a million rows helps nobody; all of them are in the report.
_LONGEST_TABLE = 40


def restore_command(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT", help="Image files and folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the restored images.")],
    as_: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAMES",
            help="What is wrong, instead of recognising it: rain,noise or rain=0.7,noise=0.3.",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="0 leaves the image as it is, 1 restores it fully.")
    ] = 1.0,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into sub-folders, and keep them.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that an earlier run did not write.")
    ] = False,
    bundle: Bundle = "default",
    device: Device = None,
    tile_px: Annotated[
        int | None, typer.Option("--tile-px", min=16, help="Largest side of a tile; less needs less memory.")
    ] = None,
) -> None:
    """Restore images. Run again, it continues: finished files are skipped.

    Results go to the output folder under the same names, with a report in report.jsonl.
    """
    # Comparisons with a value that is not a number pass the range check above.
    if strength != strength:
        raise CompositionError("strength must be between 0 and 1, not nan")
    from polyrestore.cli.model import fingerprint, open_restorer
    from polyrestore.restoration.naming import named_composition

    restorer = open_restorer(bundle, device, tile_px)
    composition = None if as_ is None else named_composition(as_, restorer.adapters)
    settings = {
        "bundle": restorer.bundle.name,
        "bundle_sha256": fingerprint(restorer.bundle),
        "as": composition,
        "strength": strength,
    }
    records: list[FileRecord] = []
    summary = _restore(
        inputs, output, restorer, composition, strength, recursive, overwrite, settings, records
    )
    if summary.found <= _LONGEST_TABLE:
        rows = [_row(record) for record in records]
        print_table(("file", "status", "composition", "seconds"), rows)
    print(
        f"{summary.found} found: {summary.restored} restored, {summary.skipped} skipped, "
        f"{summary.failed} failed, in {summary.seconds:.1f} s"
    )
    print(f"report: {summary.report}")
    if summary.failed:
        raise typer.Exit(1)


def _restore(
    inputs: list[Path],
    output: Path,
    restorer: Restorer,
    composition: Mapping[str, float] | None,
    strength: float,
    recursive: bool,
    overwrite: bool,
    settings: Mapping[str, Any],
    records: list[FileRecord],
) -> BatchSummary:
    from polyrestore.restoration.batch import restore_files

    def restore_one(pixels: Tensor) -> Restored:
        return restorer.restore(pixels, as_=composition, strength=strength)

    with _progress() as progress:
        task = progress.add_task("restoring", total=None)

        def show(record: FileRecord) -> None:
            progress.advance(task)
            if record.error is not None:
                error_line(record.error)
            # The table needs a few of them only; a million would fill the memory.
            if len(records) < _LONGEST_TABLE:
                records.append(record)

        return restore_files(
            inputs,
            output,
            restore_one,
            recursive=recursive,
            overwrite=overwrite,
            settings=settings,
            on_start=lambda count: progress.update(task, total=count),
            on_file=show,
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _row(record: FileRecord) -> tuple[str, str, str, str]:
    composition = "" if record.status == "failed" else weights_text(record.weights)
    seconds = "" if record.seconds is None else f"{record.seconds:.2f}"
    return record.output or Path(record.input).name, record.status, composition, seconds
