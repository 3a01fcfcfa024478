from typing import Any

import pytest
import torch
from torch import Tensor

from polyrestore.data import BatchSource, OneCompositionSource, Pair, Synthesis
from polyrestore.errors import DataError


def images(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, 48, 56), generator=generator).byte() for _ in range(count)]


def source(**options: Any) -> BatchSource:
    settings = {"batch_size": 24, "patch_px": 24, "zoom_out": 1.0, "seed": 3} | options
    synthesis = settings.pop("synthesis", Synthesis())
    return BatchSource(images(), synthesis, **settings)


def test_a_batch_depends_on_seed_step_and_rank_alone() -> None:
    first, again = source().batch(5), source().batch(5)
    assert torch.equal(first.degraded, again.degraded)
    for other in (source().batch(6), source(seed=4).batch(5), source().batch(5, rank=1)):
        assert not torch.equal(first.clean, other.clean)


def test_presence_holds_the_task_of_every_sample() -> None:
    drawn = source(synthesis=Synthesis(tasks=("rain", "noise"), mixture_share=0.5))
    assert drawn.names == ("rain", "noise")
    batch = drawn.batch(0)
    assert batch.presence.shape == (24, 2)
    for task, presence in zip(batch.task.tolist(), batch.presence, strict=True):
        assert presence[task] == 1


def test_clean_samples_are_untouched() -> None:
    batch = source(synthesis=Synthesis(clean_share=0.5, region_share=0)).batch(0)
    untouched = batch.task < 0
    assert 4 < int(untouched.sum()) < 20
    assert torch.equal(batch.degraded[untouched], batch.clean[untouched])
    assert float(batch.presence[untouched].sum()) == 0


def test_a_task_is_named_once() -> None:
    with pytest.raises(DataError, match="'noise' is named twice"):
        Synthesis(tasks=("noise", "jpeg", "noise"))


def test_mixture_share_is_respected() -> None:
    single = source(synthesis=Synthesis(mixture_share=0, region_share=0)).batch(0)
    assert bool((single.presence.sum(1) == 1).all())
    mixed = source(synthesis=Synthesis(mixture_share=1, region_share=0)).batch(0)
    assert float(mixed.presence.sum(1).mean()) > 2


def test_partners_join_the_tasks() -> None:
    drawn = source(synthesis=Synthesis(tasks=("noise",), partners=("jpeg",), mixture_share=1))
    assert drawn.names == ("noise", "jpeg")
    assert bool((drawn.batch(0).presence == 1).all())


def test_real_pairs_replace_their_task_only() -> None:
    pair = Pair("p", torch.zeros(3, 40, 40).byte(), torch.full((3, 40, 40), 255).byte())
    synthesis = Synthesis(tasks=("low_light", "jpeg"), mixture_share=0, region_share=0)
    batch = source(synthesis=synthesis, pairs={"low_light": [pair]}, pair_share=1.0).batch(0)
    for task, degraded, clean in zip(batch.task.tolist(), batch.degraded, batch.clean, strict=True):
        is_pair = float(degraded.max()) == 0 and float(clean.min()) == 1
        assert is_pair == (task == 0)


def test_a_task_with_a_larger_share_is_drawn_more_often() -> None:
    synthesis = Synthesis(tasks=("noise", "jpeg"), task_shares={"noise": 9.0}, mixture_share=0)
    tasks = torch.cat([source(synthesis=synthesis).batch(step).task for step in range(10)])
    assert 0.8 < float((tasks == 0).float().mean()) < 0.97


def test_light_is_varied_before_the_damage() -> None:
    plain, varied = source(batch_size=8).batch(0), source(batch_size=8, vary_light=1.0).batch(0)
    assert not torch.equal(plain.clean, varied.clean)
    clean = Synthesis(clean_share=1.0, region_share=0)
    batch = source(batch_size=8, vary_light=1.0, synthesis=clean).batch(0)
    assert (batch.degraded - batch.clean).abs().max() <= 0.501 / 255


def test_all_samples_of_a_batch_show_the_same_one_to_three_degradations() -> None:
    synthesis = Synthesis(tasks=("noise", "jpeg", "rain"), mixture_share=0.5, task_shares={"noise": 4.0})
    batches = [OneCompositionSource(source(synthesis=synthesis, batch_size=3)).batch(s) for s in range(40)]
    names, first, kinds = synthesis.tasks, [], []
    for batch in batches:
        assert torch.equal(batch.presence, batch.presence[:1].expand_as(batch.presence))
        assert torch.equal(batch.task, batch.task[:1].expand_as(batch.task))
        task = synthesis.tasks[int(batch.task[0])]
        assert batch.presence[0, names.index(task)] == 1
        first.append(task)
        kinds.append(int(batch.presence[0].sum()))
        assert batch.acting is not None
        assert torch.allclose(batch.acting, batch.presence / batch.presence.sum(1, keepdim=True))
    assert set(kinds) == {1, 2, 3}
    assert set(first) == set(synthesis.tasks)
    assert first.count("noise") > 18
    again = OneCompositionSource(source(synthesis=synthesis, batch_size=3))
    other_rank = again.batch(7, rank=1)
    assert torch.equal(other_rank.presence, batches[7].presence)
    assert not torch.equal(other_rank.clean, batches[7].clean)


def test_adapters_act_fully_and_others_stand_by_where_asked() -> None:
    tasks = ("noise", "jpeg", "rain", "haze")
    synthesis = Synthesis(tasks=tasks, mixture_share=0.5)
    source_ = OneCompositionSource(source(synthesis=synthesis, batch_size=2), "full", bystander_share=0.3)
    names, bystanders = source_.names, []
    for batch in map(source_.batch, range(60)):
        assert batch.acting is not None
        acting, present = batch.acting[0], batch.presence[0] > 0
        assert torch.equal(batch.acting[1], acting)
        assert acting[names.index(tasks[int(batch.task[0])])] == 1
        assert float(acting[present].min()) >= 0.5
        others = (acting * ~present).nonzero().flatten().tolist()
        bystanders.append(len(others))
        assert all(names[other] in tasks for other in others)
    assert set(bystanders) == {0, 1}
    assert 8 < sum(bystanders) < 30


def test_mixtures_are_never_replaced_by_real_pairs() -> None:
    pair = Pair("p", torch.zeros(3, 40, 40).byte(), torch.full((3, 40, 40), 255).byte())
    for share, expected in ((0.0, True), (1.0, False)):
        synthesis = Synthesis(tasks=("low_light", "jpeg"), mixture_share=share, task_shares={"jpeg": 1e-6})
        plain = source(synthesis=synthesis, pairs={"low_light": [pair]}, pair_share=1.0)
        batch = OneCompositionSource(plain).batch(0)
        assert (float(batch.clean.min()) == 1) == expected


def test_inputs_of_dark_pairs_are_exposed_otherwise_each_time_and_their_targets_stay() -> None:
    dark, light = torch.full((3, 40, 40), 30).byte(), torch.full((3, 40, 40), 120).byte()
    synthesis = Synthesis(tasks=("low_light",), mixture_share=0, region_share=0)
    drawn = source(
        synthesis=synthesis, pairs={"low_light": [Pair("p", dark, light)]}, pair_share=1.0, pair_stops=1.0
    ).batch(0)
    assert torch.equal(drawn.clean, torch.full_like(drawn.clean, 120 / 255))
    means = drawn.degraded.mean((1, 2, 3)) * 255
    assert 30 / 2 ** (1.1 / 2.2) - 1 < float(means.min()) < float(means.max()) < 30 * 2 ** (1.1 / 2.2) + 1
    assert float(means.std()) > 2


def test_stored_clean_samples_stay_untouched_and_damaged_ones_are_stored_after_the_damage() -> None:
    plain = source(synthesis=Synthesis(clean_share=0.5, region_share=0), stored=1.0).batch(0)
    untouched = plain.task < 0
    assert torch.equal(plain.degraded[untouched], plain.clean[untouched])
    unstored = source(synthesis=Synthesis(clean_share=0.5, region_share=0)).batch(0)
    assert not torch.equal(plain.clean, unstored.clean)
    assert float((plain.clean - unstored.clean).abs().mean()) < 0.2


def test_only_samples_with_noise_alone_use_a_part_of_the_range() -> None:
    synthesis = Synthesis(tasks=("noise", "rain"), mixture_share=0, region_share=0)
    batch = source(synthesis=synthesis, narrow=1.0).batch(0)
    whole = source(synthesis=synthesis).batch(0)
    rainy = batch.task == 1
    assert torch.equal(batch.degraded[rainy], whole.degraded[rainy])
    spans = [
        (each.clean[~rainy].amax((1, 2, 3)) - each.clean[~rainy].amin((1, 2, 3))) for each in (batch, whole)
    ]
    assert bool((spans[0] < spans[1]).all())


def test_stars_belong_to_the_clean_sample() -> None:
    synthesis = Synthesis(clean_share=1.0)
    batch = source(synthesis=synthesis, stars=1.0).batch(0)
    assert float((batch.degraded - batch.clean).abs().max()) < 0.51 / 255
    assert not torch.equal(batch.clean, source(synthesis=synthesis).batch(0).clean)
