from __future__ import annotations

import pytest

from polyrestore.testing.networks import check_padding
from tests.support.networks import PUBLISHED, TINY, tiny


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [(5, 3), (37, 50)])
def test_an_image_padded_beforehand_gives_the_same(name: str, size: tuple[int, int]) -> None:
    check_padding(tiny(name, TINY[name]), *size)
