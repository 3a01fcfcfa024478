"""Strategies train backbones, whichever they are, and go on from a checkpoint as if nothing had happened."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyrestore.backbones import BACKBONES
from polyrestore.bundles import load_bundle
from polyrestore.training.run import run_recipe
from polyrestore.training.weighting import WEIGHTINGS
from tests.support.networks import TINY
from tests.training.conftest import toml_value


def losses(folder: Path) -> dict[int, dict[str, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {record["step"]: record["losses"] for record in records if record["event"] == "losses"}


# Each strategy on one network, Art on each, and those that look at gradients on one with a loss of its own.
PAIRS = [
    (weighting, backbone)
    for weighting in sorted(WEIGHTINGS)
    for backbone in sorted(BACKBONES)
    if weighting == "art"
    or backbone == "compact"
    or (weighting in ("gradnorm", "pcgrad") and backbone == "airnet")
]


@pytest.mark.parametrize(("weighting", "backbone"), PAIRS)
def test_it_trains_and_resumes(workshop: Path, weighting: str, backbone: str) -> None:
    common = [
        f"backbone={backbone}", f"backbone_options={toml_value(TINY[backbone])}",
        f"weighting.name={weighting}", "synthesis.tasks=['noise', 'low_light']", "validate_every=100",
        "data.batch_size=3", "checkpoint_every=1", "steps=3", "optimiser.schedule=constant",
    ]  # fmt: skip
    recipe = workshop / "pretraining.toml"
    whole = run_recipe(recipe, output_folder=workshop / "whole", overrides=common)
    last = workshop / "whole" / "checkpoint-00000003.safetensors"
    expected = load_file(last)
    last.unlink()
    run_recipe(recipe, output_folder=workshop / "whole", overrides=common)
    found = load_file(last)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    state = load_bundle(str(whole)).backbone.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    by_task = losses(workshop / "whole")[3]
    assert by_task
    assert all(0 < value < 2 for value in by_task.values())
