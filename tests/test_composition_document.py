"""The commands of the page on composition run as written, and make what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from polyrestore.cli.main import run
from tests.test_readme import ROOT
from tests.test_readme import checkout as checkout
from tests.test_readme import commands as commands_of

PAGE = "docs/experiments/composition.md"


def test_the_commands_run_and_write_the_files_that_are_named(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = commands_of(PAGE, "console")
    assert [command[1] for command in found] == ["degrade", "restore"]
    for program, *arguments in found:
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{shlex.join(arguments)}: {capsys.readouterr().err}"
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE))
    assert len(named) == 6
    assert named <= {path.name for path in (checkout / "seen/explained/coffee.png").iterdir()}
    assert len(list((checkout / "sets/haze+rain/target").iterdir())) == 5
