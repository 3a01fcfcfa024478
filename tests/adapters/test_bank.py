"""The promises about composition, on a network with every kind of layer."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from polyrestore.adapters import (
    AdaptedLayer,
    Adapter,
    AdapterBank,
    AdapterConfig,
    BottleneckConfig,
    LoraConfig,
)
from polyrestore.errors import AdapterError, CompositionError
from tests.adapters.conftest import TinyNetwork

WEIGHTS = {"rain": 0.7, "noise": 0.4, "train": 0.9}


def bits(network: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def assert_same_bits(network: nn.Module, before: dict[str, Tensor]) -> None:
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_a_new_adapter_changes_nothing_but_its_own_gradients(
    network: TinyNetwork, images: Tensor, config: AdapterConfig
) -> None:
    bare = network(images)
    bank = AdapterBank(network)
    bank.create("rain", config, torch.Generator().manual_seed(0))
    bank.activate({"rain": 1.0})
    assert torch.equal(network(images), bare)
    network(images).square().mean().backward()
    gradients = [parameter.grad for parameter in bank.parameters("rain")]
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
    own = {id(parameter) for parameter in bank.parameters("rain")}
    assert all(parameter.grad is None for parameter in network.parameters() if id(parameter) not in own)


def test_training_an_adapter_lowers_the_loss_and_leaves_the_backbone_alone(
    network: TinyNetwork, images: Tensor, config: AdapterConfig
) -> None:
    before = bits(network)
    target = network(images).detach() * 0.8 + 0.1
    bank = AdapterBank(network)
    bank.create("haze", config, torch.Generator().manual_seed(0))
    bank.activate({"haze": 1.0})
    optimiser = torch.optim.Adam(bank.parameters("haze"), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (network(images) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    bank.detach()
    assert_same_bits(network, before)


@pytest.mark.parametrize("weights", [{}, {"rain": 0.7, "noise": 0.4}, {"train": 0.9}, WEIGHTS])
def test_the_state_of_a_composition_is_all_that_a_graph_needs(
    bank: AdapterBank, images: Tensor, make_network: Callable[[], TinyNetwork], weights: dict[str, float]
) -> None:
    before = bits(bank.backbone)
    bank.merge({"noise": 1.0})
    state = bank.composed_state(weights)
    assert bank.composition == {"noise": 1.0}
    bank.deactivate()
    assert_same_bits(bank.backbone, before)
    merged = {key: value for key, value in state.items() if ".parallel." not in key}
    assert list(merged) == list(make_network().state_dict())
    with bank.composed(weights) as network, torch.no_grad():
        expected = network(images)
    if "train" not in weights:
        assert torch.equal(functional_call(make_network(), merged, (images,)), expected)
    # The network with the parallel parts in place, all of them at scale 1, is such a graph.
    bank.activate({"train": 1.0})
    places = {key: key.replace(".parallel.", ".parts.adapter_") for key in state.keys() - merged.keys()}
    for path, layer in bank.backbone.named_modules():
        if isinstance(layer, AdaptedLayer):
            places |= {f"{path}.{key}": f"{path}.base_layer.{key}" for key in layer.base_layer.state_dict()}
    given = {places.get(key, key): value for key, value in state.items()}
    with torch.no_grad():
        result = functional_call(bank.backbone, given, (images,))
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)
    assert [(key, value.shape) for key, value in state.items()] == [
        (key, value.shape) for key, value in bank.composed_state({"train": 0.1}).items()
    ]


def test_the_state_of_a_composition_has_every_name_of_a_shared_layer(trained: Callable[..., Adapter]) -> None:
    shared = nn.Conv2d(3, 3, 1)
    bank = AdapterBank(nn.Sequential(shared, nn.GELU(), shared))
    bank.create("rain", LoraConfig(rank=1), torch.Generator().manual_seed(0))
    bank.parameters("rain")[1].data.fill_(0.3)
    state = bank.composed_state({"rain": 1.0})
    assert torch.equal(state["0.weight"], state["2.weight"])
    assert not torch.equal(state["0.weight"], shared.weight)


def test_one_adapter_at_full_weight_is_that_adapter_alone(
    bank: AdapterBank,
    images: Tensor,
    make_network: Callable[[], TinyNetwork],
    trained: Callable[..., Adapter],
) -> None:
    configs: dict[str, AdapterConfig] = {
        "rain": LoraConfig(rank=3, alpha=5.0),
        "train": BottleneckConfig(reduction=2),
    }
    for name, config in configs.items():
        alone = AdapterBank(make_network())
        alone.add(bank.export(name))
        alone.activate({name: 1.0})
        bank.activate({name: 1.0, "noise": 0.0})
        assert torch.equal(bank.backbone(images), alone.backbone(images))
        assert bank.config(name).kind == config.kind


def test_zero_weights_are_the_bare_backbone_bit_for_bit(
    bank: AdapterBank, images: Tensor, make_network: Callable[[], TinyNetwork]
) -> None:
    bare = make_network()(images)
    nothing = dict.fromkeys(WEIGHTS, 0.0)
    bank.activate(nothing)
    assert torch.equal(bank.backbone(images), bare)
    bank.activate_per_sample([nothing] * len(images))
    assert torch.equal(bank.backbone(images), bare)
    bank.merge(nothing)
    assert torch.equal(bank.backbone(images), bare)
    assert bank.composition == {}


@pytest.mark.parametrize("weights", [WEIGHTS, {"rain": 1.0}, {"noise": 2.5, "rain": 0.1}])
def test_merged_equals_unmerged(bank: AdapterBank, images: Tensor, weights: dict[str, float]) -> None:
    bank.activate(weights)
    unmerged = bank.backbone(images)
    bank.merge(weights)
    assert bank.is_merged
    merged = bank.backbone(images)
    assert (unmerged - bank_output_without(bank, images)).abs().max() > 0.05
    bank.merge(weights)
    assert torch.equal(bank.backbone(images), merged)
    assert (merged - unmerged).abs().max() < 1e-5


def bank_output_without(bank: AdapterBank, images: Tensor) -> Tensor:
    bank.deactivate()
    output: Tensor = bank.backbone(images)
    return output


def test_the_order_of_the_mapping_does_not_matter(bank: AdapterBank, images: Tensor) -> None:
    outputs: dict[str, list[Tensor]] = {"activate": [], "merge": []}
    for order in itertools.permutations(WEIGHTS.items()):
        for mode, found in outputs.items():
            getattr(bank, mode)(dict(order))
            found.append(bank.backbone(images))
    for found in outputs.values():
        assert all(torch.equal(output, found[0]) for output in found)


def test_the_order_of_adding_does_not_matter(
    bank: AdapterBank, images: Tensor, make_network: Callable[[], TinyNetwork]
) -> None:
    bank.activate(WEIGHTS)
    expected = bank.backbone(images)
    other = AdapterBank(make_network())
    for name in reversed(bank.names):
        other.add(bank.export(name))
    other.activate(WEIGHTS)
    assert torch.equal(other.backbone(images), expected)


def test_unmerging_restores_the_exact_bits(bank: AdapterBank, images: Tensor) -> None:
    before = bits(bank.backbone)
    for weights in (WEIGHTS, {"rain": 1e4}, {"noise": 1e-3, "rain": 3.0}):
        bank.merge(weights)
    assert any(not torch.equal(value, before[key]) for key, value in bank.backbone.state_dict().items())
    bank.unmerge()
    assert_same_bits(bank.backbone, before)
    assert not bank.is_merged


def test_removing_the_last_adapter_restores_the_modules(
    network: TinyNetwork, trained: Callable[..., Adapter]
) -> None:
    before, modules = bits(network), dict(network.named_modules())
    bank = AdapterBank(network)
    bank.add(trained("rain", LoraConfig(rank=1), 1))
    bank.add(trained("haze", BottleneckConfig(), 1))
    bank.merge({"rain": 1.0, "haze": 1.0})
    bank.remove("rain")
    assert any(isinstance(module, AdaptedLayer) for module in network.modules())
    bank.remove("haze")
    assert dict(network.named_modules()) == modules
    assert_same_bits(network, before)


def test_detaching_gives_back_what_was_trainable(
    network: TinyNetwork, trained: Callable[..., Adapter]
) -> None:
    network.intro.requires_grad_(False)
    bank = AdapterBank(network)
    bank.add(trained("rain", LoraConfig(rank=1), 1))
    assert not any(p.requires_grad for p in network.get_submodule("ending.base_layer").parameters())
    bank.detach()
    assert bank.names == ()
    assert all(p.requires_grad for p in network.ending.parameters())
    assert not any(p.requires_grad for p in network.intro.parameters())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"rian": 1.0}, "did you mean 'rain'"),
        ({"rain": -0.1}, "at least 0"),
        ({"rain": float("nan")}, "finite"),
        ({"rain": float("inf")}, "finite"),
        ({"rain": "1"}, "must be a number"),
        ({"rain": True}, "must be a number"),
    ],
)
@pytest.mark.parametrize("mode", ["activate", "merge", "activate_per_sample"])
def test_malformed_compositions_are_refused_and_change_nothing(
    bank: AdapterBank, images: Tensor, mode: str, weights: dict[str, object], message: str
) -> None:
    bank.merge({"noise": 1.0})
    before = bank.backbone(images)
    with pytest.raises(CompositionError, match=message):
        getattr(bank, mode)([weights] if mode == "activate_per_sample" else weights)
    assert torch.equal(bank.backbone(images), before)
    assert bank.composition == {"noise": 1.0}


def test_a_composed_block_ends_in_the_state_before_it(bank: AdapterBank, images: Tensor) -> None:
    per_sample = [{"rain": 1.0}, {}, {}, {}]
    starts = {
        "activate": ({"noise": 0.5}, False),
        "merge": ({"train": 0.5, "rain": 0.2}, True),
        "activate_per_sample": (per_sample, False),
    }
    for mode, (weights, merged) in starts.items():
        getattr(bank, mode)(weights)
        before = bank.backbone(images)
        with bank.composed({"rain": 1.0}, merged=False) as backbone:
            assert (bank.composition, bank.is_merged) == ({"rain": 1.0}, False)
            unmerged = backbone(images)
        with bank.composed({"rain": 1.0}) as backbone:
            assert (bank.composition, bank.is_merged) == ({"rain": 1.0}, True)
            torch.testing.assert_close(backbone(images), unmerged, atol=1e-5, rtol=1e-5)
            assert not torch.equal(backbone(images), before)
        assert torch.equal(bank.backbone(images), before)
        assert (bank.composition, bank.is_merged) == (weights, merged)


def test_an_error_inside_a_composed_block_undoes_it_too(bank: AdapterBank, images: Tensor) -> None:
    before = bank.backbone(images)
    with pytest.raises(CompositionError, match="did you mean"), bank.composed({"rain": 1.0}):
        bank.activate({"nois": 1.0})
    assert torch.equal(bank.backbone(images), before)


def test_a_merge_outlives_inference_mode_and_autocast(bank: AdapterBank, images: Tensor) -> None:
    bank.merge(WEIGHTS)
    expected = bank.backbone(images)
    bank.unmerge()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        bank.merge(WEIGHTS)
    assert torch.equal(bank.backbone(images), expected)
    bank.activate({"rain": 1.0})
    bank.backbone(images).sum().backward()


def test_converting_a_merged_network_keeps_it_restorable(
    bank: AdapterBank, images: Tensor, make_network: Callable[[], TinyNetwork]
) -> None:
    bank.merge(WEIGHTS)
    bank.backbone.to(torch.float64)
    bank.unmerge()
    assert torch.equal(bank.backbone(images.double()), make_network().double()(images.double()))


def test_a_copy_of_a_bank_is_independent(bank: AdapterBank, images: Tensor) -> None:
    bank.merge(WEIGHTS)
    expected = bank.backbone(images)
    other = copy.deepcopy(bank)
    bank.unmerge()
    assert torch.equal(other.backbone(images), expected)
    other.unmerge()
    assert torch.equal(other.backbone(images), bank.backbone(images))


def test_the_bare_state_dict_ignores_adapters(
    bank: AdapterBank, make_network: Callable[[], TinyNetwork]
) -> None:
    bank.merge(WEIGHTS)
    bare = make_network().state_dict()
    found = bank.base_state_dict()
    assert list(found) == list(bare)
    assert all(torch.equal(found[key], bare[key]) for key in bare)


def test_the_same_seed_gives_the_same_adapter(
    make_network: Callable[[], TinyNetwork], config: AdapterConfig
) -> None:
    torch.manual_seed(1)
    expected_draw = torch.rand(1)
    torch.manual_seed(1)
    made = []
    for seed in (5, 5, 6):
        bank = AdapterBank(make_network())
        bank.create("snow", config, torch.Generator().manual_seed(seed))
        made.append(bank.export("snow").tensors)
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert any(not torch.equal(made[0][key], made[2][key]) for key in made[0])
    assert torch.equal(torch.rand(1), expected_draw), "the global generator was used"


def test_a_layer_shared_by_two_parents_is_adapted_in_both(trained: Callable[..., Adapter]) -> None:
    shared = nn.Conv2d(4, 4, 1)
    first, second = nn.Sequential(shared, nn.ReLU(), shared), nn.Sequential(shared)
    network = nn.ModuleDict({"a": first, "b": second})
    bank = AdapterBank(network)
    bank.create("rain", LoraConfig(rank=1), torch.Generator().manual_seed(0))
    assert isinstance(second[0], AdaptedLayer)
    assert first[0] is first[2] is second[0]
    bank.detach()
    kept = [layer for parent in (first, second) for layer in parent if not isinstance(layer, nn.ReLU)]
    assert len(kept) == 3
    assert all(layer is shared for layer in kept)


def test_wrong_uses_of_a_bank_are_refused(
    bank: AdapterBank, network: TinyNetwork, trained: Callable[..., Adapter]
) -> None:
    with pytest.raises(AdapterError, match="already has adapters"):
        AdapterBank(network)
    with pytest.raises(AdapterError, match="already is an adapter 'rain'"):
        bank.create("rain", LoraConfig(), torch.Generator())
    with pytest.raises(AdapterError, match="did you mean 'rain'"):
        bank.remove("rains")
    with pytest.raises(AdapterError, match="letters, digits"):
        bank.create("a.b", LoraConfig(), torch.Generator())
    assert bank.names == ("noise", "rain", "train")
