"""Finding inputs and naming outputs."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.bulk.files import FileJob, describe_kinds, find_jobs, free_name, named_for_format
from polyrestore.errors import ImageError, OutputError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def outputs(jobs: list[FileJob]) -> list[str]:
    return [PurePath(job.output).as_posix() for job in jobs]


def test_folders_give_their_images_and_with_recursive_the_sub_folders(tmp_path: Path) -> None:
    source = tmp_path / "in"
    touch(
        source / "b.PNG",
        source / "a.jpg",
        source / "notes.txt",
        source / "sub/c.webp",
        source / ".hidden.png",
    )
    touch(source / ".cache/d.png")
    assert outputs(find_jobs([source], tmp_path / "out", recursive=False)) == ["a.jpg", "b.PNG"]
    assert outputs(find_jobs([source], tmp_path / "out", recursive=True)) == ["a.jpg", "b.PNG", "sub/c.webp"]


def test_equal_names_do_not_collide(tmp_path: Path) -> None:
    touch(tmp_path / "one/x.png", tmp_path / "two/x.png", tmp_path / "two/X.PNG", tmp_path / "one/x-2.png")
    jobs = find_jobs([tmp_path / "one", tmp_path / "two"], tmp_path / "out", recursive=False)
    assert len(jobs) == 4
    assert len({name.casefold() for name in outputs(jobs)}) == 4
    assert outputs(jobs)[:2] == ["x-2.png", "x.png"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a.png", "A.png", "a-2.png", "a-3.PNG", "b.jpg", "s/a.png"]), max_size=12))
def test_free_names_are_unique_whatever_is_asked_for(wanted: list[str]) -> None:
    taken: set[str] = set()
    names = [free_name(PurePath(name), taken) for name in wanted]
    assert len({str(name).casefold() for name in names}) == len(wanted)
    assert all(name.parent == PurePath(want).parent for name, want in zip(names, wanted, strict=True))


def test_a_file_named_twice_is_one_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "in/a.png")
    monkeypatch.chdir(tmp_path)
    jobs = find_jobs(["in/a.png", tmp_path / "in", "./in/../in/a.png"], tmp_path / "out", recursive=True)
    assert outputs(jobs) == ["a.png"]


def test_the_output_folder_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "out/a.png", tmp_path / "out/deep/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert outputs(find_jobs([tmp_path], tmp_path / "out", recursive=True)) == ["a.png"]
    assert outputs(find_jobs([tmp_path], tmp_path / "link", recursive=True)) == ["a.png"]


def test_inputs_are_never_outputs(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.png", tmp_path / "in/sub/b.png", tmp_path / "other/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for inputs, output in (
        (["in"], "in"),
        (["in/a.png"], "in"),
        (["link"], "in"),
        (["in/a.png"], "link"),
        (["in/sub/b.png", "other/b.png"], "other"),
    ):
        with pytest.raises(OutputError, match="choose another output folder"):
            find_jobs([tmp_path / name for name in inputs], tmp_path / output, recursive=True)
    assert outputs(find_jobs([tmp_path / "in/a.png"], tmp_path / "other", recursive=False)) == ["a.png"]


def test_names_with_dots_stay_inside(tmp_path: Path) -> None:
    touch(tmp_path / "in/..a.png")
    jobs = find_jobs(
        [f"{tmp_path}/in/../in/..a.png", f"{tmp_path}/missing/.."], tmp_path / "out", recursive=True
    )
    assert all(".." not in PurePath(job.output).parts and not os.path.isabs(job.output) for job in jobs)


def test_nothing_to_do_is_an_error_and_a_missing_file_is_a_job(tmp_path: Path) -> None:
    touch(tmp_path / "in/sub/a.png")
    with pytest.raises(ImageError, match="no images in .*--recursive"):
        find_jobs([tmp_path / "in"], tmp_path / "out", recursive=False)
    assert outputs(find_jobs([tmp_path / "gone.png"], tmp_path / "out", recursive=False)) == ["gone.png"]


def test_folders_that_cannot_be_listed_are_jobs_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "one/raw", tmp_path / "two/raw"]
    for place in places:
        place.mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if os.path.basename(path) == "raw":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert outputs(find_jobs(places, tmp_path / "out", recursive=True)) == ["raw", "raw-2"]
    assert outputs(find_jobs([tmp_path], tmp_path / "out", recursive=True)) == ["one/raw", "two/raw"]


@pytest.mark.parametrize(
    ("name", "file_format", "expected"),
    [
        ("a.png", "PNG", "a.png"),
        ("a.JPEG", "JPEG", "a.JPEG"),
        ("s/a.jpg", "PNG", "s/a.png"),
        ("a", "TIFF", "a.tif"),
        ("photo.of.2020", "JPEG", "photo.of.2020.jpg"),
    ],
)
def test_the_ending_follows_the_format(name: str, file_format: str, expected: str) -> None:
    assert named_for_format(PurePath(name), file_format).as_posix() == expected


def test_files_of_other_kinds_are_counted_by_kind(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(*(folder / name for name in ("a.jpg", "b.XCF", "c.xcf", "README", "sub/d.txt", ".hidden.txt")))
    left_out: Counter[str] = Counter()
    assert outputs(find_jobs([folder], tmp_path / "out", recursive=False, left_out=left_out)) == ["a.jpg"]
    assert describe_kinds(left_out) == "3 files of other kinds left out (2 .xcf, 1 without an ending)"
    left_out.clear()
    find_jobs([folder], tmp_path / "out", recursive=True, left_out=left_out)
    assert left_out == {".xcf": 2, "": 1, ".txt": 1}


def test_kinds_are_named_in_few_words_that_a_terminal_only_shows() -> None:
    many = Counter({f".{letter}": 9 for letter in "abcdef"} | {".\x1b[2j": 1, ".z": 1})
    assert describe_kinds(many).endswith("9 .e, 9 .f, 2 others)")
    assert describe_kinds(Counter([".\x1b[2j"])) == r"1 file of another kind left out (1 .\x1b[2j)"


def test_a_folder_with_other_kinds_alone_says_so(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.xcf")
    with pytest.raises(ImageError, match=r"no images in .*; 1 file of another kind left out \(1 .xcf\)"):
        find_jobs([tmp_path / "in"], tmp_path / "out", recursive=False)


def test_an_empty_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="path of an input is empty"):
        find_jobs([""], tmp_path / "out", recursive=False)


def test_names_that_many_share_are_numbered_without_counting_anew() -> None:
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    names = [str(free_name(PurePath(name), taken, numbers)) for name in ("a.png", "A-3.png", *["a.PNG"] * 4)]
    assert names == ["a.png", "A-3.png", "a-2.PNG", "a-4.PNG", "a-5.PNG", "a-6.PNG"]
    assert numbers == {"a.png": 6, "a-3.png": 1}
