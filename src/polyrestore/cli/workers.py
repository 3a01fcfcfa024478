"""``--workers``: in how many processes files are restored, and the engine that does it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.estimating import RunPlan, least_megapixels

if TYPE_CHECKING:
    from polyrestore.bulk.engines.shares import Share
    from polyrestore.bulk.estimate import Estimate
    from polyrestore.bulk.one_file import RestoreTask
    from polyrestore.bulk.run import Engine
    from polyrestore.restoration.restorer import Restorer

AUTO = "auto"
_MOST = 1024
# Measured on two cores: from so many megapixels on, workers have made up for the time that their start takes.
_LEAST_FOR_WORKERS = 20.0

WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|auto",
        help="Restore in N processes, each with its share of the cores; auto takes as many as are worth it.",
    ),
]


TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Give up a file that takes longer; without --workers, one worker is started for that.",
    ),
]


def require_timeout(timeout_s: float | None) -> None:
    """Refuse a time limit that no file could keep.

    Raises:
        BadParameter: it is not above 0, or not finite.
    """
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise typer.BadParameter(f"must be above 0, not {timeout_s:g}", param_hint="--timeout")


def workers_number(given: str | None) -> int | None:
    """Return the number that was asked for; None for ``auto``, and 0 where nothing was.

    Raises:
        BadParameter: it is something else.
    """
    if given is None:
        return 0
    if given == AUTO:
        return None
    if not (given.isascii() and given.isdecimal() and 1 <= int(given) <= _MOST):
        raise typer.BadParameter(f"must be from 1 to {_MOST} or auto, not {given!r}", param_hint="--workers")
    return int(given)


def plan_run(
    number: int | None,
    task: RestoreTask,
    restorer: Restorer,
    paths: Sequence[str],
    weights: Mapping[str, float] | None,
) -> RunPlan:
    """Estimate memory and time where a run is large, choose workers, and refuse a run that cannot fit.

    Args:
        number: of workers, from :func:`workers_number`.
        task: how files are restored.
        restorer: ``task.open()``.
        paths: of all images.
        weights: the composition that was named, if one was.

    Raises:
        DeviceMemoryError: the network and a tile of the largest image need more memory than there is.
    """
    from polyrestore.bulk.estimate import estimate, total_megapixels
    from polyrestore.devices import require_memory

    megapixels = total_megapixels(paths, task.max_megapixels)
    large = megapixels >= least_megapixels(restorer)
    shares, auto = make_all_shares(number, task, restorer, len(paths)), number is None
    if not large and not (auto and len(shares) > 1 and megapixels >= _LEAST_FOR_WORKERS):
        return RunPlan((), None, _alone(megapixels)) if auto else RunPlan(shares, None, None)
    found = estimate(
        restorer, paths, weights=weights, explain=task.explain, max_megapixels=task.max_megapixels
    )
    plan = share_out(number, task, restorer, found)
    tiles = "the largest image, even in tiles (--tile-px takes smaller ones),"
    each = f" in each of {len(plan.shares)} workers" if plan.shares else ""
    require_memory((plan.estimate or found).needed_bytes, restorer.device, tiles + each)
    return plan if large else replace(plan, estimate=None)


def share_out(number: int | None, task: RestoreTask, restorer: Restorer, found: Estimate) -> RunPlan:
    """Choose workers for a run of which is known what it would take in one process.

    Args:
        number: of workers, from :func:`workers_number`.
        task: how files are restored.
        restorer: ``task.open()``.
        found: of one process.
    """
    shares = make_all_shares(number, task, restorer, found.files)
    told = None
    if number is None and found.megapixels < _LEAST_FOR_WORKERS:
        shares, told = (), _alone(found.megapixels)
    elif number is None:
        shares, told = _choose(shares, task, found)
    if shares:
        found = found.for_workers(len(shares), len({share.device for share in shares}))
    return RunPlan(shares, found, told)


def _alone(megapixels: float) -> str:
    return f"workers: this process alone, for {megapixels:.1f} megapixels"


def make_all_shares(
    number: int | None, task: RestoreTask, restorer: Restorer, files: int | None = None
) -> Sequence[Share]:
    """Return what each worker is given, for ``auto`` of as many as there could be.

    Args:
        number: of workers, from :func:`workers_number`.
        task: how files are restored.
        restorer: ``task.open()``.
        files: how many there are; None where nobody knows.

    Returns:
        one for each worker; nothing where this process does it all.
    """
    from polyrestore.bulk.engines.shares import count_gpus, make_shares, usable_cores

    if number == 0:
        return ()
    cores, gpus = usable_cores(), count_gpus() if restorer.device.type == "cuda" else 0
    most = number or gpus or cores
    return make_shares(most if files is None else min(most, files), cores, task.device, gpus)


def _choose(shares: Sequence[Share], task: RestoreTask, found: Estimate) -> tuple[Sequence[Share], str]:
    """Return the workers that there is memory for, none for this process alone, and why, as a line."""
    import torch

    from polyrestore.bulk.engines.shares import fitting_workers, make_shares, usable_cores
    from polyrestore.devices import available_bytes, gigabytes

    cores, free = usable_cores(), available_bytes(torch.device("cpu"))
    count = fitting_workers(len(shares), found.memory_bytes, free)
    memory = "" if free is None else f", {gigabytes(free)} of memory free"
    why = f"{cores} core{'s' * (cores != 1)}{memory}, about {gigabytes(found.memory_bytes)} for each"
    if count == 1:
        return (), f"workers: this process alone ({why})"
    gpus = len({share.device for share in shares if share.device != task.device})
    chosen = make_shares(count, cores, task.device, gpus)
    threads = chosen[0].threads
    return chosen, f"workers: {count}, of {threads} thread{'s' * (threads != 1)} each ({why})"


@contextmanager
def open_engine(
    task: RestoreTask,
    restorer: Restorer,
    shares: Sequence[Share],
    on_tile: Callable[[int, int], None],
    timeout_s: float | None = None,
) -> Iterator[Engine]:
    """Yield what restores files, in workers where there are shares or files have a time limit, and else here.

    Args:
        task: how.
        restorer: ``task.open()``.
        shares: what each worker is given.
        on_tile: as of a restorer, or of :class:`~polyrestore.bulk.engines.workers.Workers`.
        timeout_s: how long one file may take.
    """
    if timeout_s is not None and not shares:
        # Nothing but the end of its process stops a decoder or a network.
        shares = make_all_shares(1, task, restorer)
    if not shares:
        from polyrestore.bulk.engines.local import restore_here

        restorer.on_tile = on_tile
        yield partial(restore_here, restorer=restorer)
        return
    from polyrestore.bulk.engines.workers import Workers

    with Workers(task, shares, on_tile, timeout_s) as workers:
        yield workers.restore
