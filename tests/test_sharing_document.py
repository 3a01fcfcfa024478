"""What docs/sharing.md says runs, in its order, against a stand-in of the hub; its codes are the code's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polyrestore import errors
from polyrestore.adapters import LoraConfig
from polyrestore.bundles import load_bundle, save_bundle, shipped
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from tests.support.hub import TOKEN, Hub
from tests.support.hub import hub as hub
from tests.support.tiny_bundle import tiny_bundle
from tests.teaching.conftest import picture
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/sharing.md"


@pytest.fixture
def place(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = {"clean_threshold": 1.1}
    save_bundle(tmp_path / "shipped" / "default", tiny_bundle(settings=settings))
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    save_bundle(tmp_path / "my-bundle", tiny_bundle({"wet_glass": LoraConfig(rank=1)}, settings=settings))
    hub.publish("you/my-bundle", tmp_path / "my-bundle")
    write_image(tmp_path / "damaged" / "a.png", picture(7), ImageMetadata())
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(DOCUMENT, "console")
    assert {command[1] for command in found} == {"adapters", "restore", "list"}
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    assert "wet_glass" in load_bundle("their-bundle").adapters
    assert (place / "restored" / "a.png").read_bytes() == (place / "restored-again" / "a.png").read_bytes()
    exec("\n".join(fenced(DOCUMENT, "python")), {})
    assert not (place / "you").exists()


def test_the_codes_are_those_that_there_are() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    told = re.findall(r"^\| `(hub_\w+)` \| .+ \|$", text, re.MULTILINE)
    assert told == sorted(kind.code for kind in errors.HubError.__subclasses__())
