from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import polyrestore
from polyrestore import errors

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "peft", "accelerate", "torchmetrics", "matplotlib", "transformers")


@pytest.mark.parametrize(
    "action", ["import polyrestore", "from polyrestore.cli.main import run; run(['--help'])"]
)
def test_heavy_libraries_are_loaded_where_used_only(action: str) -> None:
    report = f"import sys; print('loaded', sorted({set(HEAVY)!r} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    command = [sys.executable, "-c", f"{action}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_public_names_are_there() -> None:
    exceptions = {name for name in vars(errors) if name.endswith("Error")}
    assert set(polyrestore.__all__) == exceptions | {"Restored", "Restorer", "__version__", "load"}
    for name in polyrestore.__all__:
        assert getattr(polyrestore, name) is not None
    assert dir(polyrestore) == sorted(polyrestore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'restore'"):
        polyrestore.restore  # noqa: B018


def test_the_version_is_stated_once_in_each_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == polyrestore.__version__


def test_pinned_versions_cover_what_is_asked_for() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pinned, name
        assert requirement.specifier.contains(pinned[name]), requirement


def test_nothing_asks_for_torchvision() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    lines += (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "torchvision" in line]
