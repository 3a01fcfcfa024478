import pytest
import torch

from polyrestore.backbones import build_backbone
from polyrestore.backbones.compact import Compact
from polyrestore.errors import BackboneError, UnknownNameError
from tests.support.networks import PUBLISHED, random_image
from tests.support.networks import TINY as TINY_OPTIONS

TINY = TINY_OPTIONS["compact"]


def tiny(**options: object) -> Compact:
    torch.manual_seed(0)
    backbone = build_backbone("compact", **(TINY | options)).eval()
    assert isinstance(backbone, Compact)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return backbone


@pytest.mark.parametrize("name", PUBLISHED)
def test_options_rebuild_the_same_network(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
        again = build_backbone(name, **backbone.options)
    assert {k: v.shape for k, v in backbone.state_dict().items()} == {
        k: v.shape for k, v in again.state_dict().items()
    }
    assert backbone.description.name == name


def test_the_context_decides_globally() -> None:
    backbone = tiny()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        own = backbone(image)
        same = backbone(image, backbone.context(image))
        other = backbone(image, backbone.context(image * 0.1))
    assert torch.equal(own, same)
    assert float((own - other).abs().max()) > 1e-4


def test_a_new_network_starts_near_the_identity() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("compact", **TINY).eval()
    for name in ("ending.weight", "ending.bias"):
        torch.nn.init.zeros_(backbone.get_parameter(name))
    image = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        assert float((backbone(image) - image).abs().max()) < 2e-3


def test_unknown_name_and_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'compact'"):
        build_backbone("compcat")
    with pytest.raises(BackboneError, match="cannot be built"):
        build_backbone("compact", depth=3)
    with pytest.raises(BackboneError, match="cannot be built"):
        build_backbone("compact", encoder_blocks=(1, 1), decoder_blocks=(1,))


def with_open_veil(strength: float) -> Compact:
    backbone = tiny(veil_width=4)
    with torch.no_grad():
        backbone.get_parameter("veil.gate.weight").fill_(strength)
    return backbone


def test_a_veil_reaches_no_pixel_beyond_the_network_itself() -> None:
    assert tiny(veil_width=4).description.receptive_radius_px == tiny().description.receptive_radius_px


@pytest.mark.parametrize("training", [True, False])
def test_a_closed_gate_leaves_the_network_as_it_is_without_a_veil(training: bool) -> None:
    closed, without = with_open_veil(0.0), tiny()
    closed.load_state_dict({**closed.state_dict(), **without.state_dict()})
    image = random_image(20, 28)
    with torch.set_grad_enabled(training):
        assert torch.equal(closed(image), without(image))


def test_an_open_gate_changes_the_image_and_learns() -> None:
    backbone, image = with_open_veil(0.5), random_image(24, 32)
    difference = (backbone(image) - with_open_veil(0.0)(image)).abs().mean()
    difference.backward()
    assert float(difference.detach()) > 1e-3
    gradients = [parameter.grad for parameter in backbone.get_submodule("veil").parameters()]
    assert gradients
    assert all(gradient is not None and float(gradient.abs().sum()) > 0 for gradient in gradients)


def test_a_veil_network_is_bounded() -> None:
    with pytest.raises(BackboneError, match="veil_width must be a whole number from 0 to 128"):
        build_backbone("compact", veil_width=1000)
