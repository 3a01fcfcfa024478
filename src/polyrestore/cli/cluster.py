"""``--engine ray``: files are restored on a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.terminal import say

if TYPE_CHECKING:
    from polyrestore.bulk.engines.ray import RayWorkers
    from polyrestore.bulk.one_file import RestoreTask

ENGINES = ("local", "ray")

EngineOption = Annotated[
    str,
    typer.Option("--engine", metavar="NAME", help="Where files are restored: local, or ray for a cluster."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Of the Ray cluster; auto for the one on this machine, which else gets one of its own.",
    ),
]


def is_cluster(engine: str, address: str | None, refused: Counter[str]) -> bool:
    """Say whether a run is for a cluster.

    Args:
        engine: what was asked for.
        address: of a cluster, where one was named.
        refused: the options that were given and are for one machine only.

    Raises:
        BadParameter: there is no such engine, or the options do not go together.
    """
    if engine not in ENGINES:
        raise typer.BadParameter(
            f"must be one of {', '.join(ENGINES)}, not {engine!r}", param_hint="--engine"
        )
    if engine == "local" and address is not None:
        raise typer.BadParameter("is for --engine ray", param_hint="--address")
    if engine == "ray":
        for option in refused.elements():
            raise typer.BadParameter("cannot be had with --engine ray", param_hint=option)
    return engine == "ray"


@contextmanager
def open_cluster(
    task: RestoreTask, address: str | None, number: int | None, timeout_s: float | None, *, as_json: bool
) -> Iterator[RayWorkers]:
    """Yield the actors that restore files, and say how many there are.

    Args:
        task: how files are restored.
        address: of the cluster.
        number: of actors, from :func:`~polyrestore.cli.workers.workers_number`.
        timeout_s: how long one file may take.
        as_json: print nothing but JSON.
    """
    from polyrestore.bulk.engines.ray import RayWorkers

    with RayWorkers(task, address, number or None, timeout_s) as workers:
        if not as_json:
            say(workers.describe())
        yield workers
