from __future__ import annotations

import sys

import pytest
import torch

from polyrestore import devices
from polyrestore.errors import DeviceMemoryError

CPU = torch.device("cpu")


def test_what_is_free_is_known_with_and_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    found = devices.available_bytes(CPU)
    assert found is not None
    assert 50e6 < found < 1e14
    monkeypatch.setitem(sys.modules, "psutil", None)
    without = devices.available_bytes(CPU)
    assert without is not None
    assert 0.5 < without / found < 2


def test_what_cannot_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_free_of_system", lambda: 3 * 10**9)
    monkeypatch.setattr(devices, "_free_of_container", lambda: None)
    devices.require_memory(3 * 10**9, CPU, "it")
    message = r"^it needs about 3\.4 GB of memory and 3\.0 GB are free on cpu; [^\n]*$"
    with pytest.raises(DeviceMemoryError, match=message):
        devices.require_memory(3_400_000_000, CPU, "it")
    # The limit of a container counts where it is the lower one.
    monkeypatch.setattr(devices, "_free_of_container", lambda: 10**9)
    with pytest.raises(DeviceMemoryError, match=r"1\.0 GB are free"):
        devices.require_memory(2 * 10**9, CPU, "it")


def test_nothing_is_refused_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_free_of_system", lambda: None)
    monkeypatch.setattr(devices, "_free_of_container", lambda: None)
    devices.require_memory(10**18, CPU, "it")
    assert devices.available_bytes(torch.device("meta")) is None
