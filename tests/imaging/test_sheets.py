from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from polyrestore.errors import DataError
from polyrestore.imaging.sheets import Panel, save_sheet


def test_images_stand_side_by_side_unchanged_under_their_labels(tmp_path: Path) -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 40, 60)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 30, 50)
    first = [Panel("red", red), Panel("a very long label indeed", blue)]
    save_sheet(tmp_path / "sheet.png", [first, [Panel("", red)]])
    sheet = np.asarray(PillowImage.open(tmp_path / "sheet.png")).astype(int)
    is_red = (sheet == [255, 0, 0]).all(axis=2)
    is_blue = (sheet == [0, 0, 255]).all(axis=2)
    assert is_red.sum() == 2 * 40 * 60
    assert is_blue.sum() == 30 * 50
    assert np.flatnonzero(is_blue.any(axis=0)).min() > np.flatnonzero(is_red.any(axis=0)).max()
    first_rows = sheet[: np.flatnonzero(is_red.any(axis=1)).min()]
    assert first_rows.min() < 60
    beyond = sheet[: 40 + 30, np.flatnonzero(is_blue.any(axis=0)).max() + 1 :]
    assert beyond.min() > 200


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no panels"):
        save_sheet(tmp_path / "sheet.png", [[], []])
    assert list(tmp_path.iterdir()) == []
