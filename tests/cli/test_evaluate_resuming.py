"""An evaluation that is interrupted goes on: what was measured stays, and what changed is measured again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.bulk.journal import Journal
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.evaluation import showing
from polyrestore.imaging import read_image
from polyrestore.restoration.restored import Restored
from polyrestore.restoration.restorer import Restorer
from tests.cli.conftest import Outcome
from tests.cli.test_evaluate import pairs as pairs

Call = Callable[..., Outcome]


class Restoring:
    """Counts the images that are restored, and is interrupted before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.stop_before = 0, 0
        own = Restorer.restore

        def restore(restorer: Restorer, image: Any, **options: Any) -> Restored:
            if self.count + 1 == self.stop_before:
                raise KeyboardInterrupt
            self.count += 1
            return own(restorer, image, **options)

        monkeypatch.setattr(Restorer, "restore", restore)

    def counted(self, call: Callable[[], Outcome]) -> tuple[Outcome, int]:
        before = self.count
        return call(), self.count - before


@pytest.fixture(autouse=True)
def _without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are slow to draw, and another test's."""
    monkeypatch.setattr(showing, "draw_plots", lambda measured: {})


@pytest.fixture
def restoring(monkeypatch: pytest.MonkeyPatch) -> Restoring:
    return Restoring(monkeypatch)


def interrupted(call: Call, restoring: Restoring, *arguments: object) -> Outcome:
    """Run until two images are measured."""
    restoring.stop_before = restoring.count + 3
    outcome = call("evaluate", *arguments)
    restoring.stop_before = 0
    assert outcome.code == 130
    return outcome


def without_times(folder: Path) -> Any:
    record = json.loads((folder / "evaluation.json").read_text())
    for sets in record["restorers"].values():
        for each in sets:
            assert each.pop("seconds_per_megapixel") > 0
    return record


def test_what_was_measured_is_not_measured_again(
    call: Call, bundle: str, pairs: Path, tmp_path: Path, restoring: Restoring
) -> None:
    arguments = (pairs, "--bundle", bundle, "-o", tmp_path / "out")
    outcome = interrupted(call, restoring, *arguments)
    assert "results of 2 images are kept; the same command goes on from there" in outcome.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".unfinished"]
    # As after a power cut in the middle of a line.
    with open(tmp_path / "out" / ".unfinished" / "journal.jsonl", "ab") as journal:
        journal.write(b'{"key": "half')
    outcome, restored = restoring.counted(lambda: call("evaluate", *arguments))
    assert outcome.code == 0, outcome.err
    assert restored == 1
    assert "results of 2 images are there" in outcome.err
    assert not (tmp_path / "out" / ".unfinished").exists()
    whole, restored = restoring.counted(lambda: call("evaluate", *arguments[:-1], tmp_path / "whole"))
    assert (whole.code, restored) == (0, 3)
    assert without_times(tmp_path / "out") == without_times(tmp_path / "whole")
    sheets = [read_image(tmp_path / name / "sheets" / "1-tiny-pairs.png").pixels for name in ("out", "whole")]
    assert torch.equal(*sheets)


def test_another_bundle_is_measured_anew(
    call: Call, bundle: str, pairs: Path, tmp_path: Path, restoring: Restoring
) -> None:
    interrupted(call, restoring, pairs, "--bundle", bundle, "-o", tmp_path / "out")
    changed = load_bundle(bundle)
    changed.recognition_settings["top_k"] = 1
    save_bundle(tmp_path / "changed", changed)
    arguments = (pairs, "--bundle", tmp_path / "changed", "-o", tmp_path / "out")
    outcome, count = restoring.counted(lambda: call("evaluate", *arguments))
    assert outcome.code == 0, outcome.err
    assert count == 3


def test_a_run_that_measured_nothing_leaves_nothing(call: Call, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "perfect" / "0.png").unlink()
    (tmp_path / "mine").mkdir()
    for name in ("out", "mine"):
        assert call("evaluate", pairs, "--results", tmp_path / "perfect", "-o", tmp_path / name).code == 1
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "mine").iterdir()) == []


def test_tables_of_somebody_else_are_kept(
    call: Call, bundle: str, pairs: Path, tmp_path: Path, restoring: Restoring
) -> None:
    arguments = (pairs, "--bundle", bundle, "-o", tmp_path / "out")
    interrupted(call, restoring, *arguments)
    (tmp_path / "out" / "images.csv").write_text("mine")
    outcome = call("evaluate", *arguments)
    assert outcome.code == 1
    assert "images.csv is there already" in outcome.err
    assert (tmp_path / "out" / "images.csv").read_text() == "mine"
    # Unless they are those of the evaluation itself, which was killed while it wrote them.
    with open(tmp_path / "out" / ".unfinished" / "journal.jsonl", "a") as journal:
        journal.write('{"writing": true}\n')
    assert call("evaluate", *arguments).code == 0
    assert (tmp_path / "out" / "images.csv").read_text().startswith("restorer,")


def test_one_process_at_a_time(call: Call, pairs: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / ".unfinished"
    place.mkdir(parents=True)
    other = Journal(place / "journal.jsonl")
    assert other.lock()
    try:
        outcome = call("evaluate", pairs, "--results", tmp_path / "perfect", "-o", tmp_path / "out")
        assert outcome.code == 1
        assert "another process evaluates into" in outcome.err
    finally:
        other.close()
