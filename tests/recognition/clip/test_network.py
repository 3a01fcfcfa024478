"""CLIP as a recogniser: the same embeddings as transformers', and one line for everything that is wrong."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyrestore.errors import MissingExtraError, RecognitionError
from polyrestore.recognition import Reference
from polyrestore.recognition.clip.network import (
    ClipRecogniser,
    clip_reference,
    clip_tower,
    embed_texts,
    read_clip,
    read_tokenizer,
)
from polyrestore.recognition.clip.preprocessing import Preprocessing
from polyrestore.recognition.clip.reference import find_folder
from tests.support.tiny_clip import DIMENSION, IMAGE_PX, clip_model

Spoil = Callable[[Path], object]


def recogniser_of(folder: Path) -> ClipRecogniser:
    return ClipRecogniser(
        clip_tower(read_clip(folder)), Preprocessing(IMAGE_PX), clip_reference(str(folder), folder, None)
    )


def test_images_are_embedded_as_by_transformers(clip_folder: Path) -> None:
    recogniser, image = recogniser_of(clip_folder), torch.rand(2, 3, 50, 70)
    with torch.no_grad():
        pixels = recogniser.preprocessing(image)
        expected = clip_model().get_image_features(pixels).pooler_output
        found = recogniser.embed(image)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=1), atol=1e-5, rtol=0)
    assert torch.equal(found.norm(dim=1).round(decimals=4), torch.ones(2))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (300, 7), (32, 32), (33, 31), (640, 480)])
def test_any_size_gives_a_unit_vector(clip_folder: Path, size: tuple[int, int]) -> None:
    with torch.no_grad():
        vector = recogniser_of(clip_folder).embed(torch.rand(1, 3, *size))
    assert vector.shape == (1, DIMENSION)
    assert float(vector.norm()) == pytest.approx(1, abs=1e-5)


def test_texts_are_embedded_as_by_transformers(clip_folder: Path) -> None:
    model, tokenizer = read_clip(clip_folder), read_tokenizer(clip_folder)
    texts = ["hazy", "a low-light photo"]
    padded = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = clip_model().get_text_features(**padded).pooler_output
    found = embed_texts(model, tokenizer, texts)
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_a_text_that_is_too_long_is_refused(clip_folder: Path) -> None:
    with pytest.raises(RecognitionError, match="too long"):
        embed_texts(read_clip(clip_folder), read_tokenizer(clip_folder), ["hazy " * 30])


def test_reading_leaves_random_numbers_alone(clip_folder: Path) -> None:
    before = torch.get_rng_state()
    read_clip(clip_folder)
    assert torch.equal(torch.get_rng_state(), before)


def _without(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def _config(**changes: object) -> Spoil:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def _weights(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Spoil:
    def rewrite(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        save_file(change(tensors), folder / "model.safetensors")

    return rewrite


def _text(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("config.json"), "cannot be read|no config.json"),
        (_without("model.safetensors"), "no model.safetensors"),
        (_config(model_type="bert"), "model_type is 'bert'"),
        (_config(model_type="clip_vision_model"), "no text encoder"),
        (_config(vision_config={"hidden_size": 7}), "no CLIP can be built"),
        (_config(projection_dim=5), "do not fit"),
        (_text("config.json", "{"), "cannot be read"),
        (_text("model.safetensors", "nonsense"), "damaged"),
        (_weights(lambda t: {k: v for k, v in t.items() if not k.startswith("text_model.")}), "text encoder"),
        (_weights(lambda t: t | {"extra": torch.zeros(1)}), "extra"),
        (_weights(lambda t: t | {"logit_scale": torch.tensor(float("nan"))}), "not finite"),
    ],
)
def test_a_folder_that_is_no_whole_clip_is_refused(
    clip_folder: Path, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    spoil(folder)
    with pytest.raises(RecognitionError, match=message) as caught:
        recogniser_of(folder)
    assert "\n" not in str(caught.value)


def test_old_buffers_of_positions_are_no_error(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    positions = {"text_model.embeddings.position_ids": torch.arange(24)[None]}
    _weights(lambda tensors: tensors | positions)(folder)
    read_clip(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without("vocab.json"), "no tokenizer"),
        (_text("vocab.json", "nonsense"), "tokenizer .* is damaged"),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(
    clip_folder: Path, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    spoil(folder)
    with pytest.raises(RecognitionError, match=message):
        read_tokenizer(folder)


def test_another_models_tokenizer_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    words = json.loads((clip_folder / "vocab.json").read_text())
    words = {key: value + 40 for key, value in words.items()}
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    shutil.copy(clip_folder / "merges.txt", tmp_path)
    with pytest.raises(RecognitionError, match="another model"):
        embed_texts(read_clip(clip_folder), read_tokenizer(tmp_path), ["hazy"])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecognitionError, match="no CLIP folder"):
        find_folder(str(tmp_path / "gone"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub

    def fail(name: str, **options: object) -> None:
        raise OSError("first line\nsecond")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(RecognitionError, match="hub does not give that name: first line$"):
        find_folder("nobody/nothing")


def test_a_hub_name_comes_from_the_cache_when_it_is_whole_there(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def give(name: str, *, revision: str | None, local_files_only: bool, **patterns: object) -> str:
        asked.append((name, revision, local_files_only))
        return str(clip_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    assert find_folder("owner/model", revision="abc") == (clip_folder, clip_folder.name)
    assert asked == [("owner/model", "abc", True)]
    monkeypatch.setattr("polyrestore.recognition.clip.reference._weight_files", lambda folder: [])
    assert find_folder("owner/model") == (clip_folder, clip_folder.name)
    assert asked[1:] == [("owner/model", None, True), ("owner/model", None, False)]


def test_a_missing_library_is_one_line(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"polyrestore\[clip\]"):
        read_clip(clip_folder)
    with pytest.raises(MissingExtraError, match=r"polyrestore\[clip\]"):
        read_tokenizer(clip_folder)


def test_a_recogniser_is_opened_again_from_its_reference(clip_folder: Path) -> None:
    recogniser, image = recogniser_of(clip_folder), torch.rand(1, 3, 40, 40)
    again = ClipRecogniser.open(recogniser.reference(), recogniser.options)
    with torch.no_grad():
        assert torch.equal(again.embed(image), recogniser.embed(image))
    other = Reference(recogniser.reference().path, "0" * 64)
    with pytest.raises(RecognitionError, match="another encoder"):
        ClipRecogniser.open(other, recogniser.options)
    damaged: tuple[dict[str, object], ...] = (
        {},
        {"preprocessing": {}},
        {**recogniser.options, "activation": "gelu"},
        {"preprocessing": {"image_size": 64}},
    )
    for options in damaged:
        with pytest.raises(RecognitionError):
            ClipRecogniser.open(recogniser.reference(), options)
