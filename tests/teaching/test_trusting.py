"""From which probability on what was taught is believed."""

import pytest
import torch

from polyrestore.adapters import Prototype
from polyrestore.bundles import Bundle
from polyrestore.recognition import CLEAN, RecognitionSettings
from polyrestore.teaching.recognising import TAUGHT, Judged, Shown, Views, fit_prototype, shares_of
from polyrestore.teaching.trusting import choose_change, cross_validated_shares, trust
from tests.support.tiny_bundle import tiny_bundle

ROWS_OF_A_SCENE = 4


def views(bundle: Bundle, scenes: range, told_by: float) -> Views:
    """Make what a recogniser would say of scenes; ``told_by`` is how far apart damaged and true ones are."""
    width = len(next(iter(bundle.prototypes.values())))
    generator = torch.Generator().manual_seed(scenes.start)
    rows = []
    for side in (told_by, -told_by):
        drawn = torch.randn(len(scenes), width, generator=generator)
        drawn[:, 0] += side
        directions = torch.nn.functional.normalize(drawn, dim=1)
        # Images of one scene look alike.
        rows.append(directions.repeat_interleave(ROWS_OF_A_SCENE, 0))
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    inputs, targets = (each[::ROWS_OF_A_SCENE] for each in rows)
    damaged = tuple(
        Shown(TAUGHT, image, image, row, scene) for scene, row in zip(scenes, inputs, strict=True)
    )
    clean = tuple(Shown(CLEAN, image, image, row, scene) for scene, row in zip(scenes, targets, strict=True))
    noisy = tuple(Shown("noise", image, image, row) for row in targets)
    of = tuple(scene for scene in scenes for _ in range(ROWS_OF_A_SCENE))
    return Views(rows[0], rows[1], of, damaged, (*clean, *noisy))


def divided(judged: list[Judged]) -> tuple[list[float], list[float]]:
    """Return the shares of damaged images, and those of all others."""
    found = [each.share for each in judged if each.shown.is_damaged]
    return found, [each.share for each in judged if not each.shown.is_damaged]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_what_cannot_be_told_apart_is_not_believed_to_be_because_it_was_learned_by_heart() -> None:
    bundle = tiny_bundle()
    seen, unseen = views(bundle, range(0, 12), 0.0), views(bundle, range(12, 60), 0.0)
    settings = RecognitionSettings(**bundle.recognition_settings)
    fitted = fit_prototype(seen.inputs, seen.negatives, bundle.prototypes, settings)
    known = [
        mean(shares_of("new", rows, {**bundle.prototypes, "new": fitted}, settings))
        for rows in (seen.inputs, seen.targets)
    ]
    assert known[0] > known[1] + 0.2
    found, wrong = divided(cross_validated_shares("new", bundle, (seen, unseen)))
    assert mean(found) < mean(wrong) + 0.15


def test_what_can_be_told_apart_is_found_in_every_image() -> None:
    bundle = tiny_bundle()
    sides = views(bundle, range(0, 6), 4.0), views(bundle, range(6, 10), 4.0)
    judged = cross_validated_shares("new", bundle, sides)
    assert len(judged) == 30
    shown = [each for views in sides for each in (*views.damaged, *views.others)]
    assert {id(each.shown) for each in judged} == {id(each) for each in shown}
    found, wrong = divided(judged)
    assert min(found) > max(wrong)


@pytest.mark.parametrize(
    ("damaged", "others", "between"),
    [
        ([8.0, 9.0, 20.0], [0.5, 1.0, 2.0], (2.0, 8.0)),
        ([8.0, 9.0, 20.0], [], (2.0, 8.0)),
        # One of four is given up, since the three of the others would cost more.
        ([3.0, 9.0, 10.0, 12.0], [4.0, 4.0, 4.0], (4.0, 9.0)),
        ([0.0, 0.0], [0.0], (0.0, 0.0)),
    ],
)
def test_how_much_there_has_to_be_to_do_lies_in_the_widest_gap(
    damaged: list[float], others: list[float], between: tuple[float, float]
) -> None:
    assert between[0] <= choose_change(damaged, others, 10.0) <= between[1]


def test_where_there_is_too_little_to_do_nothing_is_believed() -> None:
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)

    def judged(group: str, *shares: float) -> list[Judged]:
        return [Judged(Shown(group, image, image, torch.zeros(8)), share) for share in shares]

    images = [*judged(TAUGHT, 0.6, 0.7, 0.9), *judged(CLEAN, 0.99, 0.2, 0.1), *judged("noise", 0.95, 0.3)]
    asked = []

    def change_in(shown: Shown) -> float:
        asked.append(shown)
        return 9.0 if shown.is_damaged else 1.0

    prototype = Prototype(torch.ones(8), "")
    believed, sure = trust(prototype, images, change_in, 10.0)
    assert len(asked) == 5
    assert believed.least_change is not None
    assert believed.least_share is not None
    assert 1 < believed.least_change < 9
    assert believed.least_share <= 0.6
    assert [each.share for each in sure] == [0.6, 0.7, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0]
