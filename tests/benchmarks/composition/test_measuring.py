from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import polyrestore
from benchmarks.composition import measuring as module
from benchmarks.composition.measuring import (
    CompositionResult,
    blind_variants,
    measure_composition,
    mixture_samples,
    undoing_order,
)
from benchmarks.composition.report import composition_as_json, composition_markdown, summary_rows
from polyrestore.data import load_pairs, write_mixture_set
from polyrestore.degradations import MIXTURES, Mixture
from polyrestore.errors import CompositionError, DataError, ProtocolError
from polyrestore.evaluation.metrics import Protocol, mean_psnr, psnr, ssim
from polyrestore.evaluation.sets import EvaluationImage
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_bundle import save_tiny_bundle

PROTOCOL = Protocol(window="uniform")


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return polyrestore.load(save_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"), "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(2):
        coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(index))
        pixels = torch.nn.functional.interpolate(coarse, size=(28, 32), mode="bicubic")[0].clamp(0, 1)
        write_image(folder / f"{index}.png", pixels, ImageMetadata())
    return folder


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[EvaluationImage]:
    return mixture_samples(folder, MIXTURES["noise+jpeg"], crop_px=24)


@pytest.fixture(scope="module")
def result(restorer: Restorer, samples: list[EvaluationImage]) -> CompositionResult:
    return measure_composition(restorer, MIXTURES["noise+jpeg"], samples, protocol=PROTOCOL)


def test_the_samples_are_those_of_the_set_on_disk(folder: Path, tmp_path: Path) -> None:
    entry = MIXTURES["haze+rain"]
    write_mixture_set(folder, tmp_path / "set", entry.severities, crop_px=24)
    pairs = load_pairs(tmp_path / "set")
    samples = mixture_samples(folder, entry, crop_px=24)
    assert [sample.name for sample in samples] == [pair.name for pair in pairs]
    for sample, pair in zip(samples, pairs, strict=True):
        assert torch.equal(sample.degraded, pair.degraded / 255)
        assert torch.equal(sample.target, pair.clean / 255)
    assert len(mixture_samples(folder, entry, limit=1)) == 1
    with pytest.raises(DataError, match="with a limit of 0"):
        mixture_samples(folder, entry, limit=0)


def test_every_way_is_what_it_says(
    restorer: Restorer, samples: list[EvaluationImage], result: CompositionResult
) -> None:
    def scored(name: str, compositions: list[dict[str, float]]) -> None:
        for sample, weights, score in zip(samples, compositions, result.ways[name].images, strict=True):
            pixels = restorer.apply([sample.degraded], weights)[0] if weights else sample.degraded
            assert score["psnr"] == pytest.approx(psnr(pixels, sample.target, PROTOCOL), abs=1e-6)
            assert score["ssim"] == pytest.approx(ssim(pixels, sample.target, PROTOCOL), abs=1e-6)

    count = len(samples)
    scored("input", [{}] * count)
    scored("uniform, all", [{name: 1 / 12 for name in restorer.adapters}] * count)
    scored("uniform, present", [{"noise": 0.5, "jpeg": 0.5}] * count)
    scored("full, present", [{"noise": 1.0, "jpeg": 1.0}] * count)
    scored("blind", [restorer.recognise(sample.degraded).weights for sample in samples])
    for name in ("best single", "oracle", "oracle, any sum"):
        scored(name, [dict(result.ways[name].weights)] * count)
    chained = restorer.apply([samples[0].degraded], {"jpeg": 1.0})
    chained = restorer.apply(chained, {"noise": 1.0})
    found = result.ways["chain"]
    assert found.detail == "jpeg > noise"
    assert found.images[0]["psnr"] == pytest.approx(psnr(chained[0], samples[0].target, PROTOCOL), abs=1e-6)
    for sample, score in zip(samples, result.ways["blind chain"].images, strict=True):
        pixels = [sample.degraded]
        for name in undoing_order(restorer.recognise(sample.degraded).weights):
            pixels = restorer.apply(pixels, {name: 1.0})
        assert score["psnr"] == pytest.approx(psnr(pixels[0], sample.target, PROTOCOL), abs=1e-6)


def test_what_is_chosen_with_the_truth_is_the_best_of_its_kind(
    restorer: Restorer, samples: list[EvaluationImage], result: CompositionResult
) -> None:
    alone = {
        name: [
            psnr(restorer.apply([sample.degraded], {name: 1.0})[0], sample.target, PROTOCOL)
            for sample in samples
        ]
        for name in restorer.adapters
    }
    means = {name: mean_psnr(values) for name, values in alone.items()}
    ways = {name: way.score["psnr"] for name, way in result.ways.items()}
    assert result.singles == pytest.approx(means)
    assert list(result.singles.values()) == sorted(means.values(), reverse=True)
    assert ways["best single"] == pytest.approx(max(means.values()))
    each = mean_psnr([max(values[i] for values in alone.values()) for i in range(len(samples))])
    assert ways["best single per image"] == pytest.approx(each)
    assert ways["oracle"] >= max(means["noise"], means["jpeg"], ways["uniform, present"]) - 1e-9
    assert ways["oracle, any sum"] >= max(ways["oracle"], ways["full, present"]) - 1e-9
    assert sum(result.ways["oracle"].weights.values()) == pytest.approx(1)
    assert result.margin("oracle") == pytest.approx(ways["blind"] - ways["oracle"])
    assert result.margin("no such way") is None


def test_settings_of_the_recognition_change_the_weights(
    restorer: Restorer, samples: list[EvaluationImage], result: CompositionResult
) -> None:
    sharp = replace(restorer.recognition_settings, top_k=1)
    expected = [restorer.recognise(sample.degraded, sharp).weights for sample in samples]
    assert all(len(weights) == 1 for weights in expected)
    assert result.ways["blind top 1"].weights == module.mean_weights(expected)
    assert set(blind_variants()) <= set(result.ways)
    assert sum(result.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_composition_runs_once_on_an_image(
    restorer: Restorer, samples: list[EvaluationImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, tuple[tuple[str, float], ...]]] = []
    apply = Restorer.apply

    def counted(self: Restorer, images: list[torch.Tensor], weights: dict[str, float]) -> list[torch.Tensor]:
        known = [i for image in images for i, s in enumerate(samples) if image is s.degraded]
        ran.extend((i, tuple(sorted(weights.items()))) for i in known)
        return apply(self, images, weights)

    monkeypatch.setattr(Restorer, "apply", counted)
    seen: list[str] = []
    first = measure_composition(
        restorer, MIXTURES["noise+jpeg"], samples, protocol=PROTOCOL, on_way=seen.append
    )
    assert seen == list(first.ways)
    # Only the first link of a chain is not kept.
    last = {undoing_order(restorer.recognise(sample.degraded).weights)[0] for sample in samples} | {"jpeg"}
    assert {run[1] for run in ran if ran.count(run) > 1} <= {((name, 1.0),) for name in last}
    second = measure_composition(restorer, MIXTURES["noise+jpeg"], samples, protocol=PROTOCOL)
    assert composition_as_json([first]) == composition_as_json([second])


def test_a_bundle_without_the_adapters_is_measured_without_the_ways_that_need_them(
    restorer: Restorer, samples: list[EvaluationImage]
) -> None:
    bundle = restorer.bundle
    few = type(bundle)(
        "few",
        bundle.backbone,
        {"snow": bundle.adapters["snow"]},
        bundle.recogniser,
        {"snow": bundle.prototypes["snow"]},
    )
    result = measure_composition(Restorer(few, "cpu"), MIXTURES["noise+jpeg"], samples, protocol=PROTOCOL)
    assert result.present == ()
    assert not {"oracle", "chain", "uniform, present", "full, present"} & set(result.ways)
    assert result.margin("oracle") is None
    text = composition_markdown([result], "few")
    assert "| noise+jpeg |" in text
    assert summary_rows([result])[1][0] == "noise+jpeg"


def test_what_cannot_be_measured_is_refused(restorer: Restorer, samples: list[EvaluationImage]) -> None:
    entry = MIXTURES["noise+jpeg"]
    with pytest.raises(DataError, match=r"no image to measure noise\+jpeg on"):
        measure_composition(restorer, entry, [])
    with pytest.raises(ProtocolError, match="use a protocol that rounds"):
        measure_composition(restorer, entry, samples, protocol=Protocol(rounded=False))
    bundle = restorer.bundle
    bare = Restorer(type(bundle)("bare", bundle.backbone), "cpu")
    with pytest.raises(CompositionError, match="'bare' has no adapters to compose"):
        measure_composition(bare, entry, samples)


def test_json_and_tables_hold_the_figures(result: CompositionResult) -> None:
    entry = json.loads(json.dumps(composition_as_json([result]), allow_nan=False))[0]
    assert entry["mixture"] == "noise+jpeg"
    assert entry["applied"] == entry["present"] == ["noise", "jpeg"]
    assert entry["ways"]["blind"]["psnr"] == result.ways["blind"].score["psnr"]
    assert len(entry["ways"]["oracle"]["images"]) == 2
    text = composition_markdown([result], "tiny, version 1")
    assert text.startswith("## tiny, version 1\n")
    row = next(line for line in text.splitlines() if line.startswith("| noise+jpeg |"))
    for name in ("input", "chain", "oracle", "blind"):
        score = result.ways[name].score
        assert f"{score['psnr']:.2f} / {score['ssim']:.3f}" in row
    assert f"({result.ways['best single'].detail})" in row
    assert "SSIM window uniform 7x7" in text


def test_a_shortfall_is_said_where_there_is_one(result: CompositionResult) -> None:
    def with_blind(value: float) -> CompositionResult:
        ways = dict(result.ways)
        blind = ways["blind"]
        scores = tuple({"psnr": value, "ssim": score["ssim"]} for score in blind.images)
        ways["blind"] = module.Way("blind", scores, blind.weights)
        return module.CompositionResult(**{**vars(result), "ways": ways})

    oracle = max(result.ways[name].score["psnr"] for name in ("oracle", "oracle, any sum"))
    single = result.ways["best single"].score["psnr"]
    best = max(oracle, single)
    assert "Blind is nowhere below" in composition_markdown([with_blind(best + 0.1)], "tiny")
    text = composition_markdown([with_blind(min(oracle, single) - 1)], "tiny")
    assert "- noise+jpeg: " in text
    assert "to the better oracle" in text
    assert "to the best single adapter" in text


def test_a_chain_undoes_first_what_happened_last() -> None:
    assert undoing_order(["rain", "jpeg", "my own", "haze", "noise"]) == (
        "jpeg", "noise", "rain", "haze", "my own",
    )  # fmt: skip
    assert undoing_order({}) == ()


def test_a_mixture_of_ones_own_can_be_measured(restorer: Restorer, folder: Path) -> None:
    own = Mixture({"snow": 0.5, "jpeg": 0.5, "noise": 0.2}, "a trial")
    result = measure_composition(
        restorer, own, mixture_samples(folder, own, limit=1, crop_px=24), protocol=PROTOCOL
    )
    assert result.present == ("snow", "noise", "jpeg")
    assert result.ways["chain"].detail == "jpeg > noise > snow"
