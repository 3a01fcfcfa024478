"""``polyrestore restore``: files and folders in, restored files and a report out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.common import (
    Bundle,
    Device,
    Normalisation,
    Temperature,
    TopK,
    error_line,
    note_line,
    print_table,
    recognition_settings,
    weights_text,
)
from polyrestore.notes import NoteCounts
from polyrestore.plugins import loaded_plugins

if TYPE_CHECKING:
    from polyrestore.bulk.record import FileRecord
    from polyrestore.restoration.restorer import Restorer

# A table of a million rows helps nobody; all of them are in the report.
_LONGEST_TABLE = 40
# Below so many megapixels a run is over soon, and an estimate would only delay it.
_LARGE_MEGAPIXELS = 20.0
_LARGE_IF_HEAVY = 0.5


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
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also show, in OUTPUT/explained, what each adapter did to an image."),
    ] = False,
    bundle: Bundle = "default",
    device: Device = None,
    tile_px: Annotated[
        int | None, typer.Option("--tile-px", min=16, help="Largest side of a tile; less needs less memory.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Steps of a generative network; the bundle's own by default."),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="float32, or where the device is fast at it float16, bfloat16."),
    ] = "float32",
    quality: Annotated[
        str,
        typer.Option(metavar="NAME", help="normal, or best: the mean over eight views, eight times as slow."),
    ] = "normal",
    temperature: Temperature = None,
    top_k: TopK = None,
    normalisation: Normalisation = None,
) -> None:
    """Restore images. Run again, it continues: finished files are skipped.

    Results go to the output folder under the same names, with a report in report.jsonl.
    """
    from polyrestore.bulk.engines.local import restore_here
    from polyrestore.bulk.files import describe_kinds, find_jobs
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.bulk.record import EXPLAINED_FOLDER
    from polyrestore.bulk.run import restore_files

    task = RestoreTask(
        bundle=bundle,
        device=device,
        tile_px=tile_px,
        steps=steps,
        precision=precision,
        quality=quality,
        settings=recognition_settings(temperature, top_k, normalisation),
        plugins=loaded_plugins(),
        as_=as_,
        strength=strength,
        explain=explain,
    )
    restorer = task.open()
    identity = task.identity(restorer)
    left_out: Counter[str] = Counter()
    jobs = find_jobs(inputs, output, recursive=recursive, left_out=left_out)
    _tell_what_it_takes(restorer, [job.input for job in jobs])
    records: list[FileRecord] = []
    notes = NoteCounts()
    with _shown(records, notes, len(jobs)) as on_file:
        summary = restore_files(
            task,
            jobs,
            output,
            partial(restore_here, restorer=restorer),
            identity=identity,
            overwrite=overwrite,
            on_file=on_file,
            on_notice=note_line,
        )
    if summary.found <= _LONGEST_TABLE:
        nothing = "backbone alone" if restorer.is_bare else "clean"
        rows = [_row(record, nothing) for record in records]
        print_table(("file", "status", "composition", "seconds"), rows)
    print(
        f"{summary.found} found: {summary.restored} restored, {summary.skipped} skipped, "
        f"{summary.failed} failed, in {summary.seconds:.1f} s"
    )
    for line in notes.lines():
        print(f"note: {line}")
    if left_out:
        print(describe_kinds(left_out))
    print(f"report: {summary.report}")
    if explain:
        print(f"explained: {output / EXPLAINED_FOLDER}")
    if summary.failed:
        raise typer.Exit(1)


def _tell_what_it_takes(restorer: Restorer, paths: Sequence[str]) -> None:
    """Print an estimate of memory and time where a run is large, and refuse one that cannot fit.

    Raises:
        BackboneError: the network and a tile of its largest image need more memory than there is.
    """
    from polyrestore.backbones import BorrowsModel
    from polyrestore.bulk.estimate import estimate, largest_megapixels, total_megapixels
    from polyrestore.devices import gigabytes, require_memory

    megapixels = total_megapixels(paths)
    heavy = isinstance(restorer.bundle.backbone, BorrowsModel)
    if megapixels < (_LARGE_IF_HEAVY if heavy else _LARGE_MEGAPIXELS):
        return
    found = estimate(restorer, megapixels, largest_megapixels(paths))
    print(
        f"estimate: {len(paths)} files, {megapixels:.0f} megapixels, {gigabytes(found.memory_bytes)} of "
        f"memory, at most about {_duration(found.seconds)} on {restorer.device} (one tile of "
        f"{found.probe_px} px timed)"
    )
    tiles = f"a tile of {restorer.tile_px} px (see --tile-px)"
    require_memory(found.memory_bytes - restorer.runtime.weight_bytes, restorer.device, tiles)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _shown(
    records: list[FileRecord], notes: NoteCounts, found: int
) -> Iterator[Callable[[FileRecord], None]]:
    """Show progress and errors, and collect the records of a short table and what the notes are about.

    Where the user interrupts, what has been done by then is said before that goes on its way.

    Yields:
        what to call with each finished file.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    counts: Counter[str] = Counter()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("restoring", total=found)

            def show(record: FileRecord) -> None:
                progress.advance(bar)
                counts[record.status] += 1
                if record.status == "restored":
                    notes.add(record.notes)
                if record.error is not None:
                    error_line(record.error)
                # The table needs a few of them only; a million would fill the memory.
                if len(records) < _LONGEST_TABLE:
                    records.append(record)

            yield show
    except KeyboardInterrupt:
        print(
            f"{found} found: {counts['restored']} restored, {counts['skipped']} skipped, "
            f"{counts['failed']} failed, {found - counts.total()} not reached; run again to continue"
        )
        raise


def _row(record: FileRecord, nothing: str) -> tuple[str, str, str, str]:
    composition = "" if record.status == "failed" else weights_text(record.weights, nothing)
    seconds = "" if record.seconds is None else f"{record.seconds:.2f}"
    return record.output or Path(record.input).name, record.status, composition, seconds
