import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyrestore.backbones import build_backbone
from polyrestore.bundles import load_bundle
from polyrestore.data import Batch, BatchSource, Synthesis
from polyrestore.errors import RecipeError
from polyrestore.training.phases.generative import GenerativeJob
from polyrestore.training.recipes.recipe import GenerativeRecipe
from polyrestore.training.run import run_recipe
from polyrestore.training.tiny import generated_photograph

TINY = {"width": 8, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1], "context_dim": 8}

RECIPE = """
phase = "generative"
name = "tiny"
seed = 5
steps = 30
backbone = "flow"
log_every = 1
validate_every = 30
checkpoint_every = 10
time_centre = 1.0

[backbone_options]
width = 8
encoder_blocks = [1]
middle_blocks = 1
decoder_blocks = [1]
context_dim = 8

[data]
clean = ["clean"]
validation = "validation"
patch_px = 32
batch_size = 8

[optimiser]
name = "muon"
learning_rate = 3e-3
warmup_steps = 2
ema_decay = 0.0
"""


def job(**changes: object) -> GenerativeJob:
    torch.manual_seed(0)
    content = {
        "phase": "generative",
        "name": "tiny",
        "steps": 1,
        "data": {"clean": ["c"], "validation": "v"},
    } | changes
    photographs = [(generated_photograph(seed) * 255).byte() for seed in range(3)]
    source = BatchSource(photographs, Synthesis(clean_share=1.0, region_share=0.0), 6, 32, 1.0, 1)
    recipe = GenerativeRecipe.model_validate(content)
    return GenerativeJob(build_backbone("flow", **TINY), source, recipe, photographs)


def drawn_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the states and the times that were drawn for a batch."""
    assert batch.state is not None
    assert batch.time is not None
    return batch.state, batch.time


class Velocity(nn.Module):
    """The velocity that leads to given images, and an error that is added to it."""

    def __init__(self, clean: Tensor, error: float) -> None:
        super().__init__()
        self.clean, self.error = clean, error

    def forward(self, state: Tensor, time: Tensor) -> Tensor:
        return (2 * self.clean - 1 - state) / (1 - time[:, None, None, None]) + self.error


def test_states_lie_on_straight_paths_and_are_always_the_same() -> None:
    generative = job(time_centre=1.5)
    batch = generative.batch(3, 0)
    (state, time), (again, _), (other, _) = (
        drawn_of(each) for each in (batch, generative.batch(3, 0), generative.batch(3, 1))
    )
    assert torch.equal(state, again)
    assert not torch.equal(state, other)
    along = time[:, None, None, None]
    noise = (state - along * (2 * batch.clean - 1)) / (1 - along)
    assert abs(float(noise.std()) - 1) < 0.05
    assert abs(float(noise.mean())) < 0.05
    times = torch.cat([drawn_of(generative.batch(step, 0))[1] for step in range(50)])
    assert abs(float(torch.logit(times).mean()) - 1.5) < 0.2


def test_the_right_velocity_has_no_loss() -> None:
    generative = job()
    batch = generative.batch(0, 0)
    assert float(generative.losses(Velocity(batch.clean, 0.0), batch).sums) < 1e-6
    wrong = generative.losses(Velocity(batch.clean, 0.5), batch)
    assert float(wrong.sums / wrong.counts) == pytest.approx(0.25, rel=1e-3)


def test_the_tone_curve_is_left_to_the_adapters() -> None:
    assert not any("tone" in name for name in job().trainable())


def test_a_network_that_does_not_generate_is_refused() -> None:
    with pytest.raises(RecipeError, match="'compact' does not generate"):
        GenerativeJob(build_backbone("compact", **TINY), job().source, job().recipe, [])


def test_training_lowers_the_loss_and_gives_a_bundle_for_adapters(workshop: Path) -> None:
    path = workshop / "generative.toml"
    path.write_text(RECIPE)
    folder = run_recipe(path, output_folder=workshop / "out")
    events = [json.loads(line) for line in (workshop / "out" / "log.jsonl").read_text().splitlines()]
    losses = [event["mean"] for event in events if event["event"] == "losses"]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    bundle = load_bundle(str(folder))
    assert bundle.backbone.description.name == "flow"
    assert bundle.info.model_dump()["training"]["generative"]["validation_psnr"].keys() == {
        "noise 15",
        "noise 25",
        "noise 50",
        "mean",
    }


def test_sets_are_refused(workshop: Path) -> None:
    path = workshop / "generative.toml"
    path.write_text(RECIPE.replace('clean = ["clean"]', 'sets = [{ folder = "clean", layout = "clean" }]'))
    with pytest.raises(RecipeError, match="generative"):
        run_recipe(path, output_folder=workshop / "out")
