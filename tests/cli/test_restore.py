"""The restore command on a real bundle of tiny, untrained parts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.bundles.fingerprint import fingerprint
from polyrestore.imaging import read_image
from polyrestore.restoration.restorer import Restorer
from tests.cli.conftest import Outcome
from tests.support.tiny_bundle import tiny_bundle


def report(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "report.jsonl").read_text().splitlines()]


def test_restore_writes_images_a_table_and_a_report(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    arguments = (
        "restore",
        photographs,
        "-o",
        tmp_path / "out",
        "--bundle",
        bundle,
        "--as",
        "rain=0.7,noise=0.3",
    )
    outcome = call(*arguments, "--recursive")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert "3 found: 3 restored, 0 skipped, 0 failed" in outcome.out
    assert "rain 0.70, noise 0.30" in outcome.out
    assert "sub/c.png" in outcome.out
    for line in report(tmp_path / "out"):
        assert line["status"] == "restored"
        assert line["weights"] == {"rain": 0.7, "noise": 0.3}
        assert line["identity"]["as"] == line["weights"]
        assert line["identity"]["bundle"] == "tiny"
        before = read_image(line["input"]).pixels
        after = read_image(tmp_path / "out" / line["output"]).pixels
        assert before.shape == after.shape
        assert not torch.equal(before, after)
    assert "3 skipped" in call(*arguments, "-r").out
    assert "3 restored" in call(*arguments, "-r", "--strength", "0.5").out


def test_restore_recognises_by_itself(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    outcome = call("restore", photographs / "a.png", "-o", tmp_path / "out", "--bundle", bundle)
    assert outcome.code == 0, outcome.err
    assert set(report(tmp_path / "out")[0]["similarities"]) == {"noise", "rain", "clean"}


def test_restore_explains(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    arguments = (
        "restore",
        photographs / "a.png",
        "-o",
        tmp_path / "out",
        "--bundle",
        bundle,
        "--as",
        "rain=0.7,noise=0.3",
    )
    assert call(*arguments).code == 0
    outcome = call(*arguments, "--explain")
    assert outcome.code == 0, outcome.err
    assert "1 restored" in outcome.out
    assert f"explained: {tmp_path / 'out' / 'explained'}" in outcome.out
    named = report(tmp_path / "out")[0]["explanation"]
    folder = tmp_path / "out" / "explained" / "a.png"
    assert sorted(named) == sorted(f"explained/a.png/{path.name}" for path in folder.iterdir())
    weights = json.loads((folder / "weights.json").read_text())["weights"]
    assert list(weights.items()) == [("rain", 0.7), ("noise", 0.3)]
    result = read_image(tmp_path / "out" / "a.png").pixels
    assert torch.equal(read_image(folder / "2-noise-added.png").pixels, result)
    assert not torch.equal(read_image(folder / "1-rain-alone.png").pixels, result)
    assert "1 skipped" in call(*arguments, "--explain").out
    assert "1 skipped" in call(*arguments).out


def test_failing_files_do_not_stop_the_others(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "zero.png").write_bytes(b"")
    (photographs / "text.jpg").write_text("no image")
    outcome = call("restore", photographs, tmp_path / "gone.png", "-o", tmp_path / "out", "--bundle", bundle)
    assert outcome.code == 1
    assert "5 found: 2 restored, 0 skipped, 3 failed" in outcome.out
    errors = outcome.err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("error: ") for line in errors)
    for name in ("zero.png", "text.jpg", "gone.png"):
        assert any(name in line for line in errors)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--as", "rian"], "did you mean 'rain'"),
        (["--as", "rain=x"], "number"),
        (["--as", "rain=-1"], "-1"),
        (["--as", "rain=0.7,noise=0.7"], "at most 1"),
        (["--as", ""], "at least one"),
        (["--strength", "nan"], "strength"),
        (["--device", "abacus"], "abacus"),
        (["--device", "meta"], "meta"),
        (["--quality", "beste"], "did you mean 'best'"),
        (["--precision", "float8"], "float8"),
        (["--precision", "float16", "--device", "cpu"], "float16"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    extra: list[str],
    message: str,
) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, *extra)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_bundle_empty_folder_and_bad_output(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for arguments in (
        (photographs, "-o", tmp_path / "out", "--bundle", tmp_path / "no-bundle"),
        (tmp_path / "empty", "-o", tmp_path / "out", "--bundle", bundle),
        (photographs, "-o", photographs, "--bundle", bundle),
        (photographs, "-o", tmp_path / "file", "--bundle", bundle),
    ):
        outcome = call("restore", *arguments)
        assert outcome.code == 1
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("\n") == 1


def test_other_weights_restore_again(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    other = save_bundle(tmp_path / "other" / "tiny", tiny_bundle(seed=5))
    arguments = ("restore", photographs / "a.png", "-o", tmp_path / "out", "--as", "rain", "--bundle")
    assert "1 restored" in call(*arguments, bundle).out
    assert "1 restored" in call(*arguments, other).out
    assert "1 skipped" in call(*arguments, other).out


def test_fingerprint_depends_on_every_part() -> None:
    reference = fingerprint(tiny_bundle())
    assert fingerprint(tiny_bundle()) == reference
    changed = []
    for part in range(4):
        bundle = tiny_bundle()
        if part == 0:
            next(iter(bundle.backbone.parameters())).data.view(-1)[0] += 0.1
        elif part == 1:
            next(iter(bundle.adapters["rain"].tensors.values())).view(-1)[0] += 0.1
        elif part == 2:
            bundle.prototypes["clean"][0] += 0.1
        else:
            bundle.recognition_settings["temperature"] = 0.5
        changed.append(fingerprint(bundle))
    assert len({reference, *changed}) == 5


def test_fingerprint_is_that_of_the_loaded_bundle(bundle: str) -> None:
    assert fingerprint(load_bundle(bundle)) == fingerprint(load_bundle(bundle))


def test_a_large_run_says_first_what_it_takes(
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from polyrestore import devices
    from polyrestore.bulk import estimate
    from polyrestore.cli import estimating

    arguments = ("restore", photographs, "--bundle", bundle, "--as", "rain", "-o")
    assert "estimate" not in call(*arguments, tmp_path / "small").out
    monkeypatch.setattr(estimating, "_LARGE_MEGAPIXELS", 0.0005)
    outcome = call(*arguments, tmp_path / "large")
    assert outcome.code == 0, outcome.err
    told = r"estimate: 2 files, 0 megapixels, \d\.\d GB of memory, at most about \d+ s on cpu \(one tile of "
    assert re.match(told, outcome.out)
    measure = estimate.estimate

    def fill_the_memory(*arguments: Any, **options: Any) -> Any:
        # The network is loaded by now, so that what is refused is the run.
        monkeypatch.setattr(devices, "_free_of_system", lambda: 100)
        return measure(*arguments, **options)

    monkeypatch.setattr(estimate, "estimate", fill_the_memory)
    outcome = call(*arguments, tmp_path / "refused")
    assert outcome.code == 1
    assert re.fullmatch(
        r"error: the largest image, even in tiles \(--tile-px takes smaller ones\), needs [^\n]*\n",
        outcome.err,
    )
    assert not (tmp_path / "refused").exists()


def test_a_damaged_report_costs_one_line_and_no_file(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = ("restore", photographs, "-o", output, "--bundle", bundle, "--as", "rain")
    assert call(*arguments).code == 0
    good, _ = (output / "report.jsonl").read_text().splitlines()
    (output / "report.jsonl").write_bytes(good.encode() + b"\n\x00\xff[[[[\n")
    before = (output / "b.jpg").read_bytes()
    outcome = call(*arguments)
    assert outcome.code == 1
    assert "2 found: 0 restored, 1 skipped, 1 failed" in outcome.out
    note, error = outcome.err.splitlines()
    assert note.startswith("note: ")
    assert "report-damaged-1.jsonl" in note
    assert "b.jpg is there already and no earlier run wrote it" in error
    assert (output / "b.jpg").read_bytes() == before
    outcome = call(*arguments, "--overwrite")
    assert (outcome.code, outcome.err) == (0, "")


def test_an_interrupted_run_says_how_far_it_came_and_continues(
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restore, given = Restorer.restore, iter(["first"])

    def restore_one(self: Restorer, *arguments: Any, **options: Any) -> Any:
        if next(given, None) is None:
            raise KeyboardInterrupt
        return restore(self, *arguments, **options)

    arguments = ("restore", photographs, "-r", "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain")
    monkeypatch.setattr(Restorer, "restore", restore_one)
    outcome = call(*arguments)
    assert (outcome.code, outcome.err) == (130, "error: interrupted\n")
    told = "3 found: 1 restored, 0 skipped, 0 failed, 2 not reached; run again to continue\n"
    assert outcome.out == told
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if "report" not in path.name) == [
        "a.png"
    ]
    monkeypatch.undo()
    assert "3 found: 2 restored, 1 skipped, 0 failed" in call(*arguments).out


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (95, "2 min"), (3600 * 2 + 600, "2 h 10 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    from polyrestore.cli.progress import duration

    assert duration(seconds) == text


def test_what_a_folder_holds_beside_images_is_told(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "holiday.pdf").write_bytes(b"no kind that can be read")
    outcome = call(
        "restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "rain", "--strength", 0
    )
    assert outcome.code == 0, outcome.err
    assert "1 file of another kind left out (1 .pdf)" in outcome.out


@pytest.mark.parametrize("arguments", [("",), ("a.png", "--bundle=")])
def test_an_empty_argument_is_an_error(
    call: Callable[..., Outcome], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outcome = call("restore", *arguments, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.startswith("error: an argument is empty")
    assert not (tmp_path / "out").exists()


def test_images_that_are_too_large_are_refused_without_an_estimate(
    call: Callable[..., Outcome],
    bundle: str,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from polyrestore.cli import estimating

    monkeypatch.setattr(estimating, "_LARGE_MEGAPIXELS", 0.0004)
    arguments = ("restore", photographs / "a.png", "--bundle", bundle, "--as", "rain", "-o", tmp_path / "out")
    outcome = call(*arguments, "--max-megapixels", 0.0003)
    assert outcome.code == 1
    assert "--max-megapixels" in outcome.err
    assert "estimate" not in outcome.out
    outcome = call(*arguments, "--max-megapixels", 0.0003, "--dry-run")
    assert "1 would fail" in outcome.out
    assert "estimate: 1 file, " in call(*arguments).out
