"""Turn a trained bundle into the shipped one: float16, named, with measured results in the model card."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import check_adapter_size
from polyrestore.bundles import MeasuredResult, load_bundle, save_bundle, shipped_folder

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


def main() -> None:
    """Read the arguments and write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="the trained bundle, with adapters and a recogniser")
    parser.add_argument("--name", default="default")
    parser.add_argument("--recogniser", help="take the recogniser from this bundle instead")
    parser.add_argument("--results", type=Path, help="JSON of benchmarks/test_sets.py")
    parser.add_argument("--output", type=Path, help="folder to write; the package's own when left out")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    info = bundle.info.model_copy(update={"summary": SUMMARY})
    if arguments.recogniser:
        source = load_bundle(arguments.recogniser)
        bundle = replace(
            bundle,
            recogniser=source.recogniser,
            prototypes=source.prototypes,
            recognition_settings=source.recognition_settings,
        )
        record = {"recogniser": source.info.training["recogniser"]}
        provenance = tuple(dict.fromkeys((*info.provenance, *source.info.provenance)))
        info = info.model_copy(update={"training": {**info.training, **record}, "provenance": provenance})
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
