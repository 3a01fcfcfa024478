"""The route command, and recognition settings at run time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome
from tests.support.tiny_clip import save_clip, save_da_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_clip(tmp_path_factory.mktemp("encoders") / "clip")
    save_da_clip(folder.parent / "daclip.pt")
    return folder


def test_route_restore_inspect(
    call: Callable[..., Outcome], bundle: str, clip: Path, photographs: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.toml"
    words.write_text('template = "a {} photo"\n[words]\nrain = ["rainy", "wet"]\nclean = []\n')
    target = tmp_path / "routed"
    outcome = call("route", "--clip", clip, "--bundle", bundle, "-o", target, "--words", words, "--top-k", 1)
    assert outcome.code == 0, outcome.err
    assert "rainy, wet" in outcome.out
    assert "temperature 0.01, top_k 1" in outcome.out
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", target)
    assert outcome.code == 0, outcome.err
    report = [json.loads(line) for line in (tmp_path / "out/report.jsonl").read_text().splitlines()]
    assert {tuple(record["similarities"]) for record in report} == {("noise", "rain")}
    assert all(list(record["weights"].values()) == [1] for record in report)
    outcome = call(
        "inspect", photographs / "a.png", "--bundle", target, "--top-k", 2, "--temperature", 5, "--json"
    )
    assert len(json.loads(outcome.out)["files"][0]["weights"]) == 2


def test_route_with_da_clip(call: Callable[..., Outcome], bundle: str, clip: Path, tmp_path: Path) -> None:
    da_clip = clip.parent / "daclip.pt"
    outcome = call(
        *("route", "--clip", clip, "--da-clip", da_clip, "--bundle", bundle, "-o", tmp_path / "routed"),
        *("--temperature", 0.5, "--normalisation", "max", "--name", "eyes", "--json"),
    )
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert (made["kind"], made["encoder"]) == ("da-clip", str(da_clip))
    assert made["words"] == {"noise": ["noisy"], "rain": ["rainy"], "clean": ["clean"]}
    assert (made["settings"]["temperature"], made["settings"]["normalisation"]) == (0.5, "max")


def test_settings_at_run_time_restore_again(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    arguments = ("restore", photographs / "a.png", "-o", tmp_path / "out", "--bundle", bundle)
    assert call(*arguments).code == 0
    assert "1 skipped" in call(*arguments).out
    changed = call(*arguments, "--top-k", 1, "--temperature", "0.05", "--normalisation", "none")
    assert "1 restored" in changed.out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--top-k", 0), 2),
        (("--top-k", 1.5), 2),
        (("--temperature", "warm"), 2),
        (("--temperature", 0), 1),
        (("--temperature", "nan"), 1),
        (("--normalisation", "most"), 1),
    ],
)
def test_bad_settings_are_one_line(
    call: Callable[..., Outcome],
    bundle: str,
    clip: Path,
    photographs: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
) -> None:
    for arguments in (
        ("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle),
        ("inspect", photographs / "a.png", "--bundle", bundle),
        ("route", "--clip", clip, "--bundle", bundle, "-o", tmp_path / "out"),
    ):
        outcome = call(*arguments, *options)
        assert outcome.code == code
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_bad_encoders_are_one_line(
    call: Callable[..., Outcome], bundle: str, clip: Path, tmp_path: Path
) -> None:
    for options in (
        ("--clip", tmp_path / "gone"),
        ("--clip", tmp_path),
        ("--clip", clip, "--da-clip", tmp_path / "gone.pt"),
        ("--clip", clip, "--da-clip", clip / "config.json"),
        ("--clip", clip, "--words", clip / "config.json"),
    ):
        outcome = call("route", *options, "--bundle", bundle, "-o", tmp_path / "out")
        assert outcome.code == 1
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
