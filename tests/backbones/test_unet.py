"""The plain U-Net: what it says about its reach and its context is true, and its options are bounded."""

from __future__ import annotations

import pytest
import torch

from polyrestore.backbones import build_backbone
from polyrestore.errors import BackboneError
from tests.support.networks import (
    TINY,
    parameter_count,
)

# The published shape at a width that a test can afford.
NARROW: dict[str, object] = {"width": 4, "context_dim": 8}


def test_the_default_reaches_115_px() -> None:
    with torch.device("meta"):
        assert build_backbone("unet").description.receptive_radius_px == 115


def test_the_size_is_known() -> None:
    assert parameter_count("unet") == 1_820_437


def test_a_new_network_starts_near_the_identity() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("unet", **TINY["unet"]).eval()
    image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float((backbone(image) - image).abs().max()) < 0.2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"encoder_blocks": (1, 1), "decoder_blocks": (1,)}, "2 encoder levels"),
        ({"encoder_blocks": (), "decoder_blocks": ()}, "encoder_blocks must be a list of 1 to 6"),
        ({"encoder_blocks": (1,) * 7, "decoder_blocks": (1,) * 7}, "encoder_blocks must be a list of 1 to 6"),
        ({"depth": 3}, "no option 'depth'"),
    ],
)
def test_options_that_make_no_network_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(BackboneError, match=problem):
        build_backbone("unet", **options)
