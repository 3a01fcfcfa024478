"""Turn a trained bundle into the shipped one: float16, named, with measured results in the model card."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import check_adapter_size
from polyrestore.bundles import MeasuredResult, load_bundle, save_bundle, shipped_folder
from polyrestore.bundles.joining import join_bundles, with_recogniser
from polyrestore.bundles.shared import save_shared

SUMMARIES = {
    "default": (
        "The bundle that polyrestore uses when none is named: a small generative backbone that has learned "
        "from clean photographs alone, one light adapter for each degradation that moves it to restoration, "
        "and a recogniser that composes them."
    ),
    "adair": (
        "A compact backbone that was pre-trained on synthetic degradations, one light adapter for each of "
        "them, and a recogniser that composes them."
    ),
}


def results_of(path: Path) -> tuple[MeasuredResult, ...]:
    """Read the blind figures from the JSON of ``benchmarks/test_sets.py``."""
    return tuple(
        MeasuredResult(
            data=entry["set"],
            protocol=f"{entry['protocol']}, blind",
            before=entry["before"]["psnr"],
            after=entry["blind"]["psnr"],
        )
        for entry in json.loads(path.read_text())["sets"]
    )


def main() -> None:
    """Read the arguments and write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", help="trained bundles whose parts are joined, later ones win")
    parser.add_argument("--recogniser-of", help="bundle whose recogniser to take, whatever its backbone")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="KEY=VALUE", help="of the recognition, as JSON"
    )
    parser.add_argument(
        "--share-recogniser", metavar="NAME", help="keep its weights once for all shipped bundles, as NAME"
    )
    parser.add_argument("--name", default="default")
    parser.add_argument("--version", help="of the weights; raise it whenever they are trained again")
    parser.add_argument("--results", type=Path, help="JSON of benchmarks/test_sets.py")
    parser.add_argument("--output", type=Path, help="folder to write; the package's own when left out")
    arguments = parser.parse_args()
    bundle = join_bundles([load_bundle(source) for source in arguments.bundles])
    if arguments.recogniser_of:
        bundle = with_recogniser(bundle, load_bundle(arguments.recogniser_of))
    changed = {
        key: json.loads(value) for key, _, value in (each.partition("=") for each in arguments.setting)
    }
    bundle = replace(bundle, recognition_settings={**bundle.recognition_settings, **changed})
    info = bundle.info
    if arguments.name in SUMMARIES:
        info = info.model_copy(update={"summary": SUMMARIES[arguments.name]})
    if arguments.version:
        info = info.model_copy(update={"version": arguments.version})
    if arguments.results:
        info = info.model_copy(update={"results": results_of(arguments.results)})
    for adapter in bundle.adapters.values():
        check_adapter_size(adapter)
    folder = arguments.output or shipped_folder() / arguments.name
    shared = None
    if arguments.share_recogniser and bundle.recogniser is not None:
        shared = save_shared(arguments.share_recogniser, bundle.recogniser)
    save_bundle(folder, replace(bundle, name=arguments.name, info=info), dtype=torch.float16, shared=shared)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
