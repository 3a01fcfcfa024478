"""The way through the house: imports point down, and nothing goes in a circle."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
# From the top floor down. Neighbours may use each other in one direction.
FLOORS = (
    ("", "__main__"),
    ("cli", "app"),
    ("bulk", "teaching", "testing", "video"),
    (
        "restoration",
        "training",
        "training.loop",
        "training.phases",
        "training.recognition",
        "training.recipes",
        "training.validation",
        "training.weighting",
        "evaluation",
    ),
    ("bundles",),
    ("runtimes", "recognition", "adapters", "backbones"),
    ("degradations", "data", "imaging"),
    (
        "registries",
        "installed_plugins",
        "plugins",
        "storage",
        "devices",
        "notation",
        "notes",
        "files",
        "errors",
        "lazy",
    ),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """Return the room of a module: the longest one that its name begins with."""
    parts = module.split(".")[1:]
    rooms = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
    return next(room for room in rooms if room in FLOOR_OF)


def test_imports_point_down() -> None:
    upward = {
        f"{own} -> {other}" for own, other in imports() if FLOOR_OF[room_of(other)] < FLOOR_OF[room_of(own)]
    }
    assert not upward


@pytest.mark.parametrize("part", [str, room_of], ids=["modules", "rooms"])
def test_nothing_imports_in_a_circle(part: Callable[[str], str]) -> None:
    uses: dict[str, set[str]] = {}
    for own, other in imports():
        if part(own) != part(other):
            uses.setdefault(part(own), set()).add(part(other))
    assert list(TopologicalSorter(uses).static_order())


@cache
def imports() -> list[tuple[str, str]]:
    """Return each import within the package, those for types alone too: who imports, and which module."""
    files = {dotted(path): path for path in (SOURCE / "polyrestore").rglob("*.py")}
    found = []
    for own, path in sorted(files.items()):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path} imports by a relative name"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.split(".")[0] == "polyrestore" and name != "polyrestore.__version__":
                    found.append((own, name if name in files else name.rpartition(".")[0]))
    return found


def dotted(path: Path) -> str:
    """Return the name that a file is imported by."""
    name = path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")
    return name.removesuffix(".__init__")
