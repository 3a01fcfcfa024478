"""Inputs and results behind URLs: the run of before, with what is fetched before and brought away after."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.run import RunSummary
from polyrestore.errors import ImageError, OutputError, StorageError
from polyrestore.files import sha256_of
from tests.bulk.fakes import FakeExplanation, darken, images, lines, make_image, refuse, restore_with
from tests.support.stores import FlakyStore, flaky_store


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    yield store
    store.rm("/", recursive=True)


@pytest.fixture
def flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyStore]:
    with flaky_store(tmp_path, monkeypatch) as store:
        yield store


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is fetched goes to a folder of the test, of which nothing may be left."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    yield
    assert not [*(tmp_path / "scratch").iterdir()]


def fill(store: Any, folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        store.pipe(f"/{name}", make_image(folder / "made" / name, 0.5 + number / 10).read_bytes())


def counts(summary: RunSummary) -> tuple[int, int, int, int]:
    return summary.found, summary.restored, summary.skipped, summary.failed


def test_a_run_from_store_to_store_has_the_bytes_of_one_here_and_is_continued(
    memory: Any, tmp_path: Path
) -> None:
    fill(memory, tmp_path, "in/a.png", "in/sub/b[1].png", "in/.hidden/c.png")
    memory.pipe("/in/notes.txt", b"text")
    summary = restore_with(["memory://in"], "memory://out", darken, recursive=True)
    assert counts(summary) == (2, 2, 0, 0)
    restore_with([tmp_path / "made/in"], tmp_path / "here", darken, recursive=True)
    assert sorted(memory.find("/out")) == ["/out/a.png", "/out/sub/b[1].png"]
    for name in ("a.png", "sub/b[1].png"):
        assert memory.cat_file(f"/out/{name}") == (tmp_path / "here" / name).read_bytes()
    written = lines(summary.report.parent)
    assert {line["input"] for line in written} == {"memory://in/a.png", "memory://in/sub/b[1].png"}
    assert all(line["input_state"] and line["output_state"] for line in written)
    # What has not changed is not even looked at.
    memory.cat_file = memory.get_file = None
    try:
        again = restore_with(["memory://in"], "memory://out", refuse, recursive=True)
    finally:
        del memory.cat_file, memory.get_file
    assert counts(again) == (2, 0, 2, 0)
    fill(memory, tmp_path, "in/a.png", "in/d.png")
    memory.pipe("/out/sub/b[1].png", b"worked on by somebody")
    third = restore_with(["memory://in"], "memory://out", darken, recursive=True)
    # The bytes of the first one are those of before, although it was written anew.
    assert counts(third) == (3, 1, 2, 0)
    assert memory.cat_file("/out/sub/b[1].png") == b"worked on by somebody"
    assert [note for line in lines(third.report.parent) for note in line["note_codes"]].count("changed") == 1


def test_a_store_and_a_folder_go_together(memory: Any, tmp_path: Path) -> None:
    fill(memory, tmp_path, "in/a.png", "in/b.png")
    down = restore_with(["memory://in", tmp_path / "made/in/a.png"], tmp_path / "out", darken)
    assert counts(down) == (3, 3, 0, 0)
    assert images(tmp_path / "out") == ["a-2.png", "a.png", "b.png"]
    assert lines(tmp_path / "out")[0]["output_sha256"] == sha256_of(tmp_path / "out/a.png")
    up = restore_with([tmp_path / "made/in"], "memory://out", darken, report_folder=tmp_path / "told")
    assert up.report == tmp_path / "told/report.jsonl"
    assert memory.cat_file("/out/b.png") == (tmp_path / "out/b.png").read_bytes()
    one = restore_with(["memory://in/a.png", "memory://gone.png"], tmp_path / "one", darken)
    assert counts(one) == (2, 1, 0, 1)
    assert lines(tmp_path / "one")[1]["error"] == "memory://gone.png does not exist"


def test_explanations_are_brought_and_kept_and_removed(memory: Any, tmp_path: Path) -> None:
    fill(memory, tmp_path, "in/a.png")

    def explain(pixels: Any) -> FakeExplanation:
        return FakeExplanation(darken(pixels))

    restore_with(["memory://in"], "memory://out", darken, explain_one=explain)
    names = ["/out/a.png", "/out/explained/a.png/0-backbone.png", "/out/explained/a.png/weights.json"]
    assert sorted(memory.find("/out")) == names
    again = restore_with(["memory://in"], "memory://out", refuse, explain_one=explain)
    assert again.skipped == 1
    memory.rm("/out/explained/a.png/weights.json")
    assert restore_with(["memory://in"], "memory://out", darken, explain_one=explain).restored == 1
    restore_with(["memory://in"], "memory://out", darken, identity={"strength": 0.5})
    assert sorted(memory.find("/out")) == names[:1]


def test_what_a_run_did_not_write_is_not_replaced_and_leftovers_go(memory: Any, tmp_path: Path) -> None:
    fill(memory, tmp_path, "in/a.png", "in/b.png")
    memory.pipe("/out/a.png", b"somebody's")
    memory.pipe("/out/.part-01234567-0.png", b"of a run that was killed")
    summary = restore_with(["memory://in"], "memory://out", darken)
    assert counts(summary) == (2, 1, 0, 1)
    assert sorted(memory.find("/out")) == ["/out/a.png", "/out/b.png"]
    told = next(line["error"] for line in lines(summary.report.parent) if line["error"])
    assert told.startswith("memory://out/a.png is there already and no earlier run wrote it")
    with pytest.raises(OutputError, match="is about results in memory://out; name another --report"):
        restore_with(["memory://in"], "memory://other", darken, report_folder=summary.report.parent)
    restore_with([tmp_path / "made/in"], tmp_path / "here", darken)
    with pytest.raises(OutputError, match="about results in a folder"):
        restore_with(["memory://in"], "memory://other", darken, report_folder=tmp_path / "here")
    assert restore_with(["memory://in"], "memory://out", darken, overwrite=True).restored == 1


def test_damaged_and_empty_files_are_reported_under_their_urls(memory: Any, tmp_path: Path) -> None:
    fill(memory, tmp_path, "in/a.png")
    memory.pipe("/in/cut.png", memory.cat_file("/in/a.png")[:40])
    memory.pipe("/in/empty.png", b"")
    summary = restore_with(["memory://in"], "memory://out", darken)
    assert counts(summary) == (3, 1, 0, 2)
    errors = [line["error"] for line in lines(summary.report.parent) if line["error"]]
    assert errors[0].startswith("memory://in/empty.png is empty") or errors[1].startswith("memory://in/empty")
    assert any(each.startswith("memory://in/cut.png: ") for each in errors)


def test_a_lost_connection_is_tried_again_and_then_told(flaky: FlakyStore, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        make_image(flaky.root / "in" / name)
    flaky.fail("ls", "in", 2)
    flaky.fail("read", "a.png", 1)
    flaky.fail("get", "a.png", 4)
    flaky.fail("put", "b.png", 9)
    flaky.fail("mv", "a.png", 3)
    flaky.fail("get", "c.png", 9)
    flaky.fail("read", "d.png", 5)
    summary = restore_with(["flaky://in"], "flaky://out", darken)
    # Results are brought under temporary names, which the fault of b.png does not meet.
    assert counts(summary) == (4, 2, 0, 2)
    assert sorted(path.name for path in (flaky.root / "out").iterdir()) == ["a.png", "b.png"]
    failed = [line for line in lines(summary.report.parent) if line["status"] == "failed"]
    assert [line["note_codes"] for line in failed] == [["storage"], ["storage"]]
    assert {line["input"] for line in failed} == {"flaky://in/c.png", "flaky://in/d.png"}
    assert all(line["error"].startswith(f"{line['input']}: connection lost") for line in failed)
    assert (flaky.left("get", "a.png"), flaky.left("get", "c.png"), flaky.left("read", "d.png")) == (0, 4, 0)
    again = restore_with(["flaky://in"], "flaky://out", darken)
    assert counts(again) == (4, 2, 2, 0)


def test_where_nothing_can_be_written_nothing_is_restored(
    flaky: FlakyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        make_image(tmp_path / "in" / name)
    monkeypatch.setattr("polyrestore.bulk.output_store.secrets.token_hex", lambda _: "01234567")
    flaky.fail("put", ".part-01234567", 5)
    with pytest.raises(StorageError, match=r"^flaky://out: connection lost"):
        restore_with([tmp_path / "in"], "flaky://out", refuse)
    assert restore_with([tmp_path / "in"], "flaky://out", darken).restored == 2


def test_nothing_is_left_of_a_result_that_cannot_be_brought(
    flaky: FlakyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image(tmp_path / "in/a.png")
    monkeypatch.setattr("polyrestore.bulk.run.secrets.token_hex", lambda _: "01234567")
    flaky.fail("put", ".part-01234567-0.png", 5)
    summary = restore_with([tmp_path / "in"], "flaky://out", darken)
    assert counts(summary) == (1, 0, 0, 1)
    assert not [*(flaky.root / "out").iterdir()]
    flaky.fail("mv", "a.png", 0)
    assert restore_with([tmp_path / "in"], "flaky://out", darken).restored == 1
    shutil.rmtree(flaky.root / "out")
    assert restore_with([tmp_path / "in"], "flaky://out", darken).restored == 1


def test_urls_that_are_no_images_are_refused(memory: Any, tmp_path: Path, flaky: FlakyStore) -> None:
    fill(memory, tmp_path, "in/a.png")
    memory.pipe("/texts/a.txt", b"text")
    with pytest.raises(ImageError, match=r"no images in memory://texts; 1 file of another kind left out"):
        find_jobs(["memory://texts"], tmp_path / "out", recursive=True)
    with pytest.raises(OutputError, match="is both input and output folder"):
        find_jobs(["memory://in"], "memory://in", recursive=True)
    with pytest.raises(OutputError, match="would overwrite an input"):
        find_jobs(["memory://in/a.png"], "memory://in", recursive=True)
    assert not [job for job in find_jobs(["memory://in"], "memory://in/out", recursive=True) if job.named]
    flaky.fail("info", "in", 9)
    with pytest.raises(StorageError, match="^flaky://in: connection lost"):
        find_jobs(["flaky://in"], tmp_path / "out", recursive=False)
