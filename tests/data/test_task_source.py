import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrestore.data import (
    FixedNoise,
    OneTaskSource,
    PixelCache,
    Sample,
    SampleGroup,
    SyntheticDamage,
    Task,
    TaskSource,
    find_sets,
)
from polyrestore.data.task_source import reflected
from polyrestore.errors import DataError, DegradationError, ImageError, UnknownNameError
from tests.support.set_trees import plant


def samples(folder: Path) -> list[Sample]:
    return [sample for found in find_sets(folder) for sample in found.samples]


@pytest.fixture
def tasks(tmp_path: Path) -> tuple[Task, ...]:
    pairs = plant(tmp_path / "pairs", *(f"{side}/{n}.png" for side in ("input", "target") for n in range(6)))
    clean = plant(tmp_path / "clean", "1.png", "2.png")
    noise = SampleGroup(samples(clean), FixedNoise(25))
    dark_haze = SampleGroup(samples(clean), SyntheticDamage(("low_light", "haze"), (0.3, 0.8)))
    return (
        Task("rain", ("rain",), (SampleGroup(samples(pairs)),)),
        Task("noise_25", ("noise",), (noise,)),
        Task("dark haze", ("low_light", "haze"), (dark_haze,)),
    )


def source(tasks: tuple[Task, ...], **options: Any) -> TaskSource:
    return TaskSource(tasks, **{"batch_size": 9, "patch_px": 12, "seed": 7} | options)


def test_a_batch_depends_on_seed_step_and_rank_alone(tasks: tuple[Task, ...]) -> None:
    first = source(tasks).batch(5)
    warm = source(tasks, cache=PixelCache(10**6))
    for step in (0, 9, 5):
        again = warm.batch(step)
    assert all(
        torch.equal(getattr(first, name), getattr(again, name))
        for name in ("degraded", "clean", "task", "presence")
    )
    for other in (source(tasks).batch(6), source(tasks, seed=8).batch(5), source(tasks).batch(5, rank=1)):
        assert not torch.equal(first.clean, other.clean)


def test_shapes_ranges_and_presence(tasks: tuple[Task, ...]) -> None:
    batch = source(tasks).batch(0)
    assert batch.degraded.shape == batch.clean.shape == (9, 3, 12, 12)
    assert float(batch.degraded.min()) >= 0
    assert float(batch.degraded.max()) <= 1
    names = source(tasks).names
    assert names == ("rain", "noise", "low_light", "haze")
    for index, presence in zip(batch.task.tolist(), batch.presence, strict=True):
        assert {names[i] for i in presence.nonzero().flatten().tolist()} == set(tasks[index].degradations)


@pytest.mark.parametrize("size", [9, 4, 2])
def test_balanced_deals_the_tasks_out_in_turn(tasks: tuple[Task, ...], size: int) -> None:
    batches = [source(tasks, batch_size=size).batch(step).task for step in range(12)]
    for task in batches:
        counts = torch.bincount(task, minlength=3)
        assert int(counts.max() - counts.min()) <= 1
    assert torch.bincount(torch.cat(batches)).tolist() == [4 * size] * 3


def test_proportional_counts_samples_and_shares(tasks: tuple[Task, ...]) -> None:
    drawn = source(tasks, sampler="proportional", batch_size=300, patch_px=4)
    assert drawn.drawing_shares().tolist() == [6, 2, 2]
    counts = torch.bincount(drawn.batch(0).task, minlength=3) / 300
    assert torch.allclose(counts, torch.tensor([0.6, 0.2, 0.2]), atol=0.1)
    doubled = Task("rain", ("rain",), (*tasks[0].groups, SampleGroup(tasks[0].groups[0].samples, share=0.5)))
    assert doubled.weight == 9


def test_task_shares_are_followed(tasks: tuple[Task, ...]) -> None:
    drawn = source(tasks, sampler="task_shares", task_shares={"rain": 8.0})
    assert drawn.drawing_shares().tolist() == [8, 1, 1]


def test_groups_are_drawn_by_their_weight(tasks: tuple[Task, ...]) -> None:
    clean, rest = tasks[1].groups[0], tasks[0].groups[0]
    task = Task("both", ("noise",), (SampleGroup((), share=9), clean, SampleGroup(rest.samples, share=1.0)))
    generator = torch.Generator().manual_seed(0)
    drawn = [task.draw(generator)[0] for _ in range(200)]
    assert 0.15 < sum(group is clean for group in drawn) / 200 < 0.35
    assert {len(group.samples) for group in drawn} == {2, 6}


def test_fixed_noise_is_that_of_the_published_protocol() -> None:
    clean = torch.full((1, 3, 200, 200), 0.5)
    noisy = FixedNoise(25)(clean, torch.Generator().manual_seed(0)) * 255
    assert torch.equal(noisy, noisy.round())
    assert float(noisy.std()) == pytest.approx(25, rel=0.01)
    # Cutting off instead of rounding costs half a level on average.
    assert float(noisy.mean()) == pytest.approx(127.0, abs=0.3)


@given(
    height=st.integers(1, 30), width=st.integers(1, 30), side=st.integers(1, 40)
)  # fmt: skip
def test_small_images_are_mirrored_to_the_patch(height: int, width: int, side: int) -> None:
    image = torch.arange(3 * height * width).view(3, height, width)
    mirrored = reflected(image, side)
    assert mirrored.shape == (3, max(height, side), max(width, side))
    assert torch.equal(mirrored[:, :height, :width], image)
    if 1 < width < side:
        assert torch.equal(mirrored[:, :, width], mirrored[:, :, width - 2])


@given(st.integers(1, 24), st.integers(1, 24))
def test_pairs_of_any_size_give_patches_that_belong_together(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int
) -> None:
    folder = plant(tmp_path_factory.mktemp("sizes") / "own", "input/a.png", size=(width, height))
    (folder / "target").mkdir()
    (folder / "target/a.png").write_bytes((folder / "input/a.png").read_bytes())
    task = Task("rain", ("rain",), (SampleGroup(samples(folder)),))
    batch = source((task,), batch_size=2, patch_px=16).batch(0)
    assert torch.equal(batch.degraded, batch.clean)


def test_different_sizes_and_unreadable_files_are_named(tmp_path: Path) -> None:
    folder = plant(tmp_path / "own", "input/a.png")
    plant(folder, "target/a.png", size=(8, 8))
    task = Task("rain", ("rain",), (SampleGroup(samples(folder)),))
    with pytest.raises(DataError, match=r"input/a\.png has 20x16 px and its clean partner .* 8x8 px"):
        source((task,)).batch(0)
    (folder / "target/a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"target/a\.png"):
        source((task,)).batch(0)


def test_a_task_needs_samples_and_known_degradations(tasks: tuple[Task, ...]) -> None:
    with pytest.raises(DataError, match="task 'empty' has no samples"):
        Task("empty", ("rain",), (SampleGroup(()),))
    with pytest.raises(UnknownNameError, match="did you mean 'rain'"):
        SyntheticDamage(("rane",), (0.1, 0.5))
    for name in ("clean", "mean", "window dirt", "a/b", ""):
        with pytest.raises(DegradationError, match="cannot name a degradation"):
            Task("rain", (name,), tasks[0].groups)


def test_a_task_of_pairs_needs_no_function(tasks: tuple[Task, ...]) -> None:
    own = Task("glass", ("window_dirt", "rain"), tasks[0].groups)
    drawn = source((tasks[0], own))
    assert drawn.names == ("rain", "window_dirt")
    batch = drawn.batch(0)
    assert {tuple(row) for row in batch.presence[batch.task == 1].tolist()} == {(1.0, 1.0)}


def test_all_samples_of_a_batch_belong_to_one_task(tasks: tuple[Task, ...]) -> None:
    one = OneTaskSource(source(tasks))
    for step in range(6):
        batch = one.batch(step)
        index = int(batch.task[0])
        assert batch.task.tolist() == [index] * 9
        shown = {one.names[i] for i in batch.presence[0].nonzero().flatten().tolist()}
        assert shown == set(tasks[index].degradations)
        other = one.batch(step, rank=1)
        assert torch.equal(other.task, batch.task)
        assert not torch.equal(other.clean, batch.clean)


def test_the_cache_holds_no_more_than_its_limit(tmp_path: Path) -> None:
    files = [sample.clean for sample in samples(plant(tmp_path / "c", "1.png", "2.png", "3.png"))]
    size = 3 * 20 * 16
    cache = PixelCache(2 * size)
    first = cache.read(files[0])
    for file in (files[1], files[0], files[2]):
        cache.read(file)
        assert cache.held_bytes <= 2 * size
    # Least recently used goes first: the first one was asked for again, the second was not.
    assert cache.read(files[0]) is first
    nothing = PixelCache(0)
    assert nothing.read(files[0]) is not nothing.read(files[0])


def test_a_source_can_be_sent_to_another_process(tasks: tuple[Task, ...]) -> None:
    here = source(tasks, cache=PixelCache(10**6))
    first = here.batch(4)
    there = pickle.loads(pickle.dumps(here))
    assert there.cache.held_bytes == 0
    assert torch.equal(there.batch(4).degraded, first.degraded)
