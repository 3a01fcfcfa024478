from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage

from polyrestore.bulk.estimate import _probe, estimate, largest_megapixels, total_megapixels
from polyrestore.bulk.memory import PeakMemory
from polyrestore.bundles import Bundle
from polyrestore.imaging import ImageMetadata, encode_image, read_image, write_image
from polyrestore.restoration.restorer import Restorer
from polyrestore.runtimes.base import Runtime
from tests.support.clips import make_clip
from tests.support.tiny_backbone import tiny_backbone
from tests.support.tiny_bundle import tiny_bundle


def restorer_with(tile_px: int) -> Restorer:
    return Restorer(Bundle("tiny", tiny_backbone()), tile_px=tile_px)


def test_an_estimate_grows_with_the_images_and_the_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(20)]
    write_image(paths[0], torch.zeros(3, 1000, 1000), ImageMetadata())
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    # What is alive at once, without what libraries and the system add.
    monkeypatch.setattr("polyrestore.bulk.memory.resident_bytes", lambda: 0)
    small, large = (estimate(restorer_with(tile_px), paths) for tile_px in (64, 1024))
    images = 25 * 1000**2
    # Four feature maps of float32 and the image at full size, some of them several times.
    per_pixel = (large.needed_bytes - images) / 1000**2
    assert 4 * (4 + 3) < per_pixel < 8 * 4 * (4 + 3)
    assert small.needed_bytes - images < 0.05 * (large.needed_bytes - images)
    assert small.files == 20
    assert small.megapixels == pytest.approx(20)
    # A machine that is busy with other things takes any time for the same tile.
    monkeypatch.setattr(
        "polyrestore.bulk.estimate._timed", lambda runtime, image: 0.001 * image.shape[2] ** 2
    )
    monkeypatch.setattr("polyrestore.bulk.estimate._file_seconds", lambda paths: 0.0)
    once, twice = (estimate(restorer_with(64), paths[:count]).seconds for count in (10, 20))
    assert twice == pytest.approx(2 * once, rel=0.01)
    # Small tiles read their halos again and again.
    assert once > 2 * estimate(restorer_with(1024), paths[:10]).seconds
    # Without an adapter there is nothing to explain.
    assert estimate(restorer_with(64), paths[:10], explain=True).seconds == pytest.approx(once, rel=0.01)


def test_the_memory_is_right_within_a_factor_of_two(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    generator = torch.Generator().manual_seed(0)
    write_image(path, torch.rand(3, 1500, 1500, generator=generator), ImageMetadata())
    restorer = restorer_with(512)
    found = estimate(restorer, [path])
    with PeakMemory(restorer.device) as memory:
        image = read_image(path, as_levels=True)
        encode_image(path, restorer.restore(image, dtype=torch.uint8).pixels, image.metadata)
    assert 0.5 < found.needed_bytes / memory.most < 2
    assert found.seconds > 0


def test_a_square_that_takes_long_is_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []

    def timed(runtime: Runtime, image: torch.Tensor) -> float:
        sides.append(image.shape[2])
        return 3.0 if image.shape[2] > 400 else 0.1

    monkeypatch.setattr("polyrestore.bulk.estimate._timed", timed)
    assert _probe(restorer_with(2000), 2000**2, None).side_px == 512
    assert sides == [256, 256, 512]
    sides.clear()
    assert _probe(restorer_with(100), 100**2, None).side_px == 100
    assert sides == [100, 100]


def test_sizes_come_from_the_heads_of_files(tmp_path: Path) -> None:
    paths = []
    for index in range(80):
        paths.append(tmp_path / f"{index}.png")
        write_image(paths[-1], torch.zeros(3, 20, 50 if index < 40 else 100), ImageMetadata())
    assert total_megapixels(paths) == pytest.approx(0.12, rel=0.05)
    assert largest_megapixels(paths) == pytest.approx(0.002)
    paths[0].write_text("no image")
    assert total_megapixels([tmp_path / "gone.png", paths[0]]) == 0
    assert total_megapixels([]) == largest_megapixels([]) == 0


def test_pages_and_frames_count_and_so_does_explaining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [PILImage.new("RGB", (40, height)) for height in (50, 100, 200)]
    for name in ("a.tif", "b.png", "c.gif"):
        pictures[0].save(
            tmp_path / name,
            save_all=True,
            append_images=pictures[1:] if name == "a.tif" else [PILImage.new("RGB", (40, 50), "red")],
        )
    # Of formats whose writer holds one picture, one is restored.
    pictures[0].save(tmp_path / "d.avif", save_all=True, append_images=pictures[:1])
    found = [total_megapixels([tmp_path / name]) for name in ("a.tif", "b.png", "c.gif", "d.avif")]
    assert found == pytest.approx([0.014, 0.004, 0.004, 0.002])
    assert largest_megapixels([tmp_path / "a.tif"]) == pytest.approx(0.008)

    monkeypatch.setattr(
        "polyrestore.bulk.estimate._timed", lambda runtime, image: 0.001 * image.shape[2] ** 2
    )
    monkeypatch.setattr("polyrestore.bulk.estimate._file_seconds", lambda paths: 0.0)
    restorer = Restorer(tiny_bundle(), tile_px=1024)
    plain, half, whole = (
        estimate(restorer, [tmp_path / "a.tif"], weights=weights, explain=explain).seconds
        for weights, explain in (({"noise": 0.5}, False), ({"noise": 0.5}, True), ({"noise": 1.0}, True))
    )
    # The backbone alone and the adapter in full, of the first page.
    assert half == pytest.approx(plain * (1 + 2 * 2 / 14), rel=0.05)
    assert whole == pytest.approx(plain * (1 + 1 * 2 / 14), rel=0.05)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_opened_to_be_measured(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    asking = threading.Thread(target=total_megapixels, args=([tmp_path / "p.png"],), daemon=True)
    asking.start()
    asking.join(20)
    assert not asking.is_alive()
    assert total_megapixels([tmp_path / "p.png"]) == 0


def test_the_frames_of_a_video_count(tmp_path: Path) -> None:
    told = make_clip(tmp_path / "a.mp4", 10)
    # This kind of file holds no number of frames, but a length.
    counted = make_clip(tmp_path / "b.mkv", 25, sound=False)
    assert total_megapixels([told]) == pytest.approx(10 * 64 * 48 / 1e6)
    assert total_megapixels([counted]) == pytest.approx(25 * 64 * 48 / 1e6, rel=0.1)
    assert largest_megapixels([told]) == pytest.approx(64 * 48 / 1e6)
    (tmp_path / "c.mp4").write_bytes(told.read_bytes()[:200])
    assert total_megapixels([tmp_path / "c.mp4"]) == 0
