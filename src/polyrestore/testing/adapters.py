"""``check_adapter``: whether a kind of adapter keeps the promises that compositions rest on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from polyrestore.adapters import ADAPTER_KINDS, AdaptedLayer, AdapterBank, AdapterConfig
from polyrestore.adapters.part import AdapterPart
from polyrestore.adapters.registry import adapter_kind
from polyrestore.adapters.storage import CONFIG_FILE, WEIGHTS_FILE, load_adapter, save_adapter
from polyrestore.backbones import BACKBONES, Backbone, build_backbone
from polyrestore.errors import AdapterError, ContractError, PolyrestoreError
from polyrestore.storage.tensors import read_shapes
from polyrestore.testing.images import largest_difference, random_image, require, seeded
from polyrestore.testing.networks import wake

_TOLERANCE = 1e-5
_NAMES = ("rain", "haze")
_WEIGHTS = {"rain": 0.7, "haze": 0.4}


def check_adapter(
    kind: str | type[AdapterPart],
    config: AdapterConfig | None = None,
    backbone: Backbone | None = None,
    *,
    seed: int = 0,
) -> None:
    """Check that a kind of adapter is what banks, bundles and tiles rely on.

    A new adapter adds nothing, learns in every layer, and is the same for the same generator. What a trained
    one adds is proportional to its weight; weight 0 is the bare network bit for bit, merging changes nothing
    but the order of sums, each sample of a batch may have weights of its own, and once removed it leaves no
    trace. Its files have PEFT's layout and come back exactly; a configuration with an unknown key is refused.
    No output sees further than ``added_reach`` says.

    It runs on the CPU, for less than a second on the tiny network.

    Args:
        kind: a name in :data:`polyrestore.adapters.ADAPTER_KINDS`, or a class that may not be there yet.
        config: its sizes; the defaults of its ``config_class`` when None.
        backbone: the network to sit in, changed on the way; a tiny ``compact`` one when None.
        seed: of the adapters' weights.

    Raises:
        ContractError: something is not so; the message is one sentence about it.
        UnknownNameError: no kind has this name.
    """
    with _registered(kind) as part_class:
        config = config or part_class.config_class()
        network = wake(_tiny_network() if backbone is None else backbone)
        network.float()
        _check_new(network, config, seed)
        bank = AdapterBank(network)
        _fill(bank, config, seed)
        _check_parts(bank, part_class)
        _check_composition(bank)
        _check_per_sample(bank)
        _check_files(bank)


def _tiny_network() -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_backbone("compact", **BACKBONES["compact"].tiny_options)


@contextmanager
def _registered(kind: str | type[AdapterPart]) -> Iterator[type[AdapterPart]]:
    if isinstance(kind, str):
        yield adapter_kind(kind)
        return
    name = getattr(getattr(kind, "config_class", None), "kind", None)
    if not isinstance(name, str):
        raise ContractError(f"{kind.__name__} needs a config_class whose attribute kind is its name")
    for attribute in ("mergeable", "tensor_names"):
        require(hasattr(kind, attribute), f"{kind.__name__} needs the class attribute {attribute}")
    before = dict(ADAPTER_KINDS)
    require(before.get(name, kind) is kind, f"the kind {name!r} is another class already")
    ADAPTER_KINDS[name] = kind
    try:
        yield kind
    finally:
        if name not in before:
            del ADAPTER_KINDS[name]


def _parts(bank: AdapterBank, name: str) -> dict[str, tuple[AdapterPart, nn.Module]]:
    """Return an adapter's parts and the layers beside which they sit, by path."""
    return {
        path: (layer.part(name), layer.base_layer)
        for path, layer in bank.backbone.named_modules()
        if isinstance(layer, AdaptedLayer) and layer.has_part(name)
    }


def _check_new(network: Backbone, config: AdapterConfig, seed: int) -> None:
    """What a kind begins with: nothing, from the generator alone, and everywhere ready to learn."""
    # Several of the coarsest pixels: an attention over one token alone has no gradient.
    image = random_image(2 * network.description.size_multiple + 2, 24)
    with torch.no_grad():
        bare = network(image)
    bank = AdapterBank(network)
    before = torch.get_rng_state()
    try:
        for name in _NAMES:
            bank.create(name, config, seeded(seed))
    except AdapterError as error:
        raise ContractError(f"the kind fits no layer of {network.description.name!r}: {error}") from error
    require(
        torch.equal(before, torch.get_rng_state()),
        "initialise draws from torch's global generator instead of the one that it is given",
    )
    first, second = (bank.export(name).tensors for name in _NAMES)
    require(
        all(torch.equal(first[key], second[key]) for key in first),
        "the same generator gives other starting values the second time",
    )
    bank.activate({"rain": 1.0})
    result = bank.backbone(image)
    # A network may add its sums up in another order where a layer has an adapter.
    same = torch.allclose(result, bare, atol=1e-5, rtol=1e-5)
    require(same, "a new adapter must add nothing, but the result changes")
    result.square().sum().backward()
    for path, (part, _) in _parts(bank, "rain").items():
        gradients = [parameter.grad for parameter in part.parameters()]
        require(
            any(gradient is not None and bool(gradient.any()) for gradient in gradients),
            f"no gradient reaches a new adapter beside {path!r}, so that it cannot learn",
        )
    bank.detach()
    network.requires_grad_(False)


def _fill(bank: AdapterBank, config: AdapterConfig, seed: int) -> None:
    """Add two adapters whose every value is away from where it starts, as after training."""
    generator = seeded(seed)
    for name in _NAMES:
        bank.create(name, config, generator)
        with torch.no_grad():
            for parameter in bank.parameters(name):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def _check_parts(bank: AdapterBank, part_class: type[AdapterPart]) -> None:
    """What a part says of itself: its tensors, that its weight is a factor, and how far it sees."""
    kinds: dict[tuple[Any, ...], tuple[str, AdapterPart, nn.Module]] = {}
    for path, (part, layer) in _parts(bank, "rain").items():
        found = tuple(part.state_dict())
        require(
            sorted(found) == sorted(part_class.tensor_names),
            f"tensor_names are {part_class.tensor_names}, but the state dict has {found}",
        )
        facts = tuple(getattr(layer, name, None) for name in ("kernel_size", "stride", "padding", "groups"))
        kinds.setdefault((type(layer), *facts), (path, part, layer))
    for path, part, layer in kinds.values():
        features = _features(layer)
        with torch.no_grad():
            whole, half = part(features, layer, 1.0), part(features, layer, 0.5)
            shape = layer(features).shape
        require(whole.shape == shape, f"beside {path!r} a part adds {tuple(whole.shape)} to {tuple(shape)}")
        scale = max(1.0, float(whole.abs().max()))
        require(
            largest_difference(half * 2, whole) <= _TOLERANCE * scale,
            f"half the weight does not add half as much beside {path!r}",
        )
        if part.mergeable:
            _check_update(path, part, layer, features, whole)
        else:
            _check_scaled_state(part, layer, features, half)
        _check_reach(path, part, layer)


def _features(layer: nn.Module) -> Tensor:
    inputs = getattr(layer, "in_channels", None) or getattr(layer, "in_features", None)
    if inputs is None:
        raise ContractError(
            f"the kind accepts a {type(layer).__name__}, which is no convolution or linear layer"
        )
    generator = seeded(5)
    if isinstance(layer, nn.Linear):
        return torch.randn(2, inputs, generator=generator)
    return torch.randn(2, inputs, 17, 17, generator=generator)


def _check_update(path: str, part: AdapterPart, layer: nn.Module, features: Tensor, whole: Tensor) -> None:
    weight = layer.get_parameter("weight")
    with torch.no_grad():
        updated = functional_call(layer, {"weight": weight + part.weight_update()}, (features,))
        added = updated - layer(features)
    require(
        largest_difference(added, whole) <= 10 * _TOLERANCE * max(1.0, float(updated.abs().max())),
        f"beside {path!r} a part does not add what its merged update adds",
    )


def _check_scaled_state(part: AdapterPart, layer: nn.Module, features: Tensor, half: Tensor) -> None:
    before = {key: value.clone() for key, value in part.state_dict().items()}
    with torch.no_grad():
        part.load_state_dict(part.scaled_state(0.5), strict=True)
        scaled = part(features, layer, 1.0)
        part.load_state_dict(before)
    require(
        largest_difference(scaled, half) <= _TOLERANCE * max(1.0, float(half.abs().max())),
        "a part with the tensors of scaled_state(0.5) does not add what weight 0.5 adds",
    )


def _check_reach(path: str, part: AdapterPart, layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        return
    stated = part.added_reach(layer)
    require(
        stated == 0 or not part.mergeable, "a kind that can be merged adds no reach, but added_reach says so"
    )
    features = _features(layer)
    seen = [
        _sees(lambda given: layer(given), features),
        _sees(lambda given: part(given, layer, 1.0), features),
    ]
    require(
        seen[1] <= seen[0] + stated,
        f"beside {path!r} an output sees {seen[1]} px far, further than the layer's own {seen[0]} px and the "
        f"{stated} px of added_reach",
    )


def _sees(compute: Callable[[Tensor], Tensor], features: Tensor) -> int:
    """Return how far from its middle an output sees, at the resolution of the features."""
    features = features.clone().requires_grad_(True)
    output = compute(features)
    middle = output.shape[-1] // 2
    (gradient,) = torch.autograd.grad(output[..., middle, middle].sum(), features)
    touched = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
    centre = middle * features.shape[-1] // output.shape[-1]
    return int((touched - centre).abs().max()) if len(touched) else 0


def _check_composition(bank: AdapterBank) -> None:
    image, network = random_image(20, 24), bank.backbone
    before = {key: value.clone() for key, value in bank.base_state_dict().items()}
    with torch.no_grad():
        bare = network(image)
        bank.activate(_WEIGHTS)
        acting = network(image)
        require(largest_difference(acting, bare) > 0, "a trained adapter changes nothing")
        scale = max(1.0, float(acting.abs().max()))
        bank.activate(dict.fromkeys(_WEIGHTS, 0.0))
        require(torch.equal(network(image), bare), "with weight 0 the result is not the bare network's")
        bank.merge(_WEIGHTS)
        difference = largest_difference(network(image), acting)
        require(
            difference <= _TOLERANCE * scale,
            f"merged, adapters give another result than in parallel, by {difference:.2g}",
        )
        bank.deactivate()
        require(torch.equal(network(image), bare), "after a merge the network is not the bare one any more")
    after = bank.base_state_dict()
    require(
        all(torch.equal(after[key], value) for key, value in before.items()),
        "composing changes the network's own weights",
    )


def _check_per_sample(bank: AdapterBank) -> None:
    images = random_image(20, 24, batch=3)
    samples: list[Mapping[str, float]] = [{"rain": 1.0}, {}, _WEIGHTS]
    with torch.no_grad():
        bank.activate_per_sample(samples)
        together = bank.backbone(images)
        for index, weights in enumerate(samples):
            bank.activate(weights)
            alone = bank.backbone(images[index : index + 1])
            require(
                largest_difference(together[index : index + 1], alone)
                <= _TOLERANCE * max(1.0, float(alone.abs().max())),
                "a sample with weights of its own in a batch gets another result than alone",
            )
    bank.deactivate()


def _check_files(bank: AdapterBank) -> None:
    adapter = bank.export("rain")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "rain"
        try:
            save_adapter(folder, adapter, "checked")
            loaded = load_adapter(folder)
            bank.remove("rain")
            bank.add(loaded)
        except (PolyrestoreError, TypeError, ValueError) as error:
            raise ContractError(f"an adapter that was saved cannot be loaded: {error}") from error
        exact = loaded.tensors.keys() == adapter.tensors.keys() and all(
            torch.equal(loaded.tensors[key], tensor) for key, tensor in adapter.tensors.items()
        )
        require(exact, "an adapter comes back from its file with other tensors")
        again = bank.export("rain")
        require(
            again.config == loaded.config, "an adapter comes back from its file with another configuration"
        )
        size = adapter.config.size_text()
        require(
            loaded.config.size_text() == size, f"size_text() is {size!r} before a file, and another after"
        )
        shapes = read_shapes(folder / WEIGHTS_FILE, ContractError, "write_tensors wrote it")
        require(
            all(key.startswith("base_model.model.") for key in shapes),
            "the tensors in the file are not named as PEFT names them",
        )
        path = folder / CONFIG_FILE
        raw = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**raw, "of_tomorrow": "on"}), encoding="utf-8")
        try:
            load_adapter(folder)
        except AdapterError:
            return
        raise ContractError("a configuration with an unknown key is read as if the key were not there")
