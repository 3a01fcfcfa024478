"""From the sets that a recipe names to tasks with samples."""

from __future__ import annotations

from collections.abc import Sequence

from polyrestore.data import FixedNoise, Sample, SampleGroup, SyntheticDamage, Task, find_sets, find_shards
from polyrestore.data.tasks import Damage
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError, nearest_names
from polyrestore.training.recipes.data_table import SetTable

TRAINING_SPLITS = (frozenset({"train", "all"}),)
HELD_OUT_SPLITS = (frozenset({"validation"}), frozenset({"test"}), frozenset({"all"}))


def load_tasks(
    tables: Sequence[SetTable], severity: tuple[float, float], *, held_out: bool = False
) -> tuple[Task, ...]:
    """Find the samples of some sets and put them together by task; no image is read yet.

    Args:
        tables: the sets of a recipe.
        severity: range of the synthetic severities where a set does not say.
        held_out: True for validation, which prefers the splits that are not trained on.

    Raises:
        RecipeError: a set does not have what is asked of it, or a task's degradations are not known.
        DataError: a folder is missing, holds no set, or images do not pair up.
    """
    tasks: dict[str, Task] = {}
    for table in tables:
        for name, samples in _by_task(table, held_out).items():
            degradations, task_name = _degradations(table, name)
            damage = _damage(table, degradations, severity, samples)
            group = SampleGroup(tuple(samples), damage, table.share, table.zoom_out)
            known = tasks.get(task_name, Task(task_name, degradations, (group,)))
            if set(known.degradations) != set(degradations):
                raise RecipeError(
                    f"task {task_name!r} is {'+'.join(known.degradations)} in one set and "
                    f"{'+'.join(degradations)} in {table.place}; name one of them otherwise with task = ..."
                )
            groups = known.groups if known.groups[-1] is group else (*known.groups, group)
            tasks[task_name] = Task(task_name, known.degradations, groups)
    return tuple(tasks.values())


def set_samples(table: SetTable) -> list[Sample]:
    """Return all samples of a set, of every split and task.

    Raises:
        DataError: the set is missing or incomplete.
    """
    sets = find_sets(table.place, table.layout) if table.shards is None else find_shards(table.shards)
    return [sample for found in sets for sample in found.samples]


def chosen_samples(table: SetTable, held_out: bool) -> list[Sample]:
    """Return the samples of a set that belong to its split and tasks.

    Raises:
        RecipeError: there are none.
        DataError: the set is missing or incomplete.
    """
    samples = set_samples(table)
    splits = {sample.split for sample in samples}
    if table.split:
        wanted = frozenset({table.split})
    else:
        choices = HELD_OUT_SPLITS if held_out else TRAINING_SPLITS
        wanted = next((choice for choice in choices if choice & splits), frozenset())
    samples = [sample for sample in samples if sample.split in wanted]
    if not samples:
        asked = f"no split {table.split!r}" if table.split else "nothing to train on"
        if held_out and not table.split:
            asked = "nothing to validate on"
        raise RecipeError(
            f"{table.place} has {asked}: it holds {', '.join(sorted(splits))}; choose with split = ..."
        )
    present = {sample.task for sample in samples}
    for name in table.tasks:
        if name not in present:
            raise RecipeError(
                f"{table.place} has no samples of task {name!r}; {nearest_names(name, present)}"
            )
    return [sample for sample in samples if not table.tasks or sample.task in table.tasks]


def _by_task(table: SetTable, held_out: bool) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in chosen_samples(table, held_out):
        found.setdefault(sample.task, []).append(sample)
    return found


def _degradations(table: SetTable, own: str) -> tuple[tuple[str, ...], str]:
    """Return the degradations of one of a set's tasks, and what the recipe calls it."""
    if table.sigma_255 is not None:
        return ("noise",), table.task or f"noise_{table.sigma_255:g}"
    if table.degradations:
        return table.degradations, table.task or own or "+".join(table.degradations)
    for name in (own, table.task):
        parts = tuple(name.split("+"))
        if all(part in DEGRADATIONS for part in parts):
            return parts, table.task or name
    raise RecipeError(
        f"{table.place} does not say what its images suffer from; give degradations = [...]"
        + (", or sigma_255 for noise on clean photographs" if not own else "")
    )


def _damage(
    table: SetTable, degradations: tuple[str, ...], severity: tuple[float, float], samples: list[Sample]
) -> Damage | None:
    alone = [sample for sample in samples if sample.degraded is None]
    if alone and len(alone) < len(samples):
        raise RecipeError(f"{table.place} mixes pairs and clean photographs; name its folders one by one")
    if not alone:
        if table.severity is not None or table.sigma_255 is not None:
            raise RecipeError(f"{table.place} holds pairs; severity and sigma_255 are for clean photographs")
        return None
    if table.sigma_255 is not None:
        return FixedNoise(table.sigma_255)
    for name in degradations:
        if name not in DEGRADATIONS:
            raise RecipeError(
                f"{table.place} holds clean photographs, and {name!r} cannot be synthesised on them; give "
                f"pairs of it, or {nearest_names(name, DEGRADATIONS)}"
            )
    return SyntheticDamage(degradations, table.severity or severity)
