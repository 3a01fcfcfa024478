"""Every option of every network has bounds, and no network is made that does not fit."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyrestore import devices
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.backbones.bounds import Number, WholeNumber, WholeNumbers, check_options
from polyrestore.errors import BackboneError, DeviceMemoryError
from tests.support.networks import PUBLISHED, TINY

OPTIONS = [(name, option) for name in PUBLISHED for option in BACKBONES[name].bounds]
HOSTILE = [
    -1, -(10**30), 10**30, 0.5, math.nan, math.inf, True, "x" * 10_000, None, [], [0], [-1] * 4, [10**30] * 4,
    [[1]] * 4, [1] * 10_000, [1.5] * 3, {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in BACKBONES if name in PUBLISHED])
def test_every_option_has_its_bounds_and_the_defaults_are_within(name: str) -> None:
    bounds = BACKBONES[name].bounds
    with torch.device("meta"):
        options = build_backbone(name).options
        # A part that is not there unless it is asked for may stay unsaid; 0 is how to ask for none.
        unsaid = dict.fromkeys(set(bounds) - set(options), 0)
        assert build_backbone(name, **unsaid).options == options
    assert set(options) | set(unsaid) == set(bounds)
    check_options(bounds, options)
    check_options(bounds, TINY[name])


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_whatever_an_option_is_set_to_the_answer_is_one_line(
    name: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "available_bytes", lambda device: 10**8)
    refused = 0
    for value in HOSTILE:
        try:
            build_backbone(name, **(TINY[name] | {option: value}))
        except BackboneError as error:
            refused += 1
            assert len(str(error)) < 300  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
    # A switch takes True, and some numbers and lists are fine here and there.
    assert refused >= len(HOSTILE) - 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"width": 0}, "width must be a whole number from 1 to 4096, not 0"),
        ({"width": 8.0}, r"width must be a whole number from 1 to 4096, not 8\.0"),
        ({"context_dim": 0}, "context_dim must be a whole number from 1"),
        ({"encoder_blocks": (1, -1)}, r"encoder_blocks must be a list of 1 to 6 whole numbers from 0 to 256"),
        ({"widht": 8}, "there is no option 'widht'; did you mean 'width'"),
    ],
)
def test_a_refusal_says_what_is_allowed(options: dict[str, object], problem: str) -> None:
    with pytest.raises(BackboneError, match=f"backbone 'compact' cannot be built: {problem}"):
        build_backbone("compact", **options)


@settings(deadline=None)
@given(st.one_of(st.integers(-3, 12), st.booleans(), st.floats(), st.lists(st.integers(-3, 12)), st.text()))
def test_what_bounds_allow_is_what_they_say(value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    assert WholeNumber(2, 9).allows(value) is (whole and 2 <= value <= 9)
    listed = isinstance(value, list) and 1 <= len(value) <= 2 and all(2 <= each <= 9 for each in value)
    assert WholeNumbers(WholeNumber(2, 9), 1, 2).allows(value) is listed
    number = (whole or isinstance(value, float)) and 0 < value <= 5
    assert Number(0, 5).allows(value) is number
    assert Number(0, 5, closed=True).allows(value) is (number or (not isinstance(value, bool) and value == 0))


def test_a_network_that_does_not_fit_into_memory_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(devices, "available_bytes", lambda device: 10**6)
    original = torch.nn.Conv2d.__init__

    def watched(layer: nn.Conv2d, *arguments: Any, **keywords: Any) -> None:
        original(layer, *arguments, **keywords)
        made.append(layer.weight.device.type)

    monkeypatch.setattr(torch.nn.Conv2d, "__init__", watched)
    with pytest.raises(DeviceMemoryError, match=r"backbone 'nafnet' needs about .* GB of memory"):
        build_backbone("nafnet")
    assert set(made) == {"meta"}
    made.clear()
    build_backbone("nafnet", **TINY["nafnet"])
    assert set(made) == {"meta", "cpu"}


def test_asking_for_its_size_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    first = build_backbone("compact", **TINY["compact"])
    torch.manual_seed(0)
    second = BACKBONES["compact"](**TINY["compact"])
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
