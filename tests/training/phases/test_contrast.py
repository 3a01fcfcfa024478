import json
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.bundles import load_bundle
from polyrestore.errors import RecipeError
from polyrestore.training.loop.checkpoint import load_newest_checkpoint
from polyrestore.training.loop.schedule import learning_rate
from polyrestore.training.phases.contrast import encoder_recipe
from polyrestore.training.recipes.recipe import PretrainingRecipe
from polyrestore.training.run import run_recipe
from tests.support.networks import TINY
from tests.support.recipes import load_kind
from tests.training.conftest import toml_value
from tests.training.halves import NoValidation

AIRNET = [
    "backbone=airnet", f"backbone_options={toml_value(TINY['airnet'])}", "checkpoint_every=2",
    "contrast={ encoder_steps = 4, encoder_learning_rate = 1e-2, crop_px = 24 }", "weighting.name=art",
]  # fmt: skip


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == name]


def test_the_encoder_learns_alone_and_then_with_the_restorer(workshop: Path) -> None:
    folder = workshop / "out"
    bundle = run_recipe(workshop / "pretraining.toml", output_folder=folder, overrides=AIRNET)
    alone = load_newest_checkpoint(folder / "encoder")[0]
    assert alone is not None
    assert alone.step == 4
    assert {name for record in events(folder / "encoder", "losses") for name in record["losses"]} == {
        "contrast"
    }
    assert [record["step"] for record in events(folder, "losses")] == [1, 2, 3, 4, 5, 6]
    state = load_bundle(str(bundle)).backbone.state_dict()
    restorer = {key: value for key, value in alone.tensors["parameters"].items() if ".R." in key}
    encoder = {key: value for key, value in alone.tensors["parameters"].items() if "encoder_q" in key}
    assert restorer
    assert all(not torch.equal(value, state[key.removeprefix("network.")]) for key, value in encoder.items())
    assert int(state["E.E.queue_ptr"]) == (4 + 6) * 4 % 12
    assert bool((state["E.E.encoder_q.E_pre.backbone.1.running_var"] != 1).all())


def test_it_resumes_bit_for_bit_in_either_part(workshop: Path) -> None:
    recipe = workshop / "pretraining.toml"
    run_recipe(recipe, output_folder=workshop / "whole", overrides=AIRNET)
    run_recipe(recipe, output_folder=workshop / "cut", overrides=AIRNET)
    for part in (workshop / "cut" / "encoder", workshop / "cut"):
        max(part.glob("checkpoint-*")).unlink()
        run_recipe(recipe, output_folder=workshop / "cut", overrides=AIRNET)
    for name in ("", "encoder"):
        first, second = (load_newest_checkpoint(workshop / run / name)[0] for run in ("whole", "cut"))
        assert first is not None
        assert second is not None
        for group, tensors in first.tensors.items():
            assert all(torch.equal(value, second.tensors[group][key]) for key, value in tensors.items())


def test_the_two_crops_show_the_same_damaged_images(workshop: Path) -> None:
    from polyrestore.backbones import build_backbone
    from polyrestore.data import load_clean
    from polyrestore.training.phases.contrast import ContrastiveJob
    from polyrestore.training.recipes.batches import batch_source, synthesis_of
    from polyrestore.training.recipes.recipe import ContrastTable

    recipe = load_kind(PretrainingRecipe, workshop / "pretraining.toml", AIRNET)
    assert recipe.synthesis.tasks is not None
    source = batch_source(
        recipe, synthesis_of(recipe, recipe.synthesis.tasks), load_clean(recipe.data.clean), {}
    )
    network = build_backbone("airnet", **TINY["airnet"])
    job = ContrastiveJob(network, source, NoValidation(), table=ContrastTable(crop_px=32), seed=3)
    batch, whole = job.batch(5, 0), source.batch(5, 0)
    assert torch.equal(batch.degraded, whole.degraded)
    assert batch.other_crop is not None
    assert torch.equal(batch.other_crop, whole.degraded)
    job.table = ContrastTable(crop_px=16)
    batch = job.batch(5, 0)
    assert batch.other_crop is not None
    assert batch.degraded.shape == batch.clean.shape == batch.other_crop.shape == (4, 3, 16, 16)
    assert not torch.equal(batch.degraded, batch.other_crop)
    places = [
        (top, left)
        for top in range(17)
        for left in range(17)
        if torch.equal(whole.degraded[..., top : top + 16, left : left + 16], batch.degraded)
    ]
    assert len(places) == 1
    ((top, left),) = places
    assert torch.equal(whole.clean[..., top : top + 16, left : left + 16], batch.clean)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("backbone=compact", "cannot be trained by contrast"),
        ("contrast.crop_px=64", "larger than data.patch_px"),
        ("weighting.name=tur", "cannot be combined"),
        ("joint_rank=2", "exclude each other"),
    ],
)
def test_what_does_not_go_together_is_refused(workshop: Path, override: str, problem: str) -> None:
    overrides = [*AIRNET, override]
    if override == "backbone=compact":
        overrides[1] = f"backbone_options={toml_value(TINY['compact'])}"
    with pytest.raises(RecipeError, match=problem):
        run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out", overrides=overrides)


def test_the_encoder_has_a_schedule_of_its_own(workshop: Path) -> None:
    recipe = load_kind(
        PretrainingRecipe,
        workshop / "pretraining.toml",
        [*AIRNET, "contrast.encoder_milestones=[2]", "optimiser.warmup_steps=0"],
    )
    first = encoder_recipe(recipe)
    rates = [learning_rate(step, first.steps, first.optimiser) for step in range(first.steps)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])
    assert (recipe.steps, first.steps) == (6, 4)
