from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from benchmarks.house_sets import house_set
from polyrestore.errors import DataError
from polyrestore.evaluation.measure import measure_set
from polyrestore.evaluation.report import as_json, as_markdown
from polyrestore.restoration.restorer import Restorer


class FakeRestorer:
    """Halves the distance to grey when blind, and leaves odd images alone; names act as given."""

    adapters = ("haze", "jpeg", "noise", "rain")

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def restore(self, image: torch.Tensor, as_: str | Mapping[str, float] | None = None) -> Any:
        self.calls.append(as_)
        weights = {"noise": 0.8, "jpeg": 0.2} if as_ is None else {"named": 1.0}
        if as_ is None and len(self.calls) > 1 and self.calls.count(None) == 2:
            return SimpleNamespace(pixels=image, weights={}, seconds=0.5)
        amount = {"haze": 0.9, "jpeg": 0.1, "noise": 0.5, "rain": 0.7}
        otherwise = 0.5 if as_ is None else 0.2
        share = amount[next(iter(as_))] if isinstance(as_, Mapping) else otherwise
        return SimpleNamespace(pixels=image + share * (0.5 - image), weights=weights, seconds=0.5)


def fake() -> tuple[FakeRestorer, Restorer]:
    restorer = FakeRestorer()
    return restorer, cast(Restorer, restorer)


def test_blind_named_and_single_adapters_of_a_mixture(data: Path) -> None:
    calls, restorer = fake()
    done: list[str] = []
    each = house_set("CBSD68 noise 15 + JPEG 30").below(data)
    result = measure_set(restorer, each, on_image=done.append)
    assert done == ["0", "1"]
    assert result.named_as == "noise,jpeg"
    singles = [{name: 1.0} for name in FakeRestorer.adapters]
    assert calls.calls == [None, "noise,jpeg", *singles] * 2
    assert next(iter(result.singles)) == "jpeg"
    assert list(result.singles) == ["jpeg", "noise", "rain", "haze"]
    assert result.named is not None
    assert len({result.named["psnr"], result.blind["psnr"], result.before["psnr"]}) == 3
    assert result.weights == {"noise": 0.4, "jpeg": 0.1}
    assert result.untouched_share == 0.5
    assert result.seconds_per_megapixel == pytest.approx(0.5 / (40 * 48 / 1e6))


def test_the_input_and_the_result_are_scored_against_the_target(data: Path) -> None:
    _, restorer = fake()
    each = house_set("CC15").below(data)
    result = measure_set(restorer, each, limit=1)
    sample = next(each.images())
    error = ((sample.degraded - sample.target) * 255).square().mean()
    assert result.before["psnr"] == pytest.approx(
        20 * math.log10(255) - 10 * math.log10(float(error)), abs=1e-3
    )
    grey = ((sample.degraded + 0.5 * (0.5 - sample.degraded)) * 255).round() / 255
    error = ((grey - sample.target) * 255).square().mean()
    assert result.blind["psnr"] == pytest.approx(
        20 * math.log10(255) - 10 * math.log10(float(error)), abs=1e-3
    )


def test_a_set_without_a_fitting_adapter_has_no_named_figure(data: Path) -> None:
    _, restorer = fake()
    for name in ("LowLight10", "CBSD68 clean"):
        result = measure_set(restorer, house_set(name).below(data))
        assert result.named is None
        assert result.named_as is None
        assert result.singles == {}


def test_clean_images_left_alone_count_as_the_cap(data: Path) -> None:
    class Careful(FakeRestorer):
        def restore(self, image: torch.Tensor, as_: str | Mapping[str, float] | None = None) -> Any:
            return SimpleNamespace(pixels=image, weights={}, seconds=0.1)

    result = measure_set(cast(Restorer, Careful()), house_set("CBSD68 clean").below(data))
    assert result.blind["psnr"] == 100
    assert result.untouched_share == 1
    as_text = json.dumps(as_json([result], {}), allow_nan=False)
    assert json.loads(as_text)["sets"][0]["images"][0]["blind"]["psnr"] == "inf"


def test_alignment_is_stated_and_applied(data: Path) -> None:
    _, restorer = fake()
    plain = measure_set(restorer, house_set("GoProAveraged4").below(data))
    shifted = measure_set(restorer, house_set("GoProAveraged4 aligned").below(data))
    assert shifted.protocol == plain.protocol + ", after the best whole-pixel shift"
    assert shifted.before != plain.before


def test_a_limit_of_nothing_is_an_error(data: Path) -> None:
    _, restorer = fake()
    with pytest.raises(DataError, match="no image of test set 'CC15' was measured; the limit is 0"):
        measure_set(restorer, house_set("CC15").below(data), limit=0)


def test_the_markdown_has_every_figure_beside_its_protocol(data: Path) -> None:
    _, restorer = fake()
    results = [measure_set(restorer, house_set(n).below(data)) for n in ("CC15", "CBSD68 noise 15 + JPEG 30")]
    text = as_markdown(results, {"bundle": "tiny"}, {"CC15": "TV 33.88"})
    row = next(line for line in text.splitlines() if line.startswith("| CC15"))
    assert f"{results[0].before['psnr']:.2f} / {results[0].before['ssim']:.3f}" in row
    assert f"{results[0].blind['psnr']:.2f}" in row
    assert row.endswith("| TV 33.88 |")
    assert "RGB, rounded to 8 bits, no crop, SSIM window gaussian 11x11 sigma 1.5: CC15, CBSD68" in text
    assert "Single adapters on CBSD68 noise 15 + JPEG 30: jpeg " in text
    assert "(jpeg)" in text
