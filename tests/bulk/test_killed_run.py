"""A run that is killed: whole images, and the rest of them when it is run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

import polyrestore
from polyrestore.imaging import ImageMetadata, read_image, write_image
from tests.bulk.fakes import FakeRestored, images, lines, restore_with

KILLED = """
import sys, time
from tests.bulk.fakes import FakeRestored, restore_with

def slowly(pixels):
    time.sleep(0.02)
    return FakeRestored(1 - pixels)

print("started", flush=True)
restore_with([sys.argv[1]], sys.argv[2], slowly, identity={"a": 1})
"""


def test_a_killed_run_leaves_whole_images_and_continues(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for index in range(40):
        pixels = torch.rand(3, 60, 60, generator=generator)
        write_image(tmp_path / f"in/{index:02}.png", pixels, ImageMetadata(bit_depth=16))
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    places = (Path(polyrestore.__file__).parents[1], Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "out")]
    for target in (3, 17):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        _wait_for_images(tmp_path / "out", target)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        written = sorted((tmp_path / "out").glob("[0-9]*.png"))
        assert target <= len(written) < 40
        for path in written:
            source = read_image(tmp_path / "in" / path.name)
            assert torch.equal(
                (read_image(path).pixels * 65535).round(), 65535 - (source.pixels * 65535).round()
            )

    done = len(list((tmp_path / "out").glob("[0-9]*.png")))
    summary = restore_with(
        [tmp_path / "in"], tmp_path / "out", lambda p: FakeRestored(1 - p), identity={"a": 1}
    )
    assert (summary.found, summary.failed) == (40, 0)
    # At most the one image whose line was not written yet is done again.
    assert done - 1 <= summary.skipped <= done
    assert images(tmp_path / "out") == [f"{index:02}.png" for index in range(40)]
    assert len(lines(tmp_path / "out")) == 40


def _wait_for_images(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*.png"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)
