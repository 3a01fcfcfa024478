"""A trunk learns along with what was fitted to it, and what is kept is what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.errors import RecipeError
from polyrestore.recognition import CLEAN
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.encoder.views import look_at
from polyrestore.training.phases.trunk import SampleBatch, TrunkJob, TunedRecogniser
from polyrestore.training.recognition.fitting import Fit
from polyrestore.training.recognition.samples import SampleSource
from polyrestore.training.run import run_recipe
from tests.support.networks import random_image
from tests.support.tiny_bundle import tiny_bundle

NAMES = ("noise", "jpeg")
RECIPE = """
phase = "trunk"
name = "trunk"
bundle = "{bundle}"
precision = "no"
steps = {steps}
validate_every = 1000
[data]
clean = ["clean"]
validation = "validation"
check_duplicates = false
batch_size = 3
[synthesis]
tasks = ["noise", "jpeg"]
[optimiser]
learning_rate = 2e-3
warmup_steps = 1
ema_decay = 0.5
"""


def network() -> TunedRecogniser:
    torch.manual_seed(0)
    recogniser = EncoderRecogniser(["noise"], taps=(0, 1), members=2, hidden=8, dimension=4)
    directions = functional.normalize(torch.randn(3, recogniser.dimension), dim=1)
    return TunedRecogniser(recogniser, dict(zip((*NAMES, CLEAN), directions, strict=True)), NAMES)


def job(photographs: list[Path], batch_size: int = 4) -> TrunkJob:
    source = SampleSource(NAMES, 5, photographs)
    held_out = [source.sample(number) for number in range(100, 104)]
    return TrunkJob(network(), source, held_out, NAMES, Fit(dropout=0.0), batch_size)


@pytest.fixture
def photographs(workshop: Path) -> list[Path]:
    return sorted((workshop / "clean").iterdir())


def test_what_is_trained_says_what_the_recogniser_says(photographs: list[Path]) -> None:
    """The loss is that of the same similarities to the same prototypes."""
    work = job(photographs)
    batch = work.batch(0, 0)
    assert isinstance(batch, SampleBatch)
    said = work.network(batch.views)
    joint = torch.cat([vectors for vectors, _ in said], 1) / len(said) ** 0.5
    prototypes = work.network.prototypes(NAMES)
    with torch.no_grad():
        for row in range(4):
            image = work.source.sample(row).image
            embedding = work.network.recogniser.embed(image)[0]
            torch.testing.assert_close(joint[row], embedding, atol=1e-5, rtol=0)
            assert torch.equal(batch.views[row].whole, look_at(image).whole)
    parts = [functional.normalize(each, dim=1) for each in work.network.directions]
    mean = torch.stack([vectors @ part.T for (vectors, _), part in zip(said, parts, strict=True)]).mean(0)
    torch.testing.assert_close(joint @ torch.stack(list(prototypes.values())).T, mean, atol=1e-5, rtol=0)


def test_every_part_gets_a_gradient_and_the_loss_falls(photographs: list[Path]) -> None:
    work = job(photographs)
    optimiser = torch.optim.Adam(work.network.parameters(), 1e-3)
    batch, losses = work.batch(0, 0), []
    for _ in range(12):
        optimiser.zero_grad()
        loss = work.losses(work.network, batch).sums.sum()
        torch.autograd.backward(loss)
        losses.append(float(loss.detach()))
        for name, parameter in work.network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_a_plain_image_has_a_finite_gradient() -> None:
    tuned = network()
    said = tuned([look_at(torch.full((1, 3, 80, 80), 0.5))])
    torch.autograd.backward(sum(vectors.sum() + strength.sum() for vectors, strength in said))
    for parameter in tuned.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())


def test_processes_see_samples_of_their_own(photographs: list[Path]) -> None:
    work = job(photographs, batch_size=1)
    wholes: list[Any] = []
    for step, rank in ((0, 0), (1, 0), (0, 1)):
        batch = work.batch(step, rank)
        assert isinstance(batch, SampleBatch)
        wholes.append(batch.views[0].whole)
    assert not any(
        first.shape == second.shape and torch.equal(first, second)
        for first, second in ((wholes[0], wholes[1]), (wholes[0], wholes[2]), (wholes[1], wholes[2]))
    )


def test_a_run_gives_a_bundle_that_recognises_otherwise(workshop: Path) -> None:
    tuned = network()
    start = tiny_bundle()
    start.recogniser, start.prototypes = tuned.recogniser, tuned.prototypes(NAMES)
    path = workshop / "trunk.toml"
    path.write_text(RECIPE.format(bundle=save_bundle(workshop / "start", start), steps=3))
    bundle = load_bundle(run_recipe(path, output_folder=workshop / "run"))
    assert isinstance(bundle.recogniser, EncoderRecogniser)
    image = random_image(70, 90)
    assert not torch.equal(bundle.recogniser.embed(image), tuned.recogniser.embed(image))
    assert set(bundle.prototypes) == {*NAMES, CLEAN}
    assert 0 <= bundle.info.model_dump()["training"]["trunk"]["validation"]["mean"] <= 1
    # When each adapter acts is chosen for what the recogniser has become.
    shares = bundle.recognition_settings["minimum_shares"]
    assert set(shares) == set(NAMES)
    assert all(0.5 <= share <= 0.99 for share in shares.values())
    for prototype in bundle.prototypes.values():
        assert float(prototype.norm()) == pytest.approx(1, abs=1e-3)


def test_a_bundle_without_such_a_recogniser_is_refused(workshop: Path) -> None:
    path = workshop / "trunk.toml"
    path.write_text(RECIPE.format(bundle=save_bundle(workshop / "start", tiny_bundle()), steps=3))
    with pytest.raises(RecipeError, match='train phase "encoder" first'):
        run_recipe(path, output_folder=workshop / "run")
