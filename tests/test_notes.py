"""Notes: texts with codes, which keep them on every way, and are counted by code."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from pathlib import Path

from polyrestore.notes import MEANINGS, Note, NoteCounts

SOURCE = Path(__file__).parents[1] / "src"


def test_a_note_is_its_sentence_and_keeps_its_code() -> None:
    note = Note("exif_lost", "BMP cannot hold EXIF, dropped")
    assert note == "BMP cannot hold EXIF, dropped"
    assert "EXIF" in note
    assert json.loads(json.dumps([note])) == [str(note)]
    for copied in (copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert (copied, copied.code) == (note, "exif_lost")
    assert eval(repr(note)).code == "exif_lost"


def test_files_are_counted_by_code_and_words_that_differ_are_said_in_general() -> None:
    counts = NoteCounts()
    assert counts.lines() == []
    for format_name in ("BMP", "JPEG"):
        counts.add([Note("exif_lost", f"{format_name} cannot hold EXIF, dropped")])
    counts.add([Note("frames_lost", "holds 2 frames, only the first is used")])
    counts.add([Note("of_a_later_version", "one")])
    counts.add([Note("of_a_later_version", "two"), Note("of_a_later_version", "three")])
    counts.add([])
    assert counts.lines() == [
        "2 files: EXIF lost",
        "2 files: of_a_later_version",
        "1 file: holds 2 frames, only the first is used",
    ]


def test_every_code_that_is_given_has_a_meaning_and_every_meaning_is_given() -> None:
    given = {
        node.args[0].value
        for path in (SOURCE / "polyrestore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Note"
        and isinstance(node.args[0], ast.Constant)
    }
    assert given == MEANINGS.keys() - {"unknown"}
