"""The figures of ``benchmarks/recognition.py`` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyrestore.recognition import CLEAN


def as_markdown(content: Mapping[str, Any]) -> str:
    """Return the page of a measurement as its JSON holds it."""
    bundle = f"Bundle {content['bundle']}, version {content['version']}"
    lines = [
        "# Recognition",
        "",
        f"{bundle}; {content['images']} held-back photographs.",
        *_confusion(content),
        *_by_eye(content),
        *_harm(content),
    ]
    return "\n".join(lines) + "\n"


def _confusion(content: Mapping[str, Any]) -> list[str]:
    table, pairs, (low, high) = content["confusion"], content["mixtures"], content["severities"]
    names = list(table)
    lines = [
        "",
        "## Synthetic damage",
        "",
        f"Severity {low} to {high}. Rows: what was done; columns: the adapter with the largest weight;",
        "clean: left alone.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for truth, row in table.items():
        cells = [f"{row[name]:.2f}" if name in row else "" for name in names]
        lines.append(f"| **{truth}** | " + " | ".join(cells) + " |")
    mean = sum(row.get(truth, 0) for truth, row in table.items()) / len(table)
    return [
        *lines,
        "",
        f"Mean of the diagonal: {mean:.3f}. Clean photographs left alone: {table[CLEAN].get(CLEAN, 0):.3f}.",
        f"Of {pairs['pairs']:.0f} pairs of degradations both get a weight in {pairs['both']:.0%}, "
        f"one of them in {pairs['one']:.0%}.",
    ]


def _by_eye(content: Mapping[str, Any]) -> list[str]:
    if not content["by_eye"]:
        return []
    lines = [
        "",
        "## Real photographs",
        "",
        f"Labelled by eye, held back ({', '.join(content['labelled'])}): in how many the adapter acts.",
        "",
        "| | clear or strong | faint |",
        "|---|---:|---:|",
    ]
    for name, row in content["by_eye"].items():
        cells = [
            f"{row[key][0]} of {row[key][1]}" if key in row else "" for key in ("clear or strong", "faint")
        ]
        lines.append(f"| **{name}** | " + " | ".join(cells) + " |")
    return lines


def _harm(content: Mapping[str, Any]) -> list[str]:
    table = content["harm"]
    lines = [
        "",
        "## Nothing wrong",
        "",
        f"Images with which nothing is wrong: on how many no adapter acts, how many come back above "
        f"{content['kept_db']:.0f} dB,",
        "the lowest PSNR to the input, and which adapters acted.",
        "",
        "| | images | left alone | kept | lowest, dB | acting |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for kind, row in table.items():
        least = "" if row["least_db"] is None else f"{row['least_db']:.1f}"
        acting = ", ".join(f"{name} {count}" for name, count in sorted(row["acting"].items()))
        lines.append(f"| {kind} | {row['images']} | {row['alone']} | {row['kept']} | {least} | {acting} |")
    count, alone, kept = (sum(row[key] for row in table.values()) for key in ("images", "alone", "kept"))
    below = sum(
        row["least_db"] is not None and row["least_db"] < content["least_db"] for row in table.values()
    )
    return [
        *lines,
        "",
        f"Of {count} images {alone / count:.1%} are left alone and {kept / count:.1%} are kept; "
        f"{below} of {len(table)} kinds have one below {content['least_db']:.0f} dB.",
    ]
