"""State dicts come out of their wrappers; whatever else a file holds is refused in one line."""

from __future__ import annotations

import io
import os
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from polyrestore.errors import CheckpointError
from polyrestore.storage.foreign import read_checkpoint

STATE = OrderedDict({"intro.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)})
OTHER = {"intro.weight": torch.zeros(2, 3), "steps": torch.tensor(0)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in STATE.items()}


@pytest.mark.parametrize(
    ("content", "wrappers", "prefix"),
    [
        (STATE, (), ""),
        ({"params": STATE}, ("params",), ""),
        ({"params": OTHER, "params_ema": STATE}, ("params_ema",), ""),
        ({"state_dict": prefixed("net."), "epoch": 3, "optimizer_states": [{"state": {}}]}, None, "net."),
        ({"model": {"state_dict": prefixed("module.model.")}}, ("model", "state_dict"), "module.model."),
        ({"restorer_of_mine": STATE, "lr": 0.1}, ("restorer_of_mine",), ""),
        (prefixed("_orig_mod."), (), "_orig_mod."),
        ({"net": {key: nn.Parameter(value.float()) for key, value in STATE.items()}}, ("net",), ""),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_wrappers_and_prefixes_are_taken_off(
    tmp_path: Path, content: object, wrappers: tuple[str, ...], prefix: str, legacy: bool
) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    state = read_checkpoint(path)
    assert state.wrappers == (("state_dict",) if wrappers is None else wrappers)
    assert state.prefix == prefix
    assert set(state.tensors) == set(STATE)
    assert all(torch.equal(state.tensors[key], STATE[key]) for key in STATE)


def test_safetensors_and_files_without_an_ending_are_read(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "model.safetensors")
    torch.save(STATE, tmp_path / "best")
    for name in ("model.safetensors", "best"):
        assert torch.equal(read_checkpoint(tmp_path / name).tensors["steps"], STATE["steps"])


def test_words_that_do_not_precede_every_key_stay(tmp_path: Path) -> None:
    torch.save({**prefixed("net."), "loss.weight": torch.ones(1)}, tmp_path / "a.pth")
    torch.save({"net": torch.ones(1), "net.a": torch.ones(1)}, tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        assert read_checkpoint(tmp_path / name).prefix == ""


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_named_and_never_run(tmp_path: Path, legacy: bool) -> None:
    path, trap = tmp_path / "model.ckpt", tmp_path / "trap"
    for content, named in [
        (Malicious(trap), "mkdir"),
        ({"state_dict": STATE, "options": Namespace(a=1)}, "argparse.Namespace"),
        (nn.Linear(2, 2), "torch.nn"),
    ]:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(CheckpointError, match=rf"holds more than tensors \(.*{named}"):
            read_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params": OTHER["steps"], "epoch": 3}, "holds no state dict.* but the entries epoch, params"),
        ({"generator_a": STATE, "generator_b": STATE}, "holds no state dict"),
        ([torch.ones(2)], "but a list"),
        (torch.ones(2), "but a Tensor"),
        ({}, "but nothing"),
        ({1: torch.ones(2)}, "holds no state dict"),
        ({"a": {"b": {"c": {"d": {"e": {"f": STATE}}}}}}, "holds no state dict"),
        ({"w": torch.tensor([1.0, float("nan")])}, "w holds values that are not finite"),
        ({"w": torch.ones(2, 2).to_sparse()}, "w is not a plain tensor"),
        ({"w": torch.ones(2, dtype=torch.complex64)}, "w is not a plain tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["gone.pth", "gone.safetensors", "."])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        read_checkpoint(tmp_path / name)


def test_programs_are_refused_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    recwarn.clear()
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "model.pt")
    assert not recwarn.list


def stored(legacy: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"params": STATE}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), legacy=st.booleans(), ending=st.sampled_from([".pth", ".safetensors"]))
def test_damaged_files_are_one_line(tmp_path: Path, data: st.DataObject, legacy: bool, ending: str) -> None:
    content = bytearray(stored(legacy))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    for _ in range(data.draw(st.integers(1, 5)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"model{ending}"
    path.write_bytes(content)
    message = ""
    try:
        read_checkpoint(path)
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 600
