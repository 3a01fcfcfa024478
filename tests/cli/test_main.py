"""Exit codes, one line per error, and a start-up that does not wait for torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import polyrestore
from polyrestore.cli import main as module
from polyrestore.errors import BundleError
from tests.cli.conftest import Outcome

SOURCE = str(Path(polyrestore.__file__).parents[1])


def python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": SOURCE}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=100, cwd=cwd)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["restore", "--help"], ["list", "--help"], []]
)
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    done = python(
        "import sys\n"
        "from polyrestore.cli.main import run\n"
        f"code = run({arguments!r})\n"
        "heavy = {'torch', 'numpy', 'PIL', 'pydantic_core'} & set(sys.modules)\n"
        "assert 'torch' not in heavy, heavy\n"
        "sys.exit(code)"
    )
    assert done.returncode == 0, done.stderr
    assert "polyrestore" in done.stdout
    assert done.stderr == ""


def test_names_that_were_mistyped_are_told_without_torch(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty").mkdir()
    commands = {
        "missing.png": ["inspect", "missing.png", "gone.png"],
        "missing.tif": ["degrade", "missing.tif", "-o", "out", "--with", "noise"],
        "missing.toml": ["train", "missing.toml"],
        "missing.jpg": ["restore", "missing.jpg", "-o", "out"],
        "did you mean 'default'": ["restore", "a.png", "-o", "out", "--bundle", "defalt"],
        "did you mean 'noise'": ["restore", "a.png", "-o", "out", "--as", "noize"],
        "is given twice": ["restore", "a.png", "-o", "out", "--as", "rain,rain"],
        "there is no bundle folder": ["inspect", "a.png", "--bundle", "./gone"],
        "it has no model.json": ["evaluate", "empty", "--bundle", "./empty"],
        "'defolt'": ["list", "adapters", "--bundle", "defolt"],
    }
    done = python(
        "import sys, time\n"
        "from polyrestore.cli.main import run\n"
        f"codes = [run(arguments) for arguments in {list(commands.values())!r}]\n"
        "assert 'torch' not in sys.modules\n"
        "print(codes, time.process_time())",
        tmp_path,
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(any(words in line for line in told) for words in commands), done.stderr
    codes, seconds = done.stdout.splitlines()[-1].rsplit(maxsplit=1)
    assert codes == str([1] * len(commands))
    assert float(seconds) < 2


@pytest.mark.parametrize("arguments", [["missing.png"], ["missing.png", "gone.jpg"], ["pipe.png"]])
def test_inputs_that_cannot_be_read_are_told_without_torch(tmp_path: Path, arguments: list[str]) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    done = python(
        "import sys\n"
        "from polyrestore.cli.main import run\n"
        f"code = run(['restore', *{arguments!r}, '-o', 'out'])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)",
        tmp_path,
    )
    assert done.returncode == 1
    errors = done.stderr.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True] * len(arguments)
    assert f"{len(arguments)} found: 0 restored, 0 skipped, {len(arguments)} failed" in done.stdout
    assert not (tmp_path / "out").exists()


def test_help_names_every_command(call: Callable[..., Outcome]) -> None:
    outcome = call("--help")
    assert outcome.code == 0
    for command in ("restore", "inspect", "degrade", "train", "import", "route", "list"):
        assert f"\n  {command} " in outcome.out
    assert call("--version").out == f"polyrestore {polyrestore.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["restore"],
        ["restore", "a.png"],
        ["restore", "a.png", "-o", "out", "--strength", "2"],
        ["restore", "a.png", "-o", "out", "--strength", "much"],
        ["restore", "a.png", "-o", "out", "--tile-px", "0"],
        ["restore", "a.png", "-o", "out", "--unknown"],
        ["list", "everything"],
        ["degrade", "a.png", "-o", "out"],
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(call: Callable[..., Outcome], arguments: list[str]) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BundleError("two\nlines"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 1),
        (MemoryError(), 1),
    ],
)
def test_expected_errors_are_one_line(error: BaseException, code: int) -> None:
    done = python(
        "import polyrestore.cli.listing as listing\n"
        "from polyrestore.errors import BundleError\n"
        "def fail():\n"
        f"    raise {error!r}\n"
        "listing._bundles = fail\n"
        "import sys; sys.argv = ['polyrestore', 'list', 'bundles']\n"
        "from polyrestore.cli.main import main\n"
        "main()"
    )
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_causes_no_traceback() -> None:
    environment = os.environ | {"PYTHONPATH": SOURCE}
    code = "import sys; sys.argv[0] = 'polyrestore'; from polyrestore.cli.main import main; main()"
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, env=environment, stdout=write_end, stderr=subprocess.PIPE, timeout=60)
    os.close(write_end)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_do_not_wait_for_each_other_at_the_expense_of_other_programs(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE"):
        # Set before it is removed, so that whatever the command sets is gone after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("polyrestore.cli.main.run", lambda arguments: 0)
    monkeypatch.setattr("polyrestore.cli.main.stop_by_exception", lambda: None)
    with pytest.raises(SystemExit):
        module.main()
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("polyrestore.cli.listing._bundles", fail)
    with pytest.raises(ZeroDivisionError):
        module.run(["list", "bundles"])


def test_public_names_are_lazy() -> None:
    done = python(
        "import sys, polyrestore\n"
        "assert 'torch' not in sys.modules\n"
        "assert issubclass(polyrestore.errors.ImageError, polyrestore.PolyrestoreError)\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(dir(polyrestore)) == set(polyrestore.__all__)\n"
        "assert callable(polyrestore.load) and polyrestore.Restorer and polyrestore.__version__\n"
        "assert 'torch' in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_or_a_path_that_is_not_to_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.run(["inspect", str(tmp_path / ("a" * 300))]) == 1
    assert capsys.readouterr().err.endswith("File name too long\n")

    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert module.run(["list", "degradations"]) == 1
    assert capsys.readouterr().err.startswith("error: the folder that the command was started in")
