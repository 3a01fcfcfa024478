"""A file of lines: whole lines on the disk, whatever happened to the one before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyrestore.bulk.journal import Journal, LastLines
from polyrestore.errors import OutputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def test_lines_are_read_where_they_begin(journal: Journal, path: Path) -> None:
    journal.append("one", "two")
    journal.append("three")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    found = list(journal.lines())
    assert found == [(0, b"one\n"), (4, b"two\n"), (8, b"three\n")]
    assert [journal.line_at(start) for start, _ in found] == [line for _, line in found]
    journal.keep(lambda start: start != 4)
    journal.append("four")
    assert path.read_bytes() == b"one\nthree\nfour\n"
    journal.cut(4)
    journal.append("five")
    assert path.read_bytes() == b"one\nfive\n"
    assert journal.size_bytes() == 9


def test_an_unfinished_line_stays_by_itself_and_opening_writes_nothing(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    journal = Journal(path)
    assert path.read_bytes() == b"one\ntw"
    for _ in range(2):
        journal.append("three", "four")
        assert path.read_bytes() == b"one\ntw\nthree\nfour\n"
        journal.cut(6)
    journal.keep(lambda start: start == 4)
    journal.append("five")
    assert path.read_bytes() == b"tw\nfive\n"
    journal.close()


def test_a_line_that_the_disk_has_no_room_for_spoils_no_other(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, iter([2])

    def fill(descriptor: int, content: bytes) -> int:
        for count in room:
            return write(descriptor, content[:count])
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.append("one")
    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(OutputError, match="lines: No space left"):
        journal.append("two")
    monkeypatch.undo()
    journal.append("three")
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_damaged_files_are_copied_to_free_names(journal: Journal, path: Path) -> None:
    journal.append("one")
    names = [journal.set_aside().name for _ in range(2)]
    assert names == ["lines-damaged-1", "lines-damaged-2"]
    assert all(path.with_name(name).read_bytes() == b"one\n" for name in names)


def test_the_last_line_about_a_name_is_found() -> None:
    index = LastLines([("a", 0), ("b", 10), ("a", 20), ("c", 30), ("b", 40)])
    assert [index.find(name) for name in "abcd"] == [20, 40, 30, None]
    assert len(index) == 3
    assert [start for start in range(0, 60, 5) if index.holds(start)] == [20, 30, 40]
    assert LastLines([]).find("a") is None
    assert not LastLines([]).holds(0)
