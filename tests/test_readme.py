"""Every command and every line of Python in the readme runs as written."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch

from polyrestore.bundles import shipped
from polyrestore.cli.main import run
from tests.support.networks import TINY, tiny
from tests.support.tiny_bundle import save_tiny_bundle

ROOT = Path(__file__).parents[1]


def fenced(name: str, language: str) -> list[str]:
    """Return the contents of a document's fenced blocks of one language."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(name: str, language: str) -> list[list[str]]:
    lines = "".join(fenced(name, language)).splitlines()
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a checkout to the commands, with tiny bundles as the shipped ones."""
    for name in ("default", "adair"):
        save_tiny_bundle(tmp_path / "shipped" / name)
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    (tmp_path / "checkout").mkdir()
    for folder in ("examples", "recipes"):
        (tmp_path / "checkout" / folder).symlink_to(ROOT / folder, target_is_directory=True)
    # What a reader has downloaded.
    published = {"params": tiny("restormer", TINY["restormer"]).state_dict()}
    torch.save(published, tmp_path / "checkout" / "deraining.pth")
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


def test_the_commands_run_in_their_order(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands("README.md", "console")
    assert {command[1] for command in found} >= {"restore", "inspect", "degrade", "list", "train", "import"}
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{shlex.join(arguments)}: {capsys.readouterr().err}"
    for name in ("restored/coffee.png", "restored/camera.png", "told/coffee.png", "softer/coffee.png"):
        assert (checkout / name).stat().st_size > 0


def test_the_python_runs(checkout: Path) -> None:
    blocks = fenced("README.md", "python")
    assert blocks
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec("\n".join(blocks), {})
    assert "torch.Size([3, 384, 384])" in printed.getvalue()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"`[^`]+`|^(?:\$ )?make .*", text, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)\b", code))
    assert named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:examples|benchmarks|recipes|tests|scripts|\.ci|\.github)/[\w./-]*)`", text))
    assert all((ROOT / name).exists() for name in named), named


def test_the_console_script_is_this_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"polyrestore": "polyrestore.cli.main:main"}
    assert project["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").lstrip().startswith("Apache License")
