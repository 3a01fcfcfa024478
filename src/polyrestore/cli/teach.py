"""``polyrestore teach``: a degradation that a bundle does not know, from pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrestore.cli.common import AsJson, CopiedBundle, print_json, print_table
from polyrestore.cli.terminal import say
from polyrestore.cli.train import interrupts, shown_progress

if TYPE_CHECKING:
    from polyrestore.teaching import TeachingReport
    from polyrestore.teaching.making import Damage


def teach_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it, such as wet_glass.")],
    into: Annotated[
        Path,
        typer.Option("--into", "-o", metavar="FOLDER", help="Your own bundle; made when it is not there."),
    ],
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FOLDER", help="Damaged images in input/, clean in target/."),
    ] = None,
    clean: Annotated[
        Path | None, typer.Option("--clean", metavar="FOLDER", help="Or clean photographs, to be damaged by:")
    ] = None,
    function: Annotated[
        str | None,
        typer.Option("--function", metavar="FILE.py:NAME", help="A function of image and generator."),
    ] = None,
    mixture: Annotated[
        str | None, typer.Option("--mixture", metavar="NAMES", help="Or known ones: low_light,noise.")
    ] = None,
    bundle: CopiedBundle = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, max=10000.0, metavar="N", help="About how long it may take.")
    ] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the starting values and the batches.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Teach a bundle a new degradation: train an adapter, learn to recognise it, measure, and install it.

    A part of the pairs is held back, by whole scenes, and everything is measured on it. Restoring with the
    bundle then recognises and undoes the new degradation by itself.
    """
    images, damage, made_by = _examples(pairs, clean, function, mixture)

    from polyrestore.teaching import Lesson, Training, teach

    lesson = Lesson(name, images, into, bundle, minutes, damage, made_by, Training(seed=seed))
    with interrupts() as interrupted, shown_progress(quiet=as_json) as show:
        report = teach(lesson, show, lambda: interrupted.signal is not None)
    if as_json:
        print_json(**report.to_dict())
        return
    _print(report)


def _examples(
    pairs: Path | None, clean: Path | None, function: str | None, mixture: str | None
) -> tuple[Path, Damage | None, str]:
    """Return the folder to learn from, what damages its photographs, and how that is called."""
    if pairs is not None and clean is None and function is None and mixture is None:
        return pairs, None, "pairs"
    if pairs is not None or clean is None or (function is None) == (mixture is None):
        raise typer.BadParameter("give --pairs FOLDER, or --clean FOLDER and one of --function and --mixture")

    from polyrestore.teaching.making import find_function, mix_known

    if function is not None:
        # Where it lay on one machine helps nobody.
        return clean, find_function(function), f"function {Path(function).name}"
    return clean, mix_known(mixture or ""), f"mixture {mixture}"


def _print(report: TeachingReport) -> None:
    rows = [("damaged", report.damaged), ("before, blind", report.untaught), ("now, named", report.named)]
    if report.blind is not None:
        rows.append(("now, blind", report.blind))
    print_table(
        (f"{report.held_back} held-back pairs", "PSNR (dB)"), [(name, f"{value:.2f}") for name, value in rows]
    )
    if report.found is not None:
        say(
            f"recognised in {report.found} of {report.held_back} of them, from {report.least_share:.2f} on, "
            f"where it would change {report.least_change or 0:.1f} grey levels"
        )
        others = [
            (group, f"{effect.fires} of {effect.images}", f"{effect.change_db:+.2f}")
            for group, effect in report.others.items()
        ]
        print_table(("other images", "acts on", "change (dB)"), others)
    if report.supersedes:
        say(f"takes the place of {', '.join(report.supersedes)} where it acts")
    for note in report.notes:
        say(f"note: {note}")
    start = f", from {report.start}" if report.start else ""
    say(
        f"{report.name}: learned from {report.pairs} pairs in {report.minutes:g} minutes{start}, "
        f"{report.gain:+.2f} dB; written to {report.bundle}"
    )
