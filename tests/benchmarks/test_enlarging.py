"""The benchmark of enlarging measures all three ways on the same reduced photographs."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image as PILImage
from PIL import ImageFilter

from benchmarks.enlarging import main
from polyrestore.adapters import LoraConfig
from polyrestore.bundles import save_bundle
from tests.support.tiny_bundle import tiny_bundle


def test_every_way_is_measured_at_every_scale(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "tiny", tiny_bundle({"downsampling": LoraConfig(rank=2)}))
    (tmp_path / "Two").mkdir()
    noise = PILImage.effect_noise((96, 64), 120).convert("RGB")
    whole = noise.filter(ImageFilter.GaussianBlur(1.5))
    for number in range(2):
        whole.crop((number, 0, 89, 61)).save(tmp_path / "Two" / f"{number}.png")
    assert main([str(tmp_path / "Two"), "--bundle", str(bundle), "--output", str(tmp_path)]) == 0
    sets = json.loads((tmp_path / "enlarging.json").read_text())["sets"]
    measured = [(each["set"], each["scale"], each["images"]) for each in sets]
    assert measured == [("Two", scale, 2) for scale in (2, 3, 4)]
    for way in ("cubic", "lanczos"):
        assert sets[0][way] > sets[2][way] > 10
    # Untrained, its own network only does harm.
    assert 5 < sets[0]["polyrestore"] < sets[0]["cubic"]
    assert "| Two | 2 | 2 |" in (tmp_path / "enlarging.md").read_text()
