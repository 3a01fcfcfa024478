from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.imaging import read_image
from polyrestore.recognition import Recognition
from polyrestore.restoration import restorer as module
from polyrestore.restoration.explanation import PANEL_PX
from polyrestore.restoration.restorer import Restorer
from polyrestore.runtimes.torch import TorchRuntime
from tests.restoration.test_restorer import expected, random_pixels


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The weights that are recognised, to be changed by a test."""
    weights = {"rain": 0.3, "noise": 0.7}
    probabilities = {"rain": 0.2, "clean": 0.3, "noise": 0.5}

    def recognise(*_: Any) -> Recognition:
        return Recognition(dict(weights), probabilities, {"noise": 0.9, "clean": 0.1, "rain": 0.4})

    monkeypatch.setattr(module, "recognise", recognise)
    return weights


def test_each_adapter_is_shown_alone_and_added_in_the_order_of_the_weights(
    bundle: Any, restorer: Restorer, seen: dict[str, float]
) -> None:
    pixels = random_pixels()
    explanation = restorer.explain(pixels)
    assert [(step.adapter, step.weight) for step in explanation.steps] == [("noise", 0.7), ("rain", 0.3)]
    first, second = explanation.steps
    for found, weights in (
        (explanation.backbone, {}),
        (first.alone, {"noise": 1.0}),
        (first.added, {"noise": 0.7}),
        (second.alone, {"rain": 1.0}),
        (second.added, {"noise": 0.7, "rain": 0.3}),
    ):
        assert found is not None
        torch.testing.assert_close(found, expected(bundle, weights, pixels), atol=1e-5, rtol=0)
    assert torch.equal(explanation.given, pixels)
    assert torch.equal(second.added, explanation.restored.pixels)
    assert torch.equal(restorer.restore(pixels).pixels, explanation.restored.pixels)


def test_strength_acts_on_every_intermediate(bundle: Any, restorer: Restorer, seen: dict[str, float]) -> None:
    pixels = random_pixels()
    explanation = restorer.explain(pixels, strength=0.25)
    whole = expected(bundle, {"rain": 1.0}, pixels)
    half = pixels + 0.25 * (whole - pixels)
    torch.testing.assert_close(explanation.steps[1].alone, half, atol=1e-5, rtol=0)
    assert torch.equal(explanation.steps[-1].added, explanation.restored.pixels)


def test_the_network_runs_no_more_often_than_it_has_to(
    restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[dict[str, float]] = []
    composed = TorchRuntime.composed

    def counted(self: TorchRuntime, weights: dict[str, float]) -> AbstractContextManager[None]:
        ran.append(dict(weights))
        return composed(self, weights)

    monkeypatch.setattr(TorchRuntime, "composed", counted)
    restorer.explain(random_pixels(), as_="noise")
    assert ran == [{"noise": 1.0}, {}]
    ran.clear()
    restorer.explain(random_pixels(), as_={"noise": 0.5, "rain": 0.5, "haze": 0.0})
    assert len(ran) == 5
    assert len({tuple(sorted(weights.items())) for weights in ran}) == 5


def test_the_files_hold_the_weights_and_the_images(
    restorer: Restorer, seen: dict[str, float], tmp_path: Path
) -> None:
    explanation = restorer.explain(random_pixels(40, 60))
    written = explanation.save(tmp_path / "explained")
    assert [path.name for path in written] == [
        "0-backbone.png", "1-noise-alone.png", "1-noise-added.png", "2-rain-alone.png", "2-rain-added.png",
        "sheet.png", "weights.json",
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "explained").iterdir()} == {path.name for path in written}
    result = read_image(tmp_path / "explained" / "2-rain-added.png").pixels
    torch.testing.assert_close(result, explanation.restored.pixels, atol=0.51 / 255, rtol=0)
    facts = json.loads((tmp_path / "explained" / "weights.json").read_text())
    assert list(facts["weights"].items()) == [("noise", 0.7), ("rain", 0.3)]
    assert list(facts["probabilities"]) == ["noise", "clean", "rain"]
    assert facts["similarities"]["clean"] == 0.1
    assert facts["recognised"] is True
    sheet = read_image(tmp_path / "explained" / "sheet.png").pixels
    assert sheet.shape[1] > 3 * 40
    assert sheet.shape[2] > 3 * 60


def test_large_images_are_reduced_on_the_sheet_only(restorer: Restorer, tmp_path: Path) -> None:
    explanation = restorer.explain(random_pixels(30, PANEL_PX + 100), as_="rain")
    explanation.save(tmp_path)
    assert read_image(tmp_path / "sheet.png").pixels.shape[2] < 2 * PANEL_PX + 100
    assert read_image(tmp_path / "1-rain-alone.png").pixels.shape == (3, 30, PANEL_PX + 100)
    assert json.loads((tmp_path / "weights.json").read_text())["recognised"] is False


def test_a_clean_image_and_a_bare_backbone_have_no_steps(
    bundle: Any, restorer: Restorer, seen: dict[str, float], tmp_path: Path
) -> None:
    seen.clear()
    pixels = random_pixels(20, 24)
    clean = restorer.explain(pixels)
    assert clean.steps == ()
    assert clean.backbone is None
    assert torch.equal(clean.restored.pixels, pixels)
    assert {path.name for path in clean.save(tmp_path)} == {"sheet.png", "weights.json"}
    bundle.adapters, bundle.recogniser = {}, None
    bare = Restorer(bundle, "cpu").explain(pixels)
    assert bare.steps == ()
    assert not torch.equal(bare.restored.pixels, pixels)
    assert set(bare.files()) == {"sheet.png", "weights.json"}
