"""Turn a trained bundle into the shipped one: float16, named, with measured results in the model card."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import check_adapter_size
from polyrestore.bundles import Bundle, MeasuredResult, load_bundle, save_bundle, shipped_folder
from polyrestore.errors import BundleError

SUMMARY = (
    "The bundle that polyrestore uses when none is named: a compact backbone, one light adapter for each of "
    "twelve degradations, and a recogniser that composes them."
)


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


def joined(bundles: Sequence[Bundle]) -> Bundle:
    """Add the adapters and the recogniser of later bundles to the first one.

    Raises:
        BundleError: an adapter was trained beside another backbone.
    """
    first = bundles[0]
    weights = first.backbone.state_dict()
    for other in bundles[1:]:
        if other.adapters:
            theirs = other.backbone.state_dict()
            if theirs.keys() != weights.keys() or any(not theirs[k].equal(weights[k]) for k in weights):
                raise BundleError(f"the adapters of {other.name!r} belong to another backbone")
        training = {key: value for key, value in other.info.training.items() if key != "pretraining"}
        provenance = tuple(dict.fromkeys((*first.info.provenance, *other.info.provenance)))
        info = first.info.model_copy(
            update={"training": {**first.info.training, **training}, "provenance": provenance}
        )
        # A bundle also carries along the adapters that it started from; only those it trained are newer.
        trained = {name: a for name, a in other.adapters.items() if f"adapter {name}" in training}
        first = replace(first, adapters={**first.adapters, **trained}, info=info)
        if other.recogniser is not None:
            first = replace(
                first,
                recogniser=other.recogniser,
                prototypes=other.prototypes,
                recognition_settings=other.recognition_settings,
            )
    return first


def main() -> None:
    """Read the arguments and write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", help="trained bundles whose parts are joined, later ones win")
    parser.add_argument("--name", default="default")
    parser.add_argument("--results", type=Path, help="JSON of benchmarks/test_sets.py")
    parser.add_argument("--output", type=Path, help="folder to write; the package's own when left out")
    arguments = parser.parse_args()
    bundle = joined([load_bundle(source) for source in arguments.bundles])
    info = bundle.info.model_copy(update={"summary": SUMMARY})
    if arguments.results:
        info = info.model_copy(update={"results": results_of(arguments.results)})
    for adapter in bundle.adapters.values():
        check_adapter_size(adapter)
    folder = arguments.output or shipped_folder() / arguments.name
    save_bundle(folder, replace(bundle, name=arguments.name, info=info), dtype=torch.float16)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
