"""What a repository has beside its code: workflows, forms, hooks, a citation, a changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import polyrestore

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def made(variable: str) -> str:
    """Return the value of a variable of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.search(rf"^{variable} :?=\s*(.+)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_install_all_extras_and_may_only_read(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["env"]["EXTRAS"] == made("EXTRAS")
    assert "://" not in path.read_text(encoding="utf-8")
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert used[0].startswith("actions/checkout@"), name
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", use) for use in used), name


def test_extras_that_are_installed_are_those_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(made("EXTRAS").split(",")) == set(project["optional-dependencies"])


def test_workflows_cover_systems_and_versions_of_python() -> None:
    jobs = parsed(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    matrix = jobs["systems"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={matrix['python'][0]}"
    stated = {
        text.rpartition(" ")[2]
        for text in project["classifiers"]
        if text.startswith("Programming Language :: Python :: 3.")
    }
    assert stated == set(matrix["python"])


def test_every_requirement_states_the_lowest_version() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest: dict[str, str] = {}
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in map(Requirement, group):
            assert str(requirement.specifier).startswith(">="), requirement
            stated = lowest.setdefault(requirement.name, str(requirement.specifier))
            assert stated == str(requirement.specifier), f"{requirement.name} is stated twice, differently"


def test_hooks_are_local_and_do_what_make_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    repositories = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = {hook["id"]: hook["entry"] for hook in repositories[0]["hooks"]}
    assert set(hooks) == {"ruff-check", "ruff-format", "mypy"}
    for entry in hooks.values():
        assert entry.removeprefix("python ").removesuffix(" --force-exclude") in makefile


def test_forms_ask_for_what_a_report_needs() -> None:
    fields = parsed(ROOT / ".github" / "ISSUE_TEMPLATE" / "defect.yml")["body"]
    required = {field["id"] for field in fields if field.get("validations", {}).get("required")}
    assert required >= {"version", "command", "bundles"}
    described = " ".join(field["attributes"].get("description", "") for field in fields)
    assert "`polyrestore list bundles --json`" in described


def test_the_citation_states_this_version_and_three_papers() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert citation["version"] == polyrestore.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]
    named = [entry["value"] for paper in citation["references"] for entry in paper.get("identifiers", ())]
    assert named == ["arXiv:2404.11475", "arXiv:2409.20197"]
    assert citation["references"][2]["conference"]["name"] == "ACM Multimedia 2024"


def test_the_changelog_begins_with_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert len(headings) == len(set(headings))
