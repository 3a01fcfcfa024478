"""Damaged files of every format are read or refused in one line, and a script tries many of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from polyrestore.imaging import FORMATS
from scripts import fuzz


def test_five_hundred_damaged_files_are_read_or_refused(capfd: pytest.CaptureFixture[str]) -> None:
    verdicts = [(kind, fuzz.judge(content)) for kind, content in fuzz.mutations(500, seed=1)]
    assert not [entry for entry in verdicts if entry[1] not in ("read", "refused")]
    assert {verdict for _, verdict in verdicts} == {"read", "refused"}
    assert capfd.readouterr().err == ""


def test_whole_files_of_every_kind_are_read() -> None:
    seeds = fuzz.make_seeds()
    assert {kind: fuzz.judge(content) for kind, content in seeds.items()} == dict.fromkeys(seeds, "read")
    assert {"PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000"} <= {kind.split()[0] for kind in seeds}
    assert {kind.split()[0] for kind in seeds} <= set(FORMATS)


def test_the_same_seed_gives_the_same_files() -> None:
    first, again = list(fuzz.mutations(80, seed=3)), list(fuzz.mutations(80, seed=3))
    assert first == again != list(fuzz.mutations(80, seed=4))


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(content: bytes, max_megapixels: float) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(fuzz, "read_image", fail)
    assert fuzz.judge(b"any") == "RecursionError: too deep"


def test_files_that_fail_are_kept_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def judge(self, content: bytes) -> str:
            return "the process ended with -11"

        def close(self) -> None:
            pass

    monkeypatch.setattr(fuzz, "Reader", Broken)
    assert fuzz.fuzz(3, 0, tmp_path / "kept") == 3
    assert len(list((tmp_path / "kept").iterdir())) == 3
    assert "3 files of seed 0" in capsys.readouterr().out


def test_a_reader_goes_on_after_a_process_that_hangs_or_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    content = fuzz.make_seeds()["PNG 8 colour"]
    reader = fuzz.Reader()
    monkeypatch.setattr(fuzz, "LIMIT_S", 60.0)
    assert reader.judge(content) == "read"
    os.kill(reader.process.pid or 0, signal.SIGSTOP)
    monkeypatch.setattr(fuzz, "LIMIT_S", 0.2)
    assert reader.judge(content) == "no answer within 0.2 s"
    monkeypatch.setattr(fuzz, "LIMIT_S", 60.0)
    assert reader.judge(content) == "read"
    reader.process.kill()
    assert reader.judge(content) == "the process ended with -9"
    assert reader.judge(content) == "read"
    reader.close()
