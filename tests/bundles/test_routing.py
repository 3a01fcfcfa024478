"""A bundle that recognises with CLIP: it comes back as it was, and refuses every other encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.bundles import Bundle, load_bundle, route_bundle, save_bundle
from polyrestore.degradations import degrade
from polyrestore.errors import BundleError, CheckpointError, OutputError, PolyrestoreError, RecognitionError
from polyrestore.recognition import CLEAN, weigh
from polyrestore.recognition.clip.daclip import DaClipRecogniser
from polyrestore.recognition.clip.network import ClipRecogniser
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_clip import save_clip, save_da_clip, save_tokenizer


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip")


@pytest.fixture
def routed(tmp_path: Path, folder: Path, clip: Path) -> Path:
    return route_bundle(folder, tmp_path / "routed", clip=str(clip)).folder


def test_a_routed_bundle_recognises_with_words(
    tmp_path: Path, folder: Path, clip: Path, routed: Path
) -> None:
    loaded = load_bundle(routed)
    assert isinstance(loaded.recogniser, ClipRecogniser)
    assert set(loaded.prototypes) == {"rain", "noise", CLEAN}
    assert loaded.name == "tiny-clip"
    assert loaded.recognition_settings["temperature"] == 0.01
    assert loaded.info.results == ()
    assert loaded.info.model_dump()["training"]["router"]["words"]["rain"] == ["rainy"]
    assert "recogniser.safetensors" not in {path.name for path in routed.iterdir()}
    card = (routed / "README.md").read_text()
    assert "| clip encoder, not in this folder | `clip` |" in card
    assert str(clip) not in card
    for name, adapter in load_bundle(folder).adapters.items():
        assert all(
            torch.equal(loaded.adapters[name].tensors[key], value) for key, value in adapter.tensors.items()
        )


@pytest.mark.parametrize("own", ["max", "none"])
def test_adapters_that_act_in_full_do_so_whatever_recognises(
    own: str, tmp_path: Path, folder: Path, clip: Path
) -> None:
    full = load_bundle(folder)
    full.recognition_settings = {"normalisation": own, "temperature": 0.3, "saturation": 0.4}
    save_bundle(tmp_path / "full", full)

    def settings(name: str, **options: Any) -> dict[str, Any]:
        routed = route_bundle(tmp_path / "full", tmp_path / name, clip=str(clip), **options)
        return load_bundle(routed.folder).recognition_settings

    kept = settings("kept")
    assert (kept["normalisation"], kept["temperature"], kept["saturation"]) == ("max", 0.01, 1.0)
    assert settings("told", settings={"normalisation": "sum"})["normalisation"] == "sum"


def test_generated_mixtures_are_restored_by_what_the_words_say(routed: Path) -> None:
    restorer = Restorer(load_bundle(routed), "cpu", settings={"clean_threshold": 1.1})
    generator = torch.Generator().manual_seed(0)
    for severities in ({"rain": 0.5}, {"rain": 0.5, "noise": 0.5}, {"noise": 0.9}):
        image = degrade(torch.rand(1, 3, 40, 56, generator=generator), severities, generator)[0]
        restored = restorer.restore(image)
        assert set(restored.weights) <= {"rain", "noise"}
        assert sum(restored.weights.values()) == pytest.approx(1)
        assert restored.pixels.shape == image.shape
        with torch.no_grad():
            assert restorer.bundle.recogniser is not None
            embedding = restorer.bundle.recogniser.embed(image[None])[0]
        # s_o = d B: the similarities are inner products with the words.
        for name, prototype in restorer.bundle.prototypes.items():
            expected = float(embedding @ prototype)
            assert restored.recognition is not None
            assert restored.recognition.similarities[name] == pytest.approx(expected, abs=1e-5)


def test_da_clip_needs_the_folder_for_its_tokenizer_only(tmp_path: Path, folder: Path) -> None:
    reference = save_da_clip(tmp_path / "daclip.pt")
    save_tokenizer(tmp_path / "words")
    settings = {"top_k": 1, "normalisation": "max"}
    made = route_bundle(
        folder,
        tmp_path / "routed",
        clip=str(tmp_path / "words"),
        da_clip=tmp_path / "daclip.pt",
        settings=settings,
        name="eyes",
    )
    assert (made.kind, made.encoder) == ("da-clip", str(tmp_path / "daclip.pt"))
    shutil.rmtree(tmp_path / "words")
    loaded = load_bundle(made.folder)
    assert loaded.name == "eyes"
    assert isinstance(loaded.recogniser, DaClipRecogniser)
    image = torch.rand(1, 3, 30, 30)
    with torch.no_grad():
        found = loaded.recogniser.embed(image)
        expected = reference.encode_image(loaded.recogniser.preprocessing(image))[1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    restorer = Restorer(loaded, "cpu")
    assert restorer.recognise(image).weights == weigh(found[0], loaded.prototypes, restorer._settings).weights


def test_saving_a_routed_bundle_again_changes_no_byte(routed: Path) -> None:
    before = {path: path.read_bytes() for path in routed.rglob("*") if path.is_file()}
    save_bundle(routed, load_bundle(routed))
    assert {path: path.read_bytes() for path in routed.rglob("*") if path.is_file()} == before


def test_float32_weights_stay_exact(tmp_path: Path, bundle: Bundle, clip: Path) -> None:
    save_bundle(tmp_path / "exact", bundle, dtype=torch.float32)
    made = route_bundle(tmp_path / "exact", tmp_path / "routed", clip=str(clip))
    state = load_bundle(made.folder).backbone.state_dict()
    assert all(torch.equal(state[key], value) for key, value in bundle.backbone.state_dict().items())


def test_a_recogniser_in_the_bundle_is_described_by_kind_and_options(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    assert content["recogniser"] == {"kind": "fake", "options": {"dim": 4}, "source": None, "shared": None}
    assert content["backbone"]["reference"] is None


def _missing(clip: Path) -> None:
    shutil.rmtree(clip)


def _another(clip: Path) -> None:
    shutil.rmtree(clip)
    save_clip(clip, seed=1)


def _half(clip: Path) -> None:
    (clip / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_missing, "no CLIP folder"), (_another, "another encoder"), (_half, "no model.safetensors")],
)
def test_another_or_no_encoder_is_one_line(
    clip: Path, routed: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(clip)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(routed)
    assert "\n" not in str(caught.value)
    assert "model.json" in str(caught.value)


def test_another_checkpoint_is_one_line(tmp_path: Path, folder: Path, clip: Path) -> None:
    path = tmp_path / "daclip.pt"
    save_da_clip(path)
    made = route_bundle(folder, tmp_path / "routed", clip=str(clip), da_clip=path)
    save_da_clip(path, seed=1)
    with pytest.raises(BundleError, match="another encoder"):
        load_bundle(made.folder)
    path.unlink()
    with pytest.raises(BundleError, match="cannot read"):
        load_bundle(made.folder)


def test_an_encoder_that_moved_is_found_where_the_manifest_says(
    tmp_path: Path, clip: Path, routed: Path
) -> None:
    clip.rename(tmp_path / "moved")
    path = routed / "model.json"
    path.write_text(path.read_text().replace(str(clip), str(tmp_path / "moved")))
    assert isinstance(load_bundle(routed).recogniser, ClipRecogniser)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "network"}, "has no source"),
        ({"source": None}, "needs a source"),
        ({"kind": "dino"}, "unknown recogniser 'dino'"),
        ({"options": {}}, "cannot be described"),
        ({"source": {"path": "", "sha256": "0" * 64}}, "path"),
        ({"source": {"path": "x", "sha": "0"}}, "did you mean 'sha256'|sha256"),
    ],
)
def test_a_manifest_with_nonsense_in_it_is_refused(
    routed: Path, change: dict[str, object], message: str
) -> None:
    path = routed / "model.json"
    content = json.loads(path.read_text())
    content["recogniser"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=message):
        load_bundle(routed)


def test_what_cannot_be_routed_leaves_nothing(
    tmp_path: Path, folder: Path, bundle: Bundle, clip: Path
) -> None:
    target = tmp_path / "routed"
    save_bundle(tmp_path / "bare", Bundle("bare", bundle.backbone))
    (tmp_path / "text.pt").write_text("no checkpoint")
    save_tokenizer(tmp_path / "tokenizer-only")
    cases: tuple[tuple[type[PolyrestoreError], Path, dict[str, Any]], ...] = (
        (BundleError, tmp_path / "bare", {}),
        (RecognitionError, folder, {"clip": str(tmp_path / "gone")}),
        (RecognitionError, folder, {"clip": str(tmp_path / "tokenizer-only")}),
        (RecognitionError, folder, {"words": tmp_path / "gone.toml"}),
        (RecognitionError, folder, {"settings": {"temperature": 0}}),
        (CheckpointError, folder, {"da_clip": tmp_path / "text.pt"}),
        (BundleError, folder, {"name": "a b"}),
    )
    for error, arguments, options in cases:
        with pytest.raises(error):
            route_bundle(arguments, target, **{"clip": str(clip), **options})
        assert not target.exists()
    with pytest.raises(OutputError, match="there already"):
        route_bundle(folder, clip, clip=str(clip))
