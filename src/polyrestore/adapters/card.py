"""The card of one adapter: what it is for, how it was made and what it is worth, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyrestore.adapters.config import Adapter


def adapter_card(adapter: Adapter, base_description: str, repository: str = "") -> str:
    """Return the Markdown of an adapter's ``README.md``, written from the adapter itself.

    Args:
        adapter: what to describe, with its record.
        base_description: which backbone it belongs to.
        repository: its name on the Hugging Face hub, where it is there.
    """
    lines = [
        "---\nlibrary_name: polyrestore\npipeline_tag: image-to-image\ntags:\n- image-restoration\n---\n",
        f"# {adapter.name}\n",
        f"An adapter for polyrestore: {adapter.config.kind}, {adapter.config.size_text()}, "
        f"{adapter.parameter_count:,} parameters, beside `{base_description}`.\n",
    ]
    rows = [("SHA-256 of its base", f"`{adapter.base_sha256 or 'not stated'}`")]
    prototype = adapter.prototype
    if prototype is not None:
        rows.append(("SHA-256 of its recogniser", f"`{prototype.recogniser_sha256 or 'not stated'}`"))
        if prototype.least_share is not None:
            rows.append(("acts from this probability on", f"{prototype.least_share:g}"))
        if prototype.beside_share is not None:
            rows.append(("beside what is plain, from", f"{prototype.beside_share:g}"))
        if prototype.supersedes:
            rows.append(("takes the place of", ", ".join(prototype.supersedes)))
        if prototype.least_change is not None:
            rows.append(("acts where it would change so many grey levels", f"{prototype.least_change:.1f}"))
    rows += flat_record(adapter.record)
    lines += ["| what | value |\n| --- | --- |"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    lines += [
        "",
        "```",
        f"{_getting(adapter.name, repository)} --into my-bundle\n"
        f"polyrestore restore photo.jpg -o restored --bundle my-bundle --as {adapter.name}",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _getting(name: str, repository: str) -> str:
    if not repository:
        return "polyrestore adapters add PATH/TO/THIS/FOLDER"
    renaming = "" if repository.endswith(f"/{name}") else f" --name {name}"
    return f"polyrestore adapters pull {repository}{renaming}"


def flat_record(record: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return a record as rows of two texts; what lies in a table has the table's name before its own."""
    rows: list[tuple[str, str]] = []
    for key, value in record.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += flat_record(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            rows += [(name, str(each)) for each in value]
        else:
            rows.append((name, f"{value:g}" if isinstance(value, float) else str(value)))
    return rows


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
