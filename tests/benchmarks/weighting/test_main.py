from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.weighting import runs
from benchmarks.weighting.__main__ import main
from benchmarks.weighting.report import curve_table, paired, paired_table
from benchmarks.weighting.runs import BALANCED, SETTINGS, Bench, Run, generated_images, recipe_of
from benchmarks.weighting.variants import STRATEGIES, VARIANTS, OneAtRandom, RepairedArt
from polyrestore.data import BatchSource
from polyrestore.training.weighting import WEIGHTINGS, Evidence


def arguments(folder: Path, *more: str) -> list[str]:
    places = ["--work", str(folder / "work"), "--output", str(folder / "out"), "--plots", str(folder / "out")]
    return ["--generated", "--steps", "3", "--seeds", "1", "--networks", "compact", *places, *more]


def test_makes_every_table_plot_and_figure_from_drawn_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--settings", "balanced", "--variants", "uniform", "art", "tur"]
    assert main(arguments(tmp_path, *chosen)) == 0
    report = json.loads((tmp_path / "out" / "weighting.json").read_text())
    assert [run["variant"] for run in report["runs"]] == ["uniform", "art", "tur"]
    assert set(report["runs"][0]["psnr"]) == {*BALANCED, "mean"}
    assert set(report["costs"]) == {*WEIGHTINGS, "uniform again"}
    text = (tmp_path / "out" / "weighting.md").read_text()
    assert "| minus uniform, dB |" in text
    assert text in capsys.readouterr().out
    for name in ("weights-balanced", "differences"):
        assert (tmp_path / "out" / f"weighting-{name}.png").stat().st_size > 1000


def test_a_share_of_the_runs_is_made_once_and_reports_nothing(tmp_path: Path) -> None:
    chosen = arguments(tmp_path, "--settings", "balanced", "--variants", "uniform", "art", "--share", "2/2")
    assert main(chosen) == 0
    results = list((tmp_path / "work").glob("*/result.json"))
    assert [path.parent.name for path in results] == ["compact-balanced-art-0-3"]
    changed = results[0].stat().st_mtime_ns
    assert main(chosen) == 0
    assert results[0].stat().st_mtime_ns == changed
    assert not (tmp_path / "out").exists()


def test_all_strategies_of_the_registry_take_part() -> None:
    assert set(STRATEGIES) == set(WEIGHTINGS)


def test_the_pool_holds_the_ordinary_batches(tmp_path: Path) -> None:
    images = generated_images(4, 0)
    setting = SETTINGS["rare"]
    pooled = Bench(images, generated_images(2, 1), tmp_path).source("rare", 3, 2)
    plain = BatchSource(images, setting.synthesis, setting.batch_size, 48, 2.0, 3)
    for step in range(2):
        expected, found = plain.batch(step), pooled.batch(step)
        assert torch.equal(found.task, expected.task)
        assert torch.allclose(found.degraded, expected.degraded.clamp(0, 1), atol=0.5 / 255 + 1e-6)
        assert torch.allclose(found.clean, expected.clean, atol=0.5 / 255 + 1e-6)
    assert not np.array_equal(pooled.pool[0], pooled.pool[1])


def test_every_strategy_starts_from_the_same_network(tmp_path: Path) -> None:
    bench = Bench(generated_images(4, 0), generated_images(2, 1), tmp_path)
    networks = [
        bench.job(Run("balanced", "uniform", 5, 2), evidence).network.state_dict()
        for evidence in (Evidence.NONE, Evidence.SCALES)
    ]
    assert networks[0].keys() == networks[1].keys()
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_a_name_that_a_recipe_takes(variant: str) -> None:
    assert recipe_of(Run("balanced", variant, 0, 500)).steps == 500


def test_a_long_run_is_measured_along_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "CURVE_STEPS", 2)
    chosen = ["--settings", "weather", "--networks", "transweather", "--variants", "uniform", "art"]
    assert main([*arguments(tmp_path), "--steps", "4", *chosen]) == 0
    records = json.loads((tmp_path / "out" / "weighting.json").read_text())["runs"]
    for record in records:
        assert list(record["curve"]) == ["2", "4"]
        assert record["curve"]["4"] == pytest.approx(record["psnr"]["mean"], abs=2e-3)
    *_, art, uniform = curve_table(records)
    assert art.startswith("| art, seed 0 |")
    figures = " | ".join(f"{value:.2f}" for value in records[0]["curve"].values())
    assert uniform == f"| uniform, seed 0 | {figures} |"
    assert art in (tmp_path / "out" / "weighting.md").read_text()


def test_differences_are_taken_by_seed_and_marked_when_they_are_beyond_chance() -> None:
    records = [
        {"variant": variant, "seed": seed, "psnr": {"noise": 20 + seed + gain, "mean": 20 + seed + other}}
        for variant, gains in (("uniform", (0, 0, 0)), ("art", (0.50, 0.51, 0.49)))
        for seed, gain, other in zip(range(3), gains, (0.0, 1.0, -1.0), strict=True)
    ]
    assert paired(records, "art")["noise"] == pytest.approx([0.5, 0.51, 0.49])
    row = paired_table(records)[-1]
    assert "**+0.500 ± 0.010**" in row
    assert row.count("**") == 2


def test_repaired_art_starts_from_the_losses_and_smoothing_needs_a_lasting_change() -> None:
    everywhere, level = torch.tensor([True, True]), torch.tensor([0.3, 0.02])
    strategies = RepairedArt(2), RepairedArt(2, smoothing=0.05)
    for strategy in strategies:
        for _ in range(50):
            even = strategy.weights(level, everywhere)
        assert torch.allclose(even, torch.tensor([0.5, 0.5]))
    worse = torch.tensor([0.4, 0.02])
    plain, smoothed = (strategy.weights(worse, everywhere)[0] for strategy in strategies)
    assert 0.5 < smoothed < 0.6 < 0.95 < plain
    for _ in range(20):
        lasting = strategies[1].weights(worse, everywhere)[0]
    assert lasting > 0.75


def test_repaired_art_ignores_absent_tasks() -> None:
    strategy = RepairedArt(3, smoothing=0.5)
    strategy.weights(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([True, True, False]))
    before = strategy.state()
    weights = strategy.weights(torch.tensor([0.1, 0.0, 0.3]), torch.tensor([True, False, True]))
    assert weights[1] == 0
    assert weights.sum() == pytest.approx(1)
    assert strategy.average[1] == before["average"][1]
    assert strategy.average[2] == pytest.approx(0.3)


def test_one_at_random_puts_all_weight_on_a_present_task_and_reaches_each() -> None:
    strategy, present = OneAtRandom(4), torch.tensor([True, False, True, True])
    weights = torch.stack([strategy.weights(torch.ones(4), present) for _ in range(60)])
    assert torch.equal(weights.sum(1), torch.ones(60))
    assert weights[:, 1].sum() == 0
    assert weights[:, [0, 2, 3]].sum(0).min() > 8
