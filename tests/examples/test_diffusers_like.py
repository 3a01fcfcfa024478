from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from examples.diffusers_like import RestorationPipeline
from tests.support.tiny_bundle import save_tiny_bundle


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> RestorationPipeline:
    bundle = save_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    return RestorationPipeline.from_pretrained(str(bundle), "cpu", tile_px=64)


def batch() -> torch.Tensor:
    return torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_it_is_called_as_a_pipeline_is(pipe: RestorationPipeline, tmp_path: Path) -> None:
    levels = (batch()[0].permute(1, 2, 0) * 255).round().byte().numpy()
    PILImage.fromarray(levels).save(tmp_path / "photo.png")
    for given in (PILImage.open(tmp_path / "photo.png"), tmp_path / "photo.png", str(tmp_path / "photo.png")):
        output = pipe(given, adapters="noise")
        (image,) = output.images
        assert isinstance(image, PILImage.Image)
        assert (image.size, image.mode) == ((24, 20), "RGB")
        assert output.weights == [{"noise": 1.0}]
        assert not np.array_equal(np.asarray(image), levels)


def test_several_images_and_all_kinds_of_output(pipe: RestorationPipeline) -> None:
    images = batch()
    output = pipe(images, adapters={"rain": 1.0}, output_type="pt")
    tensors = output.images
    assert tensors.shape == images.shape
    assert output.weights == [{"rain": 1.0}] * 2
    arrays = pipe(list(images), adapters="rain", output_type="np")
    assert np.array_equal(arrays.images, tensors.permute(0, 2, 3, 1).numpy())
    pictures = pipe(images.permute(0, 2, 3, 1).numpy(), adapters="rain").images
    assert np.array_equal(np.asarray(pictures[1]), (arrays.images[1] * 255).round().astype("uint8"))
    assert torch.equal(pipe(images[0], strength=0.0, output_type="pt").images, images[:1])
