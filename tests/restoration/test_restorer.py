from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrestore.adapters import AdapterBank
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bundles import Bundle
from polyrestore.devices import usable_device
from polyrestore.errors import (
    BackboneError,
    BundleError,
    CompositionError,
    PolyrestoreError,
    RecognitionError,
    UnknownNameError,
)
from polyrestore.imaging import ImageMetadata, read_image, write_image
from polyrestore.recognition import RecognitionSettings
from polyrestore.restoration.opening import load
from polyrestore.restoration.restorer import Restorer
from polyrestore.restoration.tiling import DEFAULT_TILE_PX
from polyrestore.runtimes.torch import TorchRuntime
from tests.restoration.conftest import FakeRecognition, restorable_bundle
from tests.support.tiny_backbone import tiny_backbone


def random_pixels(height: int = 50, width: int = 61, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def expected(bundle: Bundle, weights: dict[str, float], pixels: torch.Tensor) -> torch.Tensor:
    """Compute the composition on the whole image, unmerged, without any of the restorer's code."""
    backbone = tiny_backbone()
    bank = AdapterBank(backbone)
    for adapter in bundle.adapters.values():
        bank.add(adapter)
    bank.activate(weights)
    with torch.no_grad():
        restored: torch.Tensor = backbone(pixels.unsqueeze(0))[0].clamp(0, 1)
    return restored


def test_recognises_once_on_the_whole_image_and_composes(
    bundle: Bundle, restorer: Restorer, recognition: FakeRecognition
) -> None:
    pixels = random_pixels()
    restored = restorer.restore(pixels)
    assert recognition.shown == [(1, 3, 50, 61)]
    assert restored.weights == {"noise": 0.75, "rain": 0.25}
    assert restored.recognition is not None
    torch.testing.assert_close(restored.pixels, expected(bundle, restored.weights, pixels), atol=1e-5, rtol=0)


def test_named_composition_does_not_ask_the_recogniser(
    bundle: Bundle, restorer: Restorer, recognition: FakeRecognition
) -> None:
    pixels = random_pixels()
    restored = restorer.restore(pixels, as_="rain")
    assert recognition.shown == []
    assert restored.recognition is None
    assert restored.weights == {"rain": 1.0}
    torch.testing.assert_close(restored.pixels, expected(bundle, {"rain": 1.0}, pixels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [{"haze": 1.0}, {"haze": 0.4, "noise": 0.6}])
def test_parallel_adapters_see_further_and_tiles_still_equal_the_whole(
    bundle: Bundle, restorer: Restorer, weights: dict[str, float]
) -> None:
    pixels = random_pixels(70, 90)
    restored = restorer.restore(pixels, as_=weights).pixels
    torch.testing.assert_close(restored, expected(bundle, weights, pixels), atol=1e-5, rtol=0)


def test_a_clean_image_comes_back_bit_for_bit(restorer: Restorer, recognition: FakeRecognition) -> None:
    recognition.weights = {}
    pixels = random_pixels()
    restored = restorer.restore(pixels)
    assert restored.unchanged
    assert torch.equal(restored.pixels, pixels)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_size_in_is_size_out(height: int, width: int) -> None:
    restored = _SHARED.restore(random_pixels(height, width), as_="noise")
    assert restored.pixels.shape == (3, height, width)
    assert restored.pixels.dtype == torch.float32
    assert 0 <= restored.pixels.min() <= restored.pixels.max() <= 1


_SHARED = Restorer(restorable_bundle(), "cpu", tile_px=24)


def test_strength_blends_input_and_result(restorer: Restorer) -> None:
    pixels = random_pixels()
    full = restorer.restore(pixels, as_="noise").pixels
    half = restorer.restore(pixels, as_="noise", strength=0.5).pixels
    torch.testing.assert_close(half, (pixels + full) / 2)
    torch.testing.assert_close(restorer.restore(pixels, as_="noise", strength=0).pixels, pixels)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strength_outside_its_range_is_refused(restorer: Restorer, strength: float) -> None:
    with pytest.raises(CompositionError, match="strength must be between 0 and 1"):
        restorer.restore(random_pixels(), as_="noise", strength=strength)


def test_the_composition_is_taken_back_also_after_an_error(bundle: Bundle, restorer: Restorer) -> None:
    network = cast(TorchRuntime, restorer.runtime)._backbone
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pixels = random_pixels()

    def fail(*_: Any) -> None:
        raise BackboneError("the network went wrong")

    handle = network.register_forward_pre_hook(fail)
    with pytest.raises(BackboneError, match="went wrong"):
        restorer.restore(pixels, as_="rain")
    handle.remove()
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    restored = restorer.restore(pixels, as_="noise").pixels
    torch.testing.assert_close(restored, expected(bundle, {"noise": 1.0}, pixels), atol=1e-5, rtol=0)


def test_one_composition_serves_many_images(
    bundle: Bundle, restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges: list[Any] = []
    merge = AdapterBank.merge

    def counted(bank: AdapterBank, weights: Any) -> None:
        merges.append(weights)
        merge(bank, weights)

    monkeypatch.setattr(AdapterBank, "merge", counted)
    frames = [random_pixels(seed=seed) for seed in range(3)]
    with restorer.composed({"rain": 0.5, "haze": 0.5}) as run:
        assert merges == [{"rain": 0.5, "haze": 0.5}]
        for frame in frames:
            assert torch.equal(run(frame), run(frame))
            torch.testing.assert_close(run(frame), expected(bundle, merges[0], frame), atol=1e-5, rtol=0)
        assert len(merges) == 1
        # Another composition in between takes nothing away.
        inner = restorer.restore(frames[0], as_="noise").pixels
        torch.testing.assert_close(inner, expected(bundle, {"noise": 1.0}, frames[0]), atol=1e-5, rtol=0)
        torch.testing.assert_close(run(frames[1]), expected(bundle, merges[0], frames[1]), atol=1e-5, rtol=0)
    assert not run(frames[0]).is_inference()
    with pytest.raises(CompositionError, match="unknown adapter"), restorer.composed({"fog": 1.0}):
        pytest.fail("an unknown adapter acts")


def test_a_restorer_pickles(bundle: Bundle) -> None:
    restorer = Restorer(bundle, "cpu", tile_px=24)
    again = pickle.loads(pickle.dumps(restorer))
    assert (again.device, again.tile_px, again.adapters) == (restorer.device, 24, restorer.adapters)
    assert again.runtime.precision == "float32"
    pixels = random_pixels()
    weights = {"noise": 0.5, "haze": 0.5}
    assert torch.equal(again.apply([pixels], weights)[0], restorer.apply([pixels], weights)[0])


def test_runtimes_and_precisions_are_chosen_by_name(bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime 'torsch'; did you mean 'torch'"):
        Restorer(bundle, "cpu", runtime="torsch")
    with pytest.raises(UnknownNameError, match="unknown precision 'float61'; did you mean 'float16'"):
        Restorer(bundle, "cpu", precision="float61")


def test_the_bundle_is_not_changed(bundle: Bundle, restorer: Restorer) -> None:
    restorer.restore(random_pixels(), as_="rain,haze")
    names = {name for name, _ in bundle.backbone.named_modules()}
    assert names == {name for name, _ in tiny_backbone().named_modules()}


def test_threads_share_a_restorer(bundle: Bundle, restorer: Restorer) -> None:
    pixels = random_pixels()
    wanted = {name: expected(bundle, {name: 1.0}, pixels) for name in ("noise", "rain", "haze")}
    wrong: list[str] = []

    def work(name: str) -> None:
        for _ in range(4):
            difference = (restorer.restore(pixels, as_=name).pixels - wanted[name]).abs().max()
            if difference > 1e-5:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in wanted for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_bundle_without_recogniser_wants_a_name(bundle: Bundle) -> None:
    bundle.recogniser = None
    restorer = Restorer(bundle, "cpu")
    assert restorer.restore(random_pixels(), as_="noise").weights == {"noise": 1.0}
    with pytest.raises(BundleError, match="'tiny' has no recogniser"):
        restorer.restore(random_pixels())
    with pytest.raises(BundleError, match="'tiny' has no recogniser"):
        restorer.recognise(random_pixels())


def test_a_backbone_alone_restores_every_image(bundle: Bundle) -> None:
    bundle.adapters, bundle.recogniser = {}, None
    restorer, pixels = Restorer(bundle, "cpu", tile_px=24), random_pixels()
    assert restorer.is_bare
    restored = restorer.restore(pixels)
    assert (restored.weights, restored.recognition, restored.unchanged) == ({}, None, False)
    torch.testing.assert_close(restored.pixels, expected(bundle, {}, pixels), atol=1e-5, rtol=0)
    assert float((restored.pixels - pixels).abs().max()) > 1e-3
    half = restorer.restore(pixels, strength=0.5).pixels
    torch.testing.assert_close(half, (pixels + restored.pixels) / 2)
    with pytest.raises(CompositionError, match="has no adapters to name"):
        restorer.restore(pixels, as_="noise")


def test_recognition_settings_that_are_not_known_are_refused(bundle: Bundle) -> None:
    bundle.recognition_settings = {"temperatur": 0.1}
    with pytest.raises(BundleError, match="'tiny' has recognition settings that do not fit: .*temperatur"):
        Restorer(bundle, "cpu")


def test_recognition_settings_can_be_given(bundle: Bundle) -> None:
    own = Bundle(**vars(bundle))
    own.recognition_settings = {"top_k": 2, "temperature": 0.2}
    restorer = Restorer(own, "cpu", settings={"top_k": 1, "normalisation": "max"})
    expected: dict[str, Any] = {"top_k": 1, "temperature": 0.2, "normalisation": "max"}
    assert restorer.bundle.recognition_settings == expected
    assert restorer._settings == RecognitionSettings(**expected)
    assert own.recognition_settings == {"top_k": 2, "temperature": 0.2}
    for given_, message in (
        ({"top_k": 0}, "top_k must be"),
        (
            {"minimum_shares": {"brighter": 0.2}},
            "minimum_shares: no adapter 'brighter'; known: haze, noise, rain",
        ),
        ({"topk": 1}, "did you mean 'top_k'"),
    ):
        with pytest.raises(RecognitionError, match=message):
            Restorer(own, "cpu", settings=given_)
    own.recogniser = None
    with pytest.raises(BundleError, match="no recogniser, so top_k"):
        Restorer(own, "cpu", settings={"top_k": 1})


def test_settings_reach_the_recognition_through_load(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = restorable_bundle()
    monkeypatch.setattr("polyrestore.restoration.opening.load_bundle", lambda name: bundle)
    assert load("any", "cpu", settings={"temperature": 3})._settings.temperature == 3
    assert load("any", "cpu")._settings == RecognitionSettings()


def test_files_keep_their_metadata(restorer: Restorer, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    write_image(path, random_pixels(), ImageMetadata(dpi=(300.0, 300.0)))
    restored = restorer.restore(path, as_="noise")
    assert restored.metadata.dpi == pytest.approx((300.0, 300.0), abs=0.1)
    restored.save(tmp_path / "restored.png")
    written = read_image(tmp_path / "restored.png")
    assert written.metadata.dpi == pytest.approx((300.0, 300.0), abs=0.1)
    torch.testing.assert_close(written.pixels, restored.pixels, atol=0.51 / 255, rtol=0)


@pytest.mark.parametrize("device", ["toaster", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(PolyrestoreError, match=f"device '{device}' cannot be used"):
        usable_device(device)


def test_a_network_that_sees_the_whole_anyway_takes_it_at_once_unless_tiles_are_asked_for() -> None:
    network = build_backbone("nafnet", **BACKBONES["nafnet"].tiny_options).eval()
    chosen, asked = (Restorer(Bundle("bare", network), "cpu", tile_px=tile) for tile in (None, 64))
    assert (chosen.tile_px_for(2000, 40), asked.tile_px_for(2000, 40)) == (2000, 64)
    compact = build_backbone("compact", **BACKBONES["compact"].tiny_options)
    assert Restorer(Bundle("bare", compact), "cpu").tile_px_for(2000, 40) == DEFAULT_TILE_PX
    image = torch.rand(3, 40, 1100, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        published = network(image[None])[0].clamp(0, 1)
    assert torch.equal(chosen.restore(image).pixels, published)
    torch.testing.assert_close(asked.restore(image).pixels, published, atol=1e-4, rtol=0)
