"""Arrivals: complete files, each once, and again when it has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from polyrestore.bulk.arrivals import Arrivals
from polyrestore.errors import ImageError


class Watched:
    """A folder, and a clock that is set by hand."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "in"
        self.folder.mkdir()
        self.now = 0.0
        self.arrivals = Arrivals(
            [self.folder], place / "in/out", recursive=True, settle_s=2.0, clock=lambda: self.now
        )

    def after(self, seconds: float) -> list[str]:
        self.now += seconds
        return [job.output for job in self.arrivals.take()]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_file_is_taken_when_it_has_stayed_the_same_and_again_when_it_has_changed(watched: Watched) -> None:
    path = watched.folder / "sub/a.png"
    path.parent.mkdir()
    path.write_bytes(b"half")
    assert watched.after(0) == []
    path.write_bytes(b"half and more")
    assert watched.after(3) == []
    assert watched.arrivals.waiting == 1
    assert watched.after(1) == []
    os.utime(path, ns=(0, 1))
    assert watched.after(1.5) == []
    assert watched.after(2) == [os.path.join("sub", "a.png")]
    assert watched.arrivals.waiting == 0
    assert watched.after(100) == []
    path.write_bytes(b"other")
    assert watched.after(1) == []
    assert watched.after(2) == [os.path.join("sub", "a.png")]


def test_what_is_hidden_empty_of_another_kind_or_a_result_is_not_taken(watched: Watched) -> None:
    (watched.folder / "out").mkdir()
    for name in (".rsync.png", "b.png.part", "out/c.png", "d.txt"):
        (watched.folder / name).write_bytes(b"bytes")
    (watched.folder / "empty.png").touch()
    (watched.folder / "link.png").symlink_to("nowhere")
    assert [watched.after(10), watched.after(10)] == [[], []]
    assert watched.arrivals.left_out == {".part": 1, ".txt": 1}
    assert watched.arrivals.waiting == 1


def test_a_folder_may_go_and_come_back(watched: Watched) -> None:
    (watched.folder / "a.png").write_bytes(b"bytes")
    assert [watched.after(0), watched.after(2)] == [[], ["a.png"]]
    shutil.rmtree(watched.folder)
    assert watched.after(1) == []
    watched.folder.mkdir()
    (watched.folder / "a.png").write_bytes(b"bytes")
    assert [watched.after(1), watched.after(2)] == [[], ["a.png"]]


def test_a_folder_that_takes_long_to_list_is_looked_at_less_often(tmp_path: Path) -> None:
    times = iter([0.0, 0.5, 10.0, 100.0])
    arrivals = Arrivals([tmp_path], tmp_path / "out", recursive=False, settle_s=2, clock=times.__next__)
    assert arrivals.pause_s() == 0.5
    arrivals.take()
    assert arrivals.pause_s() == 10.0
    arrivals.take()
    assert arrivals.pause_s() == 60.0


def test_only_folders_can_be_watched(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"only folders can be watched, and .*gone is none"):
        Arrivals([tmp_path, tmp_path / "gone"], tmp_path / "out", recursive=False, settle_s=2)
