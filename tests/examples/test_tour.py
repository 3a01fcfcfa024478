"""The notebook runs from its first cell to its last, and shows what its text says."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tour.ipynb"


def cells(kind: str) -> list[str]:
    """Return the texts of the notebook's cells of one kind."""
    record = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (record["nbformat"], record["nbformat_minor"]) == (4, 5)
    return ["".join(cell["source"]) for cell in record["cells"] if cell["cell_type"] == kind]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return what its last line shows."""
    lines = ast.parse(source).body
    last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
    exec(compile(ast.Module(lines, []), str(NOTEBOOK), "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    names: dict[str, Any] = {}
    shown = [run_cell(source, names) for source in cells("code")]
    pictures = [each for each in shown if isinstance(each, Image.Image)]
    assert [each.size for each in pictures] == [(2 * 192, 192), (3 * 192, 192)]
    assert names["scores"]["both"]["psnr"] > names["scores"]["input"]["psnr"] + 3
    assert "low_light" in names["recognition"].probabilities
    printed = capsys.readouterr().out
    assert "RGB, rounded to 8 bits" in printed
    assert "| pairs | 2 | default |" in printed


def test_it_is_committed_without_outputs_and_its_links_lead_somewhere() -> None:
    record = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in record["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in record["cells"]}) == len(record["cells"])
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(cells("markdown")))
    assert links
    assert all((NOTEBOOK.parent / link).is_file() for link in links)
