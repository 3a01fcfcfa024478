"""Files of several pictures in a run: all are restored with one recognition, or the file stays as it is."""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask
from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.run import restore_files
from polyrestore.imaging import open_pages, write_pages
from polyrestore.restoration.opening import load
from polyrestore.restoration.restorer import Restorer


def pages(count: int = 3) -> list[PILImage.Image]:
    random = np.random.default_rng(0)
    return [PILImage.fromarray(random.integers(0, 256, (12 + n, 16, 3), np.uint8)) for n in range(count)]


def save(path: Path, pictures: list[PILImage.Image]) -> Path:
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


def run(restorer: Restorer, path: Path, task: RestoreTask, folder: Path) -> tuple[bytes, list[str]]:
    result, told = restore_into(restorer, path, task, folder)
    return result.read_bytes() if result.exists() else b"", told


def restore_into(restorer: Restorer, path: Path, task: RestoreTask, folder: Path) -> tuple[Path, list[str]]:
    jobs = find_jobs([path], folder, recursive=False)
    told: list[str] = []

    def tell(record: FileRecord) -> None:
        told.extend([*(note.code for note in record.notes), *filter(None, [record.error])])

    restore_files(
        task,
        jobs,
        folder,
        partial(restore_here, restorer=restorer),
        identity=task.identity(restorer),
        on_file=lambda record: told.extend(
            [*(note.code for note in record.notes), *filter(None, [record.error])]
        ),
    )
    return folder / jobs[0].output, told


@pytest.fixture(scope="module")
def restorer(bundle: str) -> Restorer:
    return load(bundle, "cpu")


def test_every_page_is_restored_alike(restorer: Restorer, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", pages())
    content, told = run(restorer, path, RestoreTask(as_="noise"), tmp_path / "out")
    assert not told
    with open_pages(path) as before, open_pages(content) as after:
        assert len(after) == 3
        for one, other in zip(before, after, strict=True):
            alone = restorer.restore(one, "noise").pixels
            assert torch.equal(other.pixels, (alone * 255).round() / 255)


def test_python_restores_the_same_pages(restorer: Restorer, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", pages())
    content, _ = run(restorer, path, RestoreTask(as_="noise", strength=0.5), tmp_path / "out")
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        restored = restorer.restore_pages(source, "noise", 0.5)
        write_pages(tmp_path / "b.tif", restored)
        assert (tmp_path / "b.tif").read_bytes() == content
    first = restorer.restore(path, "noise", 0.5)
    assert [note.code for note in first.notes] == ["frames_lost"]


def test_what_is_recognised_in_the_first_page_holds_for_all(restorer: Restorer, tmp_path: Path) -> None:
    found = list(restorer.restore_pages(save(tmp_path / "a.tif", pages())))
    assert len(found) == 3
    assert all(each.weights == found[0].weights for each in found)
    assert all(each.recognition is found[0].recognition for each in found)


def test_pages_that_nothing_is_done_to_are_copied(restorer: Restorer, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", pages())
    content, told = run(restorer, path, RestoreTask(as_="noise", strength=0.0), tmp_path / "out")
    assert content == path.read_bytes()
    assert told == ["unchanged"]


def test_a_damaged_page_fails_the_file(restorer: Restorer, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", pages())
    with PILImage.open(path) as opened:
        opened.seek(2)
        start = opened.tag_v2[273][0]  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[: start + 5])
    content, told = run(restorer, path, RestoreTask(as_="noise"), tmp_path / "out")
    assert not content
    assert "page 3" in told[0]


def test_results_take_over_the_times_of_their_inputs(restorer: Restorer, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", pages(2))
    times = (1_000_000_000_123_456_700, 1_100_000_000_765_432_100)
    result = tmp_path / "out" / "a.tif"
    os.utime(path, ns=times)
    restore_into(restorer, path, RestoreTask(as_="noise"), tmp_path / "out")
    assert result.stat().st_mtime_ns != times[1]
    # Skipped by now, and given the times nevertheless.
    for folder in ("out", "other"):
        os.utime(path, ns=times)
        restore_into(restorer, path, RestoreTask(as_="noise", keep_times=True), tmp_path / folder)
        found = (tmp_path / folder / "a.tif").stat()
        assert found.st_mtime_ns == times[1]
        # Of access, what the input has by then: it has been looked at, which some systems note.
        assert times[0] <= found.st_atime_ns <= path.stat().st_atime_ns
