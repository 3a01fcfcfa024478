import pytest
import torch
from torch import Tensor, nn

from polyrestore.backbones import BACKBONES, Contrastive, build_backbone
from polyrestore.backbones.layers import breaks_channels_last, use_channels_last


def is_channels_last(weight: Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


@pytest.mark.parametrize(
    ("layer", "breaks"),
    [
        (nn.Conv2d(7, 8, 1, stride=2), True),
        (nn.Conv2d(1, 4, 1, stride=(1, 3)), True),
        (nn.Conv2d(16, 16, 1, stride=2, groups=4), True),
        (nn.Conv2d(8, 8, 1, stride=2), False),
        (nn.Conv2d(4, 8, 1), False),
        (nn.Conv2d(4, 8, 3, stride=2), False),
        (nn.Linear(4, 8), False),
    ],
)
def test_the_layers_that_corrupt_memory_are_known(layer: nn.Module, breaks: bool) -> None:
    assert breaks_channels_last(layer) is breaks


def test_a_network_with_such_a_layer_keeps_the_usual_order() -> None:
    unsafe = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 1, stride=2))
    use_channels_last(unsafe)
    assert all(parameter.is_contiguous() for parameter in unsafe.parameters())
    safe = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1, stride=2))
    use_channels_last(safe)
    assert is_channels_last(safe.get_parameter("0.weight"))


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "latent"])
def test_no_tiny_network_trains_such_a_layer_in_that_order(name: str) -> None:
    network = build_backbone(name, **BACKBONES[name].tiny_options)
    use_channels_last(network)
    unsafe = [layer for layer in network.modules() if breaks_channels_last(layer)]
    order = [is_channels_last(p) for p in network.parameters() if p.dim() == 4 and p.shape[1:].numel() > 1]
    assert not (unsafe and any(order))


def test_airnet_survives_the_backward_pass_of_its_strided_shortcuts() -> None:
    torch.manual_seed(0)
    network = build_backbone("airnet", **BACKBONES["airnet"].tiny_options).train()
    assert isinstance(network, Contrastive)
    use_channels_last(network)
    for _ in range(3):
        _, loss = network.restore_and_contrast(torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24))
        torch.autograd.backward(loss)
    assert torch.isfinite(loss)
