"""The benchmark of speed measures every part on tiny networks, and its check tells which ratio got worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import engine, engine_parts
from benchmarks.engine import TOLERANCE, main, worse_ratios
from benchmarks.engine_nafnet import NAFNet
from polyrestore.backbones import build_backbone
from polyrestore.imaging import ImageMetadata, write_image
from tests.support.tiny_bundle import save_tiny_bundle

SMALL = 64**2 / 1e6


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what every run takes, with tiny networks and no process of its own."""
    folder = save_tiny_bundle(tmp_path / "tiny")
    pixels = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "photographs" / "one.png", pixels, ImageMetadata())

    def in_process(part: str, **given: Any) -> dict[str, float]:
        function: Callable[..., dict[str, float]] = getattr(engine_parts, part)
        return function(**given)

    def rival(_name: str) -> nn.Module:
        tiny = {"width": 8, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,)}
        return build_backbone("nafnet", **tiny)

    monkeypatch.setattr(engine_parts, "in_process", in_process)
    monkeypatch.setattr(engine_parts, "NAFNet", lambda: NAFNet(8, (1, 1)))
    monkeypatch.setattr(engine_parts, "build_backbone", rival)
    monkeypatch.setattr(engine_parts, "_MATRIX_SIDE", 64)
    monkeypatch.setattr(engine, "COMPARED", SMALL)
    given = ["--bundle", folder, "--output", tmp_path, "--rounds", 1, "--runtime", "torch"]
    given += ["--megapixels", SMALL, "--photographs", tmp_path / "photographs"]
    return [str(each) for each in given]


def test_every_part_is_measured(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_parts, "start_up", lambda **_given: {"help_s": 0.2, "first_image_s": 2.0})
    assert main([*arguments, "--beside", "a training"]) == 0
    result = json.loads((tmp_path / "engine.json").read_text())
    (size,) = result["sizes"]
    assert size["runtime"] == "torch"
    assert size["seconds"] > 0
    assert size["peak_megabytes"] > 50
    (turn,) = result["turns"]
    assert turn["restormer"] > 0
    ratio = result["ratios"][f"torch / nafnet, {SMALL:g} MP"]
    assert ratio == pytest.approx(turn["torch"] / turn["nafnet"], rel=0.5)
    assert {f"torch / restormer, {SMALL:g} MP", f"matrix rate / torch, {SMALL:g} MP"} < result[
        "ratios"
    ].keys()
    ways = {row["denoiser"]: row["psnr"] for row in result["denoisers"]}
    assert 19 < ways["none"] < 23
    assert len(ways) + len(result["left_out"]) >= 4
    markdown = (tmp_path / "engine.md").read_text()
    assert "a training" in markdown
    assert "| torch | " in markdown


def test_a_check_fails_with_a_line_for_each_ratio_that_got_worse(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--check"]) == 1
    assert "no results" in capsys.readouterr().err
    nafnet, matrix = f"torch / nafnet, {SMALL:g} MP", f"matrix rate / torch, {SMALL:g} MP"
    committed = tmp_path / "engine.json"
    committed.write_text(json.dumps({"ratios": {nafnet: 1e-6, matrix: 1e9, "gone": 1.0}}))
    assert main([*arguments, "--check"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert f"{nafnet} got worse" in line
    assert matrix in said.out
    committed.write_text(json.dumps({"ratios": {nafnet: 1e9, matrix: 1e9}}))
    assert main([*arguments, "--check"]) == 0


def test_a_ratio_may_be_worse_by_the_tolerance() -> None:
    assert worse_ratios({"a": 1.0, "b": 1.0}, {"a": 1 + 0.9 * TOLERANCE, "b": 0.5}) == []
    (line,) = worse_ratios({"a": 1.0, "b": 1.0}, {"a": 1 + 1.1 * TOLERANCE, "c": 9.0})
    assert line.startswith("a got worse: 1.275, was 1.000")


def test_libraries_that_are_not_there_are_left_out_with_a_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, photographs = arguments[1], Path(arguments[-1])
    monkeypatch.setattr("benchmarks.engine_parts.importlib.util.find_spec", lambda _library: None)
    rows, left_out = engine_parts.denoisers(bundle, "noise", photographs, None)
    assert [row["denoiser"] for row in rows] == ["none", "polyrestore"]
    assert left_out == [f"left out: {library} is not installed" for library in ("cv2", "skimage")]
    assert engine_parts.installed_runtimes() == ["torch"]


def test_what_a_network_computes_is_counted() -> None:
    """A convolution of 3x3 from 6 to 8 channels and one back to 3 are 9 * (48 + 24) products a pixel."""
    tiny = {"encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,), "context_dim": 16}
    narrow, wide = (
        engine_parts.network_gflops(build_backbone("compact", width=width, **tiny)) for width in (8, 16)
    )
    assert narrow > 2 * 9 * (48 + 24) * 1e6 / 1e9
    assert 2 < wide / narrow < 4
