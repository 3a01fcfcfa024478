"""Explanations in a run: as whole, as accounted for and as careful with others' files as the results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.bulk.report import REPORT_NAME
from polyrestore.bulk.run import RunSummary
from polyrestore.errors import OutputError
from tests.bulk.fakes import FakeExplanation, darken, images, lines, make_image, refuse, restore_with


def explain(pixels: torch.Tensor) -> FakeExplanation:
    return FakeExplanation(darken(pixels))


def run(
    folder: Path, explain_one: Callable[[torch.Tensor], Any] | None = explain, **options: Any
) -> RunSummary:
    return restore_with(
        [folder / "in"], folder / "out", darken, recursive=True, explain_one=explain_one, **options
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_image(tmp_path / "in/a.png")
    make_image(tmp_path / "in/sub/b.png")
    return tmp_path


EXPLAINED = [
    "explained/a.png/0-backbone.png",
    "explained/a.png/weights.json",
    "explained/sub/b.png/0-backbone.png",
    "explained/sub/b.png/weights.json",
]


def test_each_result_has_a_folder_that_the_report_names(folder: Path) -> None:
    assert run(folder).restored == 2
    assert images(folder / "out") == ["a.png", *EXPLAINED, "sub/b.png"]
    first, second = lines(folder / "out")
    assert first["explanation"] == EXPLAINED[:2]
    assert second["explanation"] == EXPLAINED[2:]


def test_running_again_continues_and_a_plain_run_keeps_explanations(folder: Path) -> None:
    run(folder)
    assert run(folder, refuse).skipped == 2
    assert run(folder, None).skipped == 2
    assert images(folder / "out") == ["a.png", *EXPLAINED, "sub/b.png"]
    (folder / "out" / EXPLAINED[1]).unlink()
    again = run(folder)
    assert (again.restored, again.skipped) == (1, 1)
    assert images(folder / "out") == ["a.png", *EXPLAINED, "sub/b.png"]


def test_results_without_explanation_are_explained_later(folder: Path) -> None:
    run(folder, None)
    assert run(folder).restored == 2
    assert run(folder).skipped == 2


def test_what_explained_an_earlier_result_does_not_stay(folder: Path) -> None:
    run(folder)
    (folder / "out/explained/a.png/note.txt").write_text("mine")
    run(folder, lambda p: FakeExplanation(darken(p), ("1-rain-alone.png",)), identity={"strength": 0.5})
    assert images(folder / "out/explained") == [
        "a.png/1-rain-alone.png", "a.png/note.txt", "sub/b.png/1-rain-alone.png",
    ]  # fmt: skip
    run(folder, None, identity={"strength": 0.7})
    assert images(folder / "out/explained") == ["a.png/note.txt"]
    assert not (folder / "out/explained/sub/b.png").exists()
    assert all(line["explanation"] == [] for line in lines(folder / "out"))


def test_files_of_others_are_kept_and_nothing_is_begun(folder: Path) -> None:
    mine = folder / "out/explained/a.png/weights.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    summary = run(folder)
    assert (summary.restored, summary.failed) == (1, 1)
    assert mine.read_text() == "mine"
    assert images(folder / "out") == [EXPLAINED[1], *EXPLAINED[2:], "sub/b.png"]
    assert "no earlier run wrote it" in next(line["error"] for line in lines(folder / "out") if line["error"])
    assert run(folder, overwrite=True).failed == 0
    assert mine.read_text() != "mine"


def test_a_failure_does_not_make_own_files_foreign(folder: Path) -> None:
    run(folder)
    make_image(folder / "in/a.png", 0.3)

    def fail(pixels: torch.Tensor) -> FakeExplanation:
        raise OutputError("no room")

    for _ in range(2):
        assert run(folder, fail).failed == 1
    failed = next(line for line in lines(folder / "out") if line["status"] == "failed")
    assert failed["explanation"] == EXPLAINED[:2]
    assert run(folder).failed == 0


def test_a_result_is_there_only_when_it_is_explained(folder: Path) -> None:
    def fail() -> bytes:
        raise OutputError("cannot write: No space left on device")

    class Broken(FakeExplanation):
        def files(self) -> dict[str, Callable[[], bytes]]:
            return {**super().files(), "sheet.png": fail}

    assert run(folder, lambda pixels: Broken(darken(pixels))).failed == 2
    assert images(folder / "out") == []
    assert run(folder).failed == 0


def test_links_do_not_lead_out_of_the_output_folder(folder: Path) -> None:
    (folder / "elsewhere/a.png").mkdir(parents=True)
    (folder / "elsewhere/a.png/weights.json").write_text("mine")
    (folder / "out").mkdir()
    (folder / "out/explained").symlink_to(folder / "elsewhere", target_is_directory=True)
    assert run(folder, overwrite=True).failed == 2
    assert images(folder / "elsewhere") == ["a.png/weights.json"]
    assert (folder / "elsewhere/a.png/weights.json").read_text() == "mine"
    report = folder / "out" / REPORT_NAME
    line = {"format": 1, "input": str(folder / "in/a.png"), "output": "a.png", "status": "restored"}
    report.write_text(json.dumps({**line, "explanation": ["explained/a.png/weights.json"]}) + "\n")
    run(folder, None)
    assert (folder / "elsewhere/a.png/weights.json").read_text() == "mine"


def test_an_explanation_does_not_replace_another_result(folder: Path) -> None:
    make_image(folder / "in/explained/a.png/0-backbone.png", 0.2)
    summary = run(folder)
    assert summary.failed == 1
    error = next(line["error"] for line in lines(folder / "out") if line["error"])
    assert "is the result of another input" in error
