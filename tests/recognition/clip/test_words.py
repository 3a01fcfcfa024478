"""Words become prototypes; a file changes them, and everything wrong in it is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecognitionError
from polyrestore.recognition.clip.network import embed_texts, read_clip, read_tokenizer
from polyrestore.recognition.clip.words import WORDS, WordBank, embed_words, word_bank

DA_CLIP = {
    "motion-blurry", "hazy", "jpeg-compressed", "low-light", "noisy", "raindrop", "rainy", "shadowed",
    "snowy", "uncompleted",
}  # fmt: skip


def test_every_degradation_has_words_and_da_clips_are_among_them() -> None:
    assert set(word_bank(DEGRADATIONS).words) == {*DEGRADATIONS, "clean"}
    assert set(WORDS) <= {*DEGRADATIONS, "clean"}
    assert {word for words in WORDS.values() for word in words} >= DA_CLIP


def test_the_bank_has_words_for_the_adapters_and_for_clean_images() -> None:
    bank = word_bank(["haze", "rain"])
    assert dict(bank.words) == {"haze": ("hazy",), "rain": ("rainy",), "clean": ("clean",)}
    assert bank.texts("haze") == ["hazy"]
    assert word_bank(["wet_glass"]).texts("wet_glass") == ["wet glass"]


def test_a_file_changes_words_and_template(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(
        'template = "a {} photo"\n[words]\nhaze = ["hazy", "foggy"]\nmoire = "wavy"\nclean = []\n'
    )
    bank = word_bank(["haze", "moire", "rain"], path)
    assert dict(bank.words) == {"haze": ("hazy", "foggy"), "moire": ("wavy",), "rain": ("rainy",)}
    assert bank.texts("haze") == ["a hazy photo", "a foggy photo"]
    assert bank.to_dict()["words"]["haze"] == ["hazy", "foggy"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("haze", "not TOML"),
        ("tempalte = '{}'", "did you mean 'template'"),
        ("template = 'photo'", "one {}"),
        ("template = '{} {}'", "one {}"),
        ("template = 3", "one {}"),
        ("words = 3", "table"),
        ("[words]\nhaez = 'hazy'", "did you mean 'haze'"),
        ("[words]\nhaze = 3", "word or a list"),
        ("[words]\nhaze = ['']", "word or a list"),
        ("[words]\nhaze = [1]", "word or a list"),
        ("[words]\nhaze = []", "no words"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "words.toml"
    path.write_text(content)
    with pytest.raises(RecognitionError, match=message) as caught:
        word_bank(["haze", "rain"], path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RecognitionError, match="cannot read"):
        word_bank(["haze"], tmp_path / "gone.toml")


def test_several_words_are_averaged(clip_folder: Path) -> None:
    model, tokenizer = read_clip(clip_folder), read_tokenizer(clip_folder)
    bank = WordBank({"haze": ("hazy", "foggy"), "rain": ("rainy",)}, "a {} photo")
    found = embed_words(bank, model, tokenizer)
    embedded = embed_texts(model, tokenizer, ["a hazy photo", "a foggy photo", "a rainy photo"])
    torch.testing.assert_close(found["haze"], functional.normalize(embedded[:2].mean(0), dim=0))
    torch.testing.assert_close(found["rain"], embedded[2])
    assert not found["haze"].is_inference()
