from __future__ import annotations

import pytest

from tests.support import networks as published


@pytest.mark.parametrize("name", published.PUBLISHED)
@pytest.mark.parametrize("size", [(5, 3), (37, 50)])
def test_an_image_padded_beforehand_gives_the_same(name: str, size: tuple[int, int]) -> None:
    published.check_padding(published.tiny(name, published.TINY[name]), *size)
