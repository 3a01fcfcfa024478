"""The cases are tried where their inputs are, and skipped elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from benchmarks.cases.__main__ import main
from tests.support.tiny_bundle import save_tiny_bundle


def test_missing_inputs_are_skipped_and_the_answers_of_others_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(save_tiny_bundle(tmp_path / "tiny"))
    options = ["--bundle", bundle, "--output", str(tmp_path)]
    assert main([str(tmp_path / "gone"), *options]) == 0
    assert "nothing is tried" in capsys.readouterr().out

    folder = tmp_path / "inputs"
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    PILImage.fromarray(colours).save(folder / "grey-as-rgb-dark.png")
    assert main([str(folder), *options, "--only", "grey-as-rgb"]) == 1
    PILImage.fromarray(colours[:, :, :1].repeat(3, axis=2)).save(folder / "grey-as-rgb-dark.png")
    assert main([str(folder), *options, "--only", "grey-as-rgb"]) == 0
    tried = json.loads((tmp_path / "cases.json").read_text())["cases"]
    assert [each["verdict"] for each in tried] == ["right", "skipped", "skipped"]
    assert "1 of 3 answers are wrong" in capsys.readouterr().err
