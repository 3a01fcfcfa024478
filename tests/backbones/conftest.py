from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.latent_models import save_model


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model laid out as SD-Turbo is."""
    return save_model(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model laid out as SDXL-Turbo is, with weights of variant fp16 only."""
    return save_model(tmp_path_factory.mktemp("models") / "sdxl", wide=True, variant="fp16", seed=1)
