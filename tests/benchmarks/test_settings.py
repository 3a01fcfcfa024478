from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import polyrestore
from benchmarks import settings
from benchmarks.settings import main
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.degradations import MIXTURES
from polyrestore.evaluation import settings_search
from polyrestore.evaluation.settings_search import LEAST_GAIN, Search, damaged_sets
from tests.evaluation.conftest import data as data
from tests.support.tiny_bundle import save_tiny_bundle

SEARCHED = {
    "softmax": {"saturation": (1.0, 0.5), "minimum_share": (0.1, 0.5)},
    "sigmoid": {"minimum_share": (0.2, 0.9), "clean_threshold": (0.3, 1.1)},
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (settings, settings_search):
        monkeypatch.setattr(module, "SEARCHED", SEARCHED)
    few = dict(list(MIXTURES.items())[:3])
    monkeypatch.setattr(settings_search, "MIXTURES", few)
    monkeypatch.setattr(settings_search, "DEGRADATIONS", ("noise", "jpeg", "haze"))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_what_is_found_is_worth_what_is_said(
    activation: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_tiny_bundle(tmp_path / "tiny")
    manifest = json.loads((folder / "model.json").read_text())
    manifest["recognition_settings"] = {"activation": activation, "clean_threshold": 1.1}
    (folder / "model.json").write_text(json.dumps(manifest))
    arguments = ["--data", data / "CBSD68", "--bundle", folder, "--limit", 1, "--crop-px", 16]
    assert main([str(each) for each in [*arguments, "--output", tmp_path]]) == 0
    content = json.loads((tmp_path / "settings-tiny.json").read_text())
    names = list(SEARCHED[activation])
    assert content["columns"] == [*names, "all", "singles", "mixtures"]
    assert len(content["rows"]) == 4
    figures = [row[2] for row in content["rows"]]
    assert figures == sorted(figures, reverse=True)
    restorer = polyrestore.load(folder, "cpu")
    search = Search(restorer.adapters, damaged_sets([restorer], data / "CBSD68", 1, 16))
    own = restorer.recognition_settings
    first = replace(own, **dict(zip(names, content["rows"][0], strict=False)))
    assert search.figures(first) == pytest.approx(content["rows"][0][2:], abs=1e-3)
    best = search.figures(replace(own, **content["best"]))[0]
    changes = len(content["best"]["minimum_shares"])
    assert best >= search.figures(first)[0] + changes * LEAST_GAIN - 1e-9
    assert f"with shares of their own: {best:.3f}" in capsys.readouterr().out


def test_bundles_are_searched_together_for_what_is_best_on_average(data: Path, tmp_path: Path) -> None:
    folders = [save_tiny_bundle(tmp_path / str(seed), seed) for seed in (0, 1)]
    first, second = (load_bundle(folder) for folder in folders)
    second.recogniser, second.prototypes = first.recogniser, first.prototypes
    save_bundle(folders[1], second)
    named = [part for folder in folders for part in ("--bundle", str(folder))]
    arguments = ["--data", str(data / "CBSD68"), "--limit", "1", "--crop-px", "16", "--output", str(tmp_path)]
    assert main([*arguments, *named]) == 0
    content = json.loads((tmp_path / "settings-tiny-tiny.json").read_text())
    names = list(SEARCHED[polyrestore.load(folders[0], "cpu").recognition_settings.activation])
    found = []
    for folder in folders:
        restorer = polyrestore.load(folder, "cpu")
        search = Search(restorer.adapters, damaged_sets([restorer], data / "CBSD68", 1, 16))
        own = restorer.recognition_settings
        found.append(search.figures(replace(own, **dict(zip(names, content["rows"][0], strict=False))))[0])
    assert found[0] != found[1]
    assert content["rows"][0][len(names)] == pytest.approx(sum(found) / 2, abs=1e-3)


def test_bundles_that_recognise_differently_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [save_tiny_bundle(tmp_path / str(seed), seed) for seed in (0, 1)]
    named = [part for folder in folders for part in ("--bundle", str(folder))]
    assert main(["--data", "nowhere", *named]) == 1
    expected = (
        "error: tiny and tiny do not have the same adapters and one recogniser; search them one by one\n"
    )
    assert capsys.readouterr().err == expected


def test_a_number_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "nowhere", "--limit", "0"])
    assert "must be at least 1, not 0" in capsys.readouterr().err


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_tiny_bundle(tmp_path / "tiny")
    assert main(["--data", "nowhere", "--bundle", str(folder)]) == 1
    assert capsys.readouterr().err == "error: no folder nowhere\n"
