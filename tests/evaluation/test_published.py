"""Official sets are recognised by their pixels and nothing else; what belongs beside them is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyrestore.errors import DataError
from polyrestore.evaluation.protocols import PROTOCOLS
from polyrestore.evaluation.published import (
    OfficialSet,
    PublishedFigure,
    hash_pixels,
    official_sets,
    published_figures,
)
from polyrestore.evaluation.sets import EvaluationSet, found_sets
from polyrestore.imaging import ImageMetadata, write_image

SHARED = Path(__file__).parents[3] / "shared" / "data" / "test"


def plant(folder: Path, names: tuple[str, ...], change: int = 0) -> Path:
    for index, name in enumerate(names):
        pixels = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(index))
        pixels = (pixels * 255).round() / 255
        pixels[0, 0, 0] = change / 255 if index == 0 else pixels[0, 0, 0]
        write_image(folder / name, pixels, ImageMetadata())
    return folder


def noisy(folder: Path, sigma_255: float | None = 25) -> EvaluationSet:
    (found,) = found_sets(folder, "clean", sigma_255=sigma_255)
    return found


@pytest.fixture
def known(tmp_path: Path) -> OfficialSet:
    """A generated set that stands for an official one."""
    official = plant(tmp_path / "official", ("0.png", "1.png", "2.png"))
    figures = tuple(
        PublishedFigure(method=f"net {sigma}", sigma_255=sigma, protocol=protocol, psnr=30, source="a paper")
        for sigma in (15, 25)
        for protocol in ("all-in-one", "denoising")
    )
    return OfficialSet(name="three", images=3, pixels_sha256=hash_pixels(noisy(official)), figures=figures)


def test_the_same_pixels_are_recognised_under_other_names_and_formats(
    known: OfficialSet, tmp_path: Path
) -> None:
    copy = plant(tmp_path / "copy", ("c.bmp", "b.tiff", "a.png"))
    (figure,) = published_figures(noisy(copy), "all-in-one", [known])
    assert (figure.method, figure.protocol) == ("net 25", "all-in-one")
    (figure,) = published_figures(noisy(copy, 15), "denoising", [known])
    assert (figure.method, figure.protocol) == ("net 15", "denoising")


def test_anything_else_gets_nothing(known: OfficialSet, tmp_path: Path) -> None:
    names = ("0.png", "1.png", "2.png")
    same = plant(tmp_path / "same", names)
    assert published_figures(noisy(same), "all-in-one", [known])
    assert not published_figures(noisy(same, 50), "all-in-one", [known])
    assert not published_figures(noisy(same, None), "all-in-one", [known])
    assert not published_figures(noisy(same), "files", [known])
    assert not published_figures(noisy(plant(tmp_path / "less", names[:2])), "all-in-one", [known])
    assert not published_figures(noisy(plant(tmp_path / "other", names, change=9)), "all-in-one", [known])


def test_the_hash_of_pairs_depends_on_their_inputs(tmp_path: Path) -> None:
    hashes = set()
    for number, change in enumerate((0, 1)):
        plant(tmp_path / f"{number}" / "target", ("a.png", "b.png"))
        plant(tmp_path / f"{number}" / "input", ("a.png", "b.png"), change)
        (pairs,) = found_sets(tmp_path / f"{number}", "pairs")
        hashes.add(hash_pixels(pairs))
    assert len(hashes) == 2


def test_noise_is_for_clean_photographs(tmp_path: Path) -> None:
    plant(tmp_path / "input", ("a.png",))
    plant(tmp_path / "target", ("a.png",))
    with pytest.raises(DataError, match="holds pairs; noise is added to clean photographs only"):
        found_sets(tmp_path, sigma_255=25)


def test_noise_is_that_of_the_published_comparisons(tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png", torch.full((3, 200, 200), 100 / 255), ImageMetadata())
    found = noisy(tmp_path)
    assert (found.name, found.named) == (f"{tmp_path.name} noise 25", "noise")
    image = found.image(0)
    levels = image.degraded * 255
    assert torch.equal(levels, levels.round())
    difference = (image.degraded - image.target) * 255
    assert float(difference.std()) == pytest.approx(25, rel=0.02)
    # Whole values are cut to, not rounded to.
    assert float(difference.mean()) == pytest.approx(-0.5, abs=0.25)
    assert torch.equal(found.image(0).degraded, image.degraded)


def test_every_figure_has_a_protocol_that_there_is_and_a_source() -> None:
    for each in official_sets():
        for figure in each.figures:
            assert figure.protocol in PROTOCOLS
            assert len(figure.source) > 10
        keys = [(figure.method, figure.sigma_255, figure.protocol) for figure in each.figures]
        assert len(set(keys)) == len(keys)


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "CBSD68").is_dir(), reason="needs the research images")
def test_the_official_photographs_are_recognised() -> None:
    figures = published_figures(noisy(SHARED / "CBSD68"), "all-in-one")
    assert {figure.method: figure.psnr for figure in figures}["PromptIR"] == 31.31
