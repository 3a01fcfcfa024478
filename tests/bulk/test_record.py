"""Lines of a report: what is written is read, and whatever else stands there is told apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyrestore.bulk.record import LINE_FORMAT, FileRecord, NewerLineError, is_cut_short, result_of
from polyrestore.notes import Note

RICH = FileRecord(
    input="/in/caf\udce9 \u2603\n.png",
    output='sub/"a".png',
    status="restored",
    weights={"noise": 0.75, "rain": 1e-7},
    similarities={"clean": -0.25},
    seconds=1.5,
    width=4,
    height=5,
    notes=(Note("comments_lost", "comments and XMP are not kept"),),
    explanation=("explained/sub/a/0-backbone.png",),
    sha256="ab",
    output_sha256="cd",
    identity={"as": None, "strength": 1.0, "exact": True, "nested": {"a": [1, 2]}},
    input_state='12 "ab"',
    output_state="13 1.5",
)


def is_record(line: str) -> bool:
    try:
        FileRecord.from_line(line)
    except ValueError:
        return False
    return True


def test_a_record_comes_back_from_its_line() -> None:
    line = RICH.to_line()
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line)["format"] == LINE_FORMAT
    assert FileRecord.from_line(line) == RICH
    assert [note.code for note in FileRecord.from_line(line).notes] == ["comments_lost"]
    least = FileRecord("/a", None, "failed", error="gone")
    assert FileRecord.from_line(least.to_line()) == least


@pytest.mark.parametrize("codes", [None, [], ["a", "b"], 5, [1], "a"])
def test_notes_of_versions_that_gave_no_codes_stay(codes: object) -> None:
    values = {**json.loads(RICH.to_line()), "note_codes": codes}
    (note,) = FileRecord.from_line(json.dumps(values)).notes
    assert (note, note.code) == (RICH.notes[0], "unknown")


def test_what_a_killed_run_leaves_of_a_line_is_known_as_such() -> None:
    line = RICH.to_line()
    for length in range(1, len(line)):
        assert not is_record(line[:length])
        assert is_cut_short(line[:length]), line[:length]
    assert not is_cut_short(line)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(vars(RICH))), value=VALUES)
def test_a_value_of_another_type_is_no_record(name: str, value: object) -> None:
    values = {**json.loads(RICH.to_line()), name: value}
    kind = str if name == "error" else type(json.loads(RICH.to_line())[name])
    try:
        record = FileRecord.from_line(json.dumps(values))
    except ValueError:
        return
    # What is taken can be used: it has the type that it should have, or is left out.
    assert value is None or isinstance(value, kind) or {int, float} >= {type(value), kind}
    assert hash((record.input, record.output, record.status, record.notes, record.explanation))
    assert result_of(record) is None or isinstance(result_of(record), str)


@pytest.mark.parametrize(
    "line",
    [
        "[" * 30000,
        "5",
        '"text"',
        "{}",
        '{"input": "a", "output": "x", "status": "restored"}',
        '{"format": "1", "input": "a", "output": "x", "status": "restored"}',
        '{"format": 0, "input": "a", "output": "x", "status": "restored"}',
        '{"format": 1, "input": [], "output": "x", "status": "restored"}',
        '{"format": 1, "input": "a", "output": [], "status": "restored"}',
        '{"format": 1, "input": "a", "output": "x", "status": "lost"}',
        '{"format": 1, "input": "a", "output": "x", "status": "failed", "notes": 5}',
        '{"format": 1, "input": "a", "output": "x", "status": "failed", "explanation": [[1]]}',
        '{"format": 1, "input": "a", "output": "x", "status": "failed", "weights": {"a": "b"}}',
        '{"format": 1, "input": "a", "output": "x", "status": "failed", "width": true}',
        "9" * 5000,
    ],
)
def test_other_lines_are_refused_and_not_taken_for_cut_ones(line: str) -> None:
    assert not is_record(line)
    assert not is_cut_short(line)


def test_keys_of_others_are_left_out_and_later_formats_named() -> None:
    values = {**json.loads(RICH.to_line()), "mood": "good"}
    assert FileRecord.from_line(json.dumps(values)) == RICH
    with pytest.raises(NewerLineError, match="2"):
        FileRecord.from_line(json.dumps({**values, "format": 2}))


def test_a_record_is_about_a_result_that_only_its_explanation_is_left_of() -> None:
    explained = ("explained/sub/a.png/sheet.png",)
    assert result_of(FileRecord("/a", None, "failed", explanation=explained)) == "sub/a.png"
    for odd in ("sheet.png", "/etc/sheet.png", "../x/y.png", "explained"):
        assert result_of(FileRecord("/a", None, "failed", explanation=(odd,))) is None
    assert result_of(FileRecord("/a", None, "failed")) is None
