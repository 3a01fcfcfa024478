"""inspect, degrade, train and list."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.cli.degrade import parse_severities
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import NotationError, RecipeError, UnknownDegradationError
from polyrestore.imaging import read_image
from tests.cli.conftest import Outcome


def test_inspect_shows_weights_and_file_facts(
    call: Callable[..., Outcome], bundle: str, photographs: Path
) -> None:
    outcome = call("inspect", photographs / "a.png", photographs / "b.jpg", "--bundle", bundle, "--json")
    assert outcome.code == 0, outcome.err
    first, second = json.loads(outcome.out)["files"]
    assert (first["format"], first["width"], first["height"], first["bit_depth"]) == ("PNG", 24, 20, 8)
    assert second["format"] == "JPEG"
    assert set(first["similarities"]) == {"noise", "rain", "clean"}
    assert set(first["weights"]) <= {"noise", "rain"}
    table = call("inspect", photographs / "a.png", "--bundle", bundle)
    assert table.code == 0
    assert "24x20" in table.out


def test_inspect_goes_on_after_an_error(call: Callable[..., Outcome], bundle: str, photographs: Path) -> None:
    outcome = call("inspect", photographs / "gone.png", photographs / "a.png", "--bundle", bundle, "--json")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert ["error" in entry for entry in json.loads(outcome.out)["files"]] == [True, False]


def test_degrade_is_seeded_and_keeps_the_input(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    source = photographs / "a.png"
    before = source.read_bytes()
    for name, seed in (("one.png", 1), ("two.png", 1), ("three.png", 2)):
        outcome = call("degrade", source, "--with", "noise=0.6,jpeg", "-o", tmp_path / name, "--seed", seed)
        assert outcome.code == 0, outcome.err
        assert "noise 0.6, jpeg 0.5" in outcome.out
    one, two, three = (read_image(tmp_path / name).pixels for name in ("one.png", "two.png", "three.png"))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert one.shape == read_image(source).pixels.shape
    assert source.read_bytes() == before

    assert call("degrade", source, "--with", "rain", "-o", tmp_path / "folder").code == 0
    assert (tmp_path / "folder/a.png").is_file()


def test_degrade_overwrites_nothing_unasked(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    source = photographs / "a.png"
    for output in (photographs, source):
        outcome = call("degrade", source, "--with", "rain", "-o", output, "--overwrite")
        assert outcome.code == 1
        assert "is the input" in outcome.err
    assert call("degrade", source, "--with", "rain", "-o", photographs / "b.jpg").code == 1
    assert call("degrade", source, "--with", "rain", "-o", photographs / "b.jpg", "--overwrite").code == 0


@pytest.mark.parametrize(
    "value", ["rian=0.5", "rain=2", "rain=-0.1", "rain=nan", "rain=", "rain,rain", "", ","]
)
def test_bad_severities_are_one_line(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path, value: str
) -> None:
    outcome = call("degrade", photographs / "a.png", "--with", value, "-o", tmp_path / "out.png")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_degrade_makes_pairs_of_a_folder(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    arguments = ("degrade", photographs, "--mixture", "rain+haze", "--crop-px", 16, "-o", tmp_path / "set")
    outcome = call(*arguments)
    assert outcome.code == 0, outcome.err
    assert "2 pairs, haze 0.3, rain 0.4" in outcome.out
    for part in ("input", "target"):
        written = sorted((tmp_path / "set" / part).iterdir())
        assert [path.name for path in written] == ["a.png", "b.png"]
        assert all(read_image(path).pixels.shape == (3, 16, 16) for path in written)
    again = call(*arguments)
    assert again.code == 1
    assert "is there already" in again.err
    assert call(*arguments, "--overwrite").code == 0


def test_degrade_takes_a_mixture_for_one_image_too(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    named = call("degrade", photographs / "a.png", "--mixture", "haze+rain", "-o", tmp_path / "named.png")
    told = call("degrade", photographs / "a.png", "--with", "rain=0.4,haze=0.3", "-o", tmp_path / "told.png")
    assert named.code == told.code == 0
    assert (tmp_path / "named.png").read_bytes() == (tmp_path / "told.png").read_bytes()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--mixture", "haze+rian"], "unknown mixture 'haze+rian'; did you mean"),
        (["--mixture", "haze+rain", "--with", "rain"], "give either --with"),
        ([], "either --with"),
        (["--mixture", "haze+rain", "--crop-px", "0"], "--crop-px"),
        (["--with", "rain=2"], "from 0 to 1"),
    ],
)
def test_degrade_says_what_is_wrong_before_it_writes(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path, extra: list[str], message: str
) -> None:
    for source in (photographs, photographs / "a.png"):
        outcome = call("degrade", source, "-o", tmp_path / "out", *extra)
        assert outcome.code in (1, 2)
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_degrade_refuses_folders_that_cannot_be_used(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for source, output, message in (
        (tmp_path / "empty", tmp_path / "out", "no images in"),
        (tmp_path / "gone", tmp_path / "out", "gone"),
        (photographs, photographs / "out", "lies in the input folder"),
        (photographs, photographs, "lies in the input folder"),
    ):
        outcome = call("degrade", source, "--mixture", "haze+rain", "-o", output)
        assert outcome.code == 1
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
    single = ("degrade", photographs / "a.png", "--mixture", "haze+rain", "-o", tmp_path / "out")
    assert "for folders" in call(*single, "--crop-px", 8).err


def test_severities_are_parsed() -> None:
    assert parse_severities(" rain = 0.25 , jpeg", DEGRADATIONS) == {"rain": 0.25, "jpeg": 0.5}
    with pytest.raises(UnknownDegradationError, match="did you mean 'motion_blur'"):
        parse_severities("motionblur", DEGRADATIONS)
    with pytest.raises(NotationError, match="twice"):
        parse_severities("rain,rain=1", DEGRADATIONS)


def test_train_passes_its_options_on(
    call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[object, ...]] = []

    def run_recipe(recipe_path: Path, **options: object) -> Path:
        assert callable(options.pop("on_event"))
        assert options.pop("stop_when")() is False  # type: ignore[operator]
        calls.append((recipe_path, options))
        return tmp_path

    monkeypatch.setattr("polyrestore.training.run.run_recipe", run_recipe)
    monkeypatch.chdir(tmp_path)
    Path("recipe.toml").write_text("")
    assert (
        call("train", "recipe.toml", "--set", "steps=3", "--set", "seed=1", "--fresh", "-o", tmp_path).code
        == 0
    )
    assert call("train", "recipe.toml").code == 0
    assert calls == [
        (
            Path("recipe.toml"),
            {"output_folder": tmp_path, "resume": False, "overrides": ("steps=3", "seed=1"), "tiny": False},
        ),
        (Path("recipe.toml"), {"output_folder": None, "resume": True, "overrides": (), "tiny": False}),
    ]


def test_train_shows_recipe_errors_as_one_line(
    call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run_recipe(recipe_path: Path, **options: object) -> Path:
        raise RecipeError("unknown key 'stesp'; did you mean 'steps'?")

    monkeypatch.setattr("polyrestore.training.run.run_recipe", run_recipe)
    (tmp_path / "recipe.toml").write_text("")
    outcome = call("train", tmp_path / "recipe.toml")
    assert outcome.code == 1
    assert outcome.err == "error: unknown key 'stesp'; did you mean 'steps'?\n"


def test_lists(call: Callable[..., Outcome], bundle: str) -> None:
    def names(*arguments: str) -> set[str]:
        outcome = call("list", *arguments, "--json")
        assert outcome.code == 0, outcome.err
        return {entry["name"] for entry in json.loads(outcome.out)["entries"]}

    assert names("degradations") == set(DEGRADATIONS)
    assert names("adapters", "--bundle", bundle) == {"noise", "rain"}
    assert "compact" in names("backbones")
    assert {"uniform", "art"} <= names("weightings")
    names("bundles")
    assert {"low_light+haze+rain", "noise+jpeg"} <= names("mixtures")
    for kind in ("degradations", "mixtures", "backbones", "weightings", "bundles"):
        outcome = call("list", kind)
        assert outcome.code == 0
        assert outcome.out
    backbones = {
        entry["name"]: entry for entry in json.loads(call("list", "backbones", "--json").out)["entries"]
    }
    assert backbones["restormer"]["parameters"] == 26_126_644
    assert backbones["restormer"]["options"]["blocks"] == [4, 6, 6, 8]
    weightings = {
        entry["name"]: entry for entry in json.loads(call("list", "weightings", "--json").out)["entries"]
    }
    assert weightings["art"]["options"] == {"temperature": 0.1, "momentum": 0.01, "forgetting": 0.0}
    assert weightings["uniform"]["options"] == {}
    assert all(entry["summary"].endswith(".") for entry in weightings.values())
    adapters = json.loads(call("list", "adapters", "--bundle", bundle, "--json").out)["entries"]
    assert all(entry["kind"] == "lora" and entry["parameters"] > 0 for entry in adapters)


def test_short_names_stay_whole_in_narrow_terminals(
    call: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = call("list", "backbones").out
    assert all(name in out for name in ("transweather", "restormer", "airnet"))


def test_paths_longer_than_paths_can_be_are_told_in_one_line(
    call: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    long, out, picture = "x" * 5000 + ".png", tmp_path / "out", photographs / "a.png"
    for arguments in (
        ("restore", long, "-o", out),
        ("restore", picture, "-o", long),
        ("restore", picture, "-o", out, "--bundle", f"./{long}"),
        ("inspect", long),
        ("degrade", long, "-o", out / "a.png", "--with", "noise"),
        ("degrade", picture, "-o", long, "--with", "noise"),
        ("evaluate", long),
        ("train", long),
        ("import", long, "-o", out),
        ("data", "inspect", long),
        ("data", "check", long),
        ("--plugin", long, "list", "bundles"),
    ):
        outcome = call(*arguments)
        assert outcome.code in (1, 2), arguments
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1, outcome.err


def test_a_working_folder_that_was_removed_is_told(
    call: Callable[..., Outcome], photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", fail)
    outcome = call("restore", photographs, "-o", photographs.parent / "out")
    assert outcome.code == 1
    assert outcome.err.startswith("error: the folder that the command was started in is not there")
