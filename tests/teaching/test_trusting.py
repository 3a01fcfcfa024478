"""From which probability on what was taught is believed."""

import torch

from polyrestore.bundles import Bundle
from polyrestore.recognition import CLEAN, RecognitionSettings
from polyrestore.teaching.recognising import Shown, Views, fit_prototype, shares_of
from polyrestore.teaching.trusting import cross_validated_shares
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
    others = tuple(
        Shown(group, image, image, row, scene)
        for group in ("noise", CLEAN)
        for scene, row in zip(scenes, rows[1][::ROWS_OF_A_SCENE], strict=True)
    )
    of = tuple(scene for scene in scenes for _ in range(ROWS_OF_A_SCENE))
    return Views(rows[0], rows[1], of, others)


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
    shares = cross_validated_shares("new", bundle, (seen, unseen))
    assert mean(shares.found) < mean(shares.wrong) + 0.15


def test_what_can_be_told_apart_is_found_in_every_image() -> None:
    bundle = tiny_bundle()
    seen, unseen = views(bundle, range(0, 6), 4.0), views(bundle, range(6, 10), 4.0)
    shares = cross_validated_shares("new", bundle, (seen, unseen))
    assert len(shares.found) == 10 * ROWS_OF_A_SCENE
    assert len(shares.wrong) == 10 * ROWS_OF_A_SCENE + 10
    assert min(shares.found) > max(shares.wrong)
    # Each image that can be looked at is there once, under a prototype that has not seen it.
    assert len(shares.others) == 20
    assert {id(each) for each, _ in shares.others} == {id(each) for each in (*seen.others, *unseen.others)}
    assert max(share for _, share in shares.others) == max(shares.wrong)
