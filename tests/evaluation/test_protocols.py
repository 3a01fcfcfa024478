"""Protocols by name, and the cut to whole multiples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.errors import ProtocolError, UnknownNameError
from polyrestore.evaluation.metrics import Protocol, psnr
from polyrestore.evaluation.protocols import PROTOCOLS, protocol_of
from polyrestore.evaluation.scores import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "evaluating.md"


def test_each_is_found_by_its_name_and_says_what_it_compares() -> None:
    assert protocol_of("weather").channels == "y"
    assert "multiples of 16 px" in str(protocol_of("all-in-one"))
    assert "4 px border" in str(protocol_of("ten-tasks"))
    with pytest.raises(UnknownNameError, match=r"unknown protocol 'wether'; .*weather"):
        protocol_of("wether")


def test_figures_differ_between_them() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 40, 44, generator=generator)
    image = (target + 0.02 * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    image[:, :4] = 0
    figures = {psnr(image, target, protocol_of(name)) for name in ("files", "weather", "ten-tasks")}
    assert len(figures) == 3


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20))
def test_the_middle_is_the_largest_whole_multiple_and_centred(height: int, width: int, multiple: int) -> None:
    image = torch.arange(height * width).view(1, height, width).expand(3, -1, -1)
    protocol = Protocol(multiple=multiple)
    if min(height, width) < multiple:
        with pytest.raises(ProtocolError, match="less than the protocol"):
            protocol.middle(image)
        return
    middle = protocol.middle(image)
    for side, kept in zip((height, width), middle.shape[-2:], strict=True):
        assert kept % multiple == 0
        assert side - multiple < kept <= side
    top, left = divmod(int(middle[0, 0, 0]), width)
    assert (top, left) == ((height - middle.shape[1]) // 2, (width - middle.shape[2]) // 2)


def test_a_multiple_below_one_is_refused() -> None:
    with pytest.raises(ProtocolError, match="at least 1 px"):
        Protocol(multiple=0)


def test_the_documentation_has_a_row_for_each() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for heading, registry in (("Protocols", PROTOCOLS), ("Metrics", METRICS)):
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        rows = [line.split("`")[1] for line in section.splitlines() if line[:3] == "| `"]
        assert sorted(rows) == sorted(registry)
