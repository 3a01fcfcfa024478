"""What restores videos: tiny, untrained parts; and what is skipped where PyAV is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyrestore.restoration.restorer import Restorer
from polyrestore.video.restoring import RestoredVideo, VideoOptions, restore_video
from tests.support.tiny_bundle import tiny_bundle

Restore = Callable[..., RestoredVideo]


@pytest.fixture(scope="session")
def restorer() -> Restorer:
    # Nothing counts as clean, so that every shot is run through the network.
    return Restorer(tiny_bundle(settings={"clean_threshold": 1.1}, spread=0.02), "cpu")


@pytest.fixture
def restore(restorer: Restorer, tmp_path: Path) -> Restore:
    """Restore a video into ``out/NAME`` of the test's folder; what is kept on the way is in ``.kept``."""

    def restore(source: Path, name: str = "out.mp4", *, by: Any = None, **given: Any) -> RestoredVideo:
        on_frame = given.pop("on_frame", None)
        target = tmp_path / "out" / name
        target.parent.mkdir(exist_ok=True)
        options = VideoOptions(**given)
        return restore_video(
            by or restorer,
            source,
            target,
            target,
            tmp_path / ".kept",
            options,
            settings={"source": str(source), "given": {key: str(value) for key, value in given.items()}},
            on_frame=on_frame,
        )

    return restore
