"""``polyrestore app``: what it refuses in one line, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from polyrestore.app.server import open_socket
from polyrestore.cli.main import run

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_it_says_where_it_is_and_ends_cleanly_with_a_signal(bundle: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polyrestore", "app", "--port", "0", "--bundle", bundle]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"polyrestore is at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
        assert found is not None, line
        with urllib.request.urlopen(found[1], timeout=60) as answer:
            assert b"polyrestore" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout.read() == "closed\n"
        assert process.stderr.read() == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "set --token"),
        (["--token", "short"], "12 or more"),
        (["--max-mb", "0"], "max-mb must be above 0"),
        (["--bundle", "defualt"], "did you mean 'default'"),
        (["--port", "TAKEN"], "choose another --port"),
        (["--device", "cuda:99"], "device"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with open_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert run(["app", "--port", "0", *(port if each == "TAKEN" else each for each in arguments)]) == 1
    out, err = capsys.readouterr()
    assert said in err
    assert len(err.splitlines()) == 1
    assert not out
