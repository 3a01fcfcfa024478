import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyrestore.recognition import (
    CLEAN,
    BaseRecogniser,
    RecognitionSettings,
    build_recogniser,
    composition_of,
    prototype_of,
    recognise,
    weigh,
)

SETTINGS = RecognitionSettings(temperature=0.1, top_k=2, minimum_share=0.2, clean_threshold=0.5)


def tiny() -> BaseRecogniser:
    torch.manual_seed(0)
    return build_recogniser("network", width=4, dimension=8).eval()


def axis(index: int, dimension: int = 4) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(index), dimension).float()


PROTOTYPES = {"noise": axis(0), "rain": axis(1), "jpeg": axis(2), CLEAN: axis(3)}


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_any_size_gives_a_unit_vector(height: int, width: int) -> None:
    with torch.no_grad():
        vector = tiny().embed(torch.rand(1, 3, height, width))
    assert vector.shape == (1, 8)
    assert float(vector.norm()) == pytest.approx(1, abs=1e-4)


def test_samples_of_a_batch_do_not_mix() -> None:
    images = torch.rand(3, 3, 200, 150)
    with torch.no_grad():
        together = tiny().embed(images)
        alone = torch.cat([tiny().embed(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), side=st.sampled_from([(2,), (3,), (2, 3)]))
def test_a_mirror_image_has_the_same_embedding_outside_training(
    height: int, width: int, side: tuple[int, ...]
) -> None:
    image = torch.rand(1, 3, height, width)
    network = tiny()
    with torch.no_grad():
        assert torch.allclose(network.embed(image), network.embed(image.flip(side)), atol=1e-5)


def test_training_sees_one_view_at_a_time() -> None:
    image = torch.rand(1, 3, 90, 70)
    network = tiny().train()
    with torch.no_grad():
        views = [network.embed(view) for view in (image, image.flip(2), image.flip(3), image.flip(2, 3))]
        assert not torch.allclose(views[0], views[1], atol=1e-4)
        middle = torch.nn.functional.normalize(torch.stack(views).sum(0), dim=1)
        assert torch.allclose(network.eval().embed(image), middle, atol=1e-5)


def test_the_nearest_prototype_wins() -> None:
    found = weigh(axis(1), PROTOTYPES, SETTINGS)
    assert found.weights == {"rain": 1.0}
    assert max(found.similarities, key=lambda name: found.similarities[name]) == "rain"
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_a_mixture_gets_several_weights() -> None:
    found = weigh(torch.nn.functional.normalize(axis(0) + axis(2), dim=0), PROTOTYPES, SETTINGS)
    assert set(found.weights) == {"noise", "jpeg"}
    assert sum(found.weights.values()) == pytest.approx(1)


def test_a_clean_image_gets_no_weight() -> None:
    found = weigh(axis(3), PROTOTYPES, SETTINGS)
    assert found.weights == {}
    assert found.is_clean


def test_top_k_and_the_smallest_share_limit_the_composition() -> None:
    shares = {"noise": 0.4, "rain": 0.3, "jpeg": 0.25, CLEAN: 0.05}
    assert set(composition_of(shares, SETTINGS, {})) == {"noise", "rain"}
    lopsided = {"noise": 0.85, "rain": 0.1, "jpeg": 0.0, CLEAN: 0.05}
    assert composition_of(lopsided, SETTINGS, {}) == {"noise": 1.0}


def test_recognising_is_embedding_and_weighing() -> None:
    recogniser, image = tiny(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        own = recogniser.embed(image)[0]
    found = recognise(recogniser, {"noise": own, CLEAN: -own}, image, SETTINGS)
    assert found.weights == {"noise": 1.0}
    assert found.similarities["noise"] == pytest.approx(1, abs=1e-5)


def test_a_prototype_is_the_unit_vector_between_its_samples() -> None:
    middle = prototype_of(torch.stack([axis(0), axis(1)]))
    assert middle.tolist() == pytest.approx([0.7071, 0.7071, 0, 0], abs=1e-3)
