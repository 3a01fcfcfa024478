"""What docs/restoring.md says runs, and its tables name what there is."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from polyrestore.bulk.engines import workers
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.engines.workers import Workers
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bulk.record import LINE_FORMAT, FileRecord
from polyrestore.bundles import shipped
from polyrestore.cli.main import run
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.notes import MEANINGS
from tests.support.tiny_bundle import save_tiny_bundle
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/restoring.md"
BATCHES = "docs/batches.md"


def first_column(heading: str) -> list[str]:
    """Return the names in the first column of the table with this heading."""
    table = (ROOT / DOCUMENT).read_text(encoding="utf-8").partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a damaged photograph, and a tiny bundle as the shipped one."""
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    pixels = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "damaged" / "coffee.png", pixels, ImageMetadata())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_and_the_python_run_and_lines_hold_what_the_tables_say(place: Path) -> None:
    for command in commands(DOCUMENT, "console"):
        if command[0] == "polyrestore":
            assert run(command[1:]) == 0
        else:
            assert Path(command[-1]).is_file()
    (line,) = (place / "restored" / "report.jsonl").read_text().splitlines()
    values = json.loads(line)
    assert (
        list(values)
        == first_column("key")
        == [
            "format",
            *(field.name for field in fields(FileRecord)),
            "note_codes",
        ]
    )
    assert values["format"] == LINE_FORMAT == 1
    (code,) = fenced(DOCUMENT, "python")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue().split() == ["1", str(Path("restored", "report.jsonl"))]
    of_results = ["format", "scale", "jpeg_quality", "video_codec", "video_quality"]
    assert [*values["identity"], "tile_px", *of_results, "plugins_sha256"] == first_column("identity")


def test_workers_are_used_as_the_document_on_them_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[object] = []

    class Here(Workers):
        def __init__(self, task: RestoreTask, *given: Any) -> None:
            super().__init__(task, *given)
            shares.append(given[0])

        def restore(self, *arguments: Any) -> Any:
            return restore_here(*arguments)

    monkeypatch.setattr(workers, "Workers", Here)
    (command,) = commands(BATCHES, "console")
    assert run(command[1:]) == 0
    (code,) = fenced(BATCHES, "python")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "__main__"})
    assert printed.getvalue() == "0 0\n"
    assert [len(cast("list[object]", given)) for given in shares] == [1, 2]


def test_the_table_of_codes_is_that_of_the_package() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8").partition("| code |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)) == MEANINGS
    assert sorted(MEANINGS) == list(MEANINGS)


def test_every_option_of_a_task_is_told(place: Path) -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    told = {"device": "`device`", "settings": "`--top-k`", "plugins": "`--plugin`", "as_": "`--as`"}
    for field in fields(RestoreTask):
        assert told.get(field.name, field.name.replace("_", "-")) in text, field.name
