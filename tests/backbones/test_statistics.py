from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from polyrestore.backbones import statistics
from polyrestore.backbones.statistics import LocalStatistics, StatisticsBackbone
from polyrestore.bulk.memory import LiveBytes
from polyrestore.restoration.tiling import run_tiled
from polyrestore.runtimes.torch import TorchRuntime
from tests.support import networks as published

OPTIONS: dict[str, object] = {"width": 4, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,)}


def tiny(name: str, options: dict[str, object]) -> StatisticsBackbone:
    backbone = published.tiny(name, options)
    assert isinstance(backbone, StatisticsBackbone)
    return backbone


def test_passes_in_several_threads_do_not_meet() -> None:
    backbone = tiny("nafnet", OPTIONS).requires_grad_(False)
    images = [published.random_image(16, 24, seed=seed) for seed in range(8)]
    contexts = [backbone.context(image) for image in images]
    alone = [backbone(image[..., :8], context) for image, context in zip(images, contexts, strict=True)]

    def restore(number: int) -> torch.Tensor:
        restored: torch.Tensor = backbone(images[number][..., :8], backbone.context(images[number]))
        return restored

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(restore, range(8)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_pass_that_fails_leaves_nothing_behind() -> None:
    backbone = tiny("nafnet", OPTIONS).requires_grad_(False)
    image = published.random_image(16, 24)
    before, context = backbone(image), backbone.context(image)

    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    handle = backbone.get_submodule("middle_blks.0").register_forward_pre_hook(fail)
    for run in (lambda: backbone.context(image), lambda: backbone(image, context)):
        with pytest.raises(RuntimeError, match="in the middle"):
            run()
    handle.remove()
    assert torch.equal(backbone(image), before)
    assert torch.equal(backbone.context(image), context)


def test_no_gradient_is_kept_in_a_context() -> None:
    backbone = tiny("nafnet", OPTIONS)
    assert not backbone.context(published.random_image(8, 8)).requires_grad
    assert backbone(published.random_image(8, 8)).requires_grad


@pytest.mark.parametrize(("height", "width"), [(33, 70), (1, 65), (64, 7)])
def test_crops_cover_the_image_and_stay_below_the_limit(height: int, width: int) -> None:
    backbone = tiny("nafnet", OPTIONS | {"context_limit_px": 16})
    sizes = []
    backbone.get_submodule("intro").register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].shape[-2:])
    )
    backbone.context(published.random_image(height, width))
    assert max(max(size) for size in sizes) <= 16
    padded = (height + height % 2) * (width + width % 2)
    # Once with their own statistics, once with those of all; and a little of their surroundings.
    assert 2 * padded < sum(size[0] * size[1] for size in sizes) < 6 * padded


@pytest.mark.parametrize(
    ("name", "height", "width", "side_px"),
    [("nafnet", 33, 131, 48), ("nafnet", 113, 7, 51), ("restormer", 13, 490, 240), ("promptir", 9, 660, 330)],
)
def test_with_full_halos_and_enough_passes_crops_give_what_the_whole_gives(
    name: str, height: int, width: int, side_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_HALO_SHARE", 3)
    backbone = tiny(name, published.TINY[name])
    image = published.random_image(height, width, batch=2)
    departures = []
    with torch.no_grad():
        whole = backbone.context(image)
        backbone.context_limit_px = side_px
        # A statistic is the whole's once those of all layers before it are: one more with each pass.
        for passes in (1, 20):
            monkeypatch.setattr(statistics, "_CROP_PASSES", passes)
            departures.append(float((backbone.context(image) - whole).abs().max()))
    assert departures[1] < 1e-5
    assert departures[0] > 10 * departures[1]


def test_as_the_network_is_used_halos_and_a_second_pass_bring_crops_nearer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone, image = (
        tiny("restormer", published.TINY["restormer"]),
        published.random_image(96, 160),
    )
    with torch.no_grad():
        whole = backbone(image)
        backbone.context_limit_px = 64
        used = float((backbone(image, backbone.context(image)) - whole).abs().mean())
        monkeypatch.setattr(statistics, "_CROP_PASSES", 1)
        monkeypatch.setattr(statistics, "_HALO_SHARE", 1000)
        plain = float((backbone(image, backbone.context(image)) - whole).abs().mean())
    assert used < 0.7 * plain


@pytest.mark.parametrize("name", ["nafnet", "restormer", "promptir"])
def test_any_image_that_the_memory_allows_gives_the_published_result(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, image = tiny(name, published.TINY[name]), published.random_image(24, 600)
    passes = []
    first = next(module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[-1]))
    with torch.no_grad():
        whole = backbone(image)
        passes.clear()
        tiled = run_tiled(TorchRuntime(backbone), image, 304)
        assert float((tiled - whole).abs().max()) < 1e-4
        assert passes[0] == 600
        assert max(passes[1:]) < 600
        passes.clear()
        assert torch.equal(run_tiled(TorchRuntime(backbone), image, 600), whole)
        assert passes == [600]


@pytest.mark.parametrize(("free_bytes", "longest"), [(None, 600), (10**9, 600), (10**5, 512)])
def test_the_free_memory_decides_how_much_is_seen_at_once(
    monkeypatch: pytest.MonkeyPatch, free_bytes: int | None, longest: int
) -> None:
    monkeypatch.setattr(statistics, "available_bytes", lambda device: free_bytes)
    backbone, image = tiny("nafnet", OPTIONS), published.random_image(8, 600)
    widths = []
    backbone.get_submodule("intro").register_forward_pre_hook(
        lambda _, inputs: widths.append(inputs[0].shape[-1])
    )
    with torch.no_grad():
        backbone.context(image)
    assert (max(widths) >= longest) is (longest == 600)
    assert backbone.runs_whole(8, 600, image.device) is (longest == 600)
    assert backbone.runs_whole(8, 512, image.device)


def test_statistics_that_do_not_fit_after_all_are_taken_of_crops() -> None:
    backbone, image = tiny("nafnet", OPTIONS), published.random_image(8, 600)
    widths = []

    def fail(_: object, inputs: tuple[torch.Tensor]) -> None:
        widths.append(inputs[0].shape[-1])
        if inputs[0].shape[-1] > 512:
            raise RuntimeError("out of memory")

    backbone.get_submodule("intro").register_forward_pre_hook(fail)
    backbone.context(image)
    assert widths[0] == 600
    assert widths[1:]
    assert max(widths[1:]) <= 512
    backbone.context_limit_px = 600
    with pytest.raises(RuntimeError, match="out of memory"):
        backbone.context(image)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nafnet", {"width": 8, "encoder_blocks": (1, 1), "middle_blocks": 1, "decoder_blocks": (1, 1)}),
        ("restormer", {"dim": 8, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 2, 2, 4)}),
        ("restormer", published.TINY["restormer"] | {"expansion": 1.0}),
        ("restormer", published.TINY["restormer"] | {"expansion": 4.0, "norm_bias": False}),
        ("promptir", published.TINY["promptir"]),
    ],
)
def test_a_pass_holds_as_much_as_is_said(name: str, options: dict[str, object]) -> None:
    backbone = tiny(name, options)
    with torch.inference_mode(), LiveBytes() as live:
        backbone.context(published.random_image(128, 128))
    held = live.most / 4 / 128**2
    assert 0.75 * held < backbone.pass_floats_per_px < 1.15 * held


def test_local_means_are_those_of_the_windows_inside() -> None:
    features = torch.rand(2, 3, 9, 12)
    found = LocalStatistics(10, 18).mean(features)
    expected = torch.nn.functional.avg_pool2d(features, 5, stride=1)
    expected = torch.nn.functional.pad(expected, (2, 2, 2, 2), mode="replicate")
    torch.testing.assert_close(found, expected)
    even = LocalStatistics(8, 18).mean(features)
    expected = torch.nn.functional.avg_pool2d(features, 4, stride=1)
    torch.testing.assert_close(even, torch.nn.functional.pad(expected, (1, 2, 1, 2), mode="replicate"))
    along = LocalStatistics(18, 18).mean(features)
    assert along.shape == (2, 3, 1, 12)
    everything = LocalStatistics(40, 18).mean(features)
    torch.testing.assert_close(everything, features.mean((2, 3), keepdim=True))
