from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.house_sets import HOUSE_SETS, add_noise, compress_jpeg, house_set
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import DataError, UnknownNameError
from tests.evaluation.conftest import data as data


@pytest.mark.parametrize("name", HOUSE_SETS)
def test_every_set_yields_the_same_images_each_time(name: str, data: Path) -> None:
    samples = list(HOUSE_SETS[name].below(data).images())
    again = list(HOUSE_SETS[name].below(data).images(limit=1))
    assert [sample.name for sample in samples] == ["0", "1"]
    assert [sample.name for sample in again] == ["0"]
    assert torch.equal(again[0].degraded, samples[0].degraded)
    for sample in samples:
        assert sample.degraded.shape == sample.target.shape == (3, 40, 48)
        levels = sample.degraded * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert torch.equal(sample.degraded, sample.target) == (HOUSE_SETS[name].named is None)


def test_what_is_named_are_degradations() -> None:
    named = {name for each in HOUSE_SETS.values() for name in (each.named or "").split(",") if name}
    assert named <= set(DEGRADATIONS)


def test_noise_has_its_deviation_and_stays_in_range() -> None:
    grey = torch.full((3, 100, 100), 0.5)
    noisy = add_noise(grey, torch.Generator().manual_seed(0), 25)
    assert float((noisy - grey).std()) * 255 == pytest.approx(25, rel=0.02)
    white = add_noise(torch.ones(3, 50, 50), torch.Generator().manual_seed(0), 50)
    assert white.max() == 1


def test_jpeg_loses_more_at_lower_quality() -> None:
    image = torch.rand(3, 33, 47, generator=torch.Generator().manual_seed(0))
    errors = [float((compress_jpeg(image, quality) - image).square().mean()) for quality in (10, 40, 90)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_missing_images_and_unknown_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CBSD68"):
        house_set("CBSD68 clean").below(tmp_path)
    with pytest.raises(UnknownNameError, match="unknown test set 'Rain'; did you mean 'Rain10'"):
        house_set("Rain")
