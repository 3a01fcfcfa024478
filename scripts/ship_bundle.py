"""Turn a trained bundle into the shipped one: float16, named, with measured results in the model card."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from polyrestore.adapters import check_adapter_size
from polyrestore.bundles import Bundle, BundleInfo, MeasuredResult, load_bundle, save_bundle, shipped_folder
from polyrestore.errors import BundleError

SUMMARIES = {
    "default": (
        "The bundle that polyrestore uses when none is named: a compact backbone, one light adapter for each "
        "of twelve degradations, and a recogniser that composes them."
    ),
    "generative": (
        "A small generative backbone that knows clean photographs alone, one light adapter for each of "
        "twelve degradations that moves it to restoration, and a recogniser that composes them."
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
        # A bundle also carries along the adapters that it started from; only those it trained are newer.
        trained = {name: a for name, a in other.adapters.items() if f"adapter {name}" in other.info.training}
        first = replace(first, adapters={**first.adapters, **trained}, info=_with_origin(first, other))
        if other.recogniser is not None:
            first = with_recogniser(first, other)
    return first


def with_recogniser(bundle: Bundle, other: Bundle) -> Bundle:
    """Give a bundle the recogniser of another one, which may have another backbone."""
    return replace(
        bundle,
        recogniser=other.recogniser,
        prototypes=other.prototypes,
        recognition_settings={
            **other.recognition_settings,
            **bundle.composing_settings(other.activation),
        },
        info=_with_origin(bundle, other, only="recogniser"),
    )


def _with_origin(bundle: Bundle, other: Bundle, only: str = "") -> BundleInfo:
    """Add where another bundle's parts came from, all but its backbone, or one of them alone."""
    training = {
        key: value
        for key, value in other.info.training.items()
        if key not in ("pretraining", "generative") and only in ("", key)
    }
    provenance = tuple(dict.fromkeys((*bundle.info.provenance, *other.info.provenance)))
    update = {"training": {**bundle.info.training, **training}, "provenance": provenance}
    return bundle.info.model_copy(update=update)


def main() -> None:
    """Read the arguments and write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", help="trained bundles whose parts are joined, later ones win")
    parser.add_argument("--recogniser-of", help="bundle whose recogniser to take, whatever its backbone")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="KEY=VALUE", help="of the recognition, as JSON"
    )
    parser.add_argument("--name", default="default")
    parser.add_argument("--version", help="of the weights; raise it whenever they are trained again")
    parser.add_argument("--results", type=Path, help="JSON of benchmarks/test_sets.py")
    parser.add_argument("--output", type=Path, help="folder to write; the package's own when left out")
    arguments = parser.parse_args()
    bundle = joined([load_bundle(source) for source in arguments.bundles])
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
    save_bundle(folder, replace(bundle, name=arguments.name, info=info), dtype=torch.float16)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
