"""A store that loses its connection, over a folder of this machine, which all processes see."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polyrestore.plugins import load_plugin
from polyrestore.storage import urls

PLUGIN = '''
import os
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

ROOT = {root!r}


def lose(action, path):
    """Fail as often as the file for an action and a name says, each time once less."""
    left = Path(ROOT + ".faults", action + "-" + os.path.basename(path))
    number = int(left.read_text()) if left.exists() else 0
    if number:
        left.write_text(str(number - 1))
        raise ConnectionResetError("connection lost: signed with hunter2")


class FlakyFileSystem(LocalFileSystem):
    protocol = "flaky"

    @classmethod
    def _strip_protocol(cls, path):
        path = str(path)
        return (ROOT + "/" + path.removeprefix("flaky://")).rstrip("/") if "://" in path else path

    def cat_file(self, path, **options):
        lose("read", path)
        return super().cat_file(path, **options)

    def get_file(self, path, target, **options):
        lose("get", path)
        return super().get_file(path, target, **options)

    def put_file(self, source, path, **options):
        lose("put", path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return super().put_file(source, path, **options)

    def mv(self, source, target, **options):
        super().mv(source, target, **options)
        # The answer is lost, not the question.
        lose("mv", target)

    def info(self, path, **options):
        lose("info", path)
        return super().info(path, **options)

    def ls(self, path, detail=False, **options):
        lose("ls", path)
        return super().ls(path, detail, **options)


fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
'''


class FlakyStore:
    """The folder, and how often what is asked for fails.

    Attributes:
        root: the folder.
        plugin: a Python file that registers the scheme ``flaky``, in whichever process loads it.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir()
        self._faults = folder / "store.faults"
        self._faults.mkdir()
        self.plugin = folder / "flaky_store.py"
        self.plugin.write_text(PLUGIN.format(root=str(self.root)))

    def fail(self, action: str, name: str, times: int) -> None:
        """Let an action on files with a name fail so many times: read, get, put, mv, info or ls."""
        (self._faults / f"{action}-{name}").write_text(str(times))

    def left(self, action: str, name: str) -> int:
        """Return how often it will still fail."""
        return int((self._faults / f"{action}-{name}").read_text())


@contextmanager
def flaky_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyStore]:
    """Yield a store that this process knows, and that is asked again without pauses."""
    monkeypatch.setattr(urls, "PAUSES_S", (0.0,) * len(urls.PAUSES_S))
    store = FlakyStore(folder)
    module = load_plugin(store.plugin)
    try:
        yield store
    finally:
        sys.modules.pop(module.__name__)
