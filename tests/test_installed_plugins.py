"""Plugins that installed packages name: loaded when a name is missing, and never at another's cost."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore import installed_plugins
from polyrestore.adapters import ADAPTER_KINDS
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.backbones.detection import detect_backbone
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bundles import save_bundle
from polyrestore.cli.main import run
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.errors import UnknownBackboneError
from polyrestore.recognition.registry import RECOGNISERS
from polyrestore.registries import Registry
from polyrestore.training.weighting import WEIGHTINGS
from tests.support.tiny_bundle import tiny_bundle

ROOT = Path(__file__).parents[1]
NETWORK = """
from polyrestore.backbones import BACKBONES
from polyrestore.backbones.compact import Compact
from polyrestore.degradations import DEGRADATIONS, Degradation

class Borrowed(Compact):
    tiny_options = {"width": 4, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,)}

BACKBONES["borrowed"] = Borrowed
DEGRADATIONS["glare"] = Degradation("glare", "lens", "light", lambda image, *given: image * 0 + 1)
"""
FUNCTION = """
def register():
    from polyrestore.training.weighting import WEIGHTINGS, Weighting
    WEIGHTINGS["called"] = Weighting
"""
TAKEN = """
from polyrestore.backbones import BACKBONES
BACKBONES["compact"] = None
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install packages of one module each: its name, its code, and what the entry has behind it."""
    site, names = tmp_path / "site", []
    site.mkdir()

    def install(name: str, code: str, behind: str = "") -> None:
        names.append(name)
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("")
        (site / name / "plugin.py").write_text(code)
        facts = site / f"{name}-1.2.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        entry = f"[{installed_plugins.GROUP}]\n{name}_entry = {name}.plugin{behind}\n"
        (facts / "entry_points.txt").write_text(entry)

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(installed_plugins, "_tried", [])
    monkeypatch.setitem(installed_plugins._state, "begun", False)
    registries: tuple[Registry[Any], ...] = (BACKBONES, ADAPTER_KINDS, RECOGNISERS, DEGRADATIONS, WEIGHTINGS)
    before = [set(registry) for registry in registries]
    yield install
    for registry, known in zip(registries, before, strict=True):
        for name in [name for name in registry if name not in known]:
            del registry[name]
    for name in [each for each in sys.modules if each.partition(".")[0] in names]:
        del sys.modules[name]


def test_a_package_is_loaded_once_a_name_is_missing(install: Install) -> None:
    install("extras", NETWORK)
    install("more_extras", FUNCTION, ":register")
    build_backbone("compact", **BACKBONES["compact"].tiny_options)
    assert "noise" in DEGRADATIONS
    assert not {"extras", "more_extras"} & set(sys.modules)
    assert build_backbone("borrowed", **BACKBONES["borrowed"].tiny_options).description.name == "compact"
    assert {"extras.plugin", "more_extras.plugin"} <= set(sys.modules)
    assert WEIGHTINGS.get("called") is not None
    image = torch.zeros(1, 3, 2, 2)
    assert float(degrade(image, {"glare": 0.5}, torch.Generator()).mean()) == 1


def test_what_iterates_finds_the_names_too(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("extras", NETWORK)
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in build_backbone("nafnet").state_dict().items()}
    assert detect_backbone(shapes).name == "nafnet"
    assert "extras" not in sys.modules
    assert run(["list", "degradations", "--json"]) == 0
    assert "glare" in [entry["name"] for entry in json.loads(capsys.readouterr().out)["entries"]]


def test_a_broken_one_is_a_line_and_costs_nothing_else(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("broken", "import a_module_that_is_not_there")
    install("extras", NETWORK)
    install("leaving", "raise SystemExit('not\\nhere')")
    install("taking", TAKEN)
    compact = BACKBONES["compact"]
    assert "borrowed" in BACKBONES
    assert BACKBONES["compact"] is compact
    assert run(["list", "plugins", "--json"]) == 0
    printed = capsys.readouterr()
    entries = {entry["name"]: entry for entry in json.loads(printed.out)["entries"]}
    assert list(entries) == ["broken_entry", "extras_entry", "leaving_entry", "taking_entry"]
    assert entries["extras_entry"]["error"] == ""
    assert entries["extras_entry"]["package"] == "extras 1.2"
    assert entries["leaving_entry"]["error"] == "SystemExit: not here"
    assert entries["taking_entry"]["error"] == "PluginError: the name 'compact' is taken"
    assert run(["list", "backbones"]) == 0
    printed = capsys.readouterr()
    assert "borrowed" in printed.out
    lines = printed.err.splitlines()
    assert lines[0].startswith("note: the plugin 'broken_entry' of broken 1.2 fails: ModuleNotFoundError: ")
    assert len(lines) == 3
    with pytest.raises(UnknownBackboneError, match=r"'compact'\? \(the plugin 'broken_entry' of"):
        build_backbone("kompact")


def test_without_any_it_is_said_so(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "plugins"]) == 0
    assert capsys.readouterr().out == "no plugins\n"


def test_other_processes_load_them_and_their_code_is_part_of_a_runs_identity(
    install: Install, tmp_path: Path
) -> None:
    install("extras", NETWORK)
    tiny = build_backbone("borrowed", **BACKBONES["borrowed"].tiny_options).eval()
    tiny.description = tiny.description.__class__(**{**vars(tiny.description), "name": "borrowed"})
    folders = {
        "own": save_bundle(tmp_path / "own", tiny_bundle({})),
        "theirs": save_bundle(tmp_path / "theirs", tiny_bundle({}, backbone=tiny)),
    }
    tasks = {name: RestoreTask(str(folder), "cpu") for name, folder in folders.items()}
    # Whatever else is loaded, a bundle that needs none of it is restored with as before.
    assert "plugins_sha256" not in tasks["own"].identity(tasks["own"].open())
    before = tasks["theirs"].identity(tasks["theirs"].open())["plugins_sha256"]
    code = (
        "import pickle, sys\n"
        f"task = pickle.loads({pickle.dumps(tasks['theirs'])!r})\n"
        "print(task.identity(task.open())['plugins_sha256'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT / "src")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == str(before), done.stderr
    (tmp_path / "site" / "extras" / "helper.py").write_text("")
    assert tasks["theirs"].identity(tasks["theirs"].open())["plugins_sha256"] != before
