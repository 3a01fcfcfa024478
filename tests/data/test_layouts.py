from collections import Counter
from pathlib import Path

import pytest

from polyrestore.data import LAYOUTS, find_sets
from polyrestore.errors import DataError, UnknownNameError
from tests.support.set_trees import TREES, plant


@pytest.mark.parametrize("name", TREES)
def test_a_published_layout_is_found_by_looking_at_it(tmp_path: Path, name: str) -> None:
    layout, files, expected = TREES[name]
    found = find_sets(plant(tmp_path / name, *files))
    assert {each.layout for each in found} == {layout}
    counts = Counter((sample.split, sample.task) for each in found for sample in each.samples)
    assert counts == expected


@pytest.mark.parametrize("name", TREES)
def test_partners_show_the_same_scene(tmp_path: Path, name: str) -> None:
    """Names are compared by what is left without the marks of each set."""
    _, files, _ = TREES[name]
    marks = ("norain-", "rain-", "_rain", "_clean", "normal", "low", "x2")

    def scene(path: Path) -> str:
        stem = path.stem
        for mark in marks:
            stem = stem.replace(mark, "")
        return stem.split("_")[0] if not stem.startswith("im_") else stem[:7]

    for each in find_sets(plant(tmp_path / name, *files)):
        for sample in each.samples:
            assert sample.clean.path.exists()
            if sample.degraded is not None:
                assert scene(sample.degraded.path) == scene(sample.clean.path)


def test_every_layout_has_a_tree() -> None:
    assert {layout for layout, _, _ in TREES.values()} == set(LAYOUTS)


def test_several_sets_below_one_folder_are_told_apart(tmp_path: Path) -> None:
    for name in ("LOL", "GoPro", "BSD400"):
        plant(tmp_path / "all" / name, *TREES[name][1])
    found = {(each.layout, each.folder.name, each.split) for each in find_sets(tmp_path / "all")}
    assert found == {
        ("clean", "BSD400", "all"), ("gopro", "train", "train"), ("gopro", "test", "test"),
        ("lol", "our485", "train"), ("lol", "eval15", "test"),
    }  # fmt: skip


def test_the_folder_above_counts_when_it_is_named_after_a_split(tmp_path: Path) -> None:
    plant(tmp_path / "train" / "CC", "input/a.png", "target/a.png")
    plant(tmp_path / "tests_of_mine" / "CC", "input/a.png", "target/a.png")
    assert find_sets(tmp_path / "train" / "CC")[0].split == "train"
    assert find_sets(tmp_path / "tests_of_mine" / "CC")[0].split == "all"


def test_images_without_a_partner_are_named(tmp_path: Path) -> None:
    plant(tmp_path / "LOL" / "our485", "low/1.png", "low/2.png", "high/1.png")
    with pytest.raises(DataError, match=r"1 images of .*our485 have no partner: low/2\.png"):
        find_sets(tmp_path / "LOL")
    plant(tmp_path / "SOTS", "hazy/0001_0.8_0.2.png", "hazy/0002_0.8_0.2.png", "gt/0001.png")
    with pytest.raises(DataError, match=r"hazy/0002_0\.8_0\.2\.png"):
        find_sets(tmp_path / "SOTS")


def test_clean_images_with_one_name_are_refused(tmp_path: Path) -> None:
    plant(tmp_path / "own", "input/a.png", "target/a.png", "target/a.bmp")
    with pytest.raises(DataError, match="two clean images named 'a'"):
        find_sets(tmp_path / "own")


def test_a_task_without_images_is_named(tmp_path: Path) -> None:
    plant(tmp_path / "set", "train/rainy/GT/1.png")
    (tmp_path / "set/train/rainy/LQ").mkdir()
    with pytest.raises(DataError, match=r"no damaged images of task 'rain'"):
        find_sets(tmp_path / "set")


def test_missing_empty_and_unknown_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        find_sets(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no images laid out as any known layout"):
        find_sets(tmp_path)
    plant(tmp_path / "flat", "1.png")
    with pytest.raises(DataError, match="no images laid out as lol"):
        find_sets(tmp_path / "flat", "lol")
    with pytest.raises(UnknownNameError, match="did you mean 'gopro'"):
        find_sets(tmp_path / "flat", "goprow")


def test_hidden_files_and_other_endings_are_passed_over(tmp_path: Path) -> None:
    plant(tmp_path / "flat", "1.png", ".2.png")
    (tmp_path / "flat" / "list.txt").write_text("1.png")
    assert len(find_sets(tmp_path / "flat")[0].samples) == 1
