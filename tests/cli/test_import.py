"""The import command, from a checkpoint to a restored photograph and a trained adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import load_bundle
from polyrestore.imaging import read_image
from tests.cli.conftest import Outcome
from tests.support.networks import TINY, tiny

RECIPE = """
phase = "adapters"
name = "adapters"
steps = 2
bundle = "./imported"
adapters = ["noise"]
kind = "{kind}"

[data]
clean = ["in"]
validation = "in"
check_duplicates = false
patch_px = 16
batch_size = 2
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "restormer.pth"
    torch.save({"params": tiny("restormer", TINY["restormer"]).state_dict()}, path)
    return path


def test_an_imported_network_restores_a_photograph_alone(
    call: Callable[..., Outcome], checkpoint: Path, photographs: Path, tmp_path: Path
) -> None:
    outcome = call("import", checkpoint, "-o", tmp_path / "imported", "--licence", "MIT")
    assert outcome.code == 0, outcome.err
    assert "restormer" in outcome.out
    assert "found in params" in outcome.out
    assert "licence" not in outcome.out
    source = photographs / "a.png"
    outcome = call("restore", source, "-o", tmp_path / "out", "--bundle", tmp_path / "imported")
    assert outcome.code == 0, outcome.err
    assert "backbone alone" in outcome.out
    pixels = read_image(source).pixels
    with torch.no_grad():
        expected = tiny("restormer", TINY["restormer"])(pixels[None])[0].clamp(0, 1)
    restored = read_image(tmp_path / "out" / "a.png").pixels
    torch.testing.assert_close(restored, expected, atol=0.51 / 255, rtol=0)
    assert not torch.equal(restored, pixels)


@pytest.mark.parametrize("kind", ["lora", "bottleneck"])
def test_adapters_are_trained_on_an_imported_network(
    call: Callable[..., Outcome], checkpoint: Path, photographs: Path, tmp_path: Path, kind: str
) -> None:
    assert call("import", checkpoint, "-o", tmp_path / "imported").code == 0
    (tmp_path / "recipe.toml").write_text(RECIPE.format(kind=kind))
    outcome = call("train", tmp_path / "recipe.toml", "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.adapters["noise"].config.kind == kind
    assert set(bundle.info.training) == {"import", "adapter noise"}
    outcome = call(
        "restore", photographs, "-o", tmp_path / "out", "--bundle", tmp_path / "run/bundle", "--as", "noise"
    )
    assert outcome.code == 0, outcome.err


def test_what_was_assumed_is_said(call: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "best"
    torch.save(tiny("transweather", TINY["transweather"]).state_dict(), path)
    outcome = call("import", path, "-o", tmp_path / "assumed")
    assert outcome.code == 0, outcome.err
    assert "published values were taken: heads [1, 2, 4, 4], decoder_heads 8" in outcome.out
    given = ("--set", "heads=[1, 2, 2, 2]", "--set", "decoder_heads=2")
    assert call("import", path, "-o", tmp_path / "given", *given).code == 0
    outcome = call("import", path, "-o", tmp_path / "half", *given[:2], "--set", "decoder_heads=8", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["assumed"] == {}
    outcome = call("import", path, "-o", tmp_path / "other", *given[:2])
    assert "published values were taken: decoder_heads 8" in outcome.out
    assert "licence of the weights is not known" in outcome.out


def test_errors_are_one_line_and_leave_nothing(
    call: Callable[..., Outcome], checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.pth").write_text("no checkpoint")
    for arguments in (
        (tmp_path / "text.pth", "-o", tmp_path / "out"),
        (tmp_path / "gone.pth", "-o", tmp_path / "out"),
        (checkpoint, "-o", tmp_path),
        (checkpoint, "-o", tmp_path / "out", "--set", "dim"),
        (checkpoint, "-o", tmp_path / "out", "--set", "dim=8"),
        (checkpoint, "-o", tmp_path / "out", "--set", "dim=-4"),
        (checkpoint, "-o", tmp_path / "out", "--set", "refinement_blocks=1000000000"),
        (checkpoint, "-o", tmp_path / "out", "--set", "context_limit_px=-1"),
        (checkpoint, "-o", tmp_path / "out", "--set", "heads=" + "[" * 3000 + "]" * 3000),
        (checkpoint, "-o", tmp_path / "out", "--name", "a b"),
    ):
        outcome = call("import", *arguments)
        assert outcome.code == 1
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
