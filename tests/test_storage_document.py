"""What docs/storage.md says runs, with a folder of this machine in the place of a bucket."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem

from polyrestore.bulk.engines import ray as engine
from polyrestore.bulk.engines import workers
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.run import default_report_folder
from polyrestore.cli.main import run
from polyrestore.storage import urls
from tests.test_cluster_document import Here
from tests.test_readme import ROOT, commands
from tests.test_restoring_document import place

__all__ = ["place"]
DOCUMENT = "docs/storage.md"


class Bucket(DirFileSystem):  # type: ignore[misc]
    """A folder that is called as a bucket is."""

    protocol = "s3"

    def __init__(self, **options: object) -> None:
        super().__init__(path=str(Path.cwd()), fs=fsspec.filesystem("file", auto_mkdir=True))

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("s3://").rstrip("/")


class WorkersHere:
    """Stand for processes: files are restored in this one."""

    def __init__(self, *_: object) -> None:
        self.restore = restore_here

    def __enter__(self) -> WorkersHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What is of this name in fsspec itself is the table, read-only.
    monkeypatch.setitem(import_module("fsspec.registry")._registry, "s3", Bucket)
    monkeypatch.setattr(engine, "RayWorkers", Here)
    monkeypatch.setattr(workers, "Workers", WorkersHere)
    Bucket.clear_instance_cache()
    (place / "bucket").mkdir()
    (place / "damaged").rename(place / "bucket/photos")
    return place


def test_the_commands_run(bucket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (command[1:] for command in commands(DOCUMENT, "console"))
    assert run(first) == 0, capsys.readouterr().err
    assert (bucket / "bucket/restored/coffee.png").is_file()
    folder = default_report_folder("s3://bucket/restored")
    assert folder.name[:-6] == "s3-bucket-restored-"
    assert (folder / "report.jsonl").is_file()
    assert run(second) == 0, capsys.readouterr().err
    assert Path("restored/coffee.png").read_bytes() == (bucket / "bucket/restored/coffee.png").read_bytes()
    (bucket / "bucket/photos").rename(bucket / "damaged")
    (bucket / "bucket/restored/coffee.png").unlink()
    assert run(third) == 0, capsys.readouterr().err
    assert (bucket / "bucket/restored/coffee.png").is_file()
    assert Path("told/report.jsonl").is_file()


def test_the_pauses_and_schemes_are_those_of_the_code() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    assert f"pauses of {urls.PAUSES_S[0]:g}, 1, 2 and {urls.PAUSES_S[-1]:g} seconds" in text
    assert urls.PAUSES_S[1:3] == (1.0, 2.0)
    table = text.partition("| scheme |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        for scheme in re.findall(r"`(\w+)`", row.split("|")[1]):
            assert scheme in fsspec.available_protocols()
