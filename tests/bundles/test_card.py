"""The model card says what the bundle is, from the bundle itself."""

from __future__ import annotations

from pathlib import Path

from polyrestore.adapters import AdapterBank
from polyrestore.bundles import Bundle, BundleInfo, model_card


def row(card: str, start: str) -> str:
    return next(line for line in card.splitlines() if line.startswith(f"| {start} |"))


def test_the_card_lists_parts_with_their_sizes(folder: Path, bundle: Bundle) -> None:
    card = (folder / "README.md").read_text()
    assert card == model_card(bundle)
    backbone = sum(parameter.numel() for parameter in bundle.backbone.parameters())
    assert row(card, "parameters of the backbone") == f"| parameters of the backbone | {backbone:,} |"
    rain, noise = bundle.adapters["rain"], bundle.adapters["noise"]
    layers = len(rain.config.targets or ())
    size = f"{rain.parameter_count:,} | {2 * rain.parameter_count / 1e6:.2f} MB |"
    assert row(card, "`rain`") == f"| `rain` | lora | rank 2, alpha 4 | {layers} | {size}"
    assert f"| bottleneck | reduction 2 | {len(noise.config.targets or ())} |" in row(card, "`noise`")
    assert row(card, "prototypes") == "| prototypes | `clean`, `noise`, `rain` |"
    assert row(card, "setting `temperature`").endswith("| `0.07` |")


def test_the_card_names_data_licence_and_results(bundle: Bundle) -> None:
    bundle.info = bundle.info.model_copy(update={"licence": "CC-BY-4.0", "version": "7"})
    card = model_card(bundle)
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "version 7, are under CC-BY-4.0" in card
    assert "- generated images (CC0)" in card
    assert r"| a\|b | PSNR (dB) | RGB, 8 bit | 20.00 | 30.25 |" in card


def test_a_bare_bundle_says_what_it_lacks(bundle: Bundle) -> None:
    card = model_card(Bundle("bare", bundle.backbone, info=BundleInfo()))
    for sentence in ("None: the backbone restores every image alone.", "Not recorded.", "None recorded."):
        assert sentence in card


def test_adapters_in_use_do_not_change_the_card(bundle: Bundle) -> None:
    before = model_card(bundle)
    bank = AdapterBank(bundle.backbone)
    bank.add(bundle.adapters["noise"])
    bank.merge({"noise": 1.0})
    assert model_card(bundle) == before
