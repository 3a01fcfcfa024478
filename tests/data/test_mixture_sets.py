from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.data import centre_crop, damaged_alike, find_sets, load_pairs, write_mixture_set
from polyrestore.degradations import MIXTURES
from polyrestore.errors import DataError, DegradationError, ImageError, OutputError, UnknownNameError
from polyrestore.imaging import ImageMetadata, write_image

HAZE_RAIN = MIXTURES["haze+rain"].severities


def random_pixels(height: int, width: int, seed: int = 0) -> torch.Tensor:
    levels = torch.randint(256, (3, height, width), generator=torch.Generator().manual_seed(seed))
    return levels / 255


def photographs(folder: Path, *names: str) -> Path:
    for name in names:
        # Seeded by the name, so that one photograph is the same in every folder.
        write_image(folder / name, random_pixels(24, 30, sum(name.encode())), ImageMetadata())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(MIXTURES)),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    image_name=st.text(max_size=8),
    seed=st.integers(-(2**70), 2**70),
)
def test_any_image_of_any_name_becomes_an_8_bit_image_of_its_size(
    name: str, height: int, width: int, image_name: str, seed: int
) -> None:
    image = random_pixels(height, width)
    before = image.clone()
    damaged = damaged_alike(image, MIXTURES[name].severities, image_name, seed)
    assert damaged.shape == image.shape
    assert torch.equal((damaged * 255).round().clamp(0, 255) / 255, damaged)
    assert torch.equal(damaged, damaged_alike(image, MIXTURES[name].severities, image_name, seed))
    assert torch.equal(image, before)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), side=st.integers(1, 50))
def test_a_crop_is_the_centre_and_never_larger_than_the_image(height: int, width: int, side: int) -> None:
    image = random_pixels(height, width)
    cut = centre_crop(image, side)
    assert cut.shape == (3, min(height, side), min(width, side))
    top, left = (height - cut.shape[1]) // 2, (width - cut.shape[2]) // 2
    assert torch.equal(cut, image[:, top : top + cut.shape[1], left : left + cut.shape[2]])
    assert centre_crop(image, None) is image


def test_name_and_seed_decide_and_the_order_of_severities_does_not() -> None:
    image = random_pixels(32, 32)
    first = damaged_alike(image, {"haze": 0.5, "rain": 0.5}, "a", 1)
    assert torch.equal(first, damaged_alike(image, {"rain": 0.5, "haze": 0.5}, "a", 1))
    for name, seed in (("b", 1), ("a", 2)):
        assert not torch.equal(first, damaged_alike(image, {"haze": 0.5, "rain": 0.5}, name, seed))


def test_darkness_comes_after_haze() -> None:
    """Haze in front of a dark scene would be bright; a dark photograph of a hazy scene is dark all over."""
    white = torch.ones(3, 48, 48)
    names = "abcdefgh"
    dark = torch.stack([damaged_alike(white, {"low_light": 0.9, "haze": 0.9}, name) for name in names])
    hazy = torch.stack([damaged_alike(white, {"haze": 0.9}, name) for name in names])
    assert float(dark.mean((1, 2, 3)).median()) < 0.2 < 0.5 < float(hazy.mean((1, 2, 3)).median())


def test_pairs_are_written_and_found_as_a_set(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", "a.png", "b.tif")
    before = contents(folder)
    assert write_mixture_set(folder, tmp_path / "out", HAZE_RAIN, seed=3) == 2
    assert contents(folder) == before
    assert set(contents(tmp_path / "out")) == {
        "input/a.png", "input/b.png", "target/a.png", "target/b.png", "mixture.json",
    }  # fmt: skip
    for pair, name in zip(load_pairs(tmp_path / "out"), ("a.png", "b.tif"), strict=True):
        target = random_pixels(24, 30, sum(name.encode()))
        assert torch.equal(pair.clean / 255, target)
        assert torch.equal(pair.degraded / 255, damaged_alike(target, HAZE_RAIN, pair.name, 3))
    about = json.loads((tmp_path / "out" / "mixture.json").read_text())
    assert about == {"degradations": dict(HAZE_RAIN), "seed": 3, "crop_px": None, "pairs": 2}
    found = find_sets(tmp_path / "out")
    assert [len(each.samples) for each in found] == [2]
    assert all(sample.degraded is not None for sample in found[0].samples)


def test_a_pair_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    alone, many = photographs(tmp_path / "1", "m.png"), photographs(tmp_path / "3", "a.png", "m.png", "z.png")
    for folder, name in ((alone, "alone"), (many, "many")):
        write_mixture_set(folder, tmp_path / name, HAZE_RAIN, crop_px=16)
    first, second = contents(tmp_path / "alone"), contents(tmp_path / "many")
    for part in ("input/m.png", "target/m.png"):
        assert first[part] == second[part]
    assert load_pairs(tmp_path / "alone")[0].clean.shape == (3, 16, 16)


def test_nothing_of_anybodys_is_overwritten_unasked(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "in", "a.png", "b.png")
    photographs(tmp_path / "out" / "target", "b.png")
    before = contents(tmp_path / "out")
    with pytest.raises(OutputError, match=r"b\.png is there already; choose another output folder"):
        write_mixture_set(folder, tmp_path / "out", HAZE_RAIN)
    assert contents(tmp_path / "out") == before
    assert write_mixture_set(folder, tmp_path / "out", HAZE_RAIN, overwrite=True) == 2
    with pytest.raises(OutputError, match="and 4 more is there already"):
        write_mixture_set(folder, tmp_path / "out", HAZE_RAIN)


@pytest.mark.parametrize("output", [".", "made", "a/b"])
def test_an_output_folder_in_the_input_folder_is_refused(tmp_path: Path, output: str) -> None:
    folder = photographs(tmp_path / "in", "a.png")
    with pytest.raises(OutputError, match="lies in the input folder"):
        write_mixture_set(folder, folder / output, HAZE_RAIN, overwrite=True)
    assert set(contents(folder)) == {"a.png"}


def test_photographs_that_are_the_targets_already_are_not_overwritten(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "set" / "target", "a.png")
    with pytest.raises(OutputError, match="is the input folder"):
        write_mixture_set(folder, tmp_path / "set", HAZE_RAIN, overwrite=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "input").symlink_to(tmp_path / "set", target_is_directory=True)
    with pytest.raises(OutputError, match="leads out of the output folder"):
        write_mixture_set(folder, tmp_path / "out", HAZE_RAIN, overwrite=True)
    assert set(contents(tmp_path / "set")) == {"target/a.png"}


def test_what_cannot_be_used_is_named_before_anything_is_written(tmp_path: Path) -> None:
    folder, output = photographs(tmp_path / "in", "a.png", "a.tif"), tmp_path / "out"
    with pytest.raises(DataError, match=r"a\.png and a\.tif of .* would have one name"):
        write_mixture_set(folder, output, HAZE_RAIN)
    (folder / "a.tif").unlink()
    with pytest.raises(UnknownNameError, match="unknown degradation 'rian'"):
        write_mixture_set(folder, output, {"rian": 0.5})
    with pytest.raises(DegradationError, match="severity of rain is 2"):
        write_mixture_set(folder, output, {"rain": 2})
    with pytest.raises(DataError, match="at least 1 px, not 0"):
        write_mixture_set(folder, output, HAZE_RAIN, crop_px=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images in"):
        write_mixture_set(tmp_path / "empty", output, HAZE_RAIN)
    with pytest.raises(DataError, match="no folder"):
        write_mixture_set(tmp_path / "none", output, HAZE_RAIN)
    assert not output.exists()
    (folder / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.png"):
        write_mixture_set(folder, output, HAZE_RAIN)
