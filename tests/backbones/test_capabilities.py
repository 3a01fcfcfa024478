"""Which backbone can do what, asked as callers ask it."""

import inspect

import pytest
import torch

from polyrestore.backbones import (
    BACKBONES,
    BorrowsModel,
    Contrastive,
    Generative,
    Stepped,
    build_backbone,
)
from polyrestore.backbones.capabilities import HasCore, borrowed_keys, reference_of, use_steps
from polyrestore.backbones.latent import Latent
from polyrestore.errors import BackboneError
from tests.support.networks import TINY

ABLE: dict[type, set[str]] = {
    Contrastive: {"airnet"}, Generative: {"flow"}, Stepped: {"flow", "latent"}, BorrowsModel: {"latent"},
}  # fmt: skip


@pytest.mark.parametrize("capability", list(ABLE), ids=lambda each: each.__name__)
def test_those_and_no_others_are_able(capability: type) -> None:
    if "latent" in ABLE[capability]:
        pytest.importorskip("diffusers")
    found = {
        name
        for name in BACKBONES
        if (name != "latent" or "latent" in ABLE[capability])
        and isinstance(build_backbone(name, **TINY[name]), capability)
    }
    assert found == ABLE[capability]


@pytest.mark.parametrize(
    ("capability", "name"), [(Generative, "flow"), (Stepped, "flow"), (HasCore, "compact")]
)
def test_nothing_that_isinstance_looks_for_is_a_part_of_a_module(capability: type, name: str) -> None:
    # From Python 3.12 on it does not call __getattr__, where a module has its layers.
    network = build_backbone(name, **TINY[name])
    assert isinstance(network, capability)
    members = [each for each in {*vars(capability), *inspect.get_annotations(capability)} if each[0] != "_"]
    assert members
    for member in members:
        inspect.getattr_static(network, member)


def test_a_class_can_be_asked_whether_it_borrows_a_model() -> None:
    assert {name for name, kind in BACKBONES.items() if issubclass(kind, BorrowsModel)} == {"latent"}
    options = Latent.other_options()
    assert options["steps"] == 1
    assert not {"model", "prompt"} & set(options)


def test_all_others_have_their_weights_to_themselves_and_restore_in_one_pass() -> None:
    backbone = build_backbone("nafnet", **TINY["nafnet"])
    assert reference_of(backbone) is None
    assert borrowed_keys(backbone) == frozenset()
    with pytest.raises(BackboneError, match="'nafnet' restores in one pass; it takes no number of steps"):
        use_steps(backbone, 2)
    flow = build_backbone("flow", **TINY["flow"])
    use_steps(flow, 2)
    assert flow.options["steps"] == 2
    assert reference_of(torch.nn.Identity()) is None
