"""Paired differences: their size, their interval, and what they are refused for."""

from __future__ import annotations

import math

import pytest

from polyrestore.errors import DataError
from polyrestore.evaluation.comparison import compare_all, paired_differences
from polyrestore.evaluation.results import ImageResult, SetResult


def result(figures: list[float], *, names: str = "abcdefgh", protocol: str = "RGB") -> SetResult:
    images = [
        ImageResult(name, {"psnr": 20.0, "ssim": 0.5}, {"psnr": figure, "ssim": 0.5}, None, {}, {}, 1.0)
        for name, figure in zip(names, figures, strict=False)
    ]
    return SetResult("rain", protocol, None, images)


def test_a_constant_difference_has_no_spread() -> None:
    first, second = result([20, 25, 30, 35]), result([21, 26, 31, 36])
    found, similarity = paired_differences(first, second)
    assert (found.mean, found.low, found.high) == pytest.approx((1, 1, 1))
    assert (found.wins, found.count, found.is_clear) == (4, 4, True)
    assert (similarity.mean, similarity.wins, similarity.is_clear) == (0, 0, False)


def test_the_interval_is_that_of_the_mean() -> None:
    differences = [0.0, 2.0] * 4
    found = paired_differences(result([20.0] * 8), result([20 + each for each in differences]))[0]
    # The mean of eight draws from {0, 2} has the deviation 1 / sqrt(8).
    spread = 1.96 / math.sqrt(8)
    assert found.mean == pytest.approx(1)
    assert found.low == pytest.approx(1 - spread, abs=0.1)
    assert found.high == pytest.approx(1 + spread, abs=0.1)
    assert "+1.00 dB PSNR" in found.sentence


def test_what_may_be_chance_is_said() -> None:
    found = paired_differences(result([20, 21, 22, 23]), result([21, 20, 23, 22]))[0]
    assert not found.is_clear
    assert found.sentence.endswith("better on 2 of 4, which may be chance")


def test_equal_images_count_as_the_cap() -> None:
    found = paired_differences(result([math.inf, 20]), result([math.inf, 21]))[0]
    assert found.mean == pytest.approx(0.5)


def test_where_lower_is_better_lower_wins() -> None:
    def distances(values: list[float]) -> SetResult:
        images = [
            ImageResult(name, {"lpips": 0.5}, {"lpips": value}, None, {}, {}, 1.0)
            for name, value in zip("abc", values, strict=True)
        ]
        return SetResult("rain", "RGB", None, images)

    (found,) = paired_differences(distances([0.3, 0.2, 0.1]), distances([0.2, 0.1, 0.2]))
    assert found.wins == 2
    assert found.mean == pytest.approx(-1 / 30)
    assert "LPIPS (lower is better)" in found.sentence


def test_other_metrics_are_refused() -> None:
    other = SetResult(
        "rain", "RGB", None, [ImageResult("a", {"ssim": 0.5}, {"ssim": 0.5}, None, {}, {}, 1.0)]
    )
    with pytest.raises(DataError, match="metrics"):
        paired_differences(result([20.0]), other)


@pytest.mark.parametrize("other", [{"names": "bacd"}, {"protocol": "luma"}])
def test_other_images_or_another_protocol_are_refused(other: dict[str, str]) -> None:
    with pytest.raises(DataError, match="not of the same images, protocol"):
        paired_differences(result([20, 21, 22, 23]), result([20, 21, 22, 23], **other))


def test_every_later_restorer_is_compared_with_the_first() -> None:
    found = compare_all({name: [result([figure] * 3)] for name, figure in (("a", 20), ("b", 21), ("c", 19))})
    means = {(each.first, each.second): each.mean for each in found if each.metric == "psnr"}
    assert means == {("a", "b"): pytest.approx(1), ("a", "c"): pytest.approx(-1)}
