"""Samples of the recogniser: decided by seed and number, and labelled for what was done to them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from polyrestore.data.labelled import LabelledPhotograph
from polyrestore.data.negatives.draws import Draws
from polyrestore.training.recognition.labels import label_by_eye, label_of_severities
from polyrestore.training.recognition.samples import SampleSource, read, store_again
from polyrestore.training.tiny import generated_photograph
from tests.support.registered import registered

NAMES = ("haze", "rain", "shadow", "low_light", "motion_blur", "defocus_blur", "noise", "jpeg")
COLUMN = {name: index for index, name in enumerate(NAMES)}


def draws(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed))


def save(path: Path, seed: int, size: tuple[int, int] = (90, 110)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (generated_photograph(seed, size) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)
    return path


def photograph(path: Path, *labels: str, strength: str = "clear", kind: str = "") -> LabelledPhotograph:
    return LabelledPhotograph(path, frozenset(labels), strength, kind)


@pytest.fixture
def source(tmp_path: Path) -> SampleSource:
    clean = [save(tmp_path / f"clean/{index}.png", index) for index in range(3)]
    noisy = [save(tmp_path / "noisy/input/a.png", 8)]
    save(tmp_path / "noisy/target/a.png", 9)
    labelled = {"real": [photograph(clean[0], "clean", strength="none"), photograph(clean[1], "rain")]}
    bursts = [[save(tmp_path / f"burst/b_{index}.png", index) for index in range(5)]]
    return SampleSource(NAMES, 4, clean, labelled, noisy, [clean[2]], [clean[2]], bursts)


def test_a_sample_is_decided_by_seed_and_number(source: SampleSource) -> None:
    for number in (0, 5, 9):
        first, again = source.sample(number), source.sample(number)
        assert torch.equal(first.image, again.image)
        assert torch.equal(first.label.presence, again.label.presence)
        assert first.kind == again.kind
    other = SampleSource(NAMES, 5, source.photographs)
    assert any(source.sample(n).image.shape != other.sample(n).image.shape for n in range(6))


def test_every_way_of_making_samples_comes_up_and_fits_its_label(source: SampleSource) -> None:
    kinds: Counter[str] = Counter()
    for number in range(120):
        sample = source.sample(number)
        label = sample.label
        kinds[sample.kind.split(":")[0]] += 1
        assert sample.image.shape[:2] == (1, 3)
        assert torch.equal(sample.image, (sample.image * 255).round() / 255)
        assert bool(((label.certainty >= 0) & (label.certainty <= 1)).all())
        known = ~label.severity.isnan()
        assert bool((label.presence[known] == 1).all())
        if sample.kind.startswith(("look", "drawn")):
            assert not label.presence.any()
    assert {"synthetic", "look", "drawn", "real", "noisy", "drawing damaged"} <= set(kinds)
    assert kinds["synthetic"] > kinds["noisy"]


def test_without_labelled_photographs_the_other_ways_remain(source: SampleSource) -> None:
    alone = SampleSource(NAMES, 4, source.photographs)
    kinds = {alone.sample(number).kind.split(":")[0] for number in range(60)}
    assert kinds == {"synthetic", "look", "drawn", "drawing damaged"}


def test_pairs_show_one_degradation_and_leave_the_rest_open(source: SampleSource, tmp_path: Path) -> None:
    names = (*NAMES, "wet_glass")
    shown, clean = save(tmp_path / "input.png", 20), save(tmp_path / "target.png", 21)
    mixed = replace(source, names=names, pairs={"wet_glass": [(shown, clean)]})
    found = [sample.label for sample in map(mixed.sample, range(150)) if sample.kind == "pair:wet_glass"]
    assert {label.shows("wet_glass") for label in found} == {True, False}
    for label in found:
        assert float(label.certainty[-1]) == 1
        assert float(label.certainty[:-1].max()) < 0.5
        assert not label.presence[:-1].any()


def test_what_cannot_be_synthesised_is_not_damaged_with(tmp_path: Path) -> None:
    clean = [save(tmp_path / "clean.png", 0)]
    own = SampleSource(("wet_glass", "rain"), 4, clean)
    damaged = [each for each in map(own.sample, range(40)) if each.kind == "synthetic"]
    assert damaged
    assert all(each.label.presence.tolist() == [0, 1] for each in damaged)
    alone = SampleSource(("wet_glass",), 4, clean)
    assert "synthetic" not in {alone.sample(number).kind for number in range(20)}


def test_one_more_degradation_changes_no_sample(source: SampleSource) -> None:
    before = [source.sample(number) for number in range(20)]
    with registered():
        after = [source.sample(number) for number in range(20)]
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label.presence, other.label.presence)


def test_slight_damage_and_like_damage_count_less() -> None:
    label = label_of_severities({"motion_blur": 0.12, "jpeg": 0.6, "snow": 0.5}, NAMES)
    assert label.presence.sum() == 2
    assert float(label.certainty[COLUMN["jpeg"]]) == 1
    assert float(label.certainty[COLUMN["motion_blur"]]) < 0.5
    assert float(label.certainty[COLUMN["defocus_blur"]]) == 0.5
    assert float(label.certainty[COLUMN["rain"]]) == 1


def test_labels_by_eye_say_nothing_of_compression_nor_of_haze_beside_rain(tmp_path: Path) -> None:
    rain = label_by_eye(photograph(tmp_path, "rain", strength="strong"), NAMES)
    assert rain.presence.nonzero().flatten().tolist() == [COLUMN["rain"]]
    assert float(rain.certainty[COLUMN["jpeg"]]) == 0
    assert float(rain.certainty[COLUMN["haze"]]) == pytest.approx(0.1)
    assert float(rain.severity[COLUMN["rain"]]) > 0.8
    clean = label_by_eye(photograph(tmp_path, "clean", strength="none", kind="night"), NAMES)
    assert not clean.presence.any()
    assert float(clean.certainty[COLUMN["low_light"]]) == 1
    faint = label_by_eye(photograph(tmp_path, "noise", strength="faint"), NAMES)
    assert 0 < float(faint.certainty[COLUMN["noise"]]) < 1
    assert bool(faint.severity[COLUMN["noise"]].isnan())


def test_labelled_photographs_are_stored_again_and_the_label_follows(source: SampleSource) -> None:
    rain = source.labelled["real"][1]
    image = read(rain.path)
    seen: Counter[str] = Counter()
    for seed in range(60):
        label = label_by_eye(rain, NAMES)
        stored = store_again(image, rain, label, draws(seed))
        seen["same"] += torch.equal(stored, image)
        if label.presence[COLUMN["jpeg"]]:
            seen["jpeg"] += 1
            assert float(label.severity[COLUMN["jpeg"]]) > 0.25
        seen["noise"] += int(label.presence[COLUMN["noise"]])
        assert label.presence[COLUMN["rain"]] == 1
    assert seen["jpeg"] > 2
    assert seen["noise"] >= 1
    assert 5 < seen["same"] < 40
