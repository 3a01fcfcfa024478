"""The report: what a run continues from, whatever stands in the file."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.report import PENDING_NAME, REPORT_NAME, Report
from polyrestore.errors import OutputError
from tests.bulk.fakes import darken, images, lines, make_image, restore_with


def record(name: str, status: str = "restored", **values: object) -> FileRecord:
    return FileRecord(f"/in/{name}", name, status, **values)  # type: ignore[arg-type]


def test_later_runs_find_what_was_written_last(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        report.append(record("a.png", sha256="1"))
        report.append(record("b.png", sha256="2", explanation=("explained/b.png/sheet.png",)))
        report.append(record("a.png", sha256="3"))
        report.append(FileRecord("/in/c.png", None, "failed", error="gone"))
    assert [line["input"] for line in lines(tmp_path)] == ["/in/b.png", "/in/a.png", "/in/c.png"]
    with Report(tmp_path) as report:
        found = report.earlier("a.png")
        assert found is not None
        assert found.sha256 == "3"
        assert report.owns("b.png")
        assert report.explanation_of("b.png") == {"explained/b.png/sheet.png"}
        for name in ("c.png", "d.png"):
            assert report.earlier(name) is None
            assert not report.owns(name)
    assert report.notices == []
    assert (tmp_path / PENDING_NAME).read_bytes() == b""


def test_a_claim_outlives_a_run_that_was_killed_before_its_line(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.append(record("a.png"))
    report.claim("b.png", "explained/b.png/sheet.png")
    report._close()
    with Report(tmp_path) as again:
        assert again.owns("b.png")
        assert "explained/b.png/sheet.png" in again.explanation_of("b.png")
        again.append(record("c.png"))
        assert again.owns("b.png")
        # Killed once more, it is still known.
        assert '"b.png"' in (tmp_path / PENDING_NAME).read_text()
    assert not Report(tmp_path).owns("b.png")


def test_a_claim_on_a_file_that_is_there_waits_for_its_line(tmp_path: Path) -> None:
    make_image(tmp_path / "b.png")
    (tmp_path / PENDING_NAME).write_text('"b.png"\n"gone.png"\n')
    for number in range(3):
        with Report(tmp_path) as report:
            assert report.owns("b.png")
            for name in (f"{number}.png", f"{number}-2.png"):
                report.claim(name)
                report.append(record(name))
                # What this run claims does not pile up on them.
                assert (tmp_path / PENDING_NAME).read_text() == '"b.png"\n"gone.png"\n'
    with Report(tmp_path) as report:
        report.append(record("b.png"))
    assert (tmp_path / PENDING_NAME).read_text() == ""
    with Report(tmp_path) as report:
        assert report.owns("b.png")
        assert not report.owns("gone.png")


def test_claims_do_not_pile_up(tmp_path: Path) -> None:
    with Report(tmp_path) as report:
        for number in range(5):
            report.claim(f"{number}.png")
            assert len((tmp_path / PENDING_NAME).read_text().splitlines()) == 1
            report.append(record(f"{number}.png"))


GOOD = record("a.png", sha256="1").to_line()
DAMAGE = {
    "not a record": b'{"format": 1, "input": [], "output": "x", "status": "restored"}\n',
    "of before any format": b'{"input": "a", "output": "x", "status": "restored"}\n',
    "nested": b"[" * 30000 + b"\n",
    "binary": bytes(range(256)) + b"\n",
    "zeros of a lost page": bytes(5000),
    "one long line": b"x" * (1 << 25),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_report_is_set_aside_and_its_good_lines_go_on(tmp_path: Path, damage: bytes) -> None:
    content = f"{GOOD}\n".encode() + damage
    (tmp_path / REPORT_NAME).write_bytes(content)
    (tmp_path / "report-damaged-1.jsonl").write_text("mine")
    with Report(tmp_path) as report:
        assert report.owns("a.png")
        assert len(report.notices) == 1
        assert "report-damaged-2.jsonl" in report.notices[0]
        report.append(record("b.png"))
    kept = (tmp_path / "report-damaged-2.jsonl").read_bytes()
    assert kept.rstrip(b"\n") == content.rstrip(b"\n")
    assert (tmp_path / "report-damaged-1.jsonl").read_text() == "mine"
    assert (tmp_path / REPORT_NAME).read_text() == f"{GOOD}\n{record('b.png').to_line()}\n"
    with Report(tmp_path) as again:
        assert again.notices == []


@pytest.mark.parametrize("damage", [b"5\n", b"[]\n", b"\xff\xfe\n", b"[" * 30000 + b"\n", b"name\n"])
def test_a_damaged_list_of_claims_is_set_aside_as_well(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / PENDING_NAME).write_bytes(b'"a.png"\n' + damage + b'"b.p')
    with Report(tmp_path) as report:
        assert report.owns("a.png")
        assert ["report-damaged-1.pending" in notice for notice in report.notices] == [True]
        # The lock is still the same one.
        with pytest.raises(OutputError, match="another run"):
            Report(tmp_path)
    assert (tmp_path / "report-damaged-1.pending").read_bytes().startswith(b'"a.png"\n' + damage)


def test_blank_lines_are_no_damage(tmp_path: Path) -> None:
    (tmp_path / PENDING_NAME).write_bytes(b'\n"a.png"\n\n')
    (tmp_path / REPORT_NAME).write_bytes(b"\n" + GOOD.encode() + b"\n\n")
    with Report(tmp_path) as report:
        assert report.notices == []
        assert report.owns("a.png")


def test_a_run_goes_on_beside_a_damaged_report(tmp_path: Path) -> None:
    make_image(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / REPORT_NAME).write_text('{"input": "a", "output": [], "status": "restored"}\n')
    notices: list[str] = []
    summary = restore_with([tmp_path / "in"], tmp_path / "out", darken, on_notice=notices.append)
    assert (summary.restored, summary.failed, len(notices)) == (1, 0, 1)
    assert images(tmp_path / "out") == ["a.png", "report-damaged-1.jsonl"]


def test_a_report_of_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    line = json.dumps({**json.loads(GOOD), "format": 2}) + "\n"
    (tmp_path / REPORT_NAME).write_text(line)
    with pytest.raises(OutputError, match="written by a later version .lines of format 2"):
        Report(tmp_path)
    assert (tmp_path / REPORT_NAME).read_text() == line


@pytest.mark.parametrize("name", [REPORT_NAME, PENDING_NAME])
def test_pipes_and_folders_are_not_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(OutputError, match="not a regular file"):
        Report(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=f"cannot write to .*{name}: Is a directory"):
        Report(tmp_path)
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"cannot write to .*{name}"):
        Report(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_large_report_takes_little_memory(tmp_path: Path) -> None:
    count = 6_000
    with open(tmp_path / REPORT_NAME, "w") as stream:
        for number in range(count):
            name = f"a folder with a long name/photograph {number:06}.png"
            identity = {"bundle_sha256": "0" * 64, "as": None}
            stream.write(record(name, sha256=f"{number:064}", identity=identity).to_line() + "\n")
        stream.write(record("first.png").to_line() + "\n" + record("first.png", sha256="2").to_line() + "\n")
    tracemalloc.start()
    try:
        with Report(tmp_path) as report:
            assert report.earlier("a folder with a long name/photograph 000123.png") is not None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A record takes some 3000 bytes.
    assert most / count < 120
    assert len((tmp_path / REPORT_NAME).read_text().splitlines()) == count + 1
