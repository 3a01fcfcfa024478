"""Cases about recipes and training: refused at once, alone in their folders, never from damaged files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.cases.workplace import Case, Outcome, Verdict, Workplace, is_one_line, shown_error
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.backbones.layers import breaks_channels_last

_ROOT = Path(__file__).resolve().parents[2]
_PHOTOGRAPHS = _ROOT / "examples" / "photographs"
_QUICK = _ROOT / "recipes" / "quick.toml"
_SHORT = ("--set", "steps=4", "--set", "checkpoint_every=2", "--set", "validate_every=4")
_AT_ONCE_S = 5.0


def refused_recipe(place: Workplace, name: str) -> Verdict:
    recipe = place.room / name
    content = (place.inputs / name).read_text().replace("@PHOTOS@", str(_PHOTOGRAPHS))
    # Renamed since the inputs were made; each is to be refused for its own fault.
    recipe.write_text(content.replace("routed_rank", "joint_rank"))
    started = time.process_time()
    done = place.command("train", recipe, "-o", place.new_folder())
    seconds = time.process_time() - started
    passed = done.code == 1 and is_one_line(done.said) and seconds < _AT_ONCE_S
    return Verdict(passed, f"{seconds:.1f} s: {shown_error(done.said)}")


def train(place: Workplace, folder: Path, *more: str) -> Outcome:
    return place.command("train", _QUICK, "-o", folder, *_SHORT, *more)


def mended_name(place: Workplace) -> Verdict:
    """Refuse a name that no bundle may have; a finished run stays usable after the name is mended."""
    folder = place.new_folder()
    started = time.process_time()
    refused = train(place, folder, "--set", "name='night rain'")
    seconds = time.process_time() - started
    first = train(place, folder)
    renamed = train(place, folder, "--set", "name='night-rain'")
    passed = refused.code == 1 and is_one_line(refused.said) and first.code == renamed.code == 0
    return Verdict(passed, f"{seconds:.1f} s: {shown_error(refused.said)}; then {renamed.last_line()[:60]}")


def two_runs(place: Workplace) -> Verdict:
    folder = place.new_folder()
    words: Sequence[object] = ("train", _QUICK, "-o", folder, *_SHORT, "--set", "steps=400")
    first = place.process(*words)
    until = time.monotonic() + 120
    while not (folder.is_dir() and any(folder.glob("*.jsonl"))) and time.monotonic() < until:
        time.sleep(0.05)
    second = place.command(*words)
    first.terminate()
    first.communicate(timeout=120)
    return Verdict(second.code == 1 and is_one_line(second.said), shown_error(second.said))


def damaged_checkpoint(place: Workplace, size: int | None) -> Verdict:
    """Damage the newest checkpoint of a stopped run: the one before it is used, and that is said."""
    folder = place.new_folder()
    train(place, folder)
    newest = max(folder.glob("checkpoint-*.safetensors"))
    content = newest.read_bytes()
    newest.write_bytes(content[:size] if size else content[:-8] + bytes(8 * [0x55]))
    again = train(place, folder)
    named = [line for line in again.said.splitlines() if newest.name in line]
    passed = again.code == 0 and bool(named) and "Traceback" not in again.said
    return Verdict(passed, (named or [again.last_line()])[0][:150])


def strided_pointwise(place: Workplace) -> Verdict:
    """No network of the project has, in the channels-last order, the shape that kills some processors."""
    bad = []
    for name in BACKBONES:
        try:
            network = build_backbone(name)
        except Exception as error:
            if "model" not in str(error):
                raise
            continue
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and breaks_channels_last(layer):
                bad += [name] * layer.weight.is_contiguous(memory_format=torch.channels_last)
    return Verdict(not bad, ", ".join(bad) or f"none in {len(BACKBONES)} networks")


RECIPES = (
    "batch-huge", "context0", "deep", "opt-0", "opt-neg", "patch-huge", "seed-huge", "tasks-empty",
    "weighting-opt",
)  # fmt: skip

CASES: dict[str, Case] = {
    f"recipe-{name}.toml": Case(partial(refused_recipe, name=f"recipe-{name}.toml")) for name in RECIPES
} | {
    "--set 'name=night rain'": Case(mended_name),
    "two runs into one folder": Case(two_runs),
    "newest checkpoint, last bytes changed": Case(partial(damaged_checkpoint, size=None)),
    "newest checkpoint, cut": Case(partial(damaged_checkpoint, size=1000)),
    "onednn_1x1_stride2.py": Case(strided_pointwise),
}
