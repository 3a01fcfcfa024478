"""The weights that ship do what the package promises, on a real photograph."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import polyrestore
from polyrestore.adapters import AdapterBank
from polyrestore.degradations import degrade
from polyrestore.imaging import read_image
from polyrestore.restoration.restorer import Restorer

PHOTOGRAPHS = Path(__file__).parents[1] / "examples" / "photographs"


@pytest.fixture(scope="module", params=["default", "adair"])
def restorer(request: pytest.FixtureRequest) -> Restorer:
    return polyrestore.load(request.param)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    return read_image(PHOTOGRAPHS / "astronaut.png").pixels


def psnr(first: Tensor, second: Tensor) -> float:
    return float(-10 * torch.log10((first - second).square().mean()))


@pytest.mark.parametrize(
    ("severities", "seed", "gain_db"),
    [
        ({"noise": 0.4}, 1, 4.0),
        ({"low_light": 0.7}, 2, 4.0),
        ({"haze": 0.6}, 1, 2.0),
        ({"jpeg": 0.9}, 1, 0.5),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_damage_is_recognised_and_undone(
    restorer: Restorer, photograph: Tensor, severities: dict[str, float], seed: int, gain_db: float
) -> None:
    damaged = degrade(photograph[None], severities, torch.Generator().manual_seed(seed))[0]
    restored = restorer.restore(damaged)
    assert max(restored.weights, key=lambda name: restored.weights[name]) in severities
    assert psnr(restored.pixels, photograph) > psnr(damaged, photograph) + gain_db


def test_both_parts_of_a_mixture_are_recognised_and_their_composition_beats_either(
    restorer: Restorer, photograph: Tensor
) -> None:
    severities = {"low_light": 0.5, "noise": 0.25}
    damaged = degrade(photograph[None], severities, torch.Generator().manual_seed(1))[0]
    restored = restorer.restore(damaged)
    assert set(restored.weights) == set(severities)
    best = max(psnr(restorer.restore(damaged, as_=name).pixels, photograph) for name in severities)
    assert psnr(restored.pixels, photograph) > best


def test_an_explanation_leads_from_the_backbone_to_the_result(restorer: Restorer, photograph: Tensor) -> None:
    """A dark, noisy photograph: each adapter alone leaves what the other one takes away."""
    clean = photograph[:, 100:340, 100:340]
    damaged = degrade(clean[None], {"low_light": 0.5, "noise": 0.25}, torch.Generator().manual_seed(1))[0]
    explanation = restorer.explain(damaged)
    assert {step.adapter for step in explanation.steps} >= {"low_light", "noise"}
    assert torch.equal(explanation.steps[-1].added, explanation.restored.pixels)
    assert explanation.backbone is not None
    reached = psnr(explanation.restored.pixels, clean)
    assert reached > psnr(explanation.backbone, clean)
    assert all(reached > psnr(step.alone, clean) for step in explanation.steps)


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "rocket"])
def test_a_clean_photograph_comes_back_as_it_was(restorer: Restorer, name: str) -> None:
    pixels = read_image(PHOTOGRAPHS / f"{name}.png").pixels
    restored = restorer.restore(pixels)
    assert restored.weights == {}
    assert torch.equal(restored.pixels, pixels)


def test_half_precision_stays_within_one_level(
    restorer: Restorer, photograph: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyrestore.runtimes.base.computes_fast_in", lambda dtype, device: True)
    half = polyrestore.Restorer(restorer.bundle, restorer.device, precision="float16")
    pixels = photograph[:, 100:260, 100:260]
    for name in ("low_light", "haze", "noise"):
        difference = half.apply([pixels], {name: 1.0})[0] - restorer.apply([pixels], {name: 1.0})[0]
        assert 0 < difference.abs().max() < 1 / 255


def test_tiles_do_not_show(restorer: Restorer, photograph: Tensor) -> None:
    damaged = degrade(photograph[None], {"noise": 0.5}, torch.Generator().manual_seed(2))[0]
    tiled = polyrestore.Restorer(restorer.bundle, tile_px=96).restore(damaged, as_="noise")
    whole = polyrestore.Restorer(restorer.bundle, tile_px=4096).restore(damaged, as_="noise")
    assert float((tiled.pixels - whole.pixels).abs().max()) < 1e-4


def test_images_that_are_composed_differently_can_share_a_batch(
    restorer: Restorer, photograph: Tensor
) -> None:
    crop = photograph[None, :, 100:164, 100:164]
    generator = torch.Generator().manual_seed(4)
    kinds = ({"noise": 0.6}, {"low_light": 0.6}, {"haze": 0.7, "noise": 0.3})
    images = [degrade(crop, severities, generator) for severities in kinds]
    # Named, since so small a crop shows little of what is wrong with it.
    weights = [{"noise": 1.0}, {"low_light": 0.9, "noise": 0.4}, {"haze": 1.0, "noise": 0.5}]
    backbone = copy.deepcopy(restorer.bundle.backbone).eval()
    bank = AdapterBank(backbone)
    for adapter in restorer.bundle.adapters.values():
        bank.add(adapter)
    with torch.inference_mode():
        bank.activate_per_sample(weights)
        together = backbone(torch.cat(images))
        for index, (image, sample) in enumerate(zip(images, weights, strict=True)):
            with bank.composed(sample):
                alone = backbone(image)
            assert float((together[index] - alone[0]).abs().max()) < 1e-5


def test_the_same_input_gives_the_same_output(restorer: Restorer, photograph: Tensor) -> None:
    damaged = degrade(photograph[None], {"rain": 0.5}, torch.Generator().manual_seed(3))[0, :, :200, :200]
    assert torch.equal(restorer.restore(damaged).pixels, restorer.restore(damaged).pixels)


def test_the_card_says_where_the_weights_come_from(restorer: Restorer) -> None:
    info = restorer.bundle.info
    assert info.licence == "CC-BY-NC-4.0"
    assert any("BSDS500" in line for line in info.provenance)
    assert any("EfficientNet-Lite0" in line for line in info.provenance)
    assert len(restorer.adapters) == 12
