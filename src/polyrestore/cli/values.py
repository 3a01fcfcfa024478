"""Options as people write them: ``heads=[1,2,4,8]``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from polyrestore.errors import BackboneError


def parse_values(entries: Sequence[str]) -> dict[str, object]:
    """Return the value by key of entries such as ``heads=[1,2,4,8]``, in the notation of recipes.

    Raises:
        BackboneError: an entry has no key or no value, or its value is not in TOML's notation.
    """
    values: dict[str, object] = {}
    for entry in entries:
        key, equals, text = (part.strip() for part in entry.partition("="))
        if not key or not equals:
            raise BackboneError(f"{entry!r} is not of the form key=value, such as heads=[1,2,4,8]")
        try:
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise BackboneError(f"the value in {entry!r} cannot be read: {error}") from error
        except RecursionError as error:
            raise BackboneError(f"the value of {key!r} is nested too deeply to be read") from error
    return values
