from __future__ import annotations

import tomllib
from operator import attrgetter
from pathlib import Path

import pytest

import polyrestore
from polyrestore import errors, testing

ROOT = Path(__file__).parents[1]


def test_no_public_name_disappears() -> None:
    """Others use these names: who takes one away does so here as well, and says it in the changelog."""
    listed = (ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split()
    missing = [name for name in listed if attrgetter(name)(polyrestore) is None]
    assert missing == []
    of_errors = [f"errors.{name}" for name in vars(errors) if name.endswith("Error")]
    of_testing = [f"testing.{name}" for name in testing.__all__ if name not in vars(errors)]
    found = sorted([*polyrestore.__all__, *of_errors, *of_testing])
    assert found == listed, "add new names to tests/public_names.txt"
    assert dir(polyrestore) == sorted(polyrestore.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'restore'"):
        polyrestore.restore  # type: ignore[attr-defined]  # noqa: B018


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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    lines += (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "torchvision" in line]
