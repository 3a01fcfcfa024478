"""Runs: every file accounted for, runs that continue, and nobody's file lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from polyrestore import files
from polyrestore.bulk.report import PENDING_NAME, REPORT_NAME, Report
from polyrestore.errors import BackboneError, ImageError, OutputError
from polyrestore.imaging import read_image
from tests.bulk.fakes import FakeRestored, darken, images, leave, lines, make_image, refuse, restore_with


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_image(tmp_path / "in/a.png")
    make_image(tmp_path / "in/b.jpg")
    make_image(tmp_path / "in/sub/c.tif", bit_depth=16)
    return tmp_path


def test_results_keep_their_place_and_every_file_has_a_line(folder: Path) -> None:
    (folder / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    seen: list[str] = []
    summary = restore_with(
        [folder / "in", folder / "gone.png"],
        folder / "out",
        darken,
        recursive=True,
        identity={"strength": 1.0},
        on_file=lambda record: seen.append(record.status),
    )
    assert (summary.found, summary.restored, summary.skipped, summary.failed) == (5, 3, 0, 2)
    assert images(folder / "out") == ["a.png", "b.jpg", "sub/c.tif"]
    assert read_image(folder / "out/sub/c.tif").metadata.bit_depth == 16
    assert read_image(folder / "out/a.png").pixels.mean() == pytest.approx(0.4, abs=0.01)

    records = {os.path.basename(line["input"]): line for line in lines(folder / "out")}
    assert len(records) == 5
    assert sorted(seen) == sorted(line["status"] for line in records.values())
    good = records["c.tif"]
    assert good["output"] == "sub/c.tif"
    assert (good["width"], good["height"], good["seconds"]) == (4, 5, 0.5)
    assert good["weights"] == {"noise": 0.75}
    assert good["similarities"] == {"noise": 0.9, "clean": 0.1}
    assert good["sha256"] == files.sha256_of(folder / "in/sub/c.tif")
    assert good["identity"] == {"strength": 1.0}
    assert good["error"] is None
    assert records["gone.png"]["status"] == "failed"
    assert "does not exist" in records["gone.png"]["error"]
    assert "broken.png" in records["broken.png"]["error"]
    assert records["broken.png"]["output"] is None


def test_running_again_continues(folder: Path) -> None:
    arguments = ([folder / "in"], folder / "out")
    restore_with(*arguments, darken, recursive=True, identity={"strength": 1.0})
    again = restore_with(*arguments, refuse, recursive=True, identity={"strength": 1.0})
    assert (again.found, again.restored, again.skipped, again.failed) == (3, 0, 3, 0)
    assert len(lines(folder / "out")) == 3
    assert lines(folder / "out")[0]["weights"] == {"noise": 0.75}

    (folder / "out/a.png").unlink()
    make_image(folder / "in/b.jpg", 0.3)
    third = restore_with(*arguments, darken, recursive=True, identity={"strength": 1.0})
    assert (third.restored, third.skipped) == (2, 1)
    fourth = restore_with(*arguments, darken, recursive=True, identity={"strength": 0.5})
    assert (fourth.restored, fourth.skipped) == (3, 0)
    assert len(lines(folder / "out")) == 3
    fifth = restore_with(*arguments, refuse, recursive=True, identity={"strength": 0.5})
    assert fifth.skipped == 3


def test_every_new_line_is_on_the_disk_and_skipping_does_not_wait_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    fsync = os.fsync

    def flush(descriptor: int) -> None:
        flushed.append(len(lines(folder / "out")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    restore_with([folder / "in"], folder / "out", darken, recursive=True)
    # A claim, a result and a line for each of three files.
    assert flushed == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    flushed.clear()
    restore_with([folder / "in"], folder / "out", refuse, recursive=True)
    # Once, when the report is left with one line for each.
    assert flushed == [6]


def test_an_unfinished_line_is_forgotten(folder: Path) -> None:
    restore_with([folder / "in"], folder / "out", darken)
    report = folder / "out" / REPORT_NAME
    report.write_bytes(report.read_bytes()[:-20])
    (folder / "out" / PENDING_NAME).write_text('"b.jpg"\n"c.t')
    again = restore_with([folder / "in"], folder / "out", darken)
    assert (again.restored, again.skipped, again.failed) == (1, 1, 0)
    assert len(lines(folder / "out")) == 2


def test_any_error_fails_one_file_only(folder: Path) -> None:
    errors = iter([BackboneError("tile at 0, 0 is not finite"), RuntimeError("out of\nrange"), MemoryError()])

    def restore(pixels: torch.Tensor) -> FakeRestored:
        raise next(errors)

    summary = restore_with([folder / "in"], folder / "out", restore, recursive=True)
    assert (summary.found, summary.failed) == (3, 3)
    found = [line["error"] for line in lines(folder / "out")]
    assert found[0] == "tile at 0, 0 is not finite"
    assert found[1] == "RuntimeError: out of range"
    assert found[2].startswith(f"not enough memory for {folder / 'in/sub/c.tif'}; ")
    assert images(folder / "out") == []


def test_a_full_disk_fails_the_file_and_others_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def fill(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "a.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    summary = restore_with([folder / "in"], folder / "out", darken, recursive=True)
    assert (summary.restored, summary.failed) == (2, 1)
    assert images(folder / "out") == ["b.jpg", "sub/c.tif"]
    (failed,) = (line for line in lines(folder / "out") if line["error"])
    assert "No space left" in failed["error"]
    # What somebody else puts there is not ours.
    assert failed["output"] is None
    monkeypatch.undo()
    again = restore_with([folder / "in"], folder / "out", darken, recursive=True)
    assert (again.restored, again.skipped, again.failed) == (1, 2, 0)


def test_an_image_left_alone_is_copied_byte_for_byte(folder: Path) -> None:
    restore_with([folder / "in"], folder / "out", leave, recursive=True)
    for name in ("a.png", "b.jpg", "sub/c.tif"):
        assert (folder / "out" / name).read_bytes() == (folder / "in" / name).read_bytes()
    assert "copied" in lines(folder / "out")[0]["notes"][0]


def test_a_turned_image_left_alone_is_still_written_upright(tmp_path: Path) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / "a.png", exif=exif.tobytes())
    restore_with([tmp_path / "a.png"], tmp_path / "out", leave)
    written = read_image(tmp_path / "out/a.png")
    assert written.pixels.shape == (3, 8, 4)
    assert written.metadata.orientation == 1


def test_endings_that_lie_are_corrected_without_collision(tmp_path: Path) -> None:
    make_image(tmp_path / "in/x.png", 0.2)
    make_image(tmp_path / "in/y.png", 0.8).rename(tmp_path / "in/x.jpg")
    for _ in range(2):
        summary = restore_with([tmp_path / "in"], tmp_path / "out", darken)
        assert summary.failed == 0
    assert summary.skipped == 2
    assert images(tmp_path / "out") == ["x-2.png", "x.png"]
    assert read_image(tmp_path / "out/x-2.png").pixels.mean() == pytest.approx(0.4, abs=0.01)
    line = next(line for line in lines(tmp_path / "out") if line["input"].endswith("x.jpg"))
    assert any("content is PNG" in note for note in line["notes"])
    assert "written as x-2.png" in line["notes"]


def test_files_of_others_are_kept_unless_told_otherwise(folder: Path) -> None:
    make_image(folder / "out/a.png", 0.1)
    before = (folder / "out/a.png").read_bytes()
    for _ in range(2):
        summary = restore_with([folder / "in"], folder / "out", darken)
        assert summary.failed == 1
        assert (folder / "out/a.png").read_bytes() == before
    assert any("no earlier run wrote it" in (line["error"] or "") for line in lines(folder / "out"))
    summary = restore_with([folder / "in"], folder / "out", darken, overwrite=True)
    assert summary.failed == 0
    assert (folder / "out/a.png").read_bytes() != before


def test_links_do_not_lead_out_of_the_output_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "out").mkdir()
    (folder / "out/sub").symlink_to(folder / "elsewhere")
    summary = restore_with([folder / "in"], folder / "out", darken, recursive=True, overwrite=True)
    assert (summary.restored, summary.failed) == (2, 1)
    assert list((folder / "elsewhere").iterdir()) == []

    (folder / "other").mkdir()
    (folder / "other" / REPORT_NAME).symlink_to(folder / "elsewhere/report")
    with pytest.raises(OutputError, match="cannot write"):
        restore_with([folder / "in"], folder / "other", darken)
    assert list((folder / "elsewhere").iterdir()) == []


def test_a_linked_output_is_replaced_and_its_target_kept(folder: Path) -> None:
    precious = make_image(folder / "precious.png", 0.1)
    before = precious.read_bytes()
    (folder / "out").mkdir()
    (folder / "out/a.png").symlink_to(precious)
    restore_with([folder / "in"], folder / "out", darken, overwrite=True)
    assert precious.read_bytes() == before
    assert not (folder / "out/a.png").is_symlink()


def test_inputs_are_unchanged_even_when_linked_as_outputs(folder: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "in").rglob("*.*") if path.is_file()}
    (folder / "out").mkdir()
    os.link(folder / "in/a.png", folder / "out/a.png")
    restore_with([folder / "in"], folder / "out", darken, recursive=True, overwrite=True)
    with pytest.raises(OutputError):
        restore_with([folder / "in"], folder / "in", darken, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before


def test_an_output_folder_that_cannot_be_made_stops_at_once(folder: Path) -> None:
    (folder / "file").write_text("")
    for place in (folder / "file", folder / "file" / "deeper"):
        with pytest.raises(OutputError, match="cannot write .*name a folder"):
            restore_with([folder / "in"], place, refuse)
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match="no images"):
        restore_with([folder / "empty"], folder / "out", refuse)
    assert not (folder / "out").exists()


def test_two_runs_do_not_share_an_output_folder(folder: Path) -> None:
    with Report(folder / "out"), pytest.raises(OutputError, match="another run"):
        restore_with([folder / "in"], folder / "out", darken)


def test_a_result_that_is_named_like_a_temporary_file_stays(folder: Path) -> None:
    odd = make_image(folder / "in/.part-0123abcd.png")
    restore_with([odd], folder / "out", darken)
    (folder / "out/.part-4567abcd.png").write_text("left by a run that was killed")
    restore_with([folder / "in/a.png"], folder / "out", darken)
    assert images(folder / "out") == [".part-0123abcd.png", "a.png"]


def test_odd_names_survive_the_report(tmp_path: Path) -> None:
    name = b"caf\xe9 \xf0\x9f\x8c\xa7\n.png".decode("utf-8", "surrogateescape")
    make_image(tmp_path / "plain.png").rename(tmp_path / name)
    for expected in ("restored", "skipped"):
        restore_with([tmp_path / name], tmp_path / "out", darken)
        assert [line["status"] for line in lines(tmp_path / "out")] == [expected]


def test_a_changed_size_is_an_error(folder: Path) -> None:
    summary = restore_with([folder / "in/a.png"], folder / "out", lambda pixels: FakeRestored(pixels[:, :-1]))
    assert summary.failed == 1


@pytest.mark.parametrize("place", ["np.asarray", "encode"])
def test_memory_that_runs_out_is_no_fault_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise MemoryError

    target = "polyrestore.imaging.pillow.np.asarray" if place == "np.asarray" else "PIL.Image.Image.save"
    monkeypatch.setattr(target, run_out)
    restore_with([folder / "in/b.jpg"], folder / "out", darken)
    assert lines(folder / "out")[0]["error"].startswith("not enough memory for")
