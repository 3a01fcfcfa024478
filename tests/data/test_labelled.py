"""Reading labels by eye: paths with and without the split, several labels, and what is refused."""

from pathlib import Path

import pytest
from PIL import Image

from polyrestore.data.labelled import read_labelled
from polyrestore.errors import DataError


def write(folder: Path, *rows: str, header: str = "file,labels,strength,kind") -> Path:
    (folder / "rain").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / "rain/a.png")
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_labels_are_read_with_and_without_the_name_of_the_split(tmp_path: Path) -> None:
    found = read_labelled(write(tmp_path, "train/rain/a.png,rain|haze,faint,", "rain/a.png,clean,none,night"))
    assert [each.labels for each in found] == [{"rain", "haze"}, {"clean"}]
    assert [each.is_clean for each in found] == [False, True]
    assert found[0].path == tmp_path / "rain/a.png"
    assert (found[0].strength, found[1].kind) == ("faint", "night")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("rain/b.png,rain,clear,", "not there"),
        ("rain/a.png,rain,heavy,", "strength"),
        ("rain/a.png,clean|rain,clear,", "labels"),
        ("rain/a.png,,clear,", "labels"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_labelled(write(tmp_path, row))


def test_a_missing_table_or_column_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv"):
        read_labelled(tmp_path)
    with pytest.raises(DataError, match="strength"):
        read_labelled(write(tmp_path, "rain/a.png,rain", header="file,labels"))
