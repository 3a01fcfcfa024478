"""One file of a run: a task that pickles, does the same in any process, and knows what it depends on."""

from __future__ import annotations

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

from polyrestore.adapters import ADAPTER_KINDS, LoraConfig
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bulk.engines.local import restore_here
from polyrestore.bulk.files import find_jobs
from polyrestore.bulk.one_file import RestoreTask, SettledJob, restore_file
from polyrestore.bulk.record import FileRecord
from polyrestore.bulk.run import restore_files
from polyrestore.bundles import save_bundle
from polyrestore.errors import CompositionError, PluginError, UnknownNameError
from polyrestore.files import sha256_of
from polyrestore.imaging import ImageMetadata, read_image, write_image
from polyrestore.plugins import load_plugin, loaded_plugins
from polyrestore.restoration.tiling import DEFAULT_TILE_PX
from tests.bulk.fakes import make_image
from tests.support.tiny_bundle import tiny_bundle

NETWORK_PLUGIN = Path(__file__).parents[2] / "examples" / "plain_network.py"

ADAPTER_PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

from polyrestore.adapters import ADAPTER_KINDS, BottleneckConfig
from polyrestore.adapters.bottleneck import BottleneckPart


@dataclass(frozen=True)
class DoubleConfig(BottleneckConfig):
    kind: ClassVar[str] = "double"


class DoublePart(BottleneckPart):
    config_class = DoubleConfig

    def forward(self, features, layer, scale):
        return super().forward(features, layer, 2 * scale)


ADAPTER_KINDS["double"] = DoublePart
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Two loaded plugins: the network "plain" and the kind of adapter "double"."""
    adapter = tmp_path / "double_adapter.py"
    adapter.write_text(ADAPTER_PLUGIN)
    for path in (NETWORK_PLUGIN, adapter):
        load_plugin(path)
    yield loaded_plugins()
    BACKBONES.pop("plain")
    ADAPTER_KINDS.pop("double")
    for path in (NETWORK_PLUGIN, adapter):
        sys.modules.pop(f"polyrestore_plugin_{path.stem}")


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


@pytest.mark.parametrize("explain", [False, True])
def test_what_is_hidden_in_a_file_decides_nothing(bundle: str, tmp_path: Path, explain: bool) -> None:
    pixels = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(5))
    alpha = torch.ones(1, 20, 24)
    alpha[:, :, 12:] = 0
    found = []
    for under in (0.0, 1.0):
        folder = tmp_path / str(under)
        source = folder / "a.png"
        write_image(source, torch.where(alpha > 0, pixels, torch.tensor(under)), ImageMetadata(alpha=alpha))
        job = job_for(source, folder / "out")
        record = restore_file(RestoreTask(bundle, "cpu", as_="noise", explain=explain), job)
        assert record.status == "restored", record.error
        found.append(read_image(staged_bytes(job, record)["a.png"]))
        assert torch.equal(found[-1].pixels[:, :, 12:], torch.full((3, 20, 12), under))
    assert torch.equal(found[0].pixels[:, :, :12], found[1].pixels[:, :, :12])


def test_a_spawned_process_runs_what_plugins_registered(
    worker: Pool, plugins: tuple[str, ...], tmp_path: Path
) -> None:
    adapters = {"noise": ADAPTER_KINDS["double"].config_class(), "rain": LoraConfig(rank=2)}
    backbone = build_backbone("plain", width=4, depth=1)
    folder = save_bundle(tmp_path / "plain", tiny_bundle(adapters, backbone=backbone))
    source = make_photograph(tmp_path / "a.png")
    task = RestoreTask(str(folder), "cpu", as_="noise=0.4,rain=0.6", plugins=plugins)
    written = assert_same_in(worker, task, source, tmp_path)
    assert written["a.png"] != source.read_bytes()


def test_a_file_that_fails_in_another_process_is_a_record_there(
    worker: Pool, bundle: str, tmp_path: Path
) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    record = worker.apply(restore_file, (RestoreTask(bundle, "cpu"), job_for(source, tmp_path / "out")))
    assert (record.status, record.output, record.sha256) == ("failed", None, sha256_of(source))
    assert "a.png" in str(record.error)
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
    """Restore a file twice as the command does, and return its statuses."""
    seen: list[str] = []
    restorer = task.open()
    for _ in range(2):
        restore_files(
            task,
            find_jobs([source], output, recursive=False),
            output,
            partial(restore_here, restorer=restorer),
            identity=task.identity(restorer),
            on_file=lambda record: seen.append(record.status),
        )
    return seen


ANEW, SAME = ["restored", "skipped"], ["skipped", "skipped"]


def test_whatever_changes_pixels_restores_again_and_nothing_else(bundle: str, tmp_path: Path) -> None:
    source, output = make_photograph(tmp_path / "a.png"), tmp_path / "out"
    task = RestoreTask(bundle, "cpu")
    assert statuses(output, source, task) == ANEW
    # Tiles of any size give the same with this network.
    assert statuses(output, source, replace(task, tile_px=16)) == SAME
    for other in (
        replace(task, as_="noise=0.5"),
        replace(task, as_="noise"),
        replace(task, as_="noise,rain"),
        replace(task, strength=0.5),
        replace(task, settings={"top_k": 1}),
        replace(task, bundle=str(save_bundle(tmp_path / "tiny", tiny_bundle(seed=4)))),
    ):
        assert statuses(output, source, other) == ANEW
    assert statuses(output, source, replace(task, as_="rain,noise")) == ANEW
    assert statuses(output, source, replace(task, as_={"noise": 0.5, "rain": 0.5})) == SAME


def test_tiles_count_where_the_network_does_not_make_them_equal(tmp_path: Path) -> None:
    backbone = build_backbone("transweather", **BACKBONES["transweather"].tiny_options)
    assert not backbone.description.exact_tiles
    folder = save_bundle(tmp_path / "tiny", tiny_bundle({}, backbone=backbone.eval()))
    source, output = make_photograph(tmp_path / "a.png", 32, 48), tmp_path / "out"
    for tile_px in (None, 32, DEFAULT_TILE_PX):
        assert statuses(output, source, RestoreTask(str(folder), "cpu", tile_px=tile_px)) == ANEW


def test_precision_runtime_and_the_code_of_plugins_count(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RestoreTask(bundle, "cpu")
    restorer = task.open()
    reference = task.identity(restorer)
    assert (reference["runtime"], reference["precision"], reference["device"]) == ("torch", "float32", "cpu")
    assert reference["quality"] == "normal"
    monkeypatch.setattr(restorer, "quality", "best")
    assert task.identity(restorer) == {**reference, "quality": "best"}
    monkeypatch.undo()
    monkeypatch.setattr(restorer.runtime, "precision", "bfloat16")
    assert task.identity(restorer)["precision"] == "bfloat16"
    monkeypatch.undo()

    plugins = tuple(str(tmp_path / name) for name in ("network.py", "adapter.py"))
    (tmp_path / "adapter.py").write_text("")
    identities = [reference]
    for code in ("width = 3\n", "width = 4\n"):
        (tmp_path / "network.py").write_text(code)
        identities.append(replace(task, plugins=plugins).identity(restorer))
        assert identities[-1] not in identities[:-1]
    assert replace(task, plugins=plugins[::-1]).identity(restorer) == identities[-1]


def test_an_input_that_changes_its_format_meanwhile_is_refused(bundle: str, tmp_path: Path) -> None:
    source = make_image(tmp_path / "b.jpg").rename(tmp_path / "a.png")
    record = restore_file(RestoreTask(bundle, "cpu", as_="rain"), job_for(source, tmp_path / "out"))
    assert record.status == "failed"
    assert "changed while it was being restored" in str(record.error)
