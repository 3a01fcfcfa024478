"""What docs/generative.md says: its commands run, and its options are the code's."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

from polyrestore.backbones.latent import Latent
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, read_image, write_image
from tests.support.latent_models import save_model
from tests.test_readme import ROOT

TEXT = (ROOT / "docs" / "generative.md").read_text(encoding="utf-8")
SHIPPED = TEXT.split("\n## Latent diffusion\n")[0]
SECTION = re.split(r"^## ", TEXT.split("\n## Latent diffusion\n")[1], flags=re.MULTILINE)[0]


def commands_in(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(line.removeprefix("$ ")) for line in "".join(blocks).splitlines()]


def test_the_shipped_bundle_does_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("examples", "recipes"):
        (tmp_path / folder).symlink_to(ROOT / folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for _, *arguments in commands_in(SHIPPED):
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    assert (tmp_path / "looked-into" / "explained" / "coffee.png" / "sheet.png").is_file()
    capsys.readouterr()
    exec(re.findall(r"^```python\n(.*?)^```$", SHIPPED, re.MULTILINE | re.DOTALL)[0], {})
    assert capsys.readouterr().out == "torch.Size([1, 3, 64, 64])\n"
    recipes = set(re.findall(r"recipes/[\w./-]+\.toml", SHIPPED))
    assert len(recipes) == 7
    assert all((ROOT / recipe).is_file() for recipe in recipes)


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "models" / "sd-turbo")
    photograph = read_image(ROOT / "examples/photographs/camera.png").pixels[:, :64, :48]
    write_image(tmp_path / "examples/photographs/camera.png", photograph, ImageMetadata())
    monkeypatch.chdir(tmp_path)
    found = commands_in(SECTION)
    assert {command[1] for command in found} == {"import", "restore"}
    for _, *arguments in found:
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    assert len({(tmp_path / name / "camera.png").read_bytes() for name in ("restored", "restored-4")}) == 2


def test_recipes_and_options_are_those_that_there_are() -> None:
    recipes = set(re.findall(r"recipes/[\w./-]+\.toml", SECTION))
    assert recipes
    assert all((ROOT / recipe).is_file() for recipe in recipes)
    listed = re.findall(r"^\| `(\w+)` \| `?(\w+)", SECTION, re.MULTILINE)
    parameters = inspect.signature(Latent).parameters
    assert {name for name, _ in listed} == set(parameters) - {"model", "prompt"}
    for name, default in listed:
        if default not in ("the", "none"):
            assert str(parameters[name].default).lower() == default
