"""``polyrestore list``: what can be named in the other commands and in recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from polyrestore.cli.common import (
    AsJson,
    Bundle,
    print_json,
    print_table,
    require_bundle,
)
from polyrestore.cli.terminal import note_line, say

Entries = list[dict[str, Any]]


class Kind(StrEnum):
    """What can be listed."""

    DEGRADATIONS = "degradations"
    MIXTURES = "mixtures"
    ADAPTERS = "adapters"
    BACKBONES = "backbones"
    WEIGHTINGS = "weightings"
    METRICS = "metrics"
    BUNDLES = "bundles"
    PLUGINS = "plugins"


def list_command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    bundle: Bundle = "default",
    as_json: AsJson = False,
) -> None:
    """List what can be named in other commands and in recipes."""
    listers: dict[Kind, Callable[[], Entries]] = {
        Kind.DEGRADATIONS: _degradations,
        Kind.MIXTURES: _mixtures,
        Kind.ADAPTERS: lambda: _adapters(bundle),
        Kind.BACKBONES: _backbones,
        Kind.WEIGHTINGS: _weightings,
        Kind.METRICS: _metrics,
        Kind.BUNDLES: _bundles,
        Kind.PLUGINS: _plugins,
    }
    if kind is not Kind.BUNDLES:
        _load_plugins()
    entries = listers[kind]()
    if as_json:
        print_json(kind=kind.value, entries=entries)
    elif entries:
        # A column has no room for options; they are in the JSON.
        columns = [name for name, value in entries[0].items() if not isinstance(value, dict)]
        rows = [tuple(_cell(entry[name]) for name in columns) for entry in entries]
        print_table(columns, rows)
    else:
        say(f"no {kind.value}")


def _degradations() -> Entries:
    from polyrestore.degradations import DEGRADATIONS

    return [
        {"name": entry.name, "stage": entry.stage, "summary": entry.summary}
        for entry in DEGRADATIONS.values()
    ]


def _mixtures() -> Entries:
    from polyrestore.degradations import MIXTURES

    return [
        {
            "name": name,
            "applied": ", ".join(f"{each} {entry.severities[each]:g}" for each in entry.applied),
            "source": entry.citation,
            "severities": dict(entry.severities),
        }
        for name, entry in MIXTURES.items()
    ]


def _adapters(bundle: str) -> Entries:
    require_bundle(bundle)
    from polyrestore.adapters import layer_count
    from polyrestore.bundles import load_bundle

    adapters = load_bundle(bundle).adapters
    return [
        {
            "name": name,
            "kind": adapters[name].config.kind,
            "layers": layer_count(adapters[name]),
            "parameters": adapters[name].parameter_count,
        }
        for name in sorted(adapters)
    ]


_FACTS = ("parameters", "size_multiple", "receptive_radius_px", "global_context", "exact_tiles")


def _backbones() -> Entries:
    import torch

    from polyrestore.backbones import BACKBONES, BorrowsModel, build_backbone

    entries = []
    for name, kind in BACKBONES.items():
        if issubclass(kind, BorrowsModel):
            entries.append({"name": name, **dict.fromkeys(_FACTS), "options": kind.other_options()})
            continue
        # Without memory: only shapes are asked for.
        with torch.device("meta"):
            backbone = build_backbone(name)
        facts = backbone.description
        entries.append(
            {
                "name": name,
                "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
                "size_multiple": facts.size_multiple,
                "receptive_radius_px": facts.receptive_radius_px,
                "global_context": facts.global_context,
                "exact_tiles": facts.exact_tiles,
                "options": backbone.options,
            }
        )
    return entries


def _weightings() -> Entries:
    from polyrestore.training.weighting import WEIGHTINGS

    return [
        {
            "name": name,
            "summary": (strategy.__doc__ or "").strip().split("\n")[0],
            "options": _options(strategy),
        }
        for name, strategy in WEIGHTINGS.items()
    ]


def _metrics() -> Entries:
    from polyrestore.evaluation.scores import METRICS

    return [
        {
            "name": name,
            "title": metric.title,
            "unit": metric.unit,
            "better": "higher" if metric.higher_is_better else "lower",
            "range": "{:g} to {:g}".format(*metric.range),
            "needs": metric.needs,
            "missing": metric.missing() or "",
        }
        for name, metric in METRICS.items()
    ]


def _options(build: Callable[..., Any]) -> dict[str, Any]:
    """Return the default by name of what may be set; what has no default is not the user's to give."""
    parameters = inspect.signature(build).parameters.values()
    return {entry.name: entry.default for entry in parameters if entry.default is not entry.empty}


def _bundles() -> Entries:
    from polyrestore.bundles import find_bundle, list_bundles, read_manifest

    entries = []
    for name in list_bundles():
        folder = find_bundle(name)
        info = read_manifest(folder).info
        entries.append(
            {
                "name": name,
                "version": info.version,
                "licence": info.licence,
                "summary": info.summary,
                "folder": str(folder),
            }
        )
    return entries


def _load_plugins() -> None:
    from polyrestore.installed_plugins import complaints, load_installed_plugins

    load_installed_plugins()
    for complaint in complaints():
        note_line(complaint)


def _plugins() -> Entries:
    from polyrestore.installed_plugins import load_installed_plugins

    return [
        {"name": each.name, "package": each.package, "loads": each.value, "error": each.error or ""}
        for each in load_installed_plugins()
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "the model's"
    return f"{value:,}" if isinstance(value, int) else str(value)
