"""Results are found again where nothing that decides about them has changed, and only there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from polyrestore.evaluation.kept import KeptResults
from polyrestore.evaluation.measure import measure_results, measure_set
from polyrestore.evaluation.metrics import Protocol
from polyrestore.evaluation.sets import EvaluationImage, EvaluationSet, found_sets
from polyrestore.imaging import ImageMetadata, write_image
from tests.evaluation.test_measure import FakeRestorer, fake


class Paper:
    """Lines in memory."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def lines(self) -> Iterator[tuple[int, bytes]]:
        return ((0, line.encode() + b"\n") for line in self.written)

    def append(self, *lines: str) -> None:
        self.written.extend(lines)


@pytest.fixture
def pairs(tmp_path: Path) -> EvaluationSet:
    """Two pairs; the second input is the truth."""
    for index in range(2):
        target = torch.rand(3, 28, 30, generator=torch.Generator().manual_seed(index))
        damaged = target if index else (target + 0.1).clamp(0, 1)
        write_image(tmp_path / "set" / "target" / f"{index}.png", target, ImageMetadata())
        write_image(tmp_path / "set" / "input" / f"{index}.png", damaged, ImageMetadata())
    (found,) = found_sets(tmp_path / "set", "pairs")
    return replace(found, named="noise,jpeg", mixture=True)


@pytest.fixture
def kept(tmp_path: Path) -> KeptResults:
    return KeptResults(Paper(), tmp_path, {"bundle": "a"})


def restored_again(kept: KeptResults, pairs: EvaluationSet, protocol: Protocol | None = None) -> int:
    """Measure, and return how many images were restored for it."""
    calls, restorer = fake()
    metrics = ("psnr", "ssim")
    measure_set(restorer, pairs, protocol=protocol, metrics=metrics, kept=kept)
    return calls.calls.count(None)


def test_a_result_is_what_it_was(kept: KeptResults, pairs: EvaluationSet) -> None:
    calls, restorer = fake()
    done: list[str] = []
    first = measure_set(restorer, pairs, kept=kept)
    count = len(calls.calls)
    again = KeptResults.read(kept.journal, kept.pictures).of(kept.identity)
    second = measure_set(restorer, pairs, kept=again, on_image=done.append)
    assert len(calls.calls) == count
    assert second == first
    assert done == ["0", "1"]
    assert second.images[1].before["psnr"] == float("inf")
    plain = measure_set(fake()[1], pairs)
    assert [replace(image, key="") for image in first.images] == plain.images


def test_the_picture_is_the_one_that_was_measured(kept: KeptResults, pairs: EvaluationSet) -> None:
    result = measure_set(fake()[1], pairs, kept=kept)
    sample = pairs.image(0)
    expected = FakeRestorer().restore(sample.degraded).pixels
    assert float((kept.picture(result.images[0].key) - expected).abs().max()) < 0.5 / 255 + 1e-6


def test_what_changed_is_measured_again(kept: KeptResults, pairs: EvaluationSet, tmp_path: Path) -> None:
    assert restored_again(kept, pairs) == 2
    assert restored_again(kept, pairs) == 0
    assert restored_again(kept.of({"bundle": "b"}), pairs) == 2
    assert restored_again(kept, pairs, Protocol(channels="y")) == 2
    assert restored_again(kept, pairs, Protocol(window="uniform")) == 2
    assert restored_again(kept, replace(pairs, mixture=False)) == 2
    assert restored_again(kept, replace(pairs, aligned=True)) == 2
    (kept.pictures / f"{next(iter(kept.records))}.png").unlink()
    assert restored_again(kept, pairs) == 1
    write_image(tmp_path / "set" / "target" / "0.png", torch.zeros(3, 28, 30), ImageMetadata())
    assert restored_again(kept, pairs) == 1


def test_names_do_not_count_and_places_do_only_where_chance_has_a_part(
    kept: KeptResults, pairs: EvaluationSet
) -> None:
    turned = replace(pairs, samples=pairs.samples[::-1])
    assert restored_again(kept, pairs) == 2
    assert restored_again(kept, turned) == 0

    def damage(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return image * torch.rand((), generator=generator)

    clean = [replace(sample, degraded=None) for sample in pairs.samples]
    assert restored_again(kept, replace(pairs, samples=clean, damage=damage)) == 2
    assert restored_again(kept, replace(pairs, samples=clean, damage=damage)) == 0
    assert restored_again(kept, replace(pairs, samples=clean[::-1], damage=damage)) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "1", '{"name": "0"}', "cut", "bare"])
def test_damaged_lines_are_as_good_as_absent(damage: str, kept: KeptResults, pairs: EvaluationSet) -> None:
    measure_set(fake()[1], pairs, kept=kept)
    assert isinstance(kept.journal, Paper)
    line = kept.journal.written[0]
    bare = json.dumps({"key": json.loads(line)["key"], "name": 0})
    kept.journal.written[0] = {"cut": line[: len(line) // 2], "bare": bare}.get(damage, damage)
    again = KeptResults.read(kept.journal, kept.pictures).of(kept.identity)
    assert restored_again(again, pairs) == 1


def test_results_of_others_are_kept_without_pictures(
    kept: KeptResults, pairs: EvaluationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "set" / "input"
    first = measure_results(theirs, pairs, kept=kept)
    assert not list(kept.pictures.glob("*.png"))
    read: list[int] = []
    own = EvaluationSet.image

    def image(found: EvaluationSet, index: int) -> EvaluationImage:
        read.append(index)
        return own(found, index)

    monkeypatch.setattr(EvaluationSet, "image", image)
    assert measure_results(theirs, pairs, kept=kept) == first
    assert read == []
    write_image(theirs / "1.png", torch.zeros(3, 28, 30), ImageMetadata())
    assert measure_results(theirs, pairs, kept=kept).blind != first.blind
    assert read == [1]
