"""What docs/teaching.md says runs, in its order, in a folder with the files that it names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from polyrestore import teaching
from polyrestore.bundles import load_bundle, save_bundle, shipped
from polyrestore.cli.main import run
from polyrestore.data.negatives import NEGATIVES
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.teaching import Training, making, recognising
from tests.support.tiny_bundle import tiny_bundle
from tests.teaching.conftest import drown, picture
from tests.test_readme import ROOT, commands

DOCUMENT = "docs/teaching.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_bundle(tmp_path / "shipped" / "default", tiny_bundle(settings={"clean_threshold": 1.1}))
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    # The command has no such options: a reader waits for minutes.
    quick = partial(Training, steps=2, patch_px=32, batch_size=2, rank=1)
    monkeypatch.setattr(teaching, "Training", quick)
    monkeypatch.setattr(recognising, "_OTHERS", 2)
    monkeypatch.setattr(recognising, "NEGATIVES", dict(list(NEGATIVES.items())[:3]))
    for index in range(5):
        clean = picture(index, (48, 56))
        write_image(tmp_path / "wet-glass" / "input" / f"{index}.png", drown(clean), ImageMetadata())
        write_image(tmp_path / "wet-glass" / "target" / f"{index}.png", clean, ImageMetadata())
        write_image(tmp_path / "photographs" / f"{index}.png", clean, ImageMetadata())
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.setattr(making, "_FEWEST", 5)
    write_image(tmp_path / "damaged" / "a.png", drown(picture(7)), ImageMetadata())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(DOCUMENT, "console")
    assert {command[1] for command in found} == {"teach", "restore", "adapters"}
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    assert {"wet_glass", "film", "night"} <= load_bundle("my-bundle").adapters.keys()
    assert "drops" not in load_bundle("other-bundle").adapters
