"""What people write is read in one way, and what cannot be read is one line."""

from __future__ import annotations

import pytest

from polyrestore.errors import NotationError
from polyrestore.notation import read_assignment, read_names


def test_names_stand_alone_or_with_a_value() -> None:
    assert read_names(" rain = 0.25 , jpeg,,noise=") == {"rain": "0.25", "jpeg": None, "noise": ""}
    assert read_names(" , ") == {}
    # What follows the first sign belongs to the value.
    assert read_names("rain=a=b") == {"rain": "a=b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("rain,rain=1", "'rain' is given twice in 'rain,rain=1'"), ("rain,=0.5", "'=0.5' .* has no name")],
)
def test_names_that_are_missing_or_twice_are_refused(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message):
        read_names(text)


def test_values_are_in_the_notation_of_recipes() -> None:
    entries = ["heads=[1, 2]", "norm_bias = false", 'text="a=b"']
    found = dict(read_assignment(entry, "heads=[1,2]") for entry in entries)
    assert found == {"heads": [1, 2], "norm_bias": False, "text": "a=b"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("heads", "'heads' is not of the form name=value, such as heads=4"),
        ("=3", "not of the form"),
        ("heads=", "cannot be read"),
        ("heads=[1,", "cannot be read"),
        ("name=text", "cannot be read"),
        ("heads=" + "[" * 5000 + "]" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_assignment_is_refused_in_one_line(entry: str, message: str) -> None:
    with pytest.raises(NotationError, match=message) as caught:
        read_assignment(entry, "heads=4")
    assert "\n" not in str(caught.value)
