"""What docs/runtimes.md says runs, and its table names the runtimes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import shipped
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.runtimes.cache import CACHE_VARIABLE
from polyrestore.runtimes.registry import AUTO, RUNTIMES
from tests.support.tiny_bundle import save_tiny_bundle
from tests.test_readme import ROOT, commands

DOCUMENT = "docs/runtimes.md"


def test_the_table_names_the_runtimes() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    table = text.partition("| runtime |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [*RUNTIMES, AUTO]


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    pixels = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "damaged" / "coffee.png", pixels, ImageMetadata())
    for command in commands(DOCUMENT, "console"):
        assert command[0] == "polyrestore"
        assert run(command[1:]) == 0, command
    notes = [line for line in capsys.readouterr().err.splitlines() if "is taken from now on" in line]
    assert len(notes) == 1
    assert (tmp_path / "restored" / "coffee.png").is_file()
    for written in ("denoise.onnx", "derain.xml", "derain.bin", "denoise.pt"):
        assert (tmp_path / written).stat().st_size > 0
    assert run(["export", "torch", "--as", "noise", "-o", "denoise.pt"]) == 1
    assert "denoise.pt is there already" in capsys.readouterr().err
    assert run(["restore", "damaged", "-o", "again", "--runtime", "torsch"]) == 1
    assert "unknown runtime 'torsch'; did you mean 'torch'" in capsys.readouterr().err
