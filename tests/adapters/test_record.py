"""What an adapter records of itself comes back, on a card as well; one that cannot be a record is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from polyrestore.adapters import Adapter, LoraConfig, Prototype, load_adapter, save_adapter
from polyrestore.adapters.storage import ADAPTER_CARD_FILE, PROTOTYPE_FILE, WEIGHTS_FILE
from polyrestore.errors import AdapterError


def test_a_record_and_what_is_superseded_come_back(tmp_path: Path, trained: Callable[..., Adapter]) -> None:
    prototype = Prototype(torch.ones(4) / 2, "ab" * 32, 0.75, ("noise", "jpeg"), 4.5, 0.5)
    record = {"taught": {"gain": 1.25, "notes": ["a | b <c>"]}}
    adapter = replace(trained("rain", LoraConfig(rank=2), 4), prototype=prototype, record=record)
    save_adapter(tmp_path / "rain", adapter, "tiny")
    loaded = load_adapter(tmp_path / "rain")
    assert loaded.record == record
    assert loaded.prototype is not None
    assert (loaded.prototype.least_share, loaded.prototype.supersedes) == (0.75, ("noise", "jpeg"))
    assert (loaded.prototype.least_change, loaded.prototype.beside_share) == (4.5, 0.5)
    card = (tmp_path / "rain" / ADAPTER_CARD_FILE).read_text()
    assert "| taught: gain | 1.25 |" in card
    assert "| acts where it would change so many grey levels | 4.5 |" in card
    assert r"| taught: notes | a \| b &lt;c> |" in card


@pytest.mark.parametrize(
    ("file", "notes", "message"),
    [
        (WEIGHTS_FILE, {"record": "{"}, "not valid JSON"),
        (WEIGHTS_FILE, {"record": "[1]"}, "must be a JSON object, not a list"),
        (WEIGHTS_FILE, {"record": '{"a":' * 400 + "1" + "}" * 400}, "nested too deeply"),
        (PROTOTYPE_FILE, {"supersedes": "noise,../jpeg"}, "may only have letters"),
    ],
    ids=["json", "list", "deep", "names"],
)
def test_a_foreign_record_is_refused(
    file: str, notes: dict[str, str], message: str, tmp_path: Path, trained: Callable[..., Adapter]
) -> None:
    adapter = replace(trained("rain", LoraConfig(rank=2), 4), prototype=Prototype(torch.ones(4) / 2, ""))
    save_adapter(tmp_path / "rain", adapter, "tiny")
    path = tmp_path / "rain" / file
    save_file(load_file(path), path, metadata=notes)
    with pytest.raises(AdapterError, match=message):
        load_adapter(tmp_path / "rain")
