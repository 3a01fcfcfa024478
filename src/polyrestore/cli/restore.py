"""``polyrestore restore``: files and folders in, restored files and a report out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from polyrestore.cli.account import Account
from polyrestore.cli.cluster import AddressOption, EngineOption, is_cluster, open_cluster
from polyrestore.cli.common import (
    AsJson,
    Bundle,
    Device,
    Normalisation,
    Temperature,
    TopK,
    open_task,
    print_json,
    recognition_settings,
    require_bundle,
)
from polyrestore.cli.estimating import estimate_text, show_plan
from polyrestore.cli.progress import LONGEST_TABLE, RunProgress
from polyrestore.cli.stores import ReportOption, read_places
from polyrestore.cli.terminal import conclude, error_line, note_line, say
from polyrestore.cli.watching import watch_folders
from polyrestore.cli.workers import (
    TimeoutOption,
    WorkersOption,
    open_engine,
    plan_run,
    require_timeout,
    share_out,
    workers_number,
)
from polyrestore.errors import ImageError
from polyrestore.plugins import loaded_plugins
from polyrestore.storage.urls import is_url

if TYPE_CHECKING:
    from polyrestore.bulk.files import FileJob
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.bulk.run import Engine
    from polyrestore.imaging import Quality


def restore_command(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Images, videos and folders, or their URLs.")
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", help="Folder for the results, or its URL; of one video, also a file."),
    ],
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
    runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What runs the network: torch, openvino, onnx, or the fastest, auto."
        ),
    ] = "torch",
    precision: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="float32, or where the device is fast at it float16, bfloat16."),
    ] = "float32",
    quality: Annotated[
        str,
        typer.Option(metavar="NAME", help="normal, or best: the mean over four views, four times as slow."),
    ] = "normal",
    scale: Annotated[
        int, typer.Option(metavar="N", min=1, max=4, help="Enlarge results so many times: 2, 3 or 4.")
    ] = 1,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Write all results so: png, jpeg, tiff, webp, ..."),
    ] = None,
    jpeg_quality: Annotated[
        str | None,
        typer.Option(
            metavar="N|keep", help="Of JPEG results, 1 to 100, or the input's own; 95 or better by default."
        ),
    ] = None,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Give results the file times of their inputs.")
    ] = False,
    max_megapixels: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, help="Take images up to this size; 179 by default."),
    ] = None,
    video_codec: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of videos: libx264, libx265, libvpx-vp9, libsvtav1, mpeg4, ffv1."),
    ] = None,
    video_quality: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Of videos, on their codec's scale (crf); less is better."),
    ] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    normalisation: Normalisation = None,
    workers: WorkersOption = None,
    timeout_s: TimeoutOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    report: ReportOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and restore files as they arrive in the folders.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it takes; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore images and videos. Run again, it continues: finished files are skipped.

    Results go to the output folder under the same names, with a report in report.jsonl.
    """
    from polyrestore.bulk.files import find_jobs, find_named_job

    number = workers_number(workers)
    require_timeout(timeout_s)
    # Each machine would choose for itself.
    refused = {"--watch": watch, "--dry-run": dry_run, "--runtime auto": runtime == "auto"}
    on_cluster = is_cluster(engine, address, Counter(refused))
    only_here = {
        "--watch": watch,
        "--dry-run": dry_run,
        "--keep-times": keep_times,
        "--workers auto": number is None,
    }
    sources, place = read_places(inputs, output, report, only_here)
    if watch and dry_run:
        raise typer.BadParameter("cannot be had with --dry-run", param_hint="--watch")
    # Before what takes seconds to import: a name that was mistyped is told at once.
    left_out: Counter[str] = Counter()
    if (named := find_named_job(sources, place)) is not None and not watch:
        jobs, place = [named], Path(place).parent
    else:
        jobs = find_jobs(sources, place, recursive=recursive, left_out=left_out, none=watch)
    if not watch:
        _refuse_unreadable(sources, jobs, as_json=as_json)
    require_bundle(bundle, as_)

    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.bundles import pin_bundle

    task = RestoreTask(
        bundle=pin_bundle(bundle),
        device=device,
        tile_px=tile_px,
        steps=steps,
        runtime=runtime,
        precision=precision,
        quality=quality,
        scale=scale,
        settings=recognition_settings(temperature, top_k, normalisation),
        plugins=loaded_plugins(),
        as_=as_,
        strength=strength,
        explain=explain,
        format=format_,
        jpeg_quality=_quality(jpeg_quality),
        max_megapixels=max_megapixels,
        keep_times=keep_times,
        video_codec=video_codec,
        video_quality=video_quality,
    )
    if watch:
        watch_folders(
            task,
            [Path(source) for source in sources],
            Path(place),
            number,
            timeout_s,
            recursive=recursive,
            overwrite=overwrite,
            as_json=as_json,
        )
    elif dry_run:
        share = partial(share_out, number)
        show_plan(task, jobs, Path(place), left_out, share, overwrite=overwrite, as_json=as_json)
    elif on_cluster:
        with open_cluster(task, address, number, timeout_s, as_json=as_json) as cluster:
            facts, progress = cluster.facts, RunProgress(len(jobs))
            account = Account(progress, place, report, left_out, explain, facts.bare, as_json)
            opening = nullcontext(cluster.restore)
            _restore_all(task, jobs, account, opening, facts.identity, overwrite=overwrite)
    else:
        _run(task, jobs, place, report, left_out, number, timeout_s, overwrite=overwrite, as_json=as_json)


def _run(
    task: RestoreTask,
    jobs: Sequence[FileJob],
    output: str | Path,
    report: Path | None,
    left_out: Counter[str],
    number: int | None,
    timeout_s: float | None,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    task, restorer = open_task(task)
    identity = task.identity(restorer)
    # Files behind URLs are not fetched to look at their sizes.
    paths = [job.input for job in jobs if not is_url(job.input)]
    plan = plan_run(number, task, restorer, paths, identity["as"])
    if plan.told is not None and not as_json:
        say(plan.told)
    if plan.estimate is not None and not as_json:
        say(estimate_text(plan.estimate, restorer.device))
    progress = RunProgress(len(jobs))
    bare = restorer.is_bare
    account = Account(progress, output, report, left_out, task.explain, bare, as_json, plan.estimate)
    opening = open_engine(task, restorer, plan.shares, progress.on_tile, timeout_s)
    _restore_all(task, jobs, account, opening, identity, overwrite=overwrite)


def _restore_all(
    task: RestoreTask,
    jobs: Sequence[FileJob],
    account: Account,
    opening: AbstractContextManager[Engine],
    identity: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    from polyrestore.bulk.run import restore_files

    progress = account.progress
    try:
        with progress.shown(), opening as engine:
            restore_files(
                task,
                jobs,
                account.output,
                engine,
                identity=identity,
                overwrite=overwrite,
                report_folder=account.report_folder,
                on_file=progress.on_file,
                on_notice=note_line,
            )
    except KeyboardInterrupt as stop:
        account.interrupted(stop)
    account.finished(jobs[:LONGEST_TABLE])


def _refuse_unreadable(inputs: Sequence[str | Path], jobs: Sequence[FileJob], *, as_json: bool) -> None:
    """End the command where all that it was given are single files that cannot be read."""
    from polyrestore.imaging import read_start

    if any(is_url(path) or os.path.isdir(path) for path in inputs) or len(inputs) > LONGEST_TABLE:
        return
    errors = []
    for job in jobs:
        try:
            read_start(job.input)
        except ImageError as error:
            errors.append(str(error))
        else:
            return
    for message in errors:
        error_line(message)
    if as_json:
        progress = RunProgress(len(errors))
        progress.counts["failed"] = len(errors)
        print_json(**progress.numbers(), left_out={}, report=None, explained=None, estimate=None)
    else:
        conclude(f"{len(errors)} found: 0 restored, 0 skipped, {len(errors)} failed; nothing was written")
    raise typer.Exit(1)


def _quality(given: str | None) -> Quality:
    """Return a JPEG quality; what is none is left for the task to refuse."""
    return cast("Quality", int(given) if given is not None and given.isdecimal() else given)
