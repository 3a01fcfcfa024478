from __future__ import annotations

from pathlib import Path

import pytest
import torch

import polyrestore
from examples import comfyui
from polyrestore.errors import CompositionError
from tests.support.tiny_bundle import save_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


def test_the_node_says_what_comfyui_asks_for() -> None:
    (name,) = comfyui.NODE_CLASS_MAPPINGS
    node = comfyui.NODE_CLASS_MAPPINGS[name]
    assert set(comfyui.NODE_DISPLAY_NAME_MAPPINGS) == {name}
    assert callable(getattr(node, node.FUNCTION))
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == 2
    kinds = {key: kind for group in node.INPUT_TYPES().values() for key, (kind, *_) in group.items()}
    assert kinds == {"image": "IMAGE", "strength": "FLOAT", "adapters": "STRING", "bundle": "STRING"}


def test_each_image_of_a_batch_is_restored_as_alone(bundle: str) -> None:
    images = torch.rand(2, 20, 24, 3, generator=torch.Generator().manual_seed(0))
    node = comfyui.PolyrestoreRestore()
    named = "rain=0.7,noise=0.3"
    restored, adapters = node.restore(image=images, strength=1.0, adapters=named, bundle=bundle)
    assert restored.shape == images.shape
    assert restored.dtype == torch.float32
    assert 0 <= float(restored.min()) <= float(restored.max()) <= 1
    assert adapters == "rain 0.70, noise 0.30\nrain 0.70, noise 0.30"
    restorer = polyrestore.load(bundle)
    for image, result in zip(images, restored, strict=True):
        alone = restorer.restore(image.permute(2, 0, 1), as_=named).pixels
        assert torch.equal(result.permute(2, 0, 1), alone)
    assert not torch.equal(restored, images)


def test_strength_and_what_is_recognised(bundle: str) -> None:
    image = torch.rand(1, 20, 24, 4, generator=torch.Generator().manual_seed(0))
    image[..., 3] = 1
    node = comfyui.PolyrestoreRestore()
    restored, adapters = node.restore(image, 0.0, bundle=bundle)
    assert torch.equal(restored, image[..., :3])
    assert len(adapters.splitlines()) == 1
    with pytest.raises(CompositionError, match="did you mean 'rain'"):
        node.restore(image, 1.0, adapters="rian", bundle=bundle)


def test_its_folder_says_how_to_install_it() -> None:
    text = Path(comfyui.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert "custom_nodes" in text
