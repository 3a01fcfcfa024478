"""Finding bundles by name and by folder, and what the shipped ones must keep to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polyrestore.adapters import MAXIMUM_ADAPTER_BYTES
from polyrestore.bundles import find_bundle, list_bundles, load_bundle, read_manifest, shipped, shipped_folder
from polyrestore.errors import BundleError, UnknownNameError

MAXIMUM_SHIPPED_BYTES = 24 * 2**20


@pytest.fixture
def shelf(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped bundles with one in it, called "default"."""
    shelf = tmp_path / "shelf"
    shutil.copytree(folder, shelf / "default")
    (shelf / "not-a-bundle").mkdir()
    monkeypatch.setattr(shipped, "shipped_folder", lambda: shelf)
    return shelf


def test_shipped_bundles_are_found_by_name(shelf: Path) -> None:
    assert list_bundles() == ("default",)
    assert find_bundle("default") == shelf / "default"
    assert load_bundle("default").name == "tiny"


def test_a_name_that_a_bundle_had_before_still_opens_it(shelf: Path) -> None:
    assert find_bundle("generative") == shelf / "default"
    shutil.copytree(shelf / "default", shelf / "generative")
    assert find_bundle("generative") == shelf / "generative"


def test_an_unknown_name_suggests_the_nearest(shelf: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown bundle 'defualt'; did you mean 'default'"):
        load_bundle("defualt")


def test_without_any_shipped_bundle_the_message_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "nothing")
    assert list_bundles() == ()
    with pytest.raises(UnknownNameError, match="none is shipped"):
        find_bundle("default")


def test_folders_are_found_by_path(
    shelf: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert load_bundle(str(folder)).name == "tiny"
    assert load_bundle("tiny").name == "tiny"
    assert find_bundle("default") == shelf / "default"
    assert find_bundle("./default").resolve() == (tmp_path / "default").resolve()


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle folder at .*nowhere"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="is not a bundle: it has no model.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", list_bundles())
def test_shipped_bundles_are_whole_and_light(name: str) -> None:
    folder = shipped_folder() / name
    files = read_manifest(folder).files
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= MAXIMUM_SHIPPED_BYTES
    for path, entry in files.items():
        assert not path.startswith("adapters/") or entry.size_bytes <= MAXIMUM_ADAPTER_BYTES
