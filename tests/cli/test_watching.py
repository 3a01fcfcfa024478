"""``restore --watch``: what arrives is restored until a signal comes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from polyrestore.bulk import arrivals
from polyrestore.restoration.restorer import Restorer
from tests.cli.conftest import Outcome

Call = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "SECONDS_TO_SETTLE", 0.0)


def test_files_are_restored_as_they_arrive_and_a_signal_ends_it_with_the_account(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = 0

    def wait(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            shutil.copy(photographs / "sub/c.png", photographs / "c.png")
            (photographs / ".d.png").write_bytes(b"not yet")
        elif waits == 2:
            assert (tmp_path / "out/c.png").is_file()
            shutil.copy(photographs / "c.png", photographs / "a.png")
            (photographs / "late.png").touch()
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("polyrestore.cli.watching.time.sleep", wait)
    arguments = ("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain")
    outcome = call(*arguments, "--watch")
    assert outcome.code == 0, outcome.err
    assert "4 found: 4 restored, 0 skipped, 0 failed, in " in outcome.out
    told = outcome.err.splitlines()
    assert told == [f"watching {photographs}; Ctrl-C ends it", "note: 1 file not complete yet"]
    assert sorted(path.name for path in (tmp_path / "out").glob("[a-z]*.*g")) == ["a.png", "b.jpg", "c.png"]
    assert (tmp_path / "out/a.png").read_bytes() == (tmp_path / "out/c.png").read_bytes()
    (photographs / "late.png").unlink()
    assert "3 skipped" in call(*arguments).out


def test_a_signal_in_the_midst_of_a_file_says_what_was_not_reached(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Restorer, "restore", interrupt)
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--watch")
    assert outcome.code == 130
    assert "2 found: 0 restored, 0 skipped, 0 failed, 2 not reached; run again to continue" in outcome.out


def test_what_cannot_be_watched_is_refused(call: Call, photographs: Path, tmp_path: Path) -> None:
    outcome = call("restore", photographs / "a.png", "-o", tmp_path / "out", "--watch")
    assert (outcome.code, "only folders can be watched" in outcome.err) == (1, True)
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--watch", "--dry-run")
    assert (outcome.code, "cannot be had with --dry-run" in outcome.err) == (2, True)
    assert not (tmp_path / "out").exists()
