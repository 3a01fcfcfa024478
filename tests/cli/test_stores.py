"""``polyrestore restore`` from and to URLs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polyrestore.cli import progress
from tests.cli.conftest import Outcome
from tests.support.stores import FlakyStore, flaky_store

Call = Callable[..., Outcome]


@pytest.fixture
def flaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyStore]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1e9)
    with flaky_store(tmp_path, monkeypatch) as store:
        yield store


def test_workers_restore_from_store_to_store_what_one_process_does_here(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, flaky: FlakyStore
) -> None:
    options = ("-r", "--bundle", bundle, "--as", "rain", "-o")
    assert call("restore", photographs, *options, tmp_path / "here").code == 0
    photographs.rename(flaky.root / "in")
    (flaky.root / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    flaky.fail("get", "c.png", 1)
    arguments = ("restore", "flaky://in", *options, "flaky://out", "--workers", "1")
    outcome = call(*arguments)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "flaky://in/broken.png: " in outcome.err
    assert "4 found: 3 restored, 0 skipped, 1 failed" in outcome.out
    assert flaky.left("get", "c.png") == 0
    for name in ("a.png", "b.jpg", "sub/c.png"):
        assert (tmp_path / "here" / name).read_bytes() == (flaky.root / "out" / name).read_bytes()
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("report: ")]
    report = Path(line.removeprefix("report: "))
    assert report.parent.name.startswith("flaky-out-")
    assert len(report.read_text().splitlines()) == 4
    assert "3 skipped, 1 failed" in call(*arguments).out


def test_a_report_can_be_named(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, flaky: FlakyStore
) -> None:
    arguments = ("restore", photographs / "a.png", "-o", "flaky://out", "--bundle", bundle, "--as", "rain")
    outcome = call(*arguments, "--report", tmp_path / "told", "--explain", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["report"] == str(tmp_path / "told/report.jsonl")
    assert told["explained"] == "flaky://out/explained"
    assert (flaky.root / "out/explained/a.png/sheet.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--watch",), "--watch: cannot be had with URLs"),
        (("--dry-run",), "--dry-run: cannot be had with URLs"),
        (("--keep-times",), "--keep-times: cannot be had with URLs"),
        (("--workers", "auto"), "--workers auto: cannot be had with URLs"),
    ],
)
def test_what_makes_no_sense_with_urls_is_refused(
    call: Call, photographs: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    for inputs, output in ((photographs, "memory://out"), ("memory://in", tmp_path / "out")):
        outcome = call("restore", inputs, "-o", output, *options)
        assert outcome.code == 2
        assert message in " ".join(outcome.err.split())
    assert not (tmp_path / "out").exists()


def test_other_refusals_are_one_line(call: Call, photographs: Path, tmp_path: Path) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--report", tmp_path)
    assert outcome.code == 2
    assert "is for results behind a URL" in outcome.err
    for url, message in (
        ("odd://bucket/photos", "odd://bucket/photos: Protocol not known: odd"),
        ("ftp://me:hunter2@host/photos", "ftp://***@host/photos: leave the password out"),
    ):
        outcome = call("restore", url, "-o", tmp_path / "out")
        assert outcome.code == 1
        assert outcome.err.count("\n") == 1
        assert message in outcome.err
        assert "hunter2" not in outcome.err + outcome.out
