"""Tables and plots of the experiment on weighting strategies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.weighting.runs import WINDOW_STEPS, Run
from polyrestore.training.validation.crops import SEVERITIES

Records = Sequence[dict[str, Any]]

# Two-sided 5 % limits of Student's t by degrees of freedom.
LIMITS = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78}
RUN_KEYS = tuple(each.name for each in fields(Run))
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377")


def tables(report: dict[str, Any]) -> str:
    """Return all tables in Markdown."""
    records, parts = report["runs"], ["# Weighting strategies", "", report["about"], ""]
    for title, chosen in by_part(records).items():
        parts += [f"## {title}", ""]
        parts += [*quality_table(chosen, report["inputs"][chosen[0]["setting"]]), ""]
        parts += [*paired_table(chosen), "", *severity_table(chosen), ""]
        if any(len(record.get("curve", ())) > 1 for record in chosen):
            parts += [*curve_table(chosen), ""]
    if report["costs"]:
        parts += ["## Cost of a step", "", *cost_table(report["costs"]), ""]
    for name, statistics in report["ratios"].items():
        parts += [f"## Art's ratios on the losses of {name}", "", *ratio_tables(statistics), ""]
    return "\n".join(parts).rstrip() + "\n"


def quality_table(records: Records, inputs: dict[str, float]) -> list[str]:
    tasks = list(records[0]["psnr"])
    rows = [["nothing done", *(f"{inputs[task]:.2f}" for task in tasks), ""]]
    for variant, runs in by_variant(records).items():
        cells = [_spread([run["psnr"][task] for run in runs], 2) for task in tasks]
        rows.append([variant, *cells, str(len(runs))])
    return _table(["PSNR, dB", *map(_plain, tasks), "seeds"], rows)


def paired_table(records: Records) -> list[str]:
    """Tell what differs from uniform: differences by seed, their deviation, and which are beyond chance."""
    tasks = list(records[0]["psnr"])
    rows = []
    for variant in by_variant(records):
        if variant != "uniform" and (pairs := paired(records, variant)):
            cells = [_spread(values, 3, signed=True, tested=True) for values in pairs.values()]
            rows.append([variant, *cells])
    return _table(["minus uniform, dB", *map(_plain, tasks)], rows)


def severity_table(records: Records) -> list[str]:
    tasks = [task for task in records[0]["psnr"] if task != "mean"]
    base = {run["seed"]: run for run in by_variant(records).get("uniform", [])}
    rows = []
    for variant, runs in by_variant(records).items():
        known = [run for run in runs if run["seed"] in base]
        if variant == "uniform" or not known:
            continue
        cells = []
        for task in tasks:
            pairs = [
                (run["psnr_by_severity"][task], base[run["seed"]]["psnr_by_severity"][task]) for run in known
            ]
            columns = range(len(SEVERITIES))
            cells.append(" / ".join(f"{mean(a[i] - b[i] for a, b in pairs):+.2f}" for i in columns))
        rows.append([variant, *cells])
    label = "minus uniform, dB, at severity " + " / ".join(map(str, SEVERITIES))
    return _table([label, *map(_plain, tasks)], rows)


def curve_table(records: Records) -> list[str]:
    """Tell after which step of a long run by how much a variant differed from uniform, in the mean."""
    base = {run["seed"]: run["curve"] for run in by_variant(records).get("uniform", [])}
    steps = list(records[0]["curve"])
    rows = []
    for run in records:
        if run["variant"] != "uniform" and run["seed"] in base:
            pairs = [(run["curve"][at], base[run["seed"]][at]) for at in steps]
            label = f"{run['variant']}, seed {run['seed']}"
            rows.append([label, *(f"{here - there:+.2f}" for here, there in pairs)])
    for seed, values in base.items():
        rows.append([f"uniform, seed {seed}", *(f"{values[at]:.2f}" for at in steps)])
    return _table(["mean, dB; minus uniform, after steps", *steps], rows)


def cost_table(costs: dict[str, dict[str, float]]) -> list[str]:
    rows = [
        [name, f"{row['milliseconds']:.1f}", f"{row['ratio']:.3f}",
         f"{row['lower_quartile']:.3f} to {row['upper_quartile']:.3f}", f"{row['judging_milliseconds']:.2f}"]
        for name, row in costs.items()
    ]  # fmt: skip
    return _table(
        [
            "strategy",
            "ms per step",
            "relative to uniform",
            "middle half of the turns",
            "of it the strategy, ms",
        ],
        rows,
    )


def ratio_tables(statistics: dict[str, Any]) -> list[str]:
    temperatures = statistics["temperatures"]
    rows = []
    for task, row in statistics["ratios"].items():
        weights = [f"{each['mean_weight'][task]:.2f}" for each in temperatures.values()]
        cells = [row["mean_loss"], row["mean"], row["deviation"], row["next_correlation"]]
        rows.append([_plain(task), *map(str, cells), *weights])
    heading = ["task", "loss", "mean r", "deviation of r", "correlation with the next r"]
    parts = _table([*heading, *(f"weight at T = {t}" for t in temperatures)], rows)
    spread = ", ".join(f"{count}: {value}" for count, value in statistics["spread_by_samples"].items())
    parts += ["", f"Deviation of ln(L / E) by samples of the task in the batch: {spread}."]
    share = f"{100 * statistics['variance_between_tasks']:.0f} %"
    parts += [f"Of the variance of r, {share} lies between the tasks, the rest within them, step by step."]
    for t, each in temperatures.items():
        parts.append(
            f"T = {t}: {each['effective_tasks']} effective tasks per step; one task has more than nine "
            f"tenths of the weight in {100 * each['nine_tenths_on_one']:.0f} % of the steps."
        )
    return parts


def paired(records: Records, variant: str) -> dict[str, list[float]]:
    """Return by task the differences of a variant from uniform, one per seed that both have."""
    groups = by_variant(records)
    base = {run["seed"]: run["psnr"] for run in groups.get("uniform", [])}
    runs = [run for run in groups.get(variant, []) if run["seed"] in base]
    if not runs:
        return {}
    return {task: [run["psnr"][task] - base[run["seed"]][task] for run in runs] for task in runs[0]["psnr"]}


def by_part(records: Records) -> dict[str, list[dict[str, Any]]]:
    """Group records into those that can be compared."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(title_of(Run(**{key: record[key] for key in RUN_KEYS})), []).append(record)
    return groups


def title_of(run: Run) -> str:
    """Return the title under which a run is reported."""
    return f"{run.setting}, {run.network}, {run.steps} steps"


def by_variant(records: Records) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(record["variant"], []).append(record)
    return groups


def plot_weights(records: Records, path: Path) -> None:
    """Draw every strategy's weights over the steps of its first seed, to ``path``."""
    from matplotlib import pyplot

    groups = {variant: runs[0] for variant, runs in by_variant(records).items()}
    columns = 3
    rows = -(-len(groups) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(9, 1.9 * rows), sharex=True, sharey=True, squeeze=False
    )
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    for axis, (variant, record) in zip(axes.flat, groups.items(), strict=False):
        for colour, (task, values) in zip(COLOURS, record["weights"].items(), strict=True):
            steps = [WINDOW_STEPS * (index + 1) for index in range(len(values))]
            axis.plot(steps, values, color=colour, linewidth=1.2, label=_plain(task))
        axis.set_title(variant, fontsize=9)
        axis.set_ylim(0, 1)
        axis.tick_params(labelsize=7)
    axes[0][0].legend(fontsize=6, ncols=2, frameon=False)
    figure.supxlabel(f"step (means over {WINDOW_STEPS} steps)", fontsize=8)
    figure.supylabel("share of the weight", fontsize=8)
    _save(figure, path)


def plot_differences(parts: Mapping[str, Records], path: Path) -> None:
    """Draw the paired differences from uniform in the mean PSNR, a dot per seed, to ``path``."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(parts), figsize=(4.5 * len(parts), 3.4), squeeze=False)
    for axis, (name, records) in zip(axes.flat, parts.items(), strict=True):
        variants = [variant for variant in by_variant(records) if variant != "uniform"]
        for row, variant in enumerate(variants):
            values = paired(records, variant).get("mean", [])
            axis.plot(values, [row] * len(values), "o", color=COLOURS[0], markersize=4, alpha=0.7)
            if values:
                axis.plot([mean(values)], [row], "|", color=COLOURS[1], markersize=14, markeredgewidth=2)
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_yticks(range(len(variants)), variants, fontsize=8)
        axis.invert_yaxis()
        axis.set_title(name, fontsize=9)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_xlabel("mean PSNR minus uniform's, dB", fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _spread(values: Sequence[float], digits: int, *, signed: bool = False, tested: bool = False) -> str:
    """Write mean ± deviation; bold where a paired t-test at 5 % says that the mean is not 0."""
    text = f"{mean(values):{'+' if signed else ''}.{digits}f}"
    if len(values) < 2:
        return text
    deviation = stdev(values)
    text += f" ± {deviation:.{digits}f}"
    limit = LIMITS.get(len(values) - 1, 2.6) * deviation / sqrt(len(values))
    return f"**{text}**" if tested and abs(mean(values)) > limit else text


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(heading) + " |", "|---|" + "---:|" * (len(heading) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _plain(name: str) -> str:
    return name.replace("_", " ")
