"""What became of one file, and the line of the report that says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import PurePath, PurePosixPath
from typing import Any, Literal, get_args

from polyrestore.notes import Note

LINE_FORMAT = 1
"""Version of the report's lines; it rises when a line of before would be misread."""

EXPLAINED_FOLDER = "explained"

Status = Literal["restored", "skipped", "failed"]


@dataclass(frozen=True)
class FileRecord:
    """What became of one file.

    Attributes:
        input: absolute path of the input, or its URL.
        output: path of the result relative to the output folder; None when there is none.
        status: "restored", "skipped" (an earlier run restored it in the same way) or "failed".
        error: what went wrong, None unless failed.
        weights: the composition; empty when the image was left as it was, or the bundle has no adapters.
        similarities: what the recogniser saw, empty when the degradations were named.
        seconds: time that restoring took, without reading and writing.
        width: of the result, in pixels.
        height: of the result, in pixels.
        notes: what of the file could not be kept, and what else a reader should know.
        explanation: paths of the files that explain the result, relative to the output folder.
        sha256: of the input's bytes.
        output_sha256: of the result's bytes, as they were written.
        identity: everything that decides about the pixels of the result beside the input.
        shots: of a video, what was done from one cut to the next: when it begins and ends, in seconds from
            the first frame, how many frames it has, and its composition; empty of an image.
        input_state: of an input behind a URL, what tells whether it has changed since.
        output_state: likewise of the result.
    """

    input: str
    output: str | None
    status: Status
    error: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    similarities: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    notes: tuple[Note, ...] = ()
    explanation: tuple[str, ...] = ()
    sha256: str | None = None
    output_sha256: str | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    shots: tuple[Mapping[str, Any], ...] = ()
    input_state: str | None = None
    output_state: str | None = None

    def to_line(self) -> str:
        """Return the record as JSON without line breaks; names that are not UTF-8 survive as escapes."""
        # Not asdict, which copies all that is in them, a tenth of the time of a file that is skipped.
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        codes = [note.code for note in self.notes]
        return json.dumps({"format": LINE_FORMAT, **values, "note_codes": codes})

    @classmethod
    def from_line(cls, line: str) -> FileRecord:
        """Return the record of a line; keys that are not known are left out.

        Raises:
            NewerLineError: the line is of a later format.
            ValueError: it is no record.
        """
        try:
            values = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(values, dict) or not {"format", "input", "output", "status"} <= values.keys():
            raise ValueError("not a record")
        if _is_count(values["format"]) and values["format"] > LINE_FORMAT:
            raise NewerLineError(values["format"])
        if values["format"] != LINE_FORMAT:
            raise ValueError("not of a known format")
        known = {entry.name: values[entry.name] for entry in fields(cls) if entry.name in values}
        for name, value in known.items():
            if not _FITS[name](value):
                raise ValueError(f"{name} is {value!r}")
        known["notes"] = _notes(known.get("notes", ()), values.get("note_codes"))
        for name in ("explanation", "shots"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


def _notes(sentences: Sequence[str], codes: object) -> tuple[Note, ...]:
    """Return the notes of a line; those of versions that gave no codes have the code "unknown"."""
    if not isinstance(codes, list) or len(codes) != len(sentences) or not _is_texts(codes):
        codes = ["unknown"] * len(sentences)
    return tuple(map(Note, codes, sentences))


def explanation_place(output: PurePath) -> PurePath:
    """Return the folder of what explains a result, both relative to the output folder."""
    return PurePath(EXPLAINED_FOLDER) / output


def result_of(record: FileRecord) -> str | None:
    """Return the relative name of the result that a record is about, even if all there is explains it."""
    if record.output is not None or not record.explanation:
        return record.output
    folder, *place = PurePosixPath(record.explanation[0]).parts[:-1] or ("",)
    return "/".join(place) if folder == EXPLAINED_FOLDER else None


class NewerLineError(Exception):
    """A line of a report is of a format that this version does not know."""


def is_cut_short(line: str) -> bool:
    """Say whether a line that is no JSON is the beginning of a record, as a killed run leaves it."""
    if not line.startswith("{"):
        return False
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        # An escape or a literal that is cut is noticed where it begins.
        return error.msg.startswith("Unterminated string") or len(line) - error.pos <= _LONGEST_TOKEN
    except (ValueError, RecursionError):
        return False
    return False


_LONGEST_TOKEN = len("-Infinity")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or _is_count(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_numbers_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(each) for each in value.values())


def _or_none(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


_FITS: dict[str, Callable[[object], bool]] = {
    "input": _is_text,
    "output": _or_none(_is_text),
    "status": lambda value: value in get_args(Status),
    "error": _or_none(_is_text),
    "weights": _is_numbers_by_name,
    "similarities": _is_numbers_by_name,
    "seconds": _or_none(_is_number),
    "width": _or_none(_is_count),
    "height": _or_none(_is_count),
    "notes": _is_texts,
    "explanation": _is_texts,
    "sha256": _or_none(_is_text),
    "output_sha256": _or_none(_is_text),
    "identity": lambda value: isinstance(value, dict),
    "shots": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
    "input_state": _or_none(_is_text),
    "output_state": _or_none(_is_text),
}
