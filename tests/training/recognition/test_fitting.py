"""Features are kept on disk, members learn from them, and thresholds weigh what acting wrongly costs."""

from pathlib import Path

import pytest
import torch

from polyrestore.errors import TrainingError
from polyrestore.recognition import CLEAN
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.training.recognition.features import FeatureSet, extract_features
from polyrestore.training.recognition.fitting import TEMPERATURE, Fit, fit_members
from polyrestore.training.recognition.labels import Label
from polyrestore.training.recognition.samples import Sample
from polyrestore.training.recognition.thresholds import (
    choose_threshold,
    choose_thresholds,
    choose_thresholds_beside,
    cost_of,
)

NAMES = ("haze", "noise")


def tiny() -> EncoderRecogniser:
    torch.manual_seed(0)
    return EncoderRecogniser(["noise"], taps=(0,), members=2, hidden=8, dimension=4).eval()


def made(number: int) -> Sample:
    """Every second sample is noisy."""
    generator = torch.Generator().manual_seed(number)
    label = Label(NAMES)
    image = torch.rand(1, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(image, size=(70, 80), mode="bicubic").clamp(0, 1)
    if number % 2:
        severity = 0.2 + 0.6 * float(torch.rand((), generator=generator))
        label.add("noise", severity)
        image = image + severity * 0.3 * torch.randn(image.shape, generator=generator)
    return Sample(image.clamp(0, 1), label, "synthetic", "left out" if number % 3 == 0 else "")


def test_features_are_computed_once_and_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyrestore.training.recognition.features.SHARD", 4)
    counted = []

    def make(number: int) -> Sample:
        counted.append(number)
        return made(number)

    first = extract_features(tiny(), NAMES, make, 6, tmp_path)
    assert counted == [0, 1, 2, 3, 4, 5]
    (tmp_path / "000004-000006.safetensors").unlink()
    again = extract_features(tiny(), NAMES, make, 6, tmp_path)
    assert counted[6:] == [4, 5]
    assert torch.equal(first.features, again.features)
    assert first.kinds == again.kinds
    assert first.presence[:, 1].tolist() == [0, 1, 0, 1, 0, 1]
    assert len(first.without("left out")) == 4
    with pytest.raises(TrainingError, match="another recogniser"):
        extract_features(EncoderRecogniser(taps=(0, 1)), NAMES, make, 6, tmp_path)
    with pytest.raises(TrainingError, match="other degradations"):
        extract_features(tiny(), ("haze", "rain", "noise"), make, 6, tmp_path)
    (tmp_path / "000000-000004.safetensors").write_bytes(b"cut")
    with pytest.raises(TrainingError, match="damaged"):
        extract_features(tiny(), NAMES, make, 6, tmp_path)


def test_members_learn_presence_and_severity_and_are_seeded(tmp_path: Path) -> None:
    found = extract_features(tiny(), NAMES, made, 96, tmp_path)
    how, told = Fit(epochs=12, batch=16, learning_rate=2e-2, dropout=0.1), []
    recogniser = tiny()
    prototypes = fit_members(
        recogniser, found, ("noise",), how, 3, lambda step, loss: told.append((step, loss))
    )
    assert [step for step, _ in told] == list(range(1, 25))
    assert told[11][1] < 0.5 * told[0][1]
    assert set(prototypes) == {"noise", CLEAN}
    assert all(float(each.norm()) == pytest.approx(1, abs=1e-5) for each in prototypes.values())
    with torch.no_grad():
        embeddings = recogniser.embed_features(found.features)
        scores = (embeddings @ (prototypes["noise"] - prototypes[CLEAN])) / TEMPERATURE
        severities = recogniser.estimate_severities(found.features)[:, 0]
    noisy = found.presence[:, 1] > 0.5
    assert float(((scores > 0) == noisy).float().mean()) > 0.9
    asked = found.severity[noisy, 1]
    assert float((severities[noisy] - asked).abs().mean()) < float((asked - asked.mean()).abs().mean())
    second = tiny()
    state = torch.random.get_rng_state()
    again = fit_members(second, found, ("noise",), how, 3)
    assert torch.equal(again["noise"], prototypes["noise"])
    assert torch.equal(state, torch.random.get_rng_state())


def test_too_few_samples_are_refused() -> None:
    labels = {key: torch.zeros(3, len(NAMES)) for key in ("presence", "certainty", "severity")}
    found = FeatureSet(
        NAMES, torch.zeros(3, len(tiny().centre)), **labels, kinds=("a",) * 3, collections=("",) * 3
    )
    with pytest.raises(TrainingError, match="fewer than one batch"):
        fit_members(tiny(), found, ("noise",), Fit(), 0)


def test_a_threshold_weighs_what_acting_wrongly_costs() -> None:
    damaged, clean = [0.55, 0.7, 0.8, 0.95], [0.1, 0.2, 0.6, 0.75]
    assert choose_threshold(damaged, clean, cost=0.1) <= 0.55
    # Between the highest clean one and the lowest of what is found above it, away from both.
    assert choose_threshold(damaged, clean, cost=10) == pytest.approx(0.78)
    # Nothing seen of it: caution costs nothing.
    assert choose_threshold([], [0.1], cost=1) == pytest.approx(0.99)


def test_adapters_that_change_tones_need_near_certainty() -> None:
    assert min(cost_of("low_light"), cost_of("haze"), cost_of("missing_pixels")) > 2 * cost_of("noise")
    # Twice noisy, twice dark, and with nothing wrong.
    probabilities = torch.tensor([[0.7, 0.01], [0.95, 0.01], [0.01, 0.7], [0.01, 0.95], [0.05, 0.05]])
    presence = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    certainty = torch.ones(5, 2)
    chosen = choose_thresholds(probabilities, presence, certainty, ("noise", "low_light"))
    assert chosen["noise"] <= 0.7
    assert 0.85 <= chosen["low_light"] <= 0.95
    # What nobody is sure of decides nothing.
    certainty[0] = 0.4
    assert choose_thresholds(probabilities, presence, certainty, ("noise", "low_light"))["noise"] > 0.7


def test_beside_what_is_plain_a_lower_probability_will_do() -> None:
    names = ("snow", "noise")
    # Snow and noise; noise alone; with nothing wrong and yet taken for snow.
    probabilities = torch.tensor([[0.6, 0.99], [0.7, 0.99], [0.2, 0.99], [0.8, 0.01]])
    presence = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    certainty = torch.ones(4, 2)
    alone = choose_thresholds(probabilities, presence, certainty, names)
    assert alone["snow"] > 0.8
    beside = choose_thresholds_beside(probabilities, presence, certainty, names, alone)
    assert 0.5 <= beside["snow"] <= 0.6
    # A change of tone keeps its bar.
    tones = ("haze", "noise")
    assert (
        choose_thresholds_beside(probabilities, presence, certainty, tones, {"haze": 0.99, "noise": 0.99})
        == {}
    )
    # Noise has no image that shows snow without it, so nothing says that less would do.
    assert "noise" not in beside
    # A threshold is never lifted.
    assert (
        choose_thresholds_beside(probabilities, presence, certainty, names, {"snow": 0.5, "noise": 0.5}) == {}
    )
    # What is damaged for all but certain says nothing about what is beside it.
    doubtful = certainty * torch.tensor([1.0, 0.3])
    assert choose_thresholds_beside(probabilities, presence, doubtful, names, alone) == {}
