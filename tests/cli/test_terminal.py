"""What reaches a terminal: nothing that it would obey, and the account of a run whatever becomes of it."""

from __future__ import annotations

import ast
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.cli import progress, stopping, terminal
from polyrestore.cli.main import run
from polyrestore.cli.terminal import visible
from polyrestore.restoration.restorer import Restorer
from tests.cli.conftest import Outcome

CLI = Path(terminal.__file__).parent
NASTY = "a\x1b[31m\x9b2J\u202egnp.\u2028x"


@given(st.text())
def test_what_is_shown_commands_nothing_and_stays_readable(text: str) -> None:
    shown = visible(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def test_scripts_of_the_world_stay_and_commands_are_escaped() -> None:
    assert (
        visible("\u5199\u771f\u3000caf\u00e9 \U0001f468\u200d\U0001f469")
        == "\u5199\u771f\u3000café 👨\u200d👩"
    )
    assert visible(NASTY) == r"a\x1b[31m\x9b2J\u202egnp.\u2028x"
    assert visible("caf\udce9") == r"caf\udce9"


def test_nothing_but_the_terminal_module_prints() -> None:
    printing = {
        path.name
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == {"terminal.py"}


@pytest.mark.skipif(os.name != "posix", reason="names with control characters")
def test_names_with_escape_sequences_are_shown_escaped(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "a.png").rename(photographs / f"{NASTY}.png")
    (photographs / f"text{NASTY}.jpg").write_text("no image")
    (photographs / f"b.{NASTY}").write_text("another kind")
    folder = tmp_path / f"out{NASTY}"
    told = [
        call("restore", photographs, "-o", folder, "--bundle", bundle, "--as", "rain", "--explain"),
        call("restore", f"{NASTY}.png", "-o", folder),
        call("restore", photographs, "-o", photographs / f"{NASTY}.png"),
        call("restore", photographs, f"--{NASTY}"),
        call("inspect", photographs / f"{NASTY}.png", f"{NASTY}.png", "--bundle", bundle),
        call("inspect", photographs / f"{NASTY}.png", "--bundle", bundle, "--json"),
        call("inspect", photographs / f"{NASTY}.png", "--bundle", NASTY),
        call("degrade", photographs / f"{NASTY}.png", "-o", folder / "degraded", "--with", "noise"),
        call("degrade", photographs / f"{NASTY}.png", "-o", folder, "--with", NASTY),
        call("list", NASTY),
        call("data", "inspect", photographs / NASTY),
        call("data", "check", photographs / NASTY),
        call("import", f"{NASTY}.pth", "-o", folder / "bundle"),
        call("train", f"{NASTY}.toml"),
    ]
    assert any(r"a\x1b[31m" in outcome.out for outcome in told)
    for outcome in told:
        assert visible((outcome.out + outcome.err).replace("\n", "")) == (outcome.out + outcome.err).replace(
            "\n", ""
        )


class Full(io.StringIO):
    """Standard output on a disk without room: it fails when it is flushed, as often as that is."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [Full(), terminal._Closed()], ids=["full", "closed"])
def test_a_run_whose_output_cannot_be_written_is_finished_and_accounted_for(
    stream: Any,
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    code = run(["restore", str(photographs), "-o", str(tmp_path / "out"), "--bundle", bundle, "--as", "rain"])
    assert code == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2, err
    error, account = err.splitlines()
    assert error.startswith("error: cannot write to standard output: ")
    assert account.startswith("2 found: 2 restored, 0 skipped, 0 failed")
    assert (tmp_path / "out" / "a.png").is_file()
    assert run(["list", "degradations"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def stoppable() -> Iterator[None]:
    """Let signals stop the command in this process as they do in one of its own."""
    names = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in names}
    for number in names:
        # Whoever started the tests in the background of a script has let them ignore SIGINT.
        signal.signal(number, signal.SIG_DFL)
    stopping.stop_by_exception()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.usefixtures("stoppable")
def test_a_signal_ends_a_run_with_its_account(
    name: str,
    code: int,
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restore, given = Restorer.restore, iter(["first"])

    def restore_one(self: Restorer, *arguments: Any, **options: Any) -> Any:
        if next(given, None) is None:
            os.kill(os.getpid(), signal.Signals[name])
        return restore(self, *arguments, **options)

    monkeypatch.setattr(Restorer, "restore", restore_one)
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain")
    assert (outcome.code, outcome.err) == (code, "error: interrupted\n")
    assert outcome.out == ("2 found: 1 restored, 0 skipped, 0 failed, 1 not reached; run again to continue\n")
    assert (tmp_path / "out" / "a.png").is_file()
    # A second one ends the process at once.
    assert signal.getsignal(signal.Signals[name]) is stopping._leave


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stopping.stop_by_exception()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_log_file_gets_a_line_now_and_then_within_a_picture_too(
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ("restore", photographs, "--bundle", bundle, "--as", "rain", "--tile-px", 16, "-o")
    assert call(*arguments, tmp_path / "quick").err == ""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    lines = [line.partition(", after ")[0] for line in call(*arguments, tmp_path / "slow").err.splitlines()]
    assert "0 of 2 files done; part 1 of 4 of the next one" in lines
    assert "1 of 2 files done; part 4 of 4 of the next one" in lines
    assert not any("2 of 2" in line for line in lines)


def test_a_terminal_gets_bars_that_are_gone_afterwards(
    bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    assert run(["restore", str(photographs), "-o", str(tmp_path / "out"), "--bundle", bundle]) == 0
    run_progress = progress.RunProgress(2)
    with run_progress.shown():
        run_progress.on_tile(1, 3)
        run_progress.on_tile(2, 5)
    assert "restoring" in shown.getvalue()
    assert "parts of one file" in shown.getvalue()
    assert "2/5" in shown.getvalue()
    assert "1/3" not in shown.getvalue()
    assert "files done" not in shown.getvalue()
