"""Photographs with labels by eye: what is wrong with each, how strongly, and what kind of picture it is."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from polyrestore.errors import DataError
from polyrestore.files import read_bytes

LABELS_FILE = "labels.csv"
STRENGTHS = ("none", "faint", "clear", "strong")
CLEAN_LABEL = "clean"


@dataclass(frozen=True)
class LabelledPhotograph:
    """One line of a ``labels.csv``.

    Attributes:
        path: of the file.
        labels: names of degradations, or "clean" alone.
        strength: how plainly they are seen: "faint", "clear" or "strong"; "none" for clean ones.
        kind: what makes a clean one hard to tell, or what the others show; may be empty.
    """

    path: Path
    labels: frozenset[str]
    strength: str
    kind: str

    @property
    def is_clean(self) -> bool:
        """True when nothing is wrong with it."""
        return self.labels == {CLEAN_LABEL}


def read_labelled(folder: Path) -> list[LabelledPhotograph]:
    """Read a folder's ``labels.csv``, with the columns ``file``, ``labels``, ``strength`` and ``kind``.

    ``file`` is relative to the folder; a first part that the folder does not have, such as the name of the
    split, is left out. Several labels are separated by "|" or "+".

    Raises:
        DataError: the file is missing, lacks a column, or names a photograph that is not there.
    """
    path = folder / LABELS_FILE
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8"), newline="")))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table of labels: {error}") from error
    if not rows:
        raise DataError(f"{path} has no photographs in it")
    for column in ("file", "labels", "strength", "kind"):
        if column not in rows[0]:
            raise DataError(f"{path} has no column {column!r}")
    return [_photograph(folder, path, row) for row in rows]


def _photograph(folder: Path, table: Path, row: dict[str, str]) -> LabelledPhotograph:
    named = folder / row["file"]
    if not named.is_file():
        named = folder / Path(*Path(row["file"]).parts[1:])
    if not named.is_file():
        raise DataError(f"{table} names {row['file']}, which is not there")
    if row["strength"] not in STRENGTHS:
        raise DataError(
            f"{table}: the strength of {row['file']} is {row['strength']!r}, not one of {STRENGTHS}"
        )
    labels = frozenset(label for label in re.split(r"[|+]", row["labels"]) if label)
    if not labels or (CLEAN_LABEL in labels and len(labels) > 1):
        raise DataError(f"{table}: the labels of {row['file']} are {row['labels']!r}")
    return LabelledPhotograph(named, labels, row["strength"], row["kind"])
