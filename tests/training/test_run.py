import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from torch import nn

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.bundles import load_bundle
from polyrestore.data import Batch
from polyrestore.errors import (
    AdapterError,
    DataError,
    RecipeError,
    StoppedError,
    TrainingError,
    UnknownNameError,
)
from polyrestore.recognition import CLEAN
from polyrestore.restoration.restorer import Restorer
from polyrestore.training.loop.events import Noticed, Started
from polyrestore.training.loop.job import TaskLosses
from polyrestore.training.phases.recogniser import clean_threshold
from polyrestore.training.phases.restoration_job import RestorationJob, compositions
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.batches import training_source
from polyrestore.training.run import run_recipe
from tests.support.networks import TINY
from tests.training.conftest import toml_value
from tests.training.halves import NoValidation

ADAPTERS = """
phase = "adapters"
name = "adapters"
seed = 2
steps = 4
bundle = "./pretrained/bundle"
adapters = ["noise", "low_light"]
adapter_options = { rank = 2, alpha = 2.0 }

[data]
clean = ["clean"]
validation = "validation"
patch_px = 32
batch_size = 4
"""
RECOGNISER = """
phase = "recogniser"
name = "recogniser"
steps = 4
bundle = "./adapted/bundle"
recogniser_options = { width = 8, dimension = 16 }

[data]
clean = ["clean"]
validation = "validation"
patch_px = 32
batch_size = 8

[synthesis]
clean_share = 0.2
"""


def losses(folder: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["losses"] for line in lines if line["event"] == "losses"}


class KilledError(Exception):
    """Stands for the end of the process."""


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the training process die when it asks for the batch of step ``steps``."""
    batch = RestorationJob.batch

    def dying(self: RestorationJob, step: int, rank: int) -> Batch:
        if step == steps:
            raise KilledError
        return batch(self, step, rank)

    monkeypatch.setattr(RestorationJob, "batch", dying)


def test_the_three_phases_make_a_whole_bundle(workshop: Path) -> None:
    (workshop / "adapters.toml").write_text(ADAPTERS)
    (workshop / "recogniser.toml").write_text(RECOGNISER)
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "pretrained")
    run_recipe(workshop / "adapters.toml", output_folder=workshop / "adapted")
    bundle = load_bundle(str(run_recipe(workshop / "recogniser.toml", output_folder=workshop / "whole")))
    assert sorted(bundle.adapters) == ["low_light", "noise"]
    assert set(bundle.prototypes) == {"low_light", "noise", CLEAN}
    assert bundle.recognition_settings["activation"] == "sigmoid"
    assert all(float(v.norm()) == pytest.approx(1, abs=1e-4) for v in bundle.prototypes.values())
    assert "generated images, public domain" in bundle.info.provenance
    assert {"pretraining", "adapter noise", "adapter low_light", "recogniser"} == set(bundle.info.training)
    assert str(workshop.parent) not in json.dumps(bundle.info.training)
    moved = [t for k, t in bundle.adapters["noise"].tensors.items() if "lora_B" in k]
    assert any(float(tensor.abs().max()) > 0 for tensor in moved)


def test_adapters_that_learned_to_act_in_full_are_composed_so(workshop: Path) -> None:
    text = ADAPTERS.replace("steps = 4", 'steps = 6\nmixture_weights = "full"\nbystander_share = 0.5')
    (workshop / "adapters.toml").write_text(f"{text}\n[synthesis]\nmixture_share = 0.7\n")
    (workshop / "recogniser.toml").write_text(RECOGNISER)
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "pretrained")
    run_recipe(workshop / "adapters.toml", output_folder=workshop / "adapted")
    bundle = load_bundle(str(run_recipe(workshop / "recogniser.toml", output_folder=workshop / "whole")))
    assert bundle.recognition_settings["normalisation"] == "none"
    assert Restorer(bundle).named("noise,low_light") == {"noise": 1.0, "low_light": 1.0}


@pytest.mark.parametrize(
    ("killed_at", "joint_rank", "optimiser"), [(1, 0, "adamw"), (3, 2, "adamw"), (5, 2, "muon")]
)
def test_a_killed_run_resumes_bit_for_bit(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, joint_rank: int, optimiser: str
) -> None:
    recipe = workshop / "pretraining.toml"
    overrides = [f"joint_rank={joint_rank}", f"optimiser.name={optimiser}"]
    whole = run_recipe(recipe, output_folder=workshop / "whole", overrides=overrides)
    with monkeypatch.context() as patch:
        stop_after(patch, killed_at)
        with pytest.raises(KilledError):
            run_recipe(recipe, output_folder=workshop / "killed", overrides=overrides)
    resumed = run_recipe(recipe, output_folder=workshop / "killed", overrides=overrides)
    expected, found = losses(workshop / "whole"), losses(workshop / "killed")
    assert found == expected
    first, second = (load_bundle(str(folder)).backbone.state_dict() for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_routed_adapters_come_out_with_the_backbone_and_are_gone_on_with(workshop: Path) -> None:
    (workshop / "adapters.toml").write_text(ADAPTERS)
    recipe = workshop / "pretraining.toml"
    folder = run_recipe(recipe, output_folder=workshop / "pretrained", overrides=["joint_rank=2"])
    first = load_bundle(str(folder))
    assert sorted(first.adapters) == ["jpeg", "low_light", "noise"]
    overrides = ["optimiser.learning_rate=1e-12"]
    folder = run_recipe(workshop / "adapters.toml", output_folder=workshop / "adapted", overrides=overrides)
    second = load_bundle(str(folder))
    assert sorted(second.adapters) == ["jpeg", "low_light", "noise"]
    start, end = first.adapters["noise"].tensors, second.adapters["noise"].tensors
    assert set(start) < set(end)
    assert all(torch.allclose(start[key], end[key], atol=1e-6) for key in start)
    bare = second.backbone.state_dict()
    assert all(torch.equal(value, bare[key]) for key, value in first.backbone.state_dict().items())


def test_an_adapter_can_grow_in_rank_and_starts_from_what_it_could(workshop: Path) -> None:
    (workshop / "adapters.toml").write_text(ADAPTERS)
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "pretrained")
    first = load_bundle(str(run_recipe(workshop / "adapters.toml", output_folder=workshop / "adapted")))
    overrides = [
        "optimiser.learning_rate=1e-12", f"bundle={workshop / 'adapted' / 'bundle'}", "steps=1",
        "options_for={ noise = { rank = 4, alpha = 2.0 } }", 'adapters=["noise"]',
    ]  # fmt: skip
    folder = run_recipe(workshop / "adapters.toml", output_folder=workshop / "grown", overrides=overrides)
    second = load_bundle(str(folder))
    old, new = (bundle.adapters["noise"].config for bundle in (first, second))
    assert isinstance(old, LoraConfig)
    assert isinstance(new, LoraConfig)
    assert (old.rank, new.rank) == (2, 4)
    outputs = []
    for bundle in (first, second):
        bank = AdapterBank(bundle.backbone)
        bank.add(bundle.adapters["noise"])
        with bank.composed({"noise": 1.0}) as network, torch.no_grad():
            outputs.append(network(torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(0))))
    assert (outputs[0] - outputs[1]).abs().max() < 1e-5
    overrides[3] = "options_for={ noise = { rank = 1 } }"
    with pytest.raises(AdapterError, match="cannot go on"):
        run_recipe(workshop / "adapters.toml", output_folder=workshop / "shrunk", overrides=overrides)


def test_a_task_counts_as_much_as_it_is_drawn(workshop: Path) -> None:
    recipe = load_recipe(workshop / "pretraining.toml", ["synthesis.task_shares={ noise = 4.0 }"])
    job = RestorationJob(build_backbone("compact", width=8), training_source(recipe), NoValidation())
    assert job.shares().tolist() == [2.0, 0.5, 0.5]


def test_a_run_can_start_from_a_bundle_of_the_same_backbone(workshop: Path) -> None:
    recipe = workshop / "pretraining.toml"
    start = run_recipe(recipe, output_folder=workshop / "first")
    overrides = [f"start_from={start}", "optimiser.learning_rate=1e-12"]
    again = run_recipe(recipe, output_folder=workshop / "second", overrides=overrides)
    first, second = (load_bundle(str(folder)).backbone.state_dict() for folder in (start, again))
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    with pytest.raises(RecipeError, match="not the one of the recipe"):
        run_recipe(recipe, output_folder=workshop / "x", overrides=[*overrides, "backbone_options.width=16"])


def test_compositions_share_the_weight_equally_unless_the_batch_says_otherwise() -> None:
    names = first, second, third = ("noise", "wet_glass", "jpeg")
    presence = torch.tensor([[1.0, 0, 0], [1.0, 1, 0], [0.0, 0, 0]])
    images, task = torch.zeros(3, 3, 4, 4), torch.zeros(3, dtype=torch.long)
    batch = Batch(images, images, task, presence)
    assert compositions(batch, names, (first, second)) == [{first: 1.0}, {first: 0.5, second: 0.5}, {}]
    assert compositions(batch, names, (second,)) == [{}, {second: 1.0}, {}]
    said = Batch(images, images, task, presence, acting=presence.roll(1, 1) * 0.75)
    assert compositions(said, names, (second, third)) == [{second: 0.75}, {second: 0.75, third: 0.75}, {}]
    assert compositions(said, names, (first,)) == [{}, {}, {}]


def test_at_most_two_checkpoints_remain_and_they_are_whole(workshop: Path) -> None:
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out")
    names = sorted(path.name for path in (workshop / "out").glob("*.safetensors"))
    assert names == ["checkpoint-00000004.safetensors", "checkpoint-00000006.safetensors"]
    assert not list((workshop / "out").glob(".part-*"))


def test_another_recipe_does_not_continue_a_run(workshop: Path) -> None:
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out")
    with pytest.raises(TrainingError, match="different recipe"):
        run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out", overrides=["seed=6"])


def test_a_damaged_newest_checkpoint_gives_way_and_the_run_ends_alike(workshop: Path) -> None:
    recipe, whole = workshop / "pretraining.toml", workshop / "out"
    run_recipe(recipe, output_folder=whole)
    newest = max(whole.glob("*.safetensors"))
    before = load(newest.read_bytes())
    newest.write_bytes(newest.read_bytes()[:100])
    events: list[object] = []
    run_recipe(recipe, output_folder=whole, on_event=events.append)
    (notice,) = [event for event in events if isinstance(event, Noticed)]
    assert newest.name in notice.message
    assert all(torch.equal(value, before[key]) for key, value in load_file(newest).items())


def test_checkpoints_that_are_all_damaged_are_named(workshop: Path) -> None:
    run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out")
    for path in (workshop / "out").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged"):
        run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out")


def test_two_runs_do_not_share_a_folder(workshop: Path) -> None:
    recipe, folder, refusals = workshop / "pretraining.toml", workshop / "out", []

    def second(event: object) -> None:
        if isinstance(event, Started):
            with pytest.raises(TrainingError, match="another run is training in") as caught:
                run_recipe(recipe, output_folder=folder)
            refusals.append(caught.value)

    run_recipe(recipe, output_folder=folder, on_event=second)
    assert len(refusals) == 1


def test_a_run_that_is_stopped_saves_its_step_and_goes_on(workshop: Path) -> None:
    recipe = workshop / "pretraining.toml"
    events: list[object] = []
    with pytest.raises(StoppedError, match="stopped after step 1 of"):
        run_recipe(recipe, output_folder=workshop / "cut", stop_when=lambda: True)
    run_recipe(recipe, output_folder=workshop / "cut", on_event=events.append)
    assert isinstance(events[0], Started)
    assert events[0].first_step == 1
    run_recipe(recipe, output_folder=workshop / "whole")
    names = [max((workshop / run).glob("checkpoint-*")) for run in ("cut", "whole")]
    first, second = (load_file(name) for name in names)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_a_loss_that_is_not_finite_stops_with_step_and_task(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = RestorationJob.losses

    def exploding(self: RestorationJob, module: nn.Module, batch: Batch) -> TaskLosses:
        result = measure(self, module, batch)
        return replace(result, sums=result.sums * torch.tensor([1.0, float("nan"), 1.0]))

    monkeypatch.setattr(RestorationJob, "losses", exploding)
    with pytest.raises(TrainingError, match="loss of jpeg is not finite at step 0"):
        run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out")


def test_training_lowers_the_loss(workshop: Path) -> None:
    run_recipe(
        workshop / "pretraining.toml",
        output_folder=workshop / "out",
        overrides=["steps=60", "synthesis.tasks=['low_light']", "checkpoint_every=100", "validate_every=100"],
    )
    found = losses(workshop / "out")
    first = sum(found[step]["low_light"] for step in range(1, 11))
    last = sum(found[step]["low_light"] for step in range(51, 61))
    assert last < 0.8 * first


def test_missing_images_and_unknown_tasks_are_named(workshop: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        run_recipe(workshop / "pretraining.toml", overrides=["data.clean=['nowhere']"])
    with pytest.raises(UnknownNameError, match="did you mean 'noise'"):
        run_recipe(workshop / "pretraining.toml", overrides=["synthesis.tasks=['noize']"])


def test_the_clean_threshold_leaves_nearly_all_clean_images_alone() -> None:
    assert clean_threshold([0.9] * 9 + [0.35]) == 0.35
    assert clean_threshold([0.9] * 37 + [0.45, 0.4, 0.1]) == 0.45
    assert clean_threshold([0.9, 0.95]) == 0.6
    assert clean_threshold([0.01] * 4) == 0.3


def test_routed_adapters_need_linear_layers(workshop: Path) -> None:
    overrides = ["backbone=nafnet", f"backbone_options={toml_value(TINY['nafnet'])}", "joint_rank=2"]
    with pytest.raises(RecipeError, match="no linear layers"):
        run_recipe(workshop / "pretraining.toml", output_folder=workshop / "out", overrides=overrides)


def test_a_fresh_start_is_not_mixed_with_the_old_run(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, folder = workshop / "pretraining.toml", workshop / "out"
    run_recipe(recipe, output_folder=folder)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KilledError):
            run_recipe(recipe, output_folder=folder, resume=False)
    assert [path.name for path in folder.glob("*.safetensors")] == ["checkpoint-00000002.safetensors"]
    run_recipe(recipe, output_folder=folder)
    assert sorted(losses(folder)) == [1, 2, 3, 4, 5, 6]
