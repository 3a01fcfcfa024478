"""With --json every command prints one object with the documented keys, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.cli.common import JSON_FORMAT
from polyrestore.restoration.restorer import Restorer
from tests.cli.conftest import Outcome
from tests.support.networks import TINY, tiny
from tests.support.set_trees import TREES, plant

TEXT = (Path(__file__).parents[2] / "docs/json.md").read_text(encoding="utf-8")
Call = Callable[..., Outcome]


def documented(command: str) -> list[str]:
    table = TEXT.partition(f"| key of {command} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def printed(outcome: Outcome, command: str, code: int = 0) -> dict[str, Any]:
    assert outcome.code == code, outcome.err
    # One object: anything before or after it would be no JSON.
    values: dict[str, Any] = json.loads(outcome.out)
    assert list(values) == ["format", *documented(command)]
    assert values["format"] == JSON_FORMAT == 1
    return values


def test_restore_tells_its_account(call: Call, bundle: str, photographs: Path, tmp_path: Path) -> None:
    (photographs / "c.txt").write_text("")
    arguments = ("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain", "--json")
    values = printed(call(*arguments), "restore")
    assert (values["found"], values["restored"], values["not_reached"]) == (2, 2, 0)
    assert values["left_out"] == {".txt": 1}
    assert Path(values["report"]).is_file()
    assert (values["explained"], values["estimate"]) == (None, None)
    assert printed(call(*arguments, "--strength", 0), "restore")["notes"] == {"unchanged": 2}
    (photographs / "b.jpg").write_bytes(b"")
    assert printed(call(*arguments), "restore", code=1)["failed"] == 1
    values = printed(call("restore", "gone.png", "-o", tmp_path / "no", "--json"), "restore", code=1)
    assert (values["failed"], values["report"]) == (1, None)


def test_an_interrupted_run_tells_its_account(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Restorer, "restore", interrupt)
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--json")
    assert printed(outcome, "restore", code=130)["not_reached"] == 2


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    call: Call, bundle: str, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("restore", photographs, "-o", out, "--bundle", bundle, "--as", "rain", "--dry-run")
    outcome = call(*arguments)
    assert outcome.code == 0, outcome.err
    assert "2 found: 2 to restore, 0 finished, 0 would fail; nothing was written" in outcome.out
    assert "estimate: 2 files" in outcome.out
    assert not out.exists()
    assert call(*arguments[:-1]).code == 0
    (photographs / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (photographs / "sub/c.png").rename(photographs / "c.jpg")
    (photographs / "d.png").write_text("no image")
    (out / "d.png").write_text("somebody's")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    values = printed(call(*arguments, "--json"), "restore --dry-run", code=1)
    assert (values["found"], values["restore"], values["skip"], values["fail"]) == (4, 1, 1, 2)
    told = {Path(file["input"]).name: (file["action"], file["output"]) for file in values["files"]}
    assert told == {
        "a.png": ("skip", "a.png"),
        "b.jpg": ("fail", None),
        "c.jpg": ("restore", "c.png"),
        "d.png": ("fail", None),
    }
    # Each error says which file it is about.
    failing = [file for file in values["files"] if file["action"] == "fail"]
    assert all(Path(file["input"]).name in file["error"] for file in failing)
    assert values["estimate"]["files"] == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    # What was planned is what is done.
    assert call(*arguments[:-1]).code == 1
    assert (out / "c.png").is_file()


def test_a_dry_run_plans_the_names_of_equal_inputs(call: Call, bundle: str, photographs: Path) -> None:
    out, other = photographs.parent / "out", photographs.parent / "other"
    common = ("-o", out, "--bundle", bundle, "--as", "rain")
    assert call("restore", photographs, *common).code == 0
    photographs.rename(other)
    other.joinpath("a.png").write_bytes(other.joinpath("sub/c.png").read_bytes())
    values = printed(call("restore", other, *common, "--dry-run", "--json"), "restore --dry-run")
    told = [(file["action"], file["output"]) for file in values["files"]]
    assert told == [("restore", "a-2.png"), ("skip", "b.jpg")]


@pytest.mark.parametrize("kind", ["degradations", "mixtures", "adapters", "weightings", "bundles", "plugins"])
def test_list(call: Call, bundle: str, kind: str) -> None:
    values = printed(call("list", kind, "--bundle", bundle, "--json"), "list")
    assert values["kind"] == kind
    assert all(entry["name"] for entry in values["entries"])


def test_inspect_and_degrade(call: Call, bundle: str, photographs: Path, tmp_path: Path) -> None:
    outcome = call("inspect", photographs / "a.png", tmp_path / "gone.png", "--bundle", bundle, "--json")
    first, second = printed(outcome, "inspect", code=1)["files"]
    row = re.findall(r"`(\w+)`", TEXT.partition("| `files` | of each file `file` and")[2].partition("\n")[0])
    assert set(first) == {"file", *row} - {"error"}
    assert set(second) == {"file", "error"}
    arguments = ("degrade", photographs / "a.png", "-o", tmp_path / "x.bmp", "--with", "noise=0.2", "--json")
    values = printed(call(*arguments), "degrade")
    assert values["severities"] == {"noise": 0.2}
    assert len(values["notes"]) == len(values["note_codes"])
    outcome = call("degrade", photographs, "-o", tmp_path / "pairs", "--with", "noise", "--json")
    assert printed(outcome, "degrade")["pairs"] == 2


def test_import(call: Call, tmp_path: Path) -> None:
    torch.save(tiny("transweather", TINY["transweather"]).state_dict(), tmp_path / "best.pth")
    outcome = call("import", tmp_path / "best.pth", "-o", tmp_path / "bundle", "--json")
    assert set(json.loads(outcome.out)) == {"format", *documented("import")}


def test_data(call: Call, tmp_path: Path) -> None:
    plant(tmp_path / "LOL", *TREES["LOL"][1])
    assert printed(call("data", "inspect", tmp_path / "LOL", "--json"), "data inspect")["sets"]
    outcome = call("data", "check", tmp_path / "LOL", "--json")
    assert list(json.loads(outcome.out)) == ["format", *documented("data check")]
    outcome = call("data", "pack", tmp_path / "LOL", "-o", tmp_path / "shards", "--json")
    assert printed(outcome, "data pack")["shards"] == 1


def test_every_command_has_the_option_or_prints_no_table() -> None:
    from polyrestore.cli.application import app
    from polyrestore.cli.data import data_app

    commands = {
        command.name: command.callback
        for each in (app, data_app)
        for command in each.registered_commands
        if command.callback is not None
    }
    without = {name for name, callback in commands.items() if "as_json" not in callback.__code__.co_varnames}
    # What they show is a run that goes on.
    assert without == {"app", "train"}


def test_export_tells_its_files(call: Call, bundle: str, tmp_path: Path) -> None:
    place = tmp_path / "model.pt"
    values = printed(
        call("export", "torch", "--as", "rain", "-o", place, "--bundle", bundle, "--json"), "export"
    )
    assert (values["files"], values["weights"]) == ([str(place)], {"rain": 1.0})
    assert 0 <= values["difference"] <= 1 / 255
