"""DA-CLIP's published layout, read strictly; the outputs of the network it was written down from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.errors import CheckpointError, RecognitionError
from polyrestore.recognition import Reference
from polyrestore.recognition.clip.daclip import DaClipRecogniser, read_da_clip
from polyrestore.recognition.clip.network import embed_texts, read_tokenizer
from polyrestore.recognition.clip.preprocessing import Preprocessing
from polyrestore.recognition.clip.reference import file_fingerprint
from tests.support.tiny_clip import CONTEXT, IMAGE_PX, ReferenceDaClip, save_da_clip, save_tokenizer

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]

PIXELS = torch.randn(2, 3, IMAGE_PX, IMAGE_PX, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_outputs_are_those_of_the_published_network(tmp_path: Path, wrapped: bool) -> None:
    reference = ReferenceDaClip()
    state = reference.state_dict()
    if wrapped:
        state = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    torch.save(state, tmp_path / "daclip.pt")
    model = read_da_clip(tmp_path / "daclip.pt")
    with torch.no_grad():
        found, expected = model(PIXELS), reference.encode_image(PIXELS)
    for own, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=0)
    assert float(model.logit_scale) == pytest.approx(4.6)
    assert not model.training


def test_without_control_the_content_is_that_of_plain_clip(tmp_path: Path) -> None:
    save_da_clip(tmp_path / "zero.pt", zero=True)
    save_da_clip(tmp_path / "trained.pt", zero=False)
    zero, trained = read_da_clip(tmp_path / "zero.pt"), read_da_clip(tmp_path / "trained.pt")
    with torch.no_grad():
        plain = functional.normalize(zero.clip.get_image_features(PIXELS).pooler_output, dim=1)
        torch.testing.assert_close(zero(PIXELS)[0], plain, atol=1e-5, rtol=0)
        assert float((trained(PIXELS)[0] - plain).abs().max()) > 1e-3


def test_the_control_runs_from_the_last_layer_to_the_first(tmp_path: Path) -> None:
    reference = save_da_clip(tmp_path / "daclip.pt")
    model = read_da_clip(tmp_path / "daclip.pt")
    with torch.no_grad():
        _, states = model.controller(PIXELS)
        added = [zero(tokens) for zero, tokens in zip(model.zero_layers, states, strict=True)]
        other = functional.normalize(model.content(PIXELS, added)[0], dim=1)
        expected = reference.encode_image(PIXELS)[0]
    assert float((other - expected).abs().max()) > 1e-3


def test_texts_are_embedded_as_by_the_published_network(tmp_path: Path) -> None:
    reference = save_da_clip(tmp_path / "daclip.pt")
    save_tokenizer(tmp_path)
    tokenizer = read_tokenizer(tmp_path)
    for text in ("hazy", "jpeg-compressed"):
        tokens = torch.zeros(1, CONTEXT, dtype=torch.long)
        ids = tokenizer(text)["input_ids"]
        tokens[0, : len(ids)] = torch.tensor(ids)
        found = embed_texts(read_da_clip(tmp_path / "daclip.pt").clip, tokenizer, [text])
        with torch.no_grad():
            torch.testing.assert_close(found, reference.encode_text(tokens), atol=1e-5, rtol=0)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in ReferenceDaClip().state_dict().items()}
    torch.save(state, tmp_path / "half.pt")
    assert {parameter.dtype for parameter in read_da_clip(tmp_path / "half.pt").parameters()} == {
        torch.float32
    }


def _drop(key: str) -> Change:
    return lambda state: {name: value for name, value in state.items() if name != key}


def _set(key: str, value: Tensor) -> Change:
    return lambda state: {**state, key: value}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop("visual_control.transformer.zero_modules.1.bias"), "lacks the weight 'visual_control.trans"),
        (_drop("clip.transformer.resblocks.0.ln_1.weight"), "lacks the weight 'clip.transformer"),
        (_drop("visual.proj"), "lacks the weight 'visual.proj'"),
        (_set("clip.extra", torch.zeros(1)), "unknown weight 'clip.extra'"),
        (_set("visual.transformer.resblocks.9.ln_1.bias", torch.zeros(1)), "unknown weight"),
        (_set("visual.proj", torch.zeros(128, 24)), "visual.proj and clip.visual.proj differ"),
        (_set("visual_control.proj", torch.zeros(128, 23)), "does not fit together"),
        (_set("clip.visual.positional_embedding", torch.zeros(4)), "inconsistent|other shapes"),
        (_set("clip.token_embedding.weight", torch.zeros(57, 63)), "multiples of 64"),
        (_set("clip.text_projection", torch.zeros(64)), "other shapes"),
        (_set("logit_scale", torch.tensor(float("inf"))), "not finite"),
        (
            lambda state: {key: value for key, value in state.items() if "control" not in key},
            "visual_control",
        ),
        (lambda state: {"weight": torch.zeros(1)}, "not a checkpoint of DA-CLIP"),
        (lambda state: {}, "no state dict"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, spoil: Change, message: str) -> None:
    path = tmp_path / "daclip.pt"
    torch.save(spoil(dict(ReferenceDaClip().state_dict())), path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_da_clip(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "daclip.pt"
    with pytest.raises(CheckpointError, match="cannot read"):
        read_da_clip(path)
    save_da_clip(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="cut short"):
        read_da_clip(path)
    with pytest.raises(RecognitionError, match="unknown activation"):
        read_da_clip(path, "relu")


def test_the_controller_is_the_recogniser(tmp_path: Path) -> None:
    path = tmp_path / "daclip.pt"
    reference = save_da_clip(path)
    source = Reference(str(path), file_fingerprint(path))
    preprocessing = Preprocessing(IMAGE_PX)
    recogniser = DaClipRecogniser.open(
        source, {"preprocessing": preprocessing.to_dict(), "activation": "gelu"}
    )
    image = torch.rand(1, 3, 60, 45)
    with torch.no_grad():
        expected = reference.encode_image(preprocessing(image))[1]
        torch.testing.assert_close(recogniser.embed(image), expected, atol=1e-5, rtol=0)
