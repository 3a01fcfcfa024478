"""The commands of docs/evaluating.md run as written, on generated images with a tiny bundle."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import shipped
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from tests.support.tiny_bundle import save_tiny_bundle
from tests.test_readme import commands

DOCUMENT = "docs/evaluating.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that a reader has."""
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    for index in range(2):
        pixels = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(index))
        for folder in ("pairs/input", "pairs/target", "datasets/CBSD68"):
            write_image(tmp_path / folder / f"{index}.png", pixels, ImageMetadata())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(DOCUMENT, "console")
    assert len(found) >= 2
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{shlex.join(arguments)}: {capsys.readouterr().err}"
    assert (place / "evaluation" / "evaluation.json").is_file()
