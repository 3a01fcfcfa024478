"""``check_backbone``: whether what a network says about itself is true."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyrestore.adapters.checking import eligible_layers
from polyrestore.backbones import BACKBONES, Backbone, BackboneDescription
from polyrestore.backbones.bounds import check_options
from polyrestore.errors import ContractError, PolyrestoreError, UnknownBackboneError, unknown_name
from polyrestore.storage.tensors import read_tensors, write_tensors
from polyrestore.testing.images import random_image, require
from polyrestore.testing.networks import (
    check_batch,
    check_context,
    check_padding,
    check_precision,
    check_size_is_kept,
    check_tiles,
    measure_radius_px,
    wake,
)

BackboneFactory = Callable[..., Backbone]


def check_backbone(
    backbone: str | BackboneFactory, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> None:
    """Check that a network is what all others rely on, whatever its weights are.

    Its description is true: it takes images of any size from 1x1, pads them to its multiple and minimum size
    by itself, no pixel reaches further than stated, tiles equal the whole image if they are said to, and it
    computes in every number format it names. It restores each image of a batch alone, twice in the same way,
    and leaves its input as it was. It is rebuilt by its options, and comes back from a file bit for bit.
    There are layers that adapters can sit beside.

    It runs on the CPU with random weights, most of a second for a network of a few thousand parameters.

    Args:
        backbone: a name in :data:`polyrestore.backbones.BACKBONES`, a class, or a function that builds one.
        options: for building it; those of its ``tiny_options`` when None.
        seed: of the weights.

    Raises:
        ContractError: something is not so; the message is one sentence about it.
        UnknownNameError: no network has this name.
    """
    build = _factory(backbone)
    options = dict(getattr(build, "tiny_options", {}) if options is None else options)
    network = _built(build, options, seed)
    facts = _check_description(network, backbone)
    _check_options(build, network)
    _check_layers(network)

    multiple, least = facts.size_multiple, facts.minimum_size_px
    large = (max(2 * multiple, least) + 1, max(3 * multiple, least) + multiple // 2)
    sizes = ((1, 1), (1, 7), (5, 3), large)
    for height, width in sizes:
        check_size_is_kept(network, height, width)
    check_batch(network, *large)
    _check_file(build, network)
    for height, width in sizes:
        check_padding(network, height, width)
    check_context(network, *large)
    for dtype in set(facts.dtypes) - {torch.float32}:
        check_precision(network, dtype, random_image(*large))
    if facts.exact_tiles:
        _check_reach(network)
        side = facts.receptive_radius_px + 4 * multiple
        check_tiles(network, least + multiple, 2 * side + 3 * multiple - 1, side)
        check_tiles(network, 2 * side + 3 * multiple - 1, least + 2 * multiple, side)


def _factory(backbone: str | BackboneFactory) -> BackboneFactory:
    if not isinstance(backbone, str):
        return backbone
    if backbone not in BACKBONES:
        raise unknown_name("backbone", backbone, BACKBONES, UnknownBackboneError)
    return BACKBONES[backbone]


def _built(build: BackboneFactory, options: Mapping[str, Any], seed: int) -> Backbone:
    """Build a network on the CPU without a trace in the global generator, and let every part of it act."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(**options)
    require(isinstance(network, Backbone), f"{type(network).__name__} is no subclass of Backbone")
    return wake(network, seed)


def _check_description(network: Backbone, backbone: str | BackboneFactory) -> BackboneDescription:
    facts = getattr(network, "description", None)
    if not isinstance(facts, BackboneDescription):
        raise ContractError("the network needs a BackboneDescription as its attribute description")
    if isinstance(backbone, str):
        require(
            facts.name == backbone,
            f"the description's name is {facts.name!r}, but it is registered as {backbone!r}",
        )
    for name, lowest in (("size_multiple", 1), ("minimum_size_px", 1), ("receptive_radius_px", 0)):
        value = getattr(facts, name)
        holds = isinstance(value, int) and not isinstance(value, bool) and value >= lowest
        require(holds, f"{name} must be a whole number of at least {lowest}, not {value!r}")
    require(torch.float32 in facts.dtypes, "dtypes must name torch.float32, in which every network computes")
    ending = _asked(network.output_layer, "output_layer() must return the convolution that makes the image")
    require(
        isinstance(ending, nn.Conv2d) and any(ending is module for module in network.modules()),
        "output_layer() must return a convolution that is part of the network",
    )
    return facts


def _asked(ask: Callable[[], Any], sentence: str) -> Any:
    try:
        return ask()
    except NotImplementedError as error:
        raise ContractError(sentence) from error


def _check_options(build: BackboneFactory, network: Backbone) -> None:
    """The network's own options make the same network, also after they were in a file."""
    options = getattr(network, "options", None)
    if not isinstance(options, dict):
        raise ContractError("the network needs the attribute options, the keyword arguments that rebuild it")
    try:
        written = json.loads(json.dumps(options))
    except TypeError as error:
        raise ContractError(f"options cannot be written to model.json: {error}") from error
    try:
        check_options(network.bounds, written)
        with torch.device("meta"):
            again = build(**written)
    except (TypeError, ValueError, PolyrestoreError) as error:
        raise ContractError(
            f"options do not rebuild the network once they were in a file: {error}"
        ) from error
    shapes, own = (
        {key: value.shape for key, value in each.state_dict().items()} for each in (again, network)
    )
    for key in [*own, *shapes]:
        require(own.get(key) == shapes.get(key), f"options rebuild another network: {key} has another shape")


def _check_file(build: BackboneFactory, network: Backbone) -> None:
    image = random_image(2 * network.description.size_multiple, network.description.minimum_size_px + 3)
    other = _built(build, json.loads(json.dumps(network.options)), seed=1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "backbone.safetensors"
        write_tensors(path, network.state_dict(), torch.float32, ContractError)
        stored = read_tensors(path, ContractError, "the state dict cannot be written")
        other.load_state_dict(stored.tensors, strict=True)
        same = torch.equal(other(image), network(image))
    require(same, "a network with the saved weights restores otherwise: something is not in its state dict")


def _check_layers(network: Backbone) -> None:
    paths = dict(network.named_modules())
    layers = network.adaptable_layers()
    for names in (layers.updated, layers.paralleled, layers.idle, layers.on_request):
        for path in names or ():
            require(path in paths, f"adaptable_layers() names {path!r}, which is no module of the network")
    require(
        bool(eligible_layers("lora", paths, layers)),
        "no layer can have a LoRA: there must be linear layers, or 1x1 or 3x3 convolutions without groups",
    )


def _check_reach(network: Backbone) -> None:
    stated = network.description.receptive_radius_px
    for along, direction in ((-1, "a row"), (-2, "a column")):
        found = measure_radius_px(copy.deepcopy(network), along=along)
        require(
            found <= stated,
            f"an input pixel reaches {found} px along {direction}, "
            f"further than receptive_radius_px = {stated}",
        )
