"""The recogniser on a pre-trained trunk: any size, no mixing of a batch, and severities."""

import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from polyrestore.adapters import LoraConfig
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.errors import BundleError, RecognitionError
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.encoder.statistics import COUNT, measure_statistics
from polyrestore.recognition.encoder.views import CROPS, cut_crops, reduce_whole
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_bundle import tiny_bundle


def tiny() -> EncoderRecogniser:
    torch.manual_seed(0)
    return EncoderRecogniser(["noise", "haze"], taps=(0, 2), members=2, hidden=8, dimension=4).eval()


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 400), width=st.integers(1, 400))
def test_any_size_gives_a_unit_vector_and_severities(height: int, width: int) -> None:
    with torch.no_grad():
        reading = tiny().read(torch.rand(1, 3, height, width))
    assert reading.embedding.shape == (8,)
    assert float(reading.embedding.norm()) == pytest.approx(1, abs=1e-4)
    assert set(reading.severities) == {"noise", "haze"}
    assert all(0 <= value <= 1 for value in reading.severities.values())


def test_samples_of_a_batch_do_not_mix() -> None:
    images = torch.rand(2, 3, 90, 150)
    with torch.no_grad():
        together = tiny().embed(images)
        alone = torch.cat([tiny().embed(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_similarity_to_a_joint_prototype_is_the_mean_of_the_members() -> None:
    network, image = tiny(), torch.rand(1, 3, 80, 80)
    with torch.no_grad():
        features = network.standardise(network.extract_features(image))
        vectors = [member(features)[0] for member in network.members]
        directions = [torch.nn.functional.normalize(torch.rand(4), dim=0) for _ in vectors]
        each = [float(vector @ way) for vector, way in zip(vectors, directions, strict=True)]
        joint = torch.cat(directions) / 2**0.5
        assert float(network.embed(image)[0] @ joint) == pytest.approx(sum(each) / 2, abs=1e-5)


def test_the_flattest_and_the_busiest_part_are_looked_at() -> None:
    image = torch.full((1, 3, 600, 600), 0.5)
    image[..., 440:, :130] = torch.rand(1, 3, 160, 130)
    image[..., :300, :] = 0.45 + 0.1 * torch.rand(1, 3, 300, 600)
    image[..., 300:, 300:] = 1.0
    crops = cut_crops(image, reduce_whole(image))
    assert crops.shape == (CROPS, 3, 128, 128)
    flat, busy = crops[-2], crops[-1]
    # Flat, and not the white part, which hides whatever noise there is.
    assert float(flat.std()) < 0.01
    assert float(flat.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(busy.std()) > 0.2


def test_statistics_tell_noise_compression_and_grey_apart() -> None:
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(1, 3, 12, 16, generator=generator)
    clean = torch.nn.functional.interpolate(small, size=(240, 320), mode="bicubic").clamp(0, 1)

    def measured(image: Tensor) -> Tensor:
        whole = reduce_whole(image)
        return measure_statistics(image, whole, cut_crops(image, whole))

    from polyrestore.degradations import degrade

    noisy = degrade(clean, {"noise": 0.5}, generator)
    blocky = degrade(clean, {"jpeg": 0.9}, generator)
    found = {name: measured(image) for name, image in (("clean", clean), ("noise", noisy), ("jpeg", blocky))}
    assert all(len(each) == COUNT and bool(torch.isfinite(each).all()) for each in found.values())
    grey = measured(clean.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    noise, grid, colourless = 24, 50, COUNT - 2
    assert found["noise"][noise] > found["clean"][noise] + 0.5
    assert found["jpeg"][grid] > max(found["clean"][grid], found["noise"][grid]) + 0.5
    assert grey[colourless] == 1
    assert found["clean"][colourless] < 0.2


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_without_anything_in_it_is_measured_too(level: float) -> None:
    image = torch.full((1, 3, 140, 150), level)
    whole = reduce_whole(image)
    assert bool(torch.isfinite(measure_statistics(image, whole, cut_crops(image, whole))).all())


def test_a_photograph_of_many_megapixels_costs_hardly_more_than_a_small_one() -> None:
    network = tiny()

    def seconds(side: int) -> float:
        image = torch.rand(1, 3, side, side)
        best = 9.0
        for _ in range(3):
            started = time.process_time()
            with torch.no_grad():
                network.embed(image)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(3000) < 3 * seconds(500)


@pytest.mark.parametrize("taps", [(), (3, 1), (1, 1), (0, 16)])
def test_impossible_taps_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(RecognitionError, match="taps"):
        EncoderRecogniser(taps=taps)


@pytest.mark.parametrize(
    "options", [{"members": 0}, {"hidden": -1}, {"dimension": 10**9}, {"taps": ["x"]}, {"membres": 3}]
)
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(RecognitionError, match=f"'encoder' cannot be built: .*{next(iter(options))}"):
        EncoderRecogniser.build(options)


def test_a_longer_prototype_is_compared_with_the_detail_as_well(tmp_path: Path) -> None:
    network, image = tiny(), torch.rand(1, 3, 80, 80)
    with torch.no_grad():
        reading, described = network.read(image), network.describe(image)[0]
    assert reading.detail is not None
    assert torch.equal(torch.cat([reading.embedding, reading.detail]), described)
    assert len(described) == network.dimension + network.detail_dimension
    assert float(reading.detail.norm()) == pytest.approx(1, abs=1e-5)
    long = torch.nn.functional.normalize(described, dim=0)
    bundle = tiny_bundle({"noise": LoraConfig(rank=1)}, recogniser=network)
    bundle.prototypes["noise"] = long
    loaded = load_bundle(save_bundle(tmp_path / "long", bundle, torch.float32))
    found = Restorer(loaded).recognise(image[0]).similarities
    assert found["noise"] == pytest.approx(2**0.5, abs=1e-3)
    assert found["clean"] == pytest.approx(float(reading.embedding @ bundle.prototypes["clean"]), abs=1e-3)
    bundle.prototypes["clean"] = torch.ones(5)
    with pytest.raises(BundleError, match="vectors of one length"):
        save_bundle(tmp_path / "wrong", bundle)
