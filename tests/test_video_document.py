"""What docs/video.md says runs, and its table of encoders is the package's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polyrestore.bundles import shipped
from polyrestore.cli.main import run
from polyrestore.video.encoders import ENCODERS
from polyrestore.video.kinds import WRITABLE
from polyrestore.video.segments import SEGMENT_FRAMES
from tests.support.clips import decoded, make_clip
from tests.support.tiny_bundle import save_tiny_bundle
from tests.test_readme import ROOT, commands

DOCUMENT = "docs/video.md"


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    make_clip(tmp_path / "clip.mp4", 2)
    make_clip(tmp_path / "footage" / "one.mov", 2)
    monkeypatch.chdir(tmp_path)
    for program, *arguments in commands(DOCUMENT, "console"):
        assert program == "polyrestore"
        assert run(arguments) == 0
    for name in ("restored.mp4", "restored/one.mov", "told.mp4", "small.mkv"):
        assert len(decoded(tmp_path / name)[0]) == 2


def test_the_tables_are_those_of_the_package() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| ([\w, ]+) \| ([\w ]+) \| (\d*) ?\|$", text, re.MULTILINE)
    told = {"matroska": "mkv"}
    assert rows == [
        (
            encoder.name,
            ", ".join(told.get(container, container) for container in encoder.containers),
            "without loss" if encoder.quality is None else str(encoder.quality),
            "" if encoder.quality is None else str(encoder.worst),
        )
        for encoder in ENCODERS.values()
    ]
    assert all(f"`{suffix}`" in text for suffix in WRITABLE)
    assert f"segments of {SEGMENT_FRAMES}" in text
