"""Every figure is one of the table of metrics, and knows its direction."""

from __future__ import annotations

import re

import pytest
import torch

from polyrestore.errors import DataError, NotationError, UnknownNameError
from polyrestore.evaluation.metrics import PSNR_CAP_DB, Protocol
from polyrestore.evaluation.scores import (
    DEFAULT_METRICS,
    METRICS,
    Metric,
    cell,
    heading,
    mean_score,
    merit,
    read_metrics,
    score_as_json,
    score_of,
)
from tests.support.networks import random_image


def test_the_better_image_scores_better_in_every_metric() -> None:
    target = random_image(24, 32)[0]
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    near, far = (score_of((target + share * noise).clamp(0, 1), target, Protocol()) for share in (0.02, 0.2))
    for name in DEFAULT_METRICS:
        assert (near[name] > far[name]) == METRICS[name].higher_is_better
    assert merit(near) > merit(far)


def test_equal_images_count_as_the_cap_and_fit_into_json() -> None:
    target = random_image(24, 32)[0]
    same = score_of(target, target, Protocol())
    assert score_as_json(same) == {"psnr": "inf", "ssim": 1.0}
    assert mean_score([same, same])["psnr"] == PSNR_CAP_DB
    with pytest.raises(DataError, match="no figures"):
        mean_score([])


def test_another_metric_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def worst(image: torch.Tensor, target: torch.Tensor, protocol: Protocol) -> float:
        return float((image - target).abs().max())

    monkeypatch.setitem(METRICS, "worst", Metric("largest error", "", 1, False, worst))
    target = random_image(24, 32)[0]
    chosen = read_metrics("psnr, worst")
    score = score_of(target + 0.2, target, Protocol(), chosen)
    assert heading(chosen) == "PSNR in dB / largest error (lower is better)"
    assert cell(score).endswith(" / 0.2")
    assert mean_score([score])["worst"] == pytest.approx(0.2, abs=1e-6)


def test_the_first_metric_orders_images_by_its_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "worst", Metric("largest error", "", 1, False, lambda *_: 0.0))
    assert merit({"worst": 0.1, "psnr": 20}) > merit({"worst": 0.2, "psnr": 30})
    assert merit({"psnr": 20, "worst": 0.1}) < merit({"psnr": 30, "worst": 0.2})


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("psnr,sim", UnknownNameError, "unknown metric 'sim'; did you mean 'ssim'?"),
        (" ,", NotationError, "names separated by commas"),
        ("psnr=1", NotationError, "names separated by commas"),
        ("ssim,ssim", NotationError, "given twice"),
    ],
)
def test_metrics_that_there_are_not_are_refused(text: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=re.escape(reason)):
        read_metrics(text)
