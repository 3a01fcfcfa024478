"""Test sets of strangers are found by how they lie, and their images are what the files hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyrestore.data.images import load_pixels
from polyrestore.errors import DataError
from polyrestore.evaluation.sets import clean_samples, found_sets
from tests.support.set_trees import TREES, plant


@pytest.mark.parametrize("name", TREES)
def test_every_published_layout_gives_its_images_for_testing(name: str, tmp_path: Path) -> None:
    layout, files, counts = TREES[name]
    root = plant(tmp_path / name, *files)
    wanted = {task: count for (split, task), count in counts.items() if split in ("test", "all")}
    if not wanted:
        with pytest.raises(DataError, match="images to train on, and none to test on"):
            found_sets(root, layout)
        return
    sets = found_sets(root, layout)
    found: dict[str, int] = {}
    for each in sets:
        task = (each.named or "").replace(",", "+")
        found[task] = found.get(task, 0) + len(each.samples)
        assert each.mixture == ("+" in task)
        image = next(each.images(limit=1))
        assert image.degraded.shape == image.target.shape
    assert found == wanted


def test_pairs_are_read_as_they_are_and_clean_photographs_are_their_own_input(tmp_path: Path) -> None:
    plant(tmp_path, "input/b.png", "input/a.png", "target/a.png", "target/b.png")
    (pairs,) = found_sets(tmp_path, "pairs")
    images = list(pairs.images())
    assert [image.name for image in images] == ["a", "b"]
    assert torch.equal(images[0].degraded, load_pixels(tmp_path / "input" / "a.png") / 255)
    assert torch.equal(images[1].target, load_pixels(tmp_path / "target" / "b.png") / 255)
    (clean,) = found_sets(tmp_path / "target", "clean")
    assert clean.named is None
    assert all(torch.equal(image.degraded, image.target) for image in clean.images())
    assert len(clean_samples(tmp_path / "target")) == len(clean.samples) == 2


def test_what_was_drawn_for_one_image_changes_no_other(tmp_path: Path) -> None:
    plant(tmp_path, "a.png", "b.png")
    (found,) = found_sets(tmp_path, "clean")

    def noisy(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return image + torch.randn(image.shape, generator=generator)

    both = [*type(found)(found.name, found.samples, "noise", noisy).images()]
    again = [*type(found)(found.name, found.samples, "noise", noisy).images(limit=1)]
    assert torch.equal(both[0].degraded, again[0].degraded)
    assert not torch.equal(both[0].degraded - both[0].target, both[1].degraded - both[1].target)
