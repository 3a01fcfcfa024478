"""``polyrestore evaluate``: how good restored images are beside the truth, by a stated protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from polyrestore.cli.common import BUNDLE_FORMS, AsJson, Device, print_json, print_table, require_bundle
from polyrestore.cli.progress import progress_bars
from polyrestore.cli.terminal import note_line, say, visible
from polyrestore.errors import DataError
from polyrestore.files import sha256_of
from polyrestore.plugins import loaded_plugins

if TYPE_CHECKING:
    from torch import Tensor

    from polyrestore.cli.evaluation_folder import EvaluationFolder
    from polyrestore.evaluation.kept import KeptResults
    from polyrestore.evaluation.metrics import Protocol
    from polyrestore.evaluation.results import SetResult
    from polyrestore.evaluation.rows import Published
    from polyrestore.evaluation.sets import EvaluationImage, EvaluationSet


def evaluate_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Pairs in input/ and target/, or a known data set.")
    ],
    bundles: Annotated[
        list[str] | None,
        typer.Option("--bundle", metavar=BUNDLE_FORMS, help="What to measure; given twice, to compare."),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="FOLDER", help="Images that something else restored."),
    ] = None,
    metrics: Annotated[
        str, typer.Option(metavar="NAMES", help="psnr, ssim, ms_ssim, ...; the first one orders images.")
    ] = "psnr,ssim",
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="How to compare: files, all-in-one, weather, ...")
    ] = "files",
    layout: Annotated[str, typer.Option(metavar="NAME", help="Of the data set; auto to look.")] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N images of each set only.")
    ] = None,
    sigma_255: Annotated[
        float | None,
        typer.Option(
            "--sigma-255", metavar="S", help="Add Gaussian noise of this strength to clean photographs first."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write tables and pictures there."),
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Measure restored images beside the truth, blind and with the degradation named."""
    named = bundles or ([] if results else ["default"])
    for each in named:
        require_bundle(each)

    from polyrestore.cli.evaluation_folder import FILES, SHEETS
    from polyrestore.evaluation.comparison import compare_all
    from polyrestore.evaluation.protocols import protocol_of
    from polyrestore.evaluation.rows import as_csv, as_latex, as_page, as_record
    from polyrestore.evaluation.scores import read_metrics
    from polyrestore.evaluation.sets import found_sets

    compared_by = protocol_of(protocol)
    how: _How = {"protocol": compared_by, "metrics": read_metrics(metrics), "limit": limit}
    if len({*named, *map(str, results or ())}) < len(named) + len(results or ()):
        raise DataError("one thing is to be measured twice; name each once")
    if sigma_255 is not None and not 0 < sigma_255 <= 255:
        raise DataError(f"the strength of noise is above 0 and at most 255, not {sigma_255:g}")
    sets = found_sets(folder, layout, sigma_255=sigma_255)
    with _opened(output) as target:
        kept = None if target is None else target.kept
        with _shown() as begin:
            measured = {name: list(_restored(name, sets, how, device, kept, begin)) for name in named}
            measured |= {str(place): list(_given(place, sets, how, kept, begin)) for place in results or ()}
        published = _published(sets, protocol, how)
        about = {"protocol": protocol, "compared": str(compared_by), "metrics": ",".join(how["metrics"])}
        if limit is not None:
            about["limit"] = f"the first {limit} images of each set only"
        differences = compare_all(measured)
        record = as_record(measured, differences, about, published)
        if target is not None:
            texts = {
                "evaluation.json": json.dumps(record, indent=1, allow_nan=False) + "\n",
                "evaluation.md": as_page(measured, differences, about, published),
                "images.csv": as_csv(measured),
                "rows.tex": as_latex(measured, published),
            }
            target.write(texts, _pictures(measured, sets, compared_by, target.kept))
    if as_json:
        print_json(**record)
        return
    _print(measured, str(compared_by))
    for difference in differences:
        say(difference.sentence)
    for name, figures in published.items():
        found = ", ".join(f"{figure.method} {figure.psnr:.2f}" for figure in figures)
        say(f"{name}, published in dB of PSNR by this protocol: {found}")
    if output is not None:
        say(f"written: {', '.join(str(output / name) for name in (*FILES, SHEETS))}")


Begin = Callable[[str, int], Callable[[str], None]]


class _How(TypedDict):
    protocol: Protocol
    metrics: tuple[str, ...]
    limit: int | None


def _published(sets: Sequence[EvaluationSet], protocol: str, how: _How) -> Published:
    """Return what is published about whole sets, where PSNR is measured."""
    from polyrestore.evaluation.published import published_figures

    if how["limit"] is not None or "psnr" not in how["metrics"]:
        return {}
    found = {each.name: published_figures(each, protocol) for each in sets}
    return {name: figures for name, figures in found.items() if figures}


def _restored(
    bundle: str,
    sets: Sequence[EvaluationSet],
    how: _How,
    device: str | None,
    kept: KeptResults | None,
    begin: Begin,
) -> Iterator[SetResult]:
    from polyrestore import __version__
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.evaluation.measure import measure_set
    from polyrestore.restoration.opening import load

    restorer = load(bundle, device)
    if kept is not None:
        task = RestoreTask(bundle=bundle, device=device, plugins=loaded_plugins())
        kept = kept.of({**task.identity(restorer), "version": __version__})
    for each in sets:
        advance = begin(f"{bundle}: {each.name}", len(each.samples[: how["limit"]]))
        yield measure_set(restorer, each, kept=kept, on_image=advance, **how)


def _given(
    place: Path, sets: Sequence[EvaluationSet], how: _How, kept: KeptResults | None, begin: Begin
) -> Iterator[SetResult]:
    from polyrestore import __version__
    from polyrestore.evaluation.measure import measure_results

    if kept is not None:
        # Metrics may come from them.
        plugins = [sha256_of(Path(each)) for each in loaded_plugins()]
        kept = kept.of({"plugins_sha256": plugins, "version": __version__})
    for each in sets:
        advance = begin(f"{place}: {each.name}", len(each.samples[: how["limit"]]))
        yield measure_results(place, each, kept=kept, on_image=advance, **how)


@contextmanager
def _shown() -> Iterator[Begin]:
    """Show on the terminal how far the measuring is; what is yielded begins a bar and returns its advance."""
    from rich.console import Console
    from rich.text import Text

    with progress_bars(Console(stderr=True)) as progress:

        def begin(name: str, count: int) -> Callable[[str], None]:
            task = progress.add_task(Text(visible(name)).markup, total=count)
            return lambda image: progress.advance(task)

        yield begin


@contextmanager
def _opened(output: Path | None) -> Iterator[EvaluationFolder | None]:
    """Open the output folder where there is to be one, and tell what is gone on with, now or later."""
    from polyrestore.cli.evaluation_folder import open_evaluation

    if output is None:
        yield None
        return
    with open_evaluation(output) as folder:
        if folder.found:
            note_line(f"results of {folder.found} images are there; what is as it was is not measured again")
        try:
            yield folder
        except KeyboardInterrupt:
            if count := len(folder.kept.records):
                note_line(f"results of {count} images are kept; the same command goes on from there")
            raise


def _pictures(
    measured: Mapping[str, Sequence[SetResult]],
    sets: Sequence[EvaluationSet],
    protocol: Protocol,
    kept: KeptResults,
) -> dict[str, bytes]:
    """Return the plots, where matplotlib is installed, and a sheet for each restorer and set, by name."""
    from polyrestore.evaluation.showing import draw_plots, encode_results, sheet_name

    plots = draw_plots(measured)
    if plots is None:
        note_line("no plots without matplotlib; install polyrestore[plots]")
    pictures = dict(plots or {})
    for number, (restorer, results) in enumerate(measured.items(), 1):
        for each, result in zip(sets, results, strict=True):
            restored = _made(restorer, result, kept)
            pictures[sheet_name(number, restorer, result)] = encode_results(each, result, restored, protocol)
    return pictures


def _made(restorer: str, result: SetResult, kept: KeptResults) -> Callable[[int, EvaluationImage], Tensor]:
    """Return what gives a restored image again: none is restored twice."""
    from polyrestore.evaluation.measure import GivenResults

    if result.restored_here:
        return lambda index, sample: kept.picture(result.images[index].key)
    given = GivenResults(Path(restorer))
    return lambda index, sample: given.read(sample)


def _print(measured: Mapping[str, Sequence[SetResult]], protocol: str) -> None:
    from polyrestore.evaluation.rows import headings, metrics_of, table_rows
    from polyrestore.evaluation.scores import heading

    say(f"{heading(metrics_of(measured))}, mean per image; {protocol}")
    print_table(headings(), table_rows(measured))
