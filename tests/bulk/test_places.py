"""Results belong to their inputs: no run costs another one its results, or somebody the work on them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.report import REPORT_NAME
from polyrestore.files import sha256_of
from polyrestore.imaging import read_image
from tests.bulk.fakes import darken, images, lines, make_image, refuse, restore_with


def brightness(path: Path) -> float:
    return round(float(read_image(path).pixels.mean()), 1)


@pytest.fixture
def days(tmp_path: Path) -> Path:
    make_image(tmp_path / "day1/IMG1.png", 0.8)
    make_image(tmp_path / "day2/IMG1.png", 0.4)
    return tmp_path


def test_runs_from_folders_with_equal_names_keep_both_results(days: Path) -> None:
    out = days / "out"
    for day in ("day1", "day2"):
        assert restore_with([days / day], out, darken).restored == 1
    assert images(out) == ["IMG1-2.png", "IMG1.png"]
    assert (brightness(out / "IMG1.png"), brightness(out / "IMG1-2.png")) == (0.4, 0.2)
    told = {line["input"]: (line["output"], line["notes"]) for line in lines(out)}
    assert told[str(days / "day2/IMG1.png")] == (
        "IMG1-2.png",
        ["written as IMG1-2.png", "maybe haze, 0.45; --as haze to apply"],
    )
    for day in ("day2", "day1", "day2"):
        assert restore_with([days / day], out, refuse).skipped == 1
    for day in ("day2", "day1"):
        assert restore_with([days / day], out, darken, identity={"strength": 0.5}).restored == 1
    assert restore_with([days / "day2", days / "day1"], out, refuse, identity={"strength": 0.5}).skipped == 2
    assert images(out) == ["IMG1-2.png", "IMG1.png"]
    assert (brightness(out / "IMG1.png"), brightness(out / "IMG1-2.png")) == (0.4, 0.2)


def test_a_failure_takes_no_name_from_another_input_and_keeps_its_own(days: Path) -> None:
    out = days / "out"
    restore_with([days / "day1"], out, darken)
    (days / "day3").mkdir()
    assert restore_with([days / "day3/IMG1.png"], out, refuse).failed == 1
    assert restore_with([days / "day1"], out, refuse).skipped == 1
    restore_with([days / "day2"], out, darken)
    content = (days / "day2/IMG1.png").read_bytes()
    (days / "day2/IMG1.png").write_bytes(b"")
    assert restore_with([days / "day2"], out, refuse).failed == 1
    (days / "day2/IMG1.png").write_bytes(content)
    assert restore_with([days / "day2"], out, darken).restored == 1
    assert images(out) == ["IMG1-2.png", "IMG1.png"]
    assert restore_with([days / "day1"], out, refuse).skipped == 1


def test_inputs_that_were_moved_are_known_by_their_bytes(days: Path) -> None:
    out = days / "out"
    restore_with([days / "day1"], out, darken)
    (days / "day1").rename(days / "moved")
    assert restore_with([days / "moved"], out, refuse).skipped == 1
    shutil.rmtree(days / "moved")
    assert restore_with([days / "day2"], out, darken).restored == 1
    assert images(out) == ["IMG1-2.png", "IMG1.png"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.permutations(range(4)).flatmap(lambda some: st.just(some[:2])), max_size=5))
def test_whatever_runs_there_are_each_input_keeps_its_result(runs: list[list[int]], tmp_path: Path) -> None:
    place = tmp_path / os.urandom(4).hex()
    names = ["a/x.png", "b/x.png", "c/x.png", "c/x-2.png"]
    values = [1.0, 0.8, 0.6, 0.4]
    for name, value in zip(names, values, strict=True):
        make_image(place / name, value)
    for number, run in enumerate(runs):
        inputs = [place / names[each] for each in run]
        assert restore_with(inputs, place / "out", darken, identity={"number": number}).failed == 0
    found = {line["input"]: line["output"] for line in lines(place / "out")} if runs else {}
    assert len(set(found.values())) == len(found)
    for name, value in zip(names, values, strict=True):
        if (result := found.get(str(place / name))) is not None:
            assert brightness(place / "out" / result) == round(value / 2, 1)


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.tif", "d.webp", "e.bmp"])
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_damaged_result_is_made_again(tmp_path: Path, name: str, size: int) -> None:
    make_image(tmp_path / "in" / name)
    restore_with([tmp_path / "in"], tmp_path / "out", darken)
    whole = (tmp_path / "out" / name).read_bytes()
    size = min(size, len(whole) * 2 // 3)
    (tmp_path / "out" / name).write_bytes(whole[:size])
    assert restore_with([tmp_path / "in"], tmp_path / "out", darken).restored == 1
    assert (tmp_path / "out" / name).read_bytes() == whole
    assert restore_with([tmp_path / "in"], tmp_path / "out", refuse).skipped == 1


def test_work_on_a_result_is_kept_and_told(tmp_path: Path) -> None:
    make_image(tmp_path / "in/a.png")
    out = tmp_path / "out"
    restore_with([tmp_path / "in"], out, darken)
    edited = sha256_of(make_image(out / "a.png", 0.9))
    for _ in range(2):
        seen: list[FileRecord] = []
        assert restore_with([tmp_path / "in"], out, refuse, on_file=seen.append).skipped == 1
        assert [note.code for note in seen[0].notes].count("changed") == 1
    assert restore_with([tmp_path / "in"], out, refuse, identity={"strength": 0.5}).failed == 1
    assert "changed after a run had written it" in lines(out)[0]["error"]
    # Also where the input has changed as well.
    make_image(tmp_path / "in/a.png", 0.2)
    assert restore_with([tmp_path / "in"], out, darken).failed == 1
    assert sha256_of(out / "a.png") == edited
    assert restore_with([tmp_path / "in"], out, darken, overwrite=True).restored == 1
    assert brightness(out / "a.png") == 0.1


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize(
    "stem", ["a" * 237, "a" * 247, "a" * 251, "\u6f22" * 82, "\U0001f4f7" * 62, "\xe9" * 125]
)
def test_names_may_be_as_long_as_names_can_be(tmp_path: Path, stem: str, ending: str) -> None:
    name = stem + ending
    make_image(tmp_path / f"short{ending}").rename(tmp_path / name)
    assert restore_with([tmp_path], tmp_path / "out", darken).restored == 1
    assert images(tmp_path / "out") == [name]
    # A number has to find room.
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / name, tmp_path / "other" / name)
    for _ in range(2):
        assert restore_with([tmp_path / "other"], tmp_path / "out", darken).failed == 0
    found = images(tmp_path / "out")
    assert len(found) == 2
    assert all(len(os.fsencode(each)) <= 255 for each in found)
    assert restore_with([tmp_path / "other"], tmp_path / "out", refuse).skipped == 1


def test_an_ending_finds_room_in_a_long_name(tmp_path: Path) -> None:
    make_image(tmp_path / "x.png").rename(tmp_path / ("a" * 255))
    for expected in (darken, refuse):
        assert restore_with([tmp_path / ("a" * 255)], tmp_path / "out", expected).failed == 0
    assert images(tmp_path / "out") == ["a" * 251 + ".png"]


LINE = '{"format": 1, "input": "/a", "output": "a.png", "status": "restored"'


@pytest.mark.parametrize(
    "content",
    [
        ("[" * 30000 + "\n").encode(),
        (LINE + ', "explanation": 5}\n').encode(),
        b'{"format": 1, "input": [], "output": "a.png", "status": "restored"}\n',
        b'{"format": 1, "input": "/a", "output": [], "status": "restored"}\n',
        (LINE + ', "notes": 5}\n').encode(),
        (LINE + ', "identity": {"a": [' + "[" * 20000 + "\n").encode(),
        b"\x00" * 5000,
        b"\xff\xfe\n\x80",
        b"null\ntrue\n1e999\n" + b"9" * 6000 + b"\n",
        b'"text"\n{}\n[]',
        b"\r\n\r\n",
    ],
)
def test_a_report_of_any_content_is_survived(tmp_path: Path, content: bytes) -> None:
    make_image(tmp_path / "in/a.png")
    make_image(tmp_path / "in/b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / REPORT_NAME).write_bytes(content)
    told: list[str] = []
    assert restore_with([tmp_path / "in"], tmp_path / "out", darken, on_notice=told.append).restored == 2
    if content.strip():
        assert len(told) == 1
        assert (tmp_path / "out/report-damaged-1.jsonl").read_bytes() == content
    assert restore_with([tmp_path / "in"], tmp_path / "out", refuse, on_notice=pytest.fail).skipped == 2


def test_results_of_one_input_in_several_formats_stay_its_own(tmp_path: Path) -> None:
    make_image(tmp_path / "in/a.jpg")
    for _ in range(2):
        for file_format in (None, "PNG"):
            restored = restore_with([tmp_path / "in"], tmp_path / "out", darken, file_format=file_format)
            assert restored.failed == 0
    assert restored.skipped == 1
    assert images(tmp_path / "out") == ["a.jpg", "a.png"]
    assert len(lines(tmp_path / "out")) == 2
    (tmp_path / "out/a.png").unlink()
    restore_with([tmp_path / "in"], tmp_path / "out", darken)
    assert [line["output"] for line in lines(tmp_path / "out")] == ["a.jpg"]
