"""One file of a run: a task that pickles, does the same in any process, and knows what it depends on."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask, SettledJob, restore_file
from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.run import restore_files
from polyrestore.bundles import save_bundle
from polyrestore.errors import CompositionError, PluginError, UnknownNameError
from polyrestore.files import sha256_of
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.plugins import load_plugin
from polyrestore.restoration.tiling import DEFAULT_TILE_PX
from tests.bulk.fakes import make_image
from tests.support.tiny_bundle import tiny_bundle

PLUGIN = Path(__file__).parents[2] / "examples" / "plain_network.py"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_bundle()))


@pytest.fixture(scope="module")
def worker() -> Iterator[Pool]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.fixture
def plugin() -> Iterator[Path]:
    load_plugin(PLUGIN)
    yield PLUGIN
    BACKBONES.pop("plain")
    sys.modules.pop(f"polyrestore_plugin_{PLUGIN.stem}")


def make_photograph(path: Path, height: int = 40, width: int = 52) -> Path:
    generator = torch.Generator().manual_seed(3)
    write_image(path, torch.rand(3, height, width, generator=generator), ImageMetadata(bit_depth=16))
    return path


def job_for(source: Path, output_folder: Path) -> SettledJob:
    return SettledJob(source, output_folder, Path(source.name), "0123abcd")


def staged_bytes(job: SettledJob, record: FileRecord) -> dict[str, bytes]:
    """Return what a task left beside its places, by final name."""
    left = {}
    for place, token in job.staged(record):
        (path,) = place.parent.glob(f".part-{token}.*")
        left[place.relative_to(job.folder).as_posix()] = path.read_bytes()
    return left


def assert_same_in(worker: Pool, task: RestoreTask, source: Path, folder: Path) -> dict[str, bytes]:
    """Check that a spawned process leaves the same bytes and record as this one; return the bytes."""
    here, there = job_for(source, folder / "here"), job_for(source, folder / "there")
    record = restore_file(task, here)
    assert record.status == "restored", record.error
    record_there = worker.apply(restore_file, (task, there))
    written = staged_bytes(here, record)
    assert staged_bytes(there, record_there) == written
    timeless = [replace(each, seconds=None).to_line() for each in (record, record_there)]
    assert timeless[0] == timeless[1]
    return written


@pytest.mark.parametrize(
    "changes", [{"explain": True}, {"as_": "rain=0.7,noise=0.3", "explain": True, "strength": 0.5}]
)
def test_a_spawned_process_gives_the_same_bytes_and_line(
    worker: Pool, bundle: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    source = make_photograph(tmp_path / "a.tif")
    task = RestoreTask(bundle, "cpu", tile_px=32, settings={"clean_threshold": 1.1}, **changes)
    written = assert_same_in(worker, task, source, tmp_path)
    assert written["a.tif"] != source.read_bytes()
    assert "explained/a.tif/weights.json" in written


def test_a_spawned_process_runs_the_network_of_a_plugin(worker: Pool, plugin: Path, tmp_path: Path) -> None:
    backbone = build_backbone("plain", width=4, depth=1)
    folder = save_bundle(tmp_path / "plain", tiny_bundle(backbone=backbone))
    source = make_photograph(tmp_path / "a.png")
    task = RestoreTask(str(folder), "cpu", as_="noise", plugins=(str(plugin),))
    written = assert_same_in(worker, task, source, tmp_path)
    assert written["a.png"] != source.read_bytes()


def test_a_file_that_fails_in_another_process_is_a_record_there(
    worker: Pool, bundle: str, tmp_path: Path
) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    record = worker.apply(restore_file, (RestoreTask(bundle, "cpu"), job_for(source, tmp_path / "out")))
    assert (record.status, record.output, record.sha256) == ("failed", None, sha256_of(source))
    assert "a.png" in (record.error or "")
    assert not (tmp_path / "out").exists()


def test_a_task_that_cannot_be_opened_says_so(bundle: str, tmp_path: Path) -> None:
    for task, error in (
        (RestoreTask(bundle, plugins=(str(tmp_path / "gone.py"),)), PluginError),
        (RestoreTask(bundle, runtime="abacus"), UnknownNameError),
    ):
        with pytest.raises(error):
            pickle.loads(pickle.dumps(task)).open()
    for strength in (1.5, -0.1, float("nan")):
        with pytest.raises(CompositionError, match="strength"):
            RestoreTask(bundle, strength=strength)


def test_the_record_has_the_hash_of_what_was_written(bundle: str, tmp_path: Path) -> None:
    source = make_photograph(tmp_path / "a.png")
    job = job_for(source, tmp_path / "out")
    record = restore_file(RestoreTask(bundle, "cpu", as_="rain"), job)
    place, token = job.staged(record)[-1]
    assert record.output_sha256 == sha256_of(place.with_name(f".part-{token}.png"))
    assert record.sha256 == sha256_of(source)
    assert record.output_sha256 != record.sha256


def statuses(output: Path, source: Path, task: RestoreTask) -> list[str]:
    """Restore a file as the command does and return its statuses."""
    seen: list[str] = []
    restorer = task.open()
    restore_files(
        task,
        find_jobs([source], output, recursive=False),
        output,
        partial(restore_here, restorer=restorer),
        settings=task.identity(restorer),
        on_file=lambda record: seen.append(record.status),
    )
    return seen


def test_whatever_changes_pixels_restores_again_and_nothing_else(bundle: str, tmp_path: Path) -> None:
    source, output = make_photograph(tmp_path / "a.png"), tmp_path / "out"
    task = RestoreTask(bundle, "cpu")
    assert statuses(output, source, task) == ["restored"]
    for same in (
        # Tiles of any size give the same with this network.
        replace(task, tile_px=16),
        replace(task, device=None) if not torch.cuda.is_available() else task,
    ):
        assert statuses(output, source, same) == ["skipped"]
    for other in (
        replace(task, as_="noise"),
        replace(task, as_="noise=0.5"),
        replace(task, as_="noise,rain"),
        replace(task, strength=0.5),
        replace(task, settings={"top_k": 1}),
        replace(task, settings={"temperature": 0.5}),
        replace(task, bundle=str(save_bundle(tmp_path / "tiny", tiny_bundle(seed=4)))),
    ):
        assert statuses(output, source, other) == ["restored"]
        assert statuses(output, source, other) == ["skipped"]
    assert statuses(output, source, replace(task, as_="rain,noise")) == ["restored"]
    assert statuses(output, source, replace(task, as_={"noise": 0.5, "rain": 0.5})) == ["skipped"]


def test_tiles_count_where_the_network_does_not_make_them_equal(tmp_path: Path) -> None:
    backbone = build_backbone("transweather", **BACKBONES["transweather"].tiny_options)
    assert not backbone.description.exact_tiles
    folder = save_bundle(tmp_path / "tiny", tiny_bundle({}, backbone=backbone.eval()))
    source, output = make_photograph(tmp_path / "a.png", 64, 80), tmp_path / "out"
    task = RestoreTask(str(folder), "cpu")
    assert statuses(output, source, task) == ["restored"]
    for tile_px in (32, 48, DEFAULT_TILE_PX):
        assert statuses(output, source, replace(task, tile_px=tile_px)) == ["restored"]
        assert statuses(output, source, replace(task, tile_px=tile_px)) == ["skipped"]


def test_precision_runtime_and_the_code_of_plugins_count(
    bundle: str, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RestoreTask(bundle, "cpu")
    restorer = task.open()
    reference = task.identity(restorer)
    assert (reference["runtime"], reference["precision"], reference["device"]) == ("torch", "float32", "cpu")
    monkeypatch.setattr(restorer.runtime, "precision", "bfloat16")
    assert task.identity(restorer)["precision"] == "bfloat16"
    monkeypatch.undo()

    copy = tmp_path / "network.py"
    identities = []
    for code in ("width = 3\n", "width = 4\n"):
        copy.write_text(code)
        identities.append(replace(task, plugins=(str(copy), str(plugin))).identity(restorer))
    assert identities[0] != identities[1]
    assert replace(task, plugins=(str(plugin), str(copy))).identity(restorer) == identities[1]


def test_an_input_that_changes_its_format_meanwhile_is_refused(bundle: str, tmp_path: Path) -> None:
    source = make_image(tmp_path / "b.jpg").rename(tmp_path / "a.png")
    record = restore_file(RestoreTask(bundle, "cpu", as_="rain"), job_for(source, tmp_path / "out"))
    assert record.status == "failed"
    assert "changed while it was being restored" in str(record.error)
