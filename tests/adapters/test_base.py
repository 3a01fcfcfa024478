"""An adapter names the weights that it was trained beside, and is refused beside any others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from polyrestore.adapters import Adapter, AdapterBank, LoraConfig, base_sha256, carry_over
from polyrestore.errors import AdapterError
from tests.support.networks import TINY, tiny


def use_channels_last(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def trained_beside(network: nn.Module, name: str = "rain") -> Adapter:
    bank = AdapterBank(network)
    bank.create(name, LoraConfig(rank=2), torch.Generator().manual_seed(0))
    adapter = bank.export(name)
    bank.detach()
    return adapter


def changed(network: nn.Module, by: float) -> nn.Module:
    other = copy.deepcopy(network)
    with torch.no_grad():
        next(iter(other.parameters())).view(-1)[0] += by
    return other


@pytest.mark.parametrize("name", sorted(TINY))
def test_another_base_of_the_same_shapes_is_refused_for_every_backbone(name: str) -> None:
    network = tiny(name, TINY[name])
    adapter = trained_beside(network)
    AdapterBank(tiny(name, TINY[name])).add(adapter)
    other = AdapterBank(changed(network, 0.1))
    with pytest.raises(AdapterError, match="'rain' was trained beside the base with SHA-256") as caught:
        other.add(adapter)
    assert "\n" not in str(caught.value)
    assert other.names == ()


def test_the_name_is_that_of_the_weights_however_they_are_kept(network: nn.Module) -> None:
    found = base_sha256(network)
    bank = AdapterBank(network)
    bank.create("rain", LoraConfig(rank=2), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in bank.parameters("rain"):
            parameter.add_(0.1)
    bank.merge({"rain": 1.0})
    assert base_sha256(network) == bank.base_sha256 == found
    bank.detach()
    rounded = {key: tensor.half().float() for key, tensor in network.state_dict().items()}
    network.load_state_dict(rounded)
    assert base_sha256(network) == found
    assert base_sha256(use_channels_last(network)) == found
    assert base_sha256(network.half()) == found
    assert base_sha256(changed(network.float(), 0.1)) != found


def test_a_renamed_or_reshaped_tensor_is_another_base() -> None:
    first, second = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Identity(), nn.Linear(2, 3))
    second[1].load_state_dict(first[0].state_dict())
    assert base_sha256(first) != base_sha256(second)
    flat, square = nn.Module(), nn.Module()
    flat.register_buffer("values", torch.arange(4.0))
    square.register_buffer("values", torch.arange(4.0).reshape(2, 2))
    assert base_sha256(flat) != base_sha256(square)


def test_a_backbone_that_learns_along_with_its_adapters_is_named_as_it_is_in_the_end(
    network: nn.Module,
) -> None:
    bank = AdapterBank(network)
    bank.create("rain", LoraConfig(rank=2), torch.Generator().manual_seed(0))
    before = bank.export("rain").base_sha256
    network.requires_grad_(True)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    bank.activate({"rain": 1.0})
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    optimiser.step()
    after = bank.export("rain").base_sha256
    bank.detach()
    assert after == base_sha256(network) != before


def test_what_names_no_base_is_taken_as_it_is(network: nn.Module, trained: Callable[..., Adapter]) -> None:
    adapter = trained("rain", LoraConfig(rank=2), 1)
    assert adapter.base_sha256 == ""
    AdapterBank(changed(network, 0.1)).add(adapter)


def test_an_adapter_goes_on_where_its_base_only_got_a_further_part(network: nn.Module) -> None:
    adapter = trained_beside(network)
    extended = copy.deepcopy(network)
    extended.register_buffer("further", torch.ones(2))
    carried = carry_over(adapter, network, extended)
    assert carried.base_sha256 == base_sha256(extended)
    assert carried.tensors is adapter.tensors
    assert carry_over(carried, network, extended) is carried
    AdapterBank(extended).add(carried)


def test_an_adapter_does_not_go_on_where_its_base_was_changed(network: nn.Module) -> None:
    adapter = trained_beside(network)
    other = changed(network, 0.1)
    with pytest.raises(AdapterError, match="trained beside '.*', which is changed in the extended network"):
        carry_over(adapter, network, other)
    first = next(iter(dict(other.named_parameters()))).partition(".")[0]
    assert carry_over(adapter, network, other, free=(first,)).base_sha256 == base_sha256(other)
    del other.ending
    with pytest.raises(AdapterError, match="which is (changed|missing) in the extended network"):
        carry_over(adapter, network, other)
    with pytest.raises(AdapterError, match="but the network before its extension is"):
        carry_over(replace(adapter, base_sha256="0" * 64), network, other)
