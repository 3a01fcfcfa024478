"""What docs/recognition.md says runs, in its order, with tiny encoders in the places that it names."""

from __future__ import annotations

import contextlib
import io
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import load_bundle, shipped
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.recognition import CLEAN, NORMALISATIONS, RecognitionSettings
from tests.support.tiny_bundle import save_tiny_bundle
from tests.support.tiny_clip import save_clip, save_da_clip
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/recognition.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that a reader has."""
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    save_clip(tmp_path / "clip-vit-base-patch32")
    save_da_clip(tmp_path / "daclip_ViT-B-32.pt")
    pixels = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "damaged" / "coffee.png", pixels, ImageMetadata())
    (tmp_path / "words.toml").write_text(fenced(DOCUMENT, "toml")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_python_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(DOCUMENT, "console")
    assert {command[1] for command in found} == {"inspect", "restore", "route"}
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    routed = load_bundle(place / "runs" / "own-words")
    assert set(routed.prototypes) == set(routed.adapters)
    assert CLEAN in load_bundle(place / "runs" / "clip-routed").prototypes
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec("\n".join(fenced(DOCUMENT, "python")), {})
    assert printed.getvalue().startswith("{")


def test_every_setting_and_normalisation_is_in_a_table() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    for name in (*NORMALISATIONS, *(field.name for field in fields(RecognitionSettings))):
        assert f"\n| `{name}` |" in text
