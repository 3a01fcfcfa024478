"""Damaged files of every format are read or refused in one line, and a script tries many of them."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from polyrestore.bundles import save_bundle
from polyrestore.imaging import FORMATS
from scripts import fuzz, fuzz_runs
from scripts.aside import Aside, NoAnswerError


def test_damaged_files_are_read_or_refused(capfd: pytest.CaptureFixture[str]) -> None:
    verdicts = [(kind, fuzz.judge(content)) for kind, content in fuzz.mutations(400, seed=1)]
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
    class Broken(Aside):
        def __init__(self, *arguments: object) -> None:
            pass

        def ask(self, task: object) -> object:
            raise NoAnswerError("the process ended with -11")

        def close(self) -> None:
            pass

    monkeypatch.setattr(fuzz, "Aside", Broken)
    assert fuzz.fuzz(3, 0, tmp_path / "kept") == 3
    assert len(list((tmp_path / "kept").iterdir())) == 3
    assert "3 files of seed 0" in capsys.readouterr().out


def test_a_process_that_hangs_or_ends_is_begun_anew() -> None:
    aside = Aside(str.upper, 60.0)
    assert aside.ask("read") == "READ"
    os.kill(aside.process.pid or 0, signal.SIGSTOP)
    aside.limit_s = 0.2
    with pytest.raises(NoAnswerError, match=r"no answer within 0.2 s"):
        aside.ask("read")
    aside.limit_s = 60.0
    assert aside.ask("again") == "AGAIN"
    aside.process.kill()
    with pytest.raises(NoAnswerError, match="the process ended with -9"):
        aside.ask("read")
    aside.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "small", fuzz_runs.small_bundle()))


# The process of the command ignores what libraries warn their callers of.
@pytest.mark.filterwarnings("ignore")
def test_runs_over_damaged_files_lose_none(bundle: str, tmp_path: Path) -> None:
    contents = [content for _, content in fuzz.mutations(100, seed=2)]
    assert fuzz_runs.restore_folder(contents, tmp_path, bundle, random.Random(4)) == []
    assert len(list((tmp_path / "out").glob("*.*"))) > 20


def test_what_is_wrong_with_a_run_is_told(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz_runs, "OPTIONS", [("--as", "noise")])
    contents = [fuzz.make_seeds()["PNG 8 colour"], b"no image"]
    whole = fuzz_runs.restore_folder(contents, tmp_path, bundle, random.Random(0))
    assert whole == []
    output, names = tmp_path / "out", {path.name for path in (tmp_path / "in").iterdir()}
    (result,) = output.glob("000*")
    (output / "more.txt").write_text("")
    assert fuzz_runs.judge_output(output, names) == ["more.txt is left over"]
    (output / "more.txt").unlink()
    result.write_bytes(b"other")
    assert "has not the hash" in fuzz_runs.judge_output(output, names)[0]
    result.unlink()
    assert "missing" in fuzz_runs.judge_output(output, names)[-1]
    assert "one line for each" in fuzz_runs.judge_output(output, {*names, "gone.png"})[0]

    def fail(*arguments: object, **options: object) -> None:
        raise KeyError("unmeant")

    monkeypatch.setattr("polyrestore.bulk.one_content.open_pages", fail)
    (tmp_path / "again").mkdir()
    found = fuzz_runs.judge_folder((contents, tmp_path / "again", bundle, "0"))
    assert any("KeyError" in each for each in found)
