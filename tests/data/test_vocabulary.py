"""Batches are made of the degradations of their source alone, and one that has pairs only is among them."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyrestore.data import (
    Batch,
    BatchSource,
    FixedNoise,
    OneCompositionSource,
    OneTaskSource,
    Pair,
    SampleGroup,
    Source,
    Synthesis,
    SyntheticDamage,
    Task,
    TaskSource,
    find_sets,
)
from polyrestore.data.sampling import Sampler
from polyrestore.errors import DataError
from tests.support.registered import registered
from tests.support.set_trees import plant

TASKS = ("noise", "jpeg", "low_light")


def photographs(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, 40, 44), generator=generator).byte() for _ in range(count)]


def white_to_black(name: str = "p") -> Pair:
    return Pair(name, torch.full((3, 40, 40), 255).byte(), torch.zeros(3, 40, 40).byte())


def source(
    tasks: tuple[str, ...] = TASKS,
    *,
    pairs: dict[str, list[Pair]] | None = None,
    batch_size: int = 12,
    sampler: Sampler = "task_shares",
    **synthesis: Any,
) -> BatchSource:
    drawn = Synthesis(tasks, **{"mixture_share": 0.6, "region_share": 0.4} | synthesis)
    return BatchSource(photographs(), drawn, batch_size, 24, 1.0, 3, pairs=pairs or {}, sampler=sampler)


def sets_on_disk(folder: Path) -> TaskSource:
    (found,) = find_sets(plant(folder / "clean", "1.png", "2.png"))
    dark_haze = SampleGroup(found.samples, SyntheticDamage(("low_light", "haze"), (0.3, 0.8)))
    noise = SampleGroup(found.samples, FixedNoise(25))
    tasks = (Task("dark haze", ("low_light", "haze"), (dark_haze,)), Task("noise", ("noise",), (noise,)))
    return TaskSource(tasks, 6, 12, 5)


def sources(folder: Path) -> dict[str, Source]:
    plain = source(pairs={"low_light": [white_to_black()]}, clean_share=0.2)
    on_disk = sets_on_disk(folder)
    return {
        "mixed": plain,
        "one composition": OneCompositionSource(plain, "full", bystander_share=0.5),
        "tasks": on_disk,
        "one task": OneTaskSource(on_disk),
    }


def contents(source: Source) -> list[tuple[str, Tensor]]:
    batches = [source.batch(step, rank) for step in range(3) for rank in range(2)]
    return [(each.name, getattr(batch, each.name)) for batch in batches for each in fields(batch)]


@pytest.mark.parametrize("first", [True, False])
def test_one_more_degradation_in_the_registry_changes_no_batch(tmp_path: Path, first: bool) -> None:
    before = {name: contents(each) for name, each in sources(tmp_path / "a").items()}
    with registered(first=first):
        after = {name: contents(each) for name, each in sources(tmp_path / "b").items()}
    for name, expected in before.items():
        for (what, one), (_, other) in zip(expected, after[name], strict=True):
            same = one is other is None or torch.equal(one, other)
            assert same, f"{what} of {name}"


def test_columns_are_those_of_the_source() -> None:
    mixed = source()
    assert mixed.names == TASKS
    assert mixed.batch(0).presence.shape == (12, 3)
    one = OneCompositionSource(mixed)
    batch = one.batch(0)
    assert batch.acting is not None
    assert batch.presence.shape == batch.acting.shape == (12, len(one.names))


def test_a_degradation_without_a_function_is_shown_by_its_pairs_alone() -> None:
    mixed = source(("noise", "wet_glass"), pairs={"wet_glass": [white_to_black()]}, clean_share=0.25)
    batch = mixed.batch(0)
    assert mixed.names == ("noise", "wet_glass")
    assert set(batch.task.tolist()) == {-1, 0, 1}
    for task, presence, degraded, clean in zip(
        batch.task.tolist(), batch.presence.tolist(), batch.degraded, batch.clean, strict=True
    ):
        from_pair = float(degraded.min()) == 1 and float(clean.max()) == 0
        assert from_pair == (task == 1)
        assert presence == {-1: [0, 0], 0: [1, 0], 1: [0, 1]}[task]


def test_a_source_may_be_of_pairs_alone() -> None:
    alone = source(("wet_glass",), pairs={"wet_glass": [white_to_black()]}, mixture_share=1.0)
    for batch in (alone.batch(0), OneCompositionSource(alone, "full", bystander_share=1.0).batch(0)):
        assert float(batch.degraded.min()) == 1
        assert float(batch.clean.max()) == 0
        assert bool((batch.presence == 1).all())


def test_a_degradation_without_a_function_joins_no_mixture_but_stands_by() -> None:
    both = source(("noise", "wet_glass"), pairs={"wet_glass": [white_to_black()]}, mixture_share=1.0)
    standing_by = set()
    for batch in map(OneCompositionSource(both, "full", bystander_share=0.5).batch, range(16)):
        (first,) = set(batch.task.tolist())
        assert batch.presence[0].tolist() == [float(first == 0), float(first == 1)]
        assert (float(batch.degraded.min()) == 1) == (first == 1)
        assert batch.acting is not None
        assert batch.acting[0, first] == 1
        standing_by.add((first, bool(batch.acting[0, 1 - first] > 0)))
    assert standing_by == {(0, False), (0, True), (1, False), (1, True)}


def test_proportional_counts_only_pairs_where_there_is_no_function() -> None:
    pairs = {"wet_glass": [white_to_black(str(index)) for index in range(5)], "noise": [white_to_black()]}
    drawn = source(("noise", "wet_glass", "jpeg"), pairs=pairs, sampler="proportional")
    assert drawn.drawing_shares().tolist() == [4, 5, 3]


def test_neither_a_function_nor_pairs_is_refused_at_once() -> None:
    with pytest.raises(DataError, match="'wet_glass' cannot be synthesised and has no pairs"):
        source(("noise", "wet_glass"))
    with pytest.raises(DataError, match="'wet_glass' cannot be synthesised and has no pairs"):
        source(("noise",), partners=("wet_glass",))


def sums(batch: Batch) -> list[float]:
    # Relative, since processors round a few of the pixels otherwise.
    return [float(image.double().sum()) for image in (batch.clean, batch.degraded)]


def test_batches_are_what_they_have_been() -> None:
    # Whoever changes these numbers changes what every recipe trains on.
    drawn = replace(source(batch_size=5, clean_share=0.25), zoom_out=2.0, vary_light=0.5)
    batch = drawn.batch(2)
    assert batch.task.tolist() == [1, -1, 0, 1, 2]
    assert batch.presence.tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]]
    assert sums(batch) == pytest.approx([4148.136, 2955.291], rel=1e-4)
    one = OneCompositionSource(drawn, "full", bystander_share=0.5).batch(5)
    assert one.presence[0].tolist() == [1, 1, 1]
    assert one.acting is not None
    assert one.acting[0].tolist() == pytest.approx([1, 0.90729, 0.72875], rel=1e-4)
    assert sums(one) == pytest.approx([4138.547, 2519.071], rel=1e-4)
