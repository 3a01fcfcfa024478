import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyrestore.degradations import (
    DEGRADATIONS,
    Degradation,
    degrade,
    degrade_batch,
    in_order,
    mix_regions,
)
from polyrestore.errors import DegradationError, UnknownNameError
from polyrestore.testing import check_degradation
from polyrestore.testing.images import psnr_db as psnr
from polyrestore.testing.images import scene, seeded

NAMES = sorted(DEGRADATIONS)
EXPECTED = {
    "noise", "rain", "haze", "snow", "raindrop", "motion_blur", "defocus_blur", "low_light", "jpeg",
    "downsampling", "shadow", "missing_pixels",
}  # fmt: skip


def test_no_degradation_is_lost() -> None:
    assert set(DEGRADATIONS) >= EXPECTED


def test_stages_follow_the_way_from_the_scene_to_the_file() -> None:
    order = ["scene", "lens", "sensor", "file"]
    stages = [order.index(degradation.stage) for degradation in DEGRADATIONS.values()]
    assert stages == sorted(stages)
    with pytest.raises(DegradationError, match="one of scene, lens, sensor, file"):
        Degradation("smear", "screen", "a smear", lambda image, severity, generator: image)


def test_a_plugins_degradation_takes_its_place_by_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def whiten(image: Tensor, severity: Tensor, generator: torch.Generator) -> Tensor:
        return torch.ones_like(image)

    monkeypatch.setitem(DEGRADATIONS, "glare", Degradation("glare", "scene", "white", whiten))
    assert in_order(["jpeg", "noise", "glare", "haze"]) == ("haze", "glare", "noise", "jpeg")
    damaged = degrade(scene(1), {"glare": 0.5, "low_light": 1.0, "noise": 1.0}, seeded())
    # What happens at the same stage comes before it, what happens later is seen.
    assert float(damaged.mean()) > 0.8
    assert float(damaged.std()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_others_rely_on(name: str) -> None:
    check_degradation(name, least_fall_db=3.5)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_another_image(name: str) -> None:
    first = degrade(scene(), {name: 0.6}, seeded(3))
    others = [degrade(scene(), {name: 0.6}, seeded(seed)) for seed in range(10, 22)]
    assert any(not torch.equal(first, other) for other in others)


@pytest.mark.parametrize("name", NAMES)
def test_severity_0_leaves_the_image_alone(name: str) -> None:
    clean = (scene() * 255).round() / 255
    assert torch.equal(degrade(clean, {name: 0.0}, seeded()), clean)


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_without_colour_stays_without(name: str) -> None:
    grey = scene(24)[:, :1].expand(-1, 3, -1, -1)
    damaged = degrade(grey, {name: 0.8}, seeded())
    without = int((damaged == damaged[:, :1]).flatten(1).all(1).sum())
    share = DEGRADATIONS[name].grey_share
    assert without == 24 if share == 1 else 6 <= without <= 22
    assert share == 1 or name in ("noise", "missing_pixels")
    assert psnr(damaged, grey) < 40


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    severity=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_every_size_gives_an_8_bit_image_of_that_size(
    name: str, height: int, width: int, severity: float, seed: int
) -> None:
    image = torch.rand((1, 3, height, width), generator=seeded(seed))
    damaged = degrade(image, {name: severity}, seeded(seed))
    assert damaged.shape == image.shape
    assert torch.isfinite(damaged).all()
    levels = damaged * 255
    assert torch.equal(levels.round().clamp(0, 255) / 255, damaged)


def test_order_of_names_does_not_matter() -> None:
    one = degrade(scene(), {"jpeg": 0.4, "rain": 0.6, "noise": 0.2}, seeded())
    other = degrade(scene(), {"noise": 0.2, "jpeg": 0.4, "rain": 0.6}, seeded())
    assert torch.equal(one, other)


def test_a_mixture_is_applied_in_physical_order() -> None:
    clean = scene(1)
    mixed = degrade(clean, {"jpeg": 0.8, "low_light": 0.9}, seeded(1))
    generator = seeded(1)
    dark = degrade(clean, {"low_light": 0.9}, generator)
    expected = DEGRADATIONS["jpeg"].apply(dark, torch.tensor([0.8]), generator)
    assert psnr(mixed, expected) > 45


def test_batch_rows_get_their_own_mixture() -> None:
    severities = torch.tensor([[float("nan"), float("nan")], [1.0, float("nan")]])
    clean = scene()
    damaged = degrade_batch(clean, severities, ("noise", "window_dirt"), seeded())
    assert psnr(damaged[0], clean[0]) > 50
    assert psnr(damaged[1], clean[1]) < 26
    with pytest.raises(UnknownNameError, match="window_dirt"):
        degrade_batch(clean, severities.flip(1), ("noise", "window_dirt"), seeded())


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'noise'"):
        degrade(scene(), {"noize": 0.5}, seeded())


@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_severity_out_of_range_is_refused(severity: float) -> None:
    with pytest.raises(DegradationError, match="between 0 and 1"):
        degrade(scene(), {"noise": severity}, seeded())


def test_regions_come_from_one_image_or_the_other() -> None:
    first, second = torch.zeros(2, 3, 64, 64), torch.ones(2, 3, 64, 64)
    mixed = mix_regions(first, second, seeded())
    share = mixed.mean((1, 2, 3))
    assert bool(((share > 0.05) & (share < 0.95)).all())
    assert float(((mixed == 0) | (mixed == 1)).float().mean()) > 0.85
