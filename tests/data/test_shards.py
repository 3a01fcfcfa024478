import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from polyrestore.data import (
    Batch,
    FixedNoise,
    FoundSet,
    Sample,
    SampleGroup,
    Task,
    TaskSource,
    find_sets,
    find_shards,
    holds_shards,
    pack,
)
from polyrestore.errors import (
    DataError,
    ImageError,
    MissingExtraError,
    OutputError,
)
from tests.support.set_trees import TREES, plant


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, Path]:
    """RainDrop's two splits and some clean photographs, as files and as shards."""
    folder = plant(tmp_path / "sets" / "RainDrop", *TREES["RainDrop"][1]).parent
    plant(folder / "BSD400", "a.b.png", "2.jpg")
    output = tmp_path / "100%" / "shards"
    pack(find_sets(folder), folder, output)
    return folder, output


def facts(found: FoundSet) -> list[tuple[object, ...]]:
    return [(s.task, s.split, s.clean.content(), s.degraded and s.degraded.content()) for s in found.samples]


def everything(sets: Iterable[FoundSet]) -> list[tuple[object, ...]]:
    return sorted((entry for found in sets for entry in facts(found)), key=str)


def test_shards_hold_the_same_samples_byte_for_byte(packed: tuple[Path, Path]) -> None:
    folder, shards = packed
    assert everything(find_shards(shards)) == everything(find_sets(folder))
    assert holds_shards(shards)
    assert not holds_shards(folder)
    assert everything(find_shards(shards / "*.tar")) == everything(find_sets(folder))


def test_the_index_only_saves_time(packed: tuple[Path, Path]) -> None:
    _, shards = packed
    with_index = everything(find_shards(shards))
    (shards / "index.json").unlink()
    assert everything(find_shards(shards)) == with_index


def test_batches_from_shards_are_those_from_files(packed: tuple[Path, Path]) -> None:
    folder, shards = packed

    def batch(sets: Iterable[FoundSet]) -> Batch:
        groups: dict[str, list[Sample]] = {}
        for found in sets:
            for sample in found.samples:
                groups.setdefault(sample.task, []).append(sample)
        tasks = (
            Task("raindrop", ("raindrop",), (SampleGroup(groups["raindrop"]),)),
            Task("noise", ("noise",), (SampleGroup(groups[""], FixedNoise(15)),)),
        )
        return TaskSource(tasks, batch_size=6, patch_px=8, seed=1).batch(3)

    first, second = batch(find_sets(folder)), batch(find_shards(shards))
    assert all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("degraded", "clean", "task", "presence")
    )


def test_shards_follow_the_webdataset_convention(packed: tuple[Path, Path]) -> None:
    _, shards = packed
    (shard,) = shards.glob("*.tar")
    with tarfile.open(shard) as archive:
        names = archive.getnames()
        entry = archive.extractfile("000000002.json")
        assert entry is not None
        said = json.load(entry)
    assert names[:2] == ["000000000.clean.jpg", "000000000.json"]
    assert "000000002.degraded.png" in names
    assert said["task"] == "raindrop"
    assert said["degraded"].startswith("RainDrop/")


def test_shards_are_closed_at_their_size(tmp_path: Path) -> None:
    import random

    folder = tmp_path / "big"
    folder.mkdir()
    for number in range(5):
        # Not an image inside: packing never decodes.
        (folder / f"{number}.png").write_bytes(random.Random(number).randbytes(600_000))
    shards = pack(find_sets(folder), folder, tmp_path / "out", shard_mb=1)
    assert [shard.name for shard in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    assert sum(len(found.samples) for found in find_shards(tmp_path / "out")) == 5


def test_an_interrupted_packing_leaves_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant(tmp_path / "sets", "1.png", "2.png")
    found = find_sets(folder)
    (folder / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png"):
        pack(found, folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sets"]
    plant(folder, "2.png")
    # As a killed process would: nothing is cleaned up.
    with monkeypatch.context() as patch:
        patch.setattr("polyrestore.data.shards.shutil.rmtree", lambda *_, **__: None)
        patch.setattr(
            "polyrestore.data.shards.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            pack(found, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name[:6] for path in tmp_path.iterdir() if path.name != "sets"] == [".part-"]
    assert [each.layout for each in find_sets(tmp_path)] == ["clean"]
    assert len(pack(found, folder, tmp_path / "out")) == 1


def test_an_output_that_is_taken_is_left_alone(packed: tuple[Path, Path]) -> None:
    folder, shards = packed
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    with pytest.raises(OutputError, match="there already"):
        pack(find_sets(folder), folder, shards)
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_damaged_shards_and_indices_are_named(packed: tuple[Path, Path]) -> None:
    _, shards = packed
    (shard,) = shards.glob("*.tar")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1000])
    with pytest.raises(DataError, match="copy it again"):
        find_shards(shards)
    index = shards / "index.json"
    for content in ("no JSON", "[]", '{"format": "polyrestore-shards-1", "shards": {"000000.tar": 3}}'):
        index.write_text(content)
        with pytest.raises(DataError, match=r"index\.json"):
            find_shards(shards)
    index.unlink()
    shard.write_bytes(b"no tar" * 200)
    with pytest.raises(DataError, match="no shard or a damaged one"):
        find_shards(shards)
    shard.unlink()
    with pytest.raises(DataError, match="no shards"):
        find_shards(shards)


def test_an_unreadable_member_is_named_by_shard_and_member(tmp_path: Path) -> None:
    folder = plant(tmp_path / "sets", "1.png")
    (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
    pack(find_sets(folder), folder, tmp_path / "out")
    (found,) = find_shards(tmp_path / "out")
    with pytest.raises(ImageError, match=r"000000\.tar:000000000\.clean\.png"):
        found.samples[0].clean.pixels()


def test_foreign_shards_need_no_json_but_a_clean_image(tmp_path: Path) -> None:
    folder = plant(tmp_path / "in", "1.png")
    for name, member in (("good", "x/7.clean.png"), ("bad", "x/7.png")):
        (tmp_path / name).mkdir()
        with tarfile.open(tmp_path / name / "a.tar", "w") as archive:
            archive.add(folder / "1.png", member)
    (found,) = find_shards(tmp_path / "good")
    assert (found.samples[0].task, found.split) == ("", "all")
    assert found.samples[0].clean.pixels().shape == (3, 16, 20)
    with pytest.raises(DataError, match="'x/7' of .* has no clean image"):
        find_shards(tmp_path / "bad")


def test_packing_says_which_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    folder = plant(tmp_path / "sets", "1.png")
    with pytest.raises(MissingExtraError, match=r"pip install 'polyrestore\[data\]'"):
        pack(find_sets(folder), folder, tmp_path / "out")
