"""``polyrestore evaluate``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.evaluation import published
from polyrestore.evaluation.sets import found_sets
from polyrestore.imaging import ImageMetadata, read_image, write_image
from tests.cli.conftest import Outcome
from tests.cli.test_json import documented

Call = Callable[..., Outcome]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three noisy pairs, and in ``perfect`` the truth under the names of the inputs."""
    folder = tmp_path / "pairs"
    for index in range(3):
        generator = torch.Generator().manual_seed(index)
        target = torch.rand(3, 24, 30, generator=generator)
        damaged = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
        write_image(folder / "input" / f"{index}.png", damaged, ImageMetadata())
        write_image(folder / "target" / f"{index}.png", target, ImageMetadata())
        write_image(tmp_path / "perfect" / f"{index}.png", target, ImageMetadata())
    return folder


def test_a_bundle_is_measured_and_everything_written(
    call: Call, bundle: str, pairs: Path, tmp_path: Path
) -> None:
    outcome = call("evaluate", pairs, "--bundle", bundle, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "RGB, rounded to 8 bits" in outcome.out
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["about"]["protocol"] == "files"
    (measured,) = record["restorers"][bundle]
    assert measured["count"] == 3
    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == ["0", "1", "2"]
    assert float(rows[1]["psnr_blind"]) == measured["images"][1]["blind"]["psnr"]
    assert f"| pairs | 3 | {bundle} |" in (tmp_path / "out" / "evaluation.md").read_text()
    assert (tmp_path / "out" / "rows.tex").read_text().count(r"\\") >= 3
    sheets = tmp_path / "out" / "sheets"
    assert sorted(path.name for path in sheets.iterdir()) == ["1-tiny-pairs.png", "images.png", "means.png"]
    # Three rows of four pictures of 30 x 24 px, with margins.
    assert read_image(sheets / "1-tiny-pairs.png").pixels.shape == (3, 3 * (24 + 38), 4 * (30 + 8) + 8)


def test_sheets_show_what_was_measured(call: Call, pairs: Path, tmp_path: Path) -> None:
    assert call("evaluate", pairs, "--results", tmp_path / "perfect", "-o", tmp_path / "out").code == 0
    sheet = read_image(tmp_path / "out" / "sheets" / "1-perfect-pairs.png").pixels
    restored, truth, error = (sheet[:, 30:54, 8 + place * 38 : 38 + place * 38] for place in (1, 2, 3))
    assert torch.equal(restored, truth)
    assert float(error.max()) == 0
    assert float(truth.std()) > 0.2


def test_pictures_that_are_there_are_not_replaced(call: Call, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "sheets").mkdir(parents=True)
    outcome = call("evaluate", pairs, "--results", tmp_path / "perfect", "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "sheets is there already; choose another folder" in outcome.err


def test_somebody_elses_results_are_measured_and_compared(
    call: Call, bundle: str, pairs: Path, tmp_path: Path
) -> None:
    perfect = tmp_path / "perfect"
    outcome = call("evaluate", pairs, "--bundle", bundle, "--results", perfect, "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert list(record) == ["format", *documented("evaluate")]
    (theirs,) = record["restorers"][str(perfect)]
    assert theirs["blind"]["psnr"] == 100
    assert theirs["blind"]["ssim"] == pytest.approx(1)
    (gain,) = [each for each in record["differences"] if each["metric"] == "psnr"]
    assert gain["second"] == str(perfect)
    assert gain["mean"] > 0
    assert gain["wins"] == gain["count"] == 3


def test_results_alone_restore_nothing(call: Call, pairs: Path, tmp_path: Path) -> None:
    outcome = call("evaluate", pairs, "--results", pairs / "input", "--protocol", "weather", "--json")
    (theirs,) = json.loads(outcome.out)["restorers"].values()
    assert theirs[0]["blind"] == theirs[0]["before"]
    assert theirs[0]["protocol"].startswith("BT.601 luma")


def test_the_metrics_that_are_asked_for_are_in_every_table(call: Call, pairs: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", pairs, "--results", tmp_path / "perfect", "--metrics", "ssim,psnr", "--json")
    outcome = call(*arguments, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert record["about"]["metrics"] == "ssim,psnr"
    assert list(record["restorers"][str(tmp_path / "perfect")][0]["blind"]) == ["ssim", "psnr"]
    first, second = ((tmp_path / "out" / name).read_text() for name in ("images.csv", "rows.tex"))
    assert first.startswith("restorer,set,image,ssim_input,ssim_blind,ssim_named,psnr_input")
    assert second.startswith("% SSIM / PSNR in dB\n")
    assert "SSIM / PSNR in dB, the mean" in (tmp_path / "out" / "evaluation.md").read_text()
    outcome = call("evaluate", pairs, "--results", tmp_path / "perfect", "--metrics", "psnr,ms_ssim")
    assert outcome.code == 1
    assert "MS-SSIM needs at least 161x161 px, not 30x24" in outcome.err


def test_published_figures_stand_beside_ours_in_every_table(
    call: Call, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = tmp_path / "perfect"
    (found,) = found_sets(clean, sigma_255=25)
    figure = published.PublishedFigure(
        method="Net_A", sigma_255=25, protocol="all-in-one", psnr=31.5, source="a paper"
    )
    known = published.OfficialSet(
        name="three", images=3, pixels_sha256=published.hash_pixels(found), figures=(figure,)
    )
    monkeypatch.setattr(published, "official_sets", lambda: (known,))
    arguments = ("evaluate", clean, "--results", clean, "--sigma-255", 25)
    outcome = call(*arguments, "--protocol", "all-in-one", "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "perfect noise 25, published in dB of PSNR by this protocol: Net_A 31.50" in outcome.out
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert record["published"]["perfect noise 25"][0]["psnr"] == 31.5
    assert (
        "| perfect noise 25 | Net_A | 31.50 | a paper |" in (tmp_path / "out" / "evaluation.md").read_text()
    )
    assert r"Net\_A & 31.50 / -- \\ % published" in (tmp_path / "out" / "rows.tex").read_text()
    for options in (("--limit", 2), ("--metrics", "ssim"), ("--protocol", "files")):
        plain = call(*arguments, "--protocol", "all-in-one", *options, "--json")
        assert json.loads(plain.out)["published"] == {}
    outcome = call(*arguments[:-1], 0)
    assert outcome.code == 1
    assert "above 0 and at most 255, not 0" in outcome.err


def test_metrics_are_listed_with_what_they_lack(call: Call) -> None:
    entries = {each["name"]: each for each in json.loads(call("list", "metrics", "--json").out)["entries"]}
    assert entries["psnr"] == {
        "name": "psnr",
        "title": "PSNR",
        "unit": "dB",
        "better": "higher",
        "range": "0 to inf",
        "needs": "",
        "missing": "",
    }
    assert entries["lpips"]["better"] == "lower"


def test_the_first_images_only(call: Call, pairs: Path) -> None:
    outcome = call("evaluate", pairs, "--results", pairs / "input", "--limit", 2, "--json")
    record = json.loads(outcome.out)
    assert record["about"]["limit"] == "the first 2 images of each set only"
    assert record["restorers"][str(pairs / "input")][0]["count"] == 2


def test_what_cannot_be_measured_is_one_line(call: Call, bundle: str, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "perfect" / "1.png").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images.csv").write_text("mine")
    for arguments, reason in (
        ((pairs, "--results", tmp_path / "perfect"), "no result for 1"),
        ((tmp_path / "empty",), "empty"),
        ((pairs, "--protocol", "fiels"), "unknown protocol 'fiels'"),
        ((pairs, "--metrics", "psnr,sism"), "unknown metric 'sism'; did you mean 'ssim'?"),
        ((pairs, "--bundle", bundle, "--bundle", bundle), "name each once"),
        ((pairs, "--bundle", bundle, "-o", tmp_path / "out"), "is there already"),
        ((tmp_path / "nowhere",), "nowhere"),
    ):
        outcome = call("evaluate", *arguments)
        assert outcome.code == 1, arguments
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1
        assert outcome.out == ""
    assert (tmp_path / "out" / "images.csv").read_text() == "mine"


def test_results_of_another_size_are_refused(call: Call, pairs: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "perfect" / "2.png", torch.rand(3, 12, 15), ImageMetadata())
    outcome = call("evaluate", pairs, "--results", tmp_path / "perfect")
    assert outcome.code == 1
    assert "15x12 px, its target 30x24 px" in outcome.err
