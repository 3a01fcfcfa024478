"""What a run will take, said before it begins, and what it would do, said instead of doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from polyrestore.cli.common import open_task, print_json, print_table
from polyrestore.cli.progress import LONGEST_TABLE, duration
from polyrestore.cli.terminal import conclude, error_line, say

if TYPE_CHECKING:
    from polyrestore.bulk.engines.shares import Share
    from polyrestore.bulk.estimate import Estimate
    from polyrestore.bulk.files import FileJob
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.restoration.restorer import Restorer

# Below so many megapixels a run is over soon, and an estimate would only delay it.
_LARGE_MEGAPIXELS = 20.0
_LARGE_IF_HEAVY = 0.5


@dataclass(frozen=True)
class RunPlan:
    """Where a run's files are restored, and what that takes.

    Attributes:
        shares: what each worker is given; nothing where this process does it all.
        estimate: of a large run; None of others.
        told: why there are so many workers, as a line; None where they were named.
    """

    shares: Sequence[Share]
    estimate: Estimate | None
    told: str | None


def least_megapixels(restorer: Restorer) -> float:
    """Return from how many megapixels on a run is told in advance what it will take."""
    from polyrestore.backbones import BorrowsModel

    return _LARGE_IF_HEAVY if isinstance(restorer.bundle.backbone, BorrowsModel) else _LARGE_MEGAPIXELS


def estimate_text(found: Estimate, device: object) -> str:
    """Return an estimate as a line."""
    from polyrestore.devices import gigabytes

    return (
        f"estimate: {found.files} file{'s' * (found.files != 1)}, {found.megapixels:.0f} megapixels, "
        f"{gigabytes(found.memory_bytes)} of memory, at most about {duration(found.seconds)} on {device} "
        f"(one tile of {found.probe_px} px timed)"
    )


def show_plan(
    task: RestoreTask,
    jobs: Sequence[FileJob],
    output: Path,
    left_out: Counter[str],
    share_out: Callable[[RestoreTask, Restorer, Estimate], RunPlan],
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show what a run would do, and what it would take; nothing is written.

    Args:
        task: how files would be restored.
        jobs: the files.
        output: the output folder.
        left_out: files of other kinds, by ending.
        share_out: says which workers would do it, and what all of them would take.
        overwrite: whether files that no run wrote would be replaced.
        as_json: print JSON.

    Raises:
        Exit: with 1, where a file would fail.
        PolyrestoreError: the run would be refused.
    """
    from polyrestore.bulk.estimate import estimate
    from polyrestore.bulk.files import describe_kinds
    from polyrestore.bulk.plan import PlannedFile, plan_files

    task, restorer = open_task(task)
    identity = task.identity(restorer)
    counts: Counter[str] = Counter()
    shown: list[PlannedFile] = []
    to_restore: list[str] = []
    for planned in plan_files(task, jobs, output, identity=identity, overwrite=overwrite):
        counts[planned.action] += 1
        if as_json or len(shown) < LONGEST_TABLE:
            shown.append(planned)
        if planned.action == "restore":
            to_restore.append(planned.input)
        if planned.error is not None:
            error_line(planned.error)
    found = told = None
    if to_restore:
        alone = estimate(
            restorer,
            to_restore,
            weights=identity["as"],
            explain=task.explain,
            max_megapixels=task.max_megapixels,
        )
        plan = share_out(task, restorer, alone)
        found, told = plan.estimate, plan.told
    if as_json:
        print_json(
            found=len(jobs),
            restore=counts["restore"],
            skip=counts["skip"],
            fail=counts["fail"],
            files=[asdict(planned) for planned in shown],
            left_out=dict(left_out),
            estimate=None if found is None else asdict(found),
        )
    else:
        print_table(
            ("file", "would", "result"),
            [(planned.input, planned.action, planned.output or "") for planned in shown],
        )
        if len(jobs) > len(shown):
            say(f"... and {len(jobs) - len(shown)} more; --json has all of them")
        if left_out:
            say(describe_kinds(left_out))
        if told is not None:
            say(told)
        if found is not None:
            say(estimate_text(found, restorer.device))
        conclude(
            f"{len(jobs)} found: {counts['restore']} to restore, {counts['skip']} finished, "
            f"{counts['fail']} would fail; nothing was written (--dry-run)"
        )
    if counts["fail"]:
        raise typer.Exit(1)
