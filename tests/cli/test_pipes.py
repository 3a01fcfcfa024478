"""Pipes, sockets and devices are refused in one line and never opened, whoever would read them."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from polyrestore.errors import PolyrestoreError
from polyrestore.files import open_regular, read_bytes, read_text, require_regular, sha256_of
from polyrestore.restoration.opening import load
from tests.cli.conftest import Outcome

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here"),
    # Opening a pipe waits for a writer that never comes.
    pytest.mark.timeout(100),
]


@pytest.fixture(params=["pipe", "socket", "device"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """Make something at a place in a folder that is no regular file."""

    def make(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "device":
            path.symlink_to("/dev/zero")
        else:
            # The path of a socket is short.
            before = Path.cwd()
            os.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as found:
                found.bind(path.name)
            os.chdir(before)
        return path

    return make


def test_readers_of_files_refuse_them(odd: Callable[[str], Path], tmp_path: Path) -> None:
    path = odd("odd")
    for read in (open_regular, require_regular, read_bytes, read_text, sha256_of):
        with pytest.raises(OSError, match="not a regular file"):
            read(path)
        with pytest.raises(IsADirectoryError):
            read(tmp_path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "gone")


def test_texts_have_the_line_ends_of_python(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("a\r\nb\rc\n\u00e9".encode())
    assert read_text(tmp_path / "text") == "a\nb\nc\n\u00e9"
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "text")


def test_every_command_refuses_them(
    odd: Callable[[str], Path], call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    picture, out = odd("odd.png"), tmp_path / "out"
    recipe = odd("recipe.toml")
    (tmp_path / "based").mkdir()
    odd("based/base.toml")
    (tmp_path / "based/recipe.toml").write_text('base = "base.toml"\n')
    odd("model/model.json")
    odd("labelled/train/labels.csv")
    for arguments in (
        ("restore", picture, "-o", out),
        ("restore", photographs, "-o", out, "--bundle", tmp_path / "model"),
        ("inspect", picture, "--bundle", bundle),
        ("inspect", photographs / "a.png", "--bundle", tmp_path / "model"),
        ("list", "adapters", "--bundle", tmp_path / "model"),
        ("degrade", picture, "-o", out, "--with", "noise"),
        ("train", recipe, "-o", out),
        ("train", tmp_path / "based/recipe.toml", "-o", out),
        ("data", "check", recipe),
        ("import", picture, "-o", out),
        ("import", odd("weights.pth"), "-o", out),
        ("import", odd("weights.safetensors"), "-o", out),
        ("route", "--clip", tmp_path, "--words", odd("words.toml"), "-o", out, "--bundle", bundle),
        ("--plugin", odd("plugin.py"), "list", "bundles"),
    ):
        outcome = call(*arguments)
        assert outcome.code == 1, arguments
        assert outcome.err.startswith("error: "), arguments
        assert outcome.err.count("\n") == 1, arguments
        assert not out.exists(), arguments


def test_one_in_a_folder_fails_alone(
    odd: Callable[[str], Path], call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    odd("in/odd.png")
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain")
    assert outcome.code == 1
    assert "3 found: 2 restored, 0 skipped, 1 failed" in outcome.out
    assert outcome.err.splitlines() == [f"error: {photographs / 'odd.png'} is not a regular file"]


@pytest.mark.parametrize("part", ["backbone.safetensors", "prototypes.safetensors", "adapters/rain"])
def test_a_bundle_holds_none(odd: Callable[[str], Path], bundle: str, tmp_path: Path, part: str) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    path = tmp_path / "copy" / part
    for each in path.iterdir() if path.is_dir() else [path]:
        odd(str(each.relative_to(tmp_path)))
        with pytest.raises(PolyrestoreError):
            load(tmp_path / "copy")
