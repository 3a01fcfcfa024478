import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.errors import AdapterError, BundleError
from polyrestore.storage.tensors import (
    check_finite,
    read_shapes,
    read_tensors,
    tensors_sha256,
    write_tensors,
)

TENSORS = {"w": torch.tensor([[1.0, -2.5, 3.25]]), "count": torch.tensor(12345)}


def test_what_is_written_is_read_in_the_type_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a" / "weights.safetensors"
    write_tensors(path, TENSORS, torch.float16, BundleError, {"base": "abc"})
    stored = read_tensors(path, BundleError, "again")
    assert stored.tensors["w"].dtype == torch.float16
    assert stored.tensors["w"].equal(TENSORS["w"].half())
    assert stored.tensors["count"].equal(TENSORS["count"])
    assert stored.notes == {"format": "pt", "base": "abc"}
    assert read_shapes(path, BundleError, "again") == {"w": (1, 3), "count": ()}


def test_what_was_read_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, TENSORS, torch.float32, BundleError)
    found = read_tensors(path, BundleError, "again").tensors
    with open(path, "r+b") as stream:
        stream.write(b"\xff" * path.stat().st_size)
    assert found["w"].equal(TENSORS["w"])


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    shared = torch.arange(6.0).view(2, 3)
    write_tensors(path, {"tied": shared, "again": shared, "turned": shared.T}, torch.float32, BundleError)
    found = read_tensors(path, BundleError, "again").tensors
    assert found["tied"].equal(found["again"])
    assert found["turned"].equal(shared.T)


@pytest.mark.parametrize("read", [read_tensors, read_shapes])
def test_a_missing_or_damaged_file_is_refused_as_the_caller_says(
    tmp_path: Path, read: Callable[[Path, type[AdapterError], str], object]
) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(AdapterError, match=rf"^cannot read {path}: .*; copy it again$"):
        read(path, AdapterError, "copy it again")
    write_tensors(path, TENSORS, torch.float32, BundleError)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AdapterError, match=r"not a safetensors file, or is damaged: [^\n]*; copy it again$"):
        read(path, AdapterError, "copy it again")


def test_values_that_are_not_finite_are_neither_accepted_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(BundleError, match=r"^w of weights.safetensors is not finite as torch.float16"):
        write_tensors(path, {"w": torch.tensor([1e6])}, torch.float16, BundleError)
    assert not path.exists()
    poisoned = {"b": torch.tensor([float("nan")]), "a": torch.tensor([1.0])}
    with pytest.raises(BundleError, match=rf"^{path}: b holds values that are not finite; train again$"):
        check_finite(poisoned, path, BundleError, "train again")
    check_finite(TENSORS, path, BundleError, "train again")


def test_notes_are_written_in_one_order(tmp_path: Path) -> None:
    notes = {name: name * 3 for name in "hgfedcba"}
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(3)}
    written = set()
    for turn in range(4):
        path = tmp_path / f"{turn}.safetensors"
        write_tensors(path, tensors, torch.float32, BundleError, notes)
        written.add(path.read_bytes())
    assert len(written) == 1
    stored = read_tensors(path, BundleError, "save it again")
    assert stored.notes == {"format": "pt", **notes}
    assert all(torch.equal(value, tensors[key]) for key, value in stored.tensors.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_sum_over_tensors_is_that_of_their_values(dtype: torch.dtype) -> None:
    tensors = {"b": torch.tensor([[1.0, 1 / 3]]), "a": torch.tensor([3, -4])}
    found = tensors_sha256({key: value.to(dtype) if key == "b" else value for key, value in tensors.items()})
    parts = [
        b"\na [2]\n" + struct.pack("<2q", 3, -4),
        b"b [1, 2]\n" + struct.pack("<2e", 1.0, 1 / 3),
    ]
    assert found == hashlib.sha256(b"".join(parts)).hexdigest()
    assert found != tensors_sha256(tensors, "network")
    assert found != tensors_sha256({**tensors, "a": torch.tensor([3, -5])})
    assert found != tensors_sha256({**tensors, "b": torch.tensor([1.0, 1 / 3])})
