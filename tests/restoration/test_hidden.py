"""What lies under full transparency: it changes nothing that is seen, and comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyrestore.imaging import Image, ImageMetadata, bands
from polyrestore.restoration import restorer as module
from polyrestore.restoration.hidden import fill_hidden, find_nearest
from polyrestore.restoration.restorer import Restorer


def cutout(height: int, width: int, seed: int, under: float | None = None) -> Image:
    """Return a random picture whose alpha is 0, faint or full; ``under`` is the colour of what is hidden."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(3, height, width, generator=generator)
    alpha = torch.tensor([0.0, 0.0, 1 / 255, 1.0])[torch.randint(4, (1, height, width), generator=generator)]
    alpha[0, height // 2, width // 2] = 1 / 65535
    if under is not None:
        pixels = pixels.where(alpha > 0, torch.tensor(under))
    return Image(pixels, ImageMetadata(alpha=alpha))


SIZES = {"height": st.integers(1, 24), "width": st.integers(1, 24), "seed": st.integers(0, 999)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**SIZES)
def test_the_nearest_is_marked_and_as_near_as_any(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    marked = torch.rand(height, width, generator=generator) < 0.1
    marked[seed % height, seed % width] = True
    found = find_nearest(marked).long()
    assert bool(marked[found[0], found[1]].all())
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).float()
    all_marked = marked.nonzero().T.float()
    distances = (places[:, :, :, None] - all_marked[:, None, None, :]).square().sum(0).sqrt()
    gone = (places - found).square().sum(0).sqrt()
    assert bool((gone <= distances.min(2).values + 1).all())
    assert torch.equal(found[:, marked], places[:, marked].long())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**SIZES)
def test_what_is_hidden_decides_nothing(height: int, width: int, seed: int) -> None:
    one, other = (fill_hidden(cutout(height, width, seed, under)) for under in (0.0, 1.0))
    assert torch.equal(one, other)
    image = cutout(height, width, seed)
    assert image.metadata.alpha is not None
    visible = image.metadata.alpha[0] > 0
    assert torch.equal(fill_hidden(image)[:, visible], image.pixels[:, visible])
    # Colours are taken from what is seen, and not mixed.
    seen = {tuple(colour) for colour in image.pixels[:, visible].T.tolist()}
    assert {tuple(colour) for colour in fill_hidden(image).flatten(1).T.tolist()} <= seen


def test_the_picture_goes_on_mirrored_behind_its_rim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "_BAND_ROWS", 2)
    pixels = torch.linspace(0, 1, 8).expand(3, 5, 8).contiguous()
    alpha = torch.ones(1, 5, 8)
    alpha[:, :, 5:] = 0
    filled = fill_hidden(Image(pixels, ImageMetadata(alpha=alpha)))
    assert torch.equal(filled[..., 5:], pixels[..., 2:5].flip(-1))


@pytest.mark.parametrize("alpha", [None, torch.ones(1, 4, 5), torch.full((1, 4, 5), 1 / 255)])
def test_a_picture_that_is_seen_whole_is_left_alone(alpha: torch.Tensor | None) -> None:
    image = Image(torch.rand(3, 4, 5), ImageMetadata(alpha=alpha))
    assert fill_hidden(image) is image.pixels


def test_a_picture_of_which_nothing_is_seen_comes_back(restorer: Restorer) -> None:
    image = Image(torch.rand(3, 9, 7), ImageMetadata(alpha=torch.zeros(1, 9, 7)))
    assert torch.equal(restorer.restore(image, "noise").pixels, image.pixels)


def test_restoring_neither_sees_nor_changes_what_is_hidden(
    restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[torch.Tensor] = []

    def recognised(recogniser: Any, prototypes: Any, image: torch.Tensor, settings: Any) -> Any:
        shown.append(image)
        return recognition

    recognition = type("Seen", (), {"weights": {"noise": 1.0}, "similarities": {}, "probabilities": {}})()
    monkeypatch.setattr(module, "recognise", recognised)
    images = [cutout(30, 40, 7, under) for under in (0.0, 1.0)]
    results = [restorer.restore(image).pixels for image in images]
    explanations = [restorer.explain(image) for image in images]
    restorer.recognise(images[1])
    assert all(torch.equal(one, shown[0]) for one in shown)
    assert len(shown) == 5
    assert images[0].metadata.alpha is not None
    visible = images[0].metadata.alpha[0] > 0
    assert torch.equal(results[0][:, visible], results[1][:, visible])
    assert not torch.equal(results[0][:, visible], images[0].pixels[:, visible])
    for image, result, explanation in zip(images, results, explanations, strict=True):
        for pixels in (result, explanation.restored.pixels, *(step.alone for step in explanation.steps)):
            assert torch.equal(pixels[:, ~visible], image.pixels[:, ~visible])
    assert torch.equal(explanations[0].steps[0].alone[:, visible], explanations[1].steps[0].alone[:, visible])
