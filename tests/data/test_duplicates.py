import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps

from polyrestore.data import HashMemory, ImageFile, check_sets, find_duplicates, find_sets
from polyrestore.errors import MissingExtraError
from tests.support.set_trees import plant


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Patches of colour at many scales: as little alike as photographs are."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, size[1], size[0])
    for cells in (3, 6, 12, 24):
        field = torch.rand((1, 3, cells, cells), generator=generator)
        image += torch.nn.functional.interpolate(field, size=size[::-1], mode="bicubic")
    return Image.fromarray((image[0].permute(1, 2, 0) / 4 * 255).clamp(0, 255).round().byte().numpy())


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for side, seeds in (("train", range(12)), ("test", range(100, 108))):
        (tmp_path / side).mkdir()
        for seed in seeds:
            scene(seed).save(tmp_path / side / f"{seed}.png")
    return tmp_path


def files(folder: Path) -> list[ImageFile]:
    return [ImageFile(path) for path in sorted(folder.iterdir())]


def test_different_scenes_are_no_duplicates(sides: Path) -> None:
    assert find_duplicates(files(sides / "train"), files(sides / "test")) == []


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (lambda image: image.resize((80, 60)), False),
        (lambda image: ImageOps.mirror(image), True),
        (lambda image: image.convert("L"), False),
        (lambda image: image.crop((2, 2, 158, 118)), False),
    ],
    ids=["half the size", "mirrored", "grey", "cut"],
)
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_changed_copy_is_found_and_named(
    sides: Path, change: Callable[[Image.Image], Image.Image], mirrored: bool, ending: str
) -> None:
    change(scene(7)).save(sides / "test" / f"copy.{ending}", quality=60)
    (found,) = find_duplicates(files(sides / "train"), files(sides / "test"))
    assert (found.training.path.name, found.held_out.path.name) == ("7.png", f"copy.{ending}")
    assert found.mirrored == mirrored
    assert "7.png" in str(found)
    assert ("mirrored" in str(found)) == mirrored


def test_images_of_any_mode_are_hashed(sides: Path) -> None:
    image = scene(7)
    image.convert("CMYK").save(sides / "test" / "c.tif")
    image.quantize(64).save(sides / "test" / "p.png")
    Image.merge("RGBA", (*image.split(), Image.new("L", image.size, 255))).save(sides / "test" / "a.png")
    grey = image.convert("L")
    grey.convert("I").point(lambda value: value * 257).convert("I;16").save(sides / "test" / "deep.png")
    found = find_duplicates(files(sides / "train"), files(sides / "test"))
    assert {each.held_out.path.name for each in found} == {"c.tif", "p.png", "a.png", "deep.png"}


def test_hashes_are_kept_until_the_file_changes(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sides / "hashes.json"
    memory = HashMemory(path)
    find_duplicates(files(sides / "train"), files(sides / "test"), memory)
    with monkeypatch.context() as patch:
        patch.setattr("polyrestore.data.duplicates.image_hashes", lambda file: pytest.fail(f"hashed {file}"))
        again = HashMemory(path)
        assert find_duplicates(files(sides / "train"), files(sides / "test"), again) == []
    scene(3, (170, 120)).save(sides / "test" / "100.png")
    (found,) = find_duplicates(files(sides / "train"), files(sides / "test"), HashMemory(path))
    assert found.training.path.name == "3.png"
    path.write_text("no JSON")
    assert find_duplicates(files(sides / "train"), files(sides / "test"), HashMemory(path)) == [found]


def test_nothing_to_compare_needs_no_library(monkeypatch: pytest.MonkeyPatch, sides: Path) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert find_duplicates(files(sides / "train"), []) == []
    with pytest.raises(MissingExtraError, match=r"pip install 'polyrestore\[data\]'"):
        find_duplicates(files(sides / "train"), files(sides / "test"))


def test_unreadable_files_and_sizes_are_problems(tmp_path: Path) -> None:
    folder = plant(tmp_path / "own", "input/a.png", "input/b.png", "input/c.png", "target/c.png")
    plant(folder, "target/a.png", size=(9, 9))
    (folder / "target" / "b.png").write_bytes((folder / "target" / "c.png").read_bytes()[:60])
    samples = [sample for found in find_sets(folder) for sample in found.samples]
    problems = check_sets(samples, samples[2:])
    assert [problem.kind for problem in problems] == ["unreadable", "sizes", "duplicate"]
    assert "target/b.png" in problems[0].message
    assert problems[1].file.endswith("input/a.png")
    assert "20x16 px" in problems[1].message
    assert "9x9 px" in problems[1].message
