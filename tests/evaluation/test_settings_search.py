from __future__ import annotations

from pathlib import Path

import polyrestore
from polyrestore.degradations import DEGRADATIONS, MIXTURES
from polyrestore.evaluation.settings_search import damaged_sets
from polyrestore.recognition import CLEAN
from tests.support.tiny_bundle import save_tiny_bundle


def test_every_degradation_every_mixture_and_nothing_at_all_are_measured(data: Path, tmp_path: Path) -> None:
    restorer = polyrestore.load(save_tiny_bundle(tmp_path / "tiny"), "cpu")
    sets = damaged_sets([restorer], data / "CBSD68", 1, 16)
    assert [each.name for each in sets] == [*DEGRADATIONS, CLEAN, *MIXTURES]
    for each in sets:
        (sample,) = each.runs.samples
        assert sample.degraded.shape == sample.target.shape == (3, 16, 16)
        assert sample.degraded.equal(sample.target) == (each.name == CLEAN)
        # What is wrong is seen in the whole image, not in its middle alone.
        assert each.similarities != [restorer.recognise(sample.degraded).similarities]


def test_what_shows_the_progress_is_given_every_set(data: Path, tmp_path: Path) -> None:
    restorer = polyrestore.load(save_tiny_bundle(tmp_path / "tiny"), "cpu")
    shown: list[str] = []

    def first_two(sets: list[tuple[str, list[dict[str, float]]]]) -> list[tuple[str, list[dict[str, float]]]]:
        shown.extend(name for name, _ in sets)
        return sets[:2]

    made = damaged_sets([restorer], data / "CBSD68", 1, 16, first_two)
    assert shown == [*DEGRADATIONS, CLEAN, *MIXTURES]
    assert [each.name for each in made] == shown[:2]
