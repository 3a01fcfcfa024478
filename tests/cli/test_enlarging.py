"""``restore --scale``: files of exact sizes that keep what belongs to them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage
from PIL import ImageSequence

from polyrestore.adapters import LoraConfig
from polyrestore.bundles import save_bundle
from polyrestore.imaging import ImageMetadata, read_image, write_image
from tests.cli.conftest import Outcome
from tests.support.clips import make_clip
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> str:
    adapters = {name: LoraConfig(rank=2) for name in ("noise", "downsampling")}
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_bundle(adapters)))


@pytest.fixture
def restore(call: Callable[..., Outcome], enlarging: str, tmp_path: Path) -> Callable[..., Outcome]:
    def restore(*given: object) -> Outcome:
        return call("restore", *given, "-o", tmp_path / "out", "--bundle", enlarging, "--as", "noise")

    return restore


def test_results_are_so_many_times_as_large_and_keep_their_metadata(
    restore: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    exif = PILImage.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    turned = PILImage.effect_noise((21, 13), 60).convert("RGB")
    turned.save(photographs / "b.jpg", exif=exif, dpi=(300, 300))
    alpha = torch.linspace(0, 1, 480).view(1, 20, 24)
    write_image(photographs / "a.png", torch.rand(3, 20, 24), ImageMetadata(bit_depth=16, alpha=alpha))
    assert restore(photographs, "--scale", 3).code == 0
    deep, photograph = (read_image(tmp_path / "out" / name) for name in ("a.png", "b.jpg"))
    assert deep.pixels.shape == (3, 60, 72)
    assert deep.metadata.bit_depth == 16
    assert deep.metadata.alpha is not None
    assert deep.metadata.alpha.shape == (1, 60, 72)
    assert photograph.pixels.shape == (3, 63, 39)
    assert photograph.metadata.dpi == (300, 300)
    with PILImage.open(tmp_path / "out" / "b.jpg") as written:
        assert written.getexif()[0x010F] == "Maker"
        assert written.getexif()[0x0112] == 1
    lines = (tmp_path / "out" / "report.jsonl").read_text().splitlines()
    assert [(json.loads(line)["width"], json.loads(line)["height"]) for line in lines] == [(72, 60), (39, 63)]


def test_all_pages_are_enlarged(restore: Callable[..., Outcome], tmp_path: Path) -> None:
    pages = [PILImage.effect_noise((10, 12), 50 + page) for page in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert restore(tmp_path / "pages.tif", "--scale", 2).code == 0
    with PILImage.open(tmp_path / "out" / "pages.tif") as written:
        assert [page.size for page in ImageSequence.Iterator(written)] == [(20, 24)] * 3


def test_another_scale_restores_again(restore: Callable[..., Outcome], photographs: Path) -> None:
    counts = [restore(photographs, "--scale", scale).out for scale in (2, 2, 4, 1)]
    assert "2 restored" in counts[0]
    assert "2 skipped" in counts[1]
    assert "2 restored" in counts[2]
    assert "2 restored" in counts[3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scale", 5), "less than or equal to 4"),
        (("--scale", 2, "--explain"), "leave out --scale or --explain"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    restore: Callable[..., Outcome], photographs: Path, arguments: tuple[object, ...], said: str
) -> None:
    outcome = restore(photographs, *arguments)
    assert outcome.code != 0
    assert said in outcome.err


def test_a_video_is_not_enlarged(restore: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = restore(make_clip(tmp_path / "clip.mp4", 2), "--scale", 2)
    assert outcome.code == 1
    assert "clip.mp4: videos are not enlarged; leave out --scale" in outcome.err


def test_a_result_beyond_the_limit_is_refused(
    restore: Callable[..., Outcome], photographs: Path, tmp_path: Path
) -> None:
    outcome = restore(photographs / "a.png", "--scale", 4, "--max-megapixels", 0.005)
    assert outcome.code == 1
    line = json.loads((tmp_path / "out" / "report.jsonl").read_text().splitlines()[0])
    assert "a.png, 4 times as large: 96x80" in line["error"]
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_bundle_without_the_adapter_cannot_enlarge(
    call: Callable[..., Outcome], bundle: str, photographs: Path, tmp_path: Path
) -> None:
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--scale", 2)
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        "error: the bundle has no adapter 'downsampling', so it cannot enlarge"
    ]
