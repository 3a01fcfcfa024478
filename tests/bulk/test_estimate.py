from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from polyrestore.bulk.estimate import (
    _LiveBytes,
    estimate,
    largest_megapixels,
    total_megapixels,
)
from polyrestore.bundles import Bundle
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.restoration.restorer import Restorer
from tests.support.tiny_backbone import tiny_backbone


def test_live_bytes_are_the_most_that_were_alive_at_once() -> None:
    size = 1000 * 4
    with _LiveBytes() as live:
        first = torch.zeros(1000)
        assert live.most == size
        second = first + 1
        view = second.view(10, 100)[2:]
        del second
        assert live.most == 2 * size
        del first, view
        third = torch.zeros(1000) + 1
        assert live.most == 2 * size
        fourth = torch.cat([third, third])
        assert live.most == 3 * size
    assert fourth.shape == (2000,)


def test_an_estimate_grows_with_the_images_and_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    restorers = [Restorer(Bundle("tiny", tiny_backbone()), tile_px=tile_px) for tile_px in (64, 1024)]
    small, large = (estimate(restorer, 10.0, 4.0) for restorer in restorers)
    # Four feature maps of float32 and the image at full size, some of them several times.
    per_pixel = large.memory_bytes / (1024 + 30) ** 2
    assert 4 * (4 + 3) < per_pixel < 8 * 4 * (4 + 3)
    assert small.memory_bytes < 0.05 * large.memory_bytes
    assert small.seconds > 0
    # A machine that is busy with other things takes any time for the same tile.
    monkeypatch.setattr("polyrestore.bulk.estimate._timed", lambda runtime, image: 0.1)
    once, twice = (estimate(restorers[0], megapixels, 4.0).seconds for megapixels in (10.0, 20.0))
    assert twice == pytest.approx(2 * once)
    # Small tiles read their halos again and again.
    assert once > 2 * estimate(restorers[1], 10.0, 4.0).seconds
    assert (small.megapixels, small.probe_px) == (10.0, 256)


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_opened_to_be_measured(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    asking = threading.Thread(target=total_megapixels, args=([tmp_path / "p.png"],), daemon=True)
    asking.start()
    asking.join(20)
    assert not asking.is_alive()
    assert total_megapixels([tmp_path / "p.png"]) == 0
