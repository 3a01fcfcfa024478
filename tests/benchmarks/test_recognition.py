from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import recognition
from benchmarks.recognition import main
from polyrestore.degradations import DEGRADATIONS
from polyrestore.recognition import CLEAN
from tests.evaluation.conftest import data as data
from tests.support.tiny_bundle import save_tiny_bundle


def labelled_folder(folder: Path, photographs: Path) -> Path:
    folder.mkdir()
    rows = ["file,labels,strength,kind"]
    for path, labels in zip(
        sorted(photographs.iterdir()), ("rain|haze,clear,", "clean,none,night"), strict=False
    ):
        shutil.copy(path, folder / path.name)
        rows.append(f"{path.name},{labels}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_every_degradation_and_every_pair_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "DRAWINGS_OF_A_KIND", 1)
    folder = save_tiny_bundle(tmp_path / "tiny")
    labelled = labelled_folder(tmp_path / "real", data / "CBSD68")
    options = ["--data", data / "CBSD68", "--bundle", folder, "--output", tmp_path / "results"]
    options += ["--labelled", labelled]
    assert main([str(option) for option in options]) == 0
    content = json.loads((tmp_path / "results" / "recognition.json").read_text())
    assert list(content["confusion"]) == [*DEGRADATIONS, CLEAN]
    for shares in content["confusion"].values():
        assert sum(shares.values()) == pytest.approx(1, abs=0.01 * len(shares))
        assert set(shares) <= {*DEGRADATIONS, CLEAN}
    pairs = content["mixtures"]
    assert pairs["pairs"] == len(DEGRADATIONS) * (len(DEGRADATIONS) - 1) // 2
    assert 0 <= pairs["both"] <= 1 - pairs["one"]
    assert {name: row["clear or strong"][1] for name, row in content["by_eye"].items()} == {
        "haze": 1,
        "rain": 1,
    }
    harm = content["harm"]
    assert harm["labelled: night"]["images"] == harm["drawn: page"]["images"] == 1
    # An untrained recogniser that takes nothing for clean acts, and the network changes what it acts on.
    assert sum(row["alone"] for row in harm.values()) < sum(row["images"] for row in harm.values())
    assert all(row["kept"] >= row["alone"] for row in harm.values())
    page = (tmp_path / "results" / "recognition.md").read_text()
    assert "Bundle tiny, version 1; " in page
    # What an untrained recogniser says lies in the columns, a share of each row.
    for truth, shares in content["confusion"].items():
        row = next(line for line in page.splitlines() if line.startswith(f"| **{truth}** |"))
        cells = [float(cell) for cell in row.split("|")[2:-1] if cell.strip()]
        assert cells == pytest.approx(
            [shares[name] for name in content["confusion"] if name in shares], abs=0.01
        )


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_tiny_bundle(tmp_path / "tiny")
    assert main(["--data", "nowhere", "--bundle", str(folder)]) == 1
    assert capsys.readouterr().err == "error: no folder nowhere\n"
