from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_clip import save_clip


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip") / "tiny")
