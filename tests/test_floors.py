"""The way through the house: imports point down, and nothing goes in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
# From the top floor down. Neighbours may use each other in one direction.
FLOORS = (
    ("", "__main__"),
    ("cli",),
    ("bulk",),
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
    ("recognition", "adapters", "backbones"),
    ("degradations", "data", "imaging"),
    ("storage", "devices", "plugins", "files", "errors", "__version__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def test_imports_point_down_and_never_in_a_circle() -> None:
    upward = {f"{file} -> {room}" for file, own, room in imports() if FLOOR_OF[room] < FLOOR_OF[own]}
    assert not upward
    neighbours: dict[str, set[str]] = {}
    for _, own, room in imports():
        if room != own:
            neighbours.setdefault(own, set()).add(room)
    assert list(TopologicalSorter(neighbours).static_order())


def imports() -> list[tuple[str, str, str]]:
    """Return each import within the package: the file, the room that it is in, and the room it takes from."""
    found = []
    for path in sorted((SOURCE / "polyrestore").rglob("*.py")):
        file = path.relative_to(SOURCE).with_suffix("").as_posix()
        own = room_of(file.replace("/", ".").removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [(file, own, room_of(name)) for name in names if name.split(".")[0] == "polyrestore"]
    return found


def room_of(name: str) -> str:
    """Return the room of a dotted name: the longest one that it begins with."""
    parts = name.split(".")[1:]
    rooms = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
    return next(room for room in rooms if room in FLOOR_OF)
