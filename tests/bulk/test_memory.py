"""What memory is counted."""

from __future__ import annotations

import sys

import pytest
import torch

from polyrestore.bulk.memory import LiveBytes, PeakMemory, resident_bytes


def test_live_bytes_are_the_most_that_were_alive_at_once() -> None:
    size = 1000 * 4
    with LiveBytes() as live:
        first = torch.zeros(1000)
        assert live.most == size
        second = first + 1
        view = second.view(10, 100)[2:]
        del second
        assert live.most == 2 * size
        del first, view
        third = torch.zeros(1000) + 1
        assert live.most == 2 * size
        fourth = torch.cat([third, third])
        assert live.most == 3 * size
    assert fourth.shape == (2000,)


def test_a_peak_is_what_is_taken_beyond_what_was_before() -> None:
    size = 40_000_000
    before = torch.ones(size // 4)
    with PeakMemory(torch.device("cpu")) as memory:
        more = before + 1
        del more
    assert size <= memory.most < 3 * size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not say it here")
def test_the_system_says_what_the_process_takes() -> None:
    before = resident_bytes()
    held = torch.ones(10_000_000)
    assert 20_000_000 < resident_bytes() - before < 100_000_000
    assert len(held) == 10_000_000
