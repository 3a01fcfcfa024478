"""Search how a bundle's recognition should become weights, on photographs that are held back for tuning.

Every single degradation at three severities, every named mixture and the undamaged photographs, which should
be left alone, are restored under each combination of the settings that matter for the bundle's activation.
Each photograph is recognised as a whole, and its middle restored.
Prints the best ones by mean PSNR, singles and mixtures counting half each, then looks for a least share of
each adapter's own, and writes all as JSON. Weights are rounded to tenths, so that few networks are run. What
is chosen goes into the bundle by ``scripts/ship_bundle.py --setting``. Several bundles that have the same
adapters and one recogniser are searched together, for the settings that are best on average.

    python -m benchmarks.settings --data FOLDER [--bundle NAME]... [--limit N]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.progress import track

import polyrestore
from benchmarks.harness import make_parser, positive, run_reported, write_results
from polyrestore.cli.common import print_table
from polyrestore.evaluation.settings_search import SEARCHED, Search, damaged_sets, require_alike
from polyrestore.recognition import RecognitionSettings

SHOWN = 12


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser(__doc__, "settings", bundles=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of clean photographs, not of a test set"
    )
    parser.add_argument("--limit", type=positive, default=32, help="the first N photographs")
    parser.add_argument("--crop-px", type=positive, default=192, help="centre of each that is restored")
    return run_reported(partial(run, parser.parse_args(arguments)))


def run(options: argparse.Namespace) -> None:
    restorers = [polyrestore.load(name) for name in options.bundle or ["default"]]
    require_alike(restorers)
    sets = damaged_sets(
        restorers,
        options.data,
        options.limit,
        options.crop_px,
        partial(track, description="recognising"),
    )
    search = Search(restorers[0].adapters, sets)
    own = restorers[0].recognition_settings
    searched = SEARCHED[own.activation]
    names = tuple(searched)

    def shared(values: Sequence[Any]) -> RecognitionSettings:
        """Return settings with these values of what is searched, and the same least share for all."""
        return replace(own, **dict(zip(names, values, strict=True)), minimum_shares={})

    rows: list[tuple[Any, ...]] = []
    for values in track(list(product(*searched.values())), description="restoring"):
        found = search.figures(shared(values))
        rows.append((*values, *(round(figure, 3) for figure in found)))
    rows.sort(key=lambda row: -row[len(names)])
    heading = (*names, "all", "singles", "mixtures")
    print_table(
        heading,
        [[f"{value}" for value in row] for row in rows[:SHOWN]],
    )
    print("as it is:", *(f"{figure:.3f}" for figure in search.figures(own)))
    # The search for single shares ends where it no longer gains, so it starts from several places.
    by_share = {row[names.index("minimum_share")]: row for row in reversed(rows)}
    starts = [shared(row[: len(names)]) for row in by_share.values()]
    ends = [search.best_shares(start) for start in track(starts, description="least shares")]
    best = max(ends, key=lambda end: search.figures(end)[0])
    print("with shares of their own:", *(f"{figure:.3f}" for figure in search.figures(best)))
    changed = {name: getattr(best, name) for name in (*names, "minimum_shares")}
    print(*(f"--setting '{name}={json.dumps(value)}'" for name, value in changed.items()))
    bundles = [restorer.bundle.name for restorer in restorers]
    options.name += f"-{'-'.join(bundles)}"
    write_results(options, {"bundles": bundles, "columns": heading, "rows": rows, "best": changed})


if __name__ == "__main__":
    sys.exit(main())
