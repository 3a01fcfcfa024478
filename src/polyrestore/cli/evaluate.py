"""``polyrestore evaluate``: how good restored images are beside the truth, by a stated protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from polyrestore.cli.common import BUNDLE_FORMS, AsJson, Device, print_json, print_table, require_bundle
from polyrestore.cli.progress import progress_bars
from polyrestore.cli.terminal import note_line, say, visible
from polyrestore.errors import DataError, OutputError
from polyrestore.files import write_bytes, write_text

if TYPE_CHECKING:
    from polyrestore.evaluation.measure import SetResult
    from polyrestore.evaluation.metrics import Protocol
    from polyrestore.evaluation.rows import Published
    from polyrestore.evaluation.sets import EvaluationSet

_FILES = ("evaluation.json", "evaluation.md", "images.csv", "rows.tex")
_SHEETS = "sheets"


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

    from polyrestore.evaluation.comparison import compare_all
    from polyrestore.evaluation.protocols import protocol_of
    from polyrestore.evaluation.rows import as_page, as_record
    from polyrestore.evaluation.scores import read_metrics
    from polyrestore.evaluation.sets import found_sets

    compared_by = protocol_of(protocol)
    how: _How = {"protocol": compared_by, "metrics": read_metrics(metrics), "limit": limit}
    if len({*named, *map(str, results or ())}) < len(named) + len(results or ()):
        raise DataError("one thing is to be measured twice; name each once")
    if output is not None:
        _require_free(output)
    if sigma_255 is not None and not 0 < sigma_255 <= 255:
        raise DataError(f"the strength of noise is above 0 and at most 255, not {sigma_255:g}")
    sets = found_sets(folder, layout, sigma_255=sigma_255)
    published = _published(sets, protocol, how)
    measured: dict[str, list[SetResult]] = {}
    with _shown() as begin:
        for name in named:
            measured[name] = list(_restored(name, sets, how, device, begin))
        for place in results or ():
            measured[str(place)] = list(_given(place, sets, how, begin))
    about = {"protocol": protocol, "compared": str(compared_by), "metrics": ",".join(how["metrics"])}
    if limit is not None:
        about["limit"] = f"the first {limit} images of each set only"
    differences = compare_all(measured)
    record = as_record(measured, differences, about, published)
    if output is not None:
        _write(output, record, measured, as_page(measured, differences, about, published), published)
        _show(output, measured, sets, device)
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
        say(f"written: {', '.join(str(output / name) for name in (*_FILES, _SHEETS))}")


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
    begin: Begin,
) -> Iterator[SetResult]:
    from polyrestore.evaluation.measure import measure_set
    from polyrestore.restoration.opening import load

    restorer = load(bundle, device)
    for each in sets:
        advance = begin(f"{bundle}: {each.name}", len(each.samples[: how["limit"]]))
        yield measure_set(restorer, each, on_image=advance, **how)


def _given(place: Path, sets: Sequence[EvaluationSet], how: _How, begin: Begin) -> Iterator[SetResult]:
    from polyrestore.evaluation.measure import measure_results

    for each in sets:
        advance = begin(f"{place}: {each.name}", len(each.samples[: how["limit"]]))
        yield measure_results(place, each, on_image=advance, **how)


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


def _require_free(output: Path) -> None:
    """Refuse a folder that holds an evaluation, before anything is measured."""
    for name in (*_FILES, _SHEETS):
        if (output / name).exists():
            raise OutputError(f"{output / name} is there already; choose another folder")


def _write(
    output: Path,
    record: Mapping[str, Any],
    measured: Mapping[str, Sequence[SetResult]],
    page: str,
    published: Published,
) -> None:
    from polyrestore.evaluation.rows import as_csv, as_latex

    texts = (
        json.dumps(record, indent=1, allow_nan=False) + "\n",
        page,
        as_csv(measured),
        as_latex(measured, published),
    )
    for name, text in zip(_FILES, texts, strict=True):
        write_text(output / name, text)


def _show(
    output: Path,
    measured: Mapping[str, Sequence[SetResult]],
    sets: Sequence[EvaluationSet],
    device: str | None,
) -> None:
    """Write the plots, where matplotlib is installed, and a sheet for each restorer and set."""
    from polyrestore.evaluation.measure import read_results
    from polyrestore.evaluation.showing import draw_plots, encode_results, restored_by, sheet_name
    from polyrestore.restoration.opening import load

    plots = draw_plots(measured)
    if plots is None:
        note_line("no plots without matplotlib; install polyrestore[plots]")
    for name, content in (plots or {}).items():
        write_bytes(output / _SHEETS / name, content)
    for number, (restorer, results) in enumerate(measured.items(), 1):
        ours = results[0].restored_here
        restore = restored_by(load(restorer, device)) if ours else read_results(Path(restorer))
        for each, result in zip(sets, results, strict=True):
            place = output / _SHEETS / sheet_name(number, restorer, result)
            write_bytes(place, encode_results(each, result, restore))


def _print(measured: Mapping[str, Sequence[SetResult]], protocol: str) -> None:
    from polyrestore.evaluation.rows import headings, metrics_of, table_rows
    from polyrestore.evaluation.scores import heading

    say(f"{heading(metrics_of(measured))}, mean per image; {protocol}")
    print_table(headings(), table_rows(measured))
