"""What is imported when: nothing heavy before it is needed, so that the command answers at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = "import polyrestore"
HELP = "from polyrestore.cli.main import run; run(['--help'])"


def heavy_modules() -> set[str]:
    """Return what the linter bans at module level, and what only the restoring itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    return {*banned, "torch", "numpy", "PIL", "pydantic", "safetensors"}


def last_line_of(code: str) -> str:
    """Run Python in a process of its own, and return the last line that it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("action", [LIGHT, HELP], ids=["import", "help"])
def test_heavy_libraries_are_loaded_where_used_only(action: str) -> None:
    assert {"accelerate", "transformers", "matplotlib"} <= heavy_modules()
    report = f"import sys; print('loaded', sorted(sys.modules.keys() & set({sorted(heavy_modules())!r})))"
    assert last_line_of(f"{action}\n{report}") == "loaded []"


@pytest.mark.parametrize(("action", "limit_s"), [(LIGHT, 0.5), (HELP, 1.0)], ids=["import", "help"])
def test_starting_takes_no_time_to_speak_of(action: str, limit_s: float) -> None:
    """Measured: 0.03 s and 0.15 s of processor time, the start of Python included; torch takes 2 s."""
    report = "import time; print(time.process_time())"
    assert min(float(last_line_of(f"{action}\n{report}")) for _ in range(2)) < limit_s
