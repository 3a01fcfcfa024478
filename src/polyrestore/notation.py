"""What people write for a program to read: ``rain=0.7,noise`` and ``heads=[1,2,4,8]``."""

from __future__ import annotations

import tomllib

from polyrestore.errors import NotationError


def read_names(text: str) -> dict[str, str | None]:
    """Return what is written after each of the names that commas separate: ``rain=0.7,noise``.

    Returns:
        by name, the text after its ``=``; None for a name alone.

    Raises:
        NotationError: something has no name, or a name is given twice.
    """
    written: dict[str, str | None] = {}
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        name, value = split_assignment(entry)
        if not name:
            raise NotationError(f"{entry!r} in {text!r} has no name before its '='")
        if name in written:
            raise NotationError(f"{name!r} is given twice in {text!r}")
        written[name] = value
    return written


def read_assignment(entry: str, example: str) -> tuple[str, object]:
    """Return name and value of ``name=value``, with the value in TOML's notation.

    Args:
        entry: what was written.
        example: what it could look like, for the message.

    Raises:
        NotationError: there is no name or no value, or the value cannot be read.
    """
    name, text = split_assignment(entry)
    if not name or text is None:
        raise NotationError(f"{entry!r} is not of the form name=value, such as {example}")
    try:
        return name, read_value(text)
    except tomllib.TOMLDecodeError as error:
        raise NotationError(f"the value in {entry!r} cannot be read: {error}") from error


def split_assignment(entry: str) -> tuple[str, str | None]:
    """Return what is before and after the first ``=``, without spaces around; None where there is none."""
    name, equals, text = (part.strip() for part in entry.partition("="))
    return name, text if equals else None


def read_value(text: str) -> object:
    """Return a value in TOML's notation.

    Raises:
        tomllib.TOMLDecodeError: it is none.
        NotationError: it is nested too deeply.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise NotationError("a value is nested too deeply to be read") from error
