"""A lesson from end to end: what it installs, what it leaves alone, and what is left of it when it fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from polyrestore.adapters import load_adapter
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.bundles.installing import with_adapter, without_adapter
from polyrestore.errors import AdapterError, BundleError, StoppedError
from polyrestore.restoration.restorer import Restorer
from polyrestore.teaching import Lesson, teach
from tests.support.tiny_bundle import tiny_bundle
from tests.teaching.conftest import drown, picture


def test_what_was_taught_is_recognised_restored_and_can_be_passed_on(lesson: Lesson, tmp_path: Path) -> None:
    report = teach(lesson)
    assert (report.pairs, report.held_back, report.scenes) == (8, 2, 5)
    assert report.blind is not None
    assert report.found == 2
    assert report.others["clean"].fires == 0
    assert {"clean", "drawn", "noise", "rain"} == set(report.others)

    before, own = load_bundle(str(lesson.base)), load_bundle(lesson.into)
    restorer = Restorer(own)
    unseen = picture(99)
    assert "drowned" in restorer.restore(drown(unseen)).weights
    assert "drowned" not in restorer.restore(unseen).weights
    for name, adapter in before.adapters.items():
        assert all(
            torch.equal(own.adapters[name].tensors[key], each) for key, each in adapter.tensors.items()
        )
    state = own.backbone.state_dict()
    assert all(torch.equal(state[key], each) for key, each in before.backbone.state_dict().items())

    folder = lesson.into / "adapters" / "drowned"
    adapter = load_adapter(folder)
    assert adapter.record["taught"]["blind"] == report.blind
    assert f"{report.blind:g}" in (folder / "README.md").read_text()
    friend = save_bundle(tmp_path / "friend", with_adapter(before, replace(adapter, name="blue")))
    assert "blue" in Restorer(load_bundle(friend)).restore(drown(unseen)).weights
    assert without_adapter(load_bundle(friend), "blue").recognition_settings == before.recognition_settings
    with pytest.raises(AdapterError, match="trained beside the base"):
        with_adapter(tiny_bundle(seed=1), adapter)
    with pytest.raises(AdapterError, match="has an adapter 'drowned' already"):
        teach(replace(lesson, base=None))
    with pytest.raises(BundleError, match="leave --bundle away"):
        teach(replace(lesson, name="other"))


def test_nothing_is_installed_when_it_is_stopped(lesson: Lesson) -> None:
    with pytest.raises(StoppedError, match="nothing was installed"):
        teach(lesson, stop_when=lambda: True)
    assert not lesson.into.exists()
    assert json.loads((Path(str(lesson.base)) / "model.json").read_text())["adapters"] == ["noise", "rain"]
