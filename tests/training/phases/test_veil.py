"""What takes haze off learns to see it, is opened by one adapter, and changes nothing for the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from polyrestore.adapters import Adapter, AdapterBank, BottleneckConfig, LoraConfig
from polyrestore.backbones import build_backbone
from polyrestore.backbones.compact import Compact
from polyrestore.backbones.veil import VEIL_DIM
from polyrestore.bundles import load_bundle, save_bundle
from polyrestore.errors import RecipeError
from polyrestore.training.phases.adapters import continue_from
from polyrestore.training.phases.veil import GATE, hazy_batch, opened, overviews_of, random_part, with_veil
from polyrestore.training.run import run_recipe
from tests.support.networks import TINY, random_image
from tests.support.tiny_bundle import tiny_bundle

RECIPE = """
phase = "veil"
name = "veil"
bundle = "{bundle}"
width = 4
steps = {steps}
validate_every = 1000
[data]
clean = ["clean"]
validation = "validation"
check_duplicates = false
batch_size = 4
[optimiser]
name = "muon"
learning_rate = 3e-3
warmup_steps = 2
ema_decay = 0.5
"""


def compact(name: str = "compact") -> Compact:
    torch.manual_seed(0)
    network = build_backbone(name, **TINY[name])
    assert isinstance(network, Compact)
    return network


def targets_of(adapter: Adapter | None) -> tuple[str, ...]:
    assert adapter is not None
    return adapter.config.targets or ()


def test_it_learns_to_take_haze_off(workshop: Path) -> None:
    start = save_bundle(workshop / "start", tiny_bundle({"rain": LoraConfig(rank=1)}, backbone=compact()))
    path = workshop / "veil.toml"
    path.write_text(RECIPE.format(bundle=start, steps=60))
    folder = run_recipe(path, output_folder=workshop / "run")
    bundle = load_bundle(folder)
    record = bundle.info.model_dump()["training"]["veil"]["validation_psnr"]
    assert record["haze"] > record["untouched"] + 1
    assert GATE in targets_of(bundle.adapters["haze"])
    assert isinstance(bundle.backbone, Compact)
    assert bundle.backbone.veil is not None


@pytest.mark.parametrize("name", ["compact", "flow"])
def test_the_weights_that_there_were_stay_and_the_gate_is_closed(name: str) -> None:
    before = compact(name)
    after = with_veil(before, 4, seed=1)
    assert type(after) is type(before)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value)
    image = random_image(24, 32)
    assert torch.equal(after(image), before(image))
    assert with_veil(after, 4, seed=2) is after
    again = with_veil(before, 4, seed=1)
    assert torch.equal(*(each.get_parameter("veil.estimator.intro.weight") for each in (again, after)))


def test_other_networks_and_other_widths_are_refused() -> None:
    with pytest.raises(RecipeError, match="'nafnet' cannot take a veil of haze off"):
        with_veil(build_backbone("nafnet", **TINY["nafnet"]), 4, seed=1)
    with pytest.raises(RecipeError, match="the bundle's veil has width 4, the recipe says 8"):
        with_veil(with_veil(compact(), 4, seed=1), 8, seed=1)


@pytest.mark.parametrize("config", [None, LoraConfig(rank=3, alpha=6.0)])
def test_an_adapter_opens_the_gate_by_the_weight_it_acts_with(config: LoraConfig | None) -> None:
    network = with_veil(compact(), 4, seed=1)
    bank = AdapterBank(network)
    start = None
    if config is not None:
        bank.create("haze", config, torch.Generator().manual_seed(0))
        start = bank.export("haze")
        bank.remove("haze")
        assert GATE not in targets_of(start)
    bank.add(opened("haze", start))
    bank.activate({"haze": 0.75})
    context = network.context(random_image(20, 20))
    strength = context[0, -VEIL_DIM]
    assert float(strength.detach()) == pytest.approx(0.75)
    again = opened("haze", bank.export("haze"))
    assert again.config == bank.export("haze").config


def test_only_a_lora_opens_it() -> None:
    bank = AdapterBank(compact())
    bank.create("haze", BottleneckConfig(reduction=2), torch.Generator().manual_seed(0))
    with pytest.raises(RecipeError, match="only a LoRA"):
        opened("haze", bank.export("haze"))


def test_training_goes_on_from_an_adapter_that_opens_it() -> None:
    bank = AdapterBank(with_veil(compact(), 4, seed=1))
    start = opened("haze", None)
    generator = torch.Generator().manual_seed(0)
    bank.create("haze", LoraConfig(rank=2, alpha=2.0), generator)
    assert GATE not in targets_of(bank.export("haze"))
    continue_from(bank, "haze", start, generator)
    targets = targets_of(bank.export("haze"))
    assert GATE in targets
    assert len(targets) > 1
    bank.activate({"haze": 1.0})
    gate = bank.backbone.get_submodule("veil.gate")
    assert float(gate(torch.ones(1, 1)).detach()) == pytest.approx(1.0)


def test_a_batch_knows_what_lies_over_the_scene() -> None:
    scene = random_image(96, 96, batch=3)
    batch = hazy_batch(scene, torch.tensor([0.1, 0.5, 1.0]), torch.Generator().manual_seed(3))
    assert batch.transmission is not None
    assert batch.light is not None
    veiled = scene * batch.transmission + batch.light * (1 - batch.transmission)
    # Half of the samples have noise, and the light is a little uneven.
    assert float((veiled - batch.degraded).abs().mean()) < 0.02
    assert batch.transmission.mean((1, 2, 3)).diff().max() < 0


def test_parts_show_most_of_a_photograph() -> None:
    image = (random_image(400, 700)[0] * 255).byte()
    (small,) = overviews_of([image])
    assert small.shape == (3, 160, 280)
    part = random_part(small, torch.Generator().manual_seed(0))
    assert part.shape == (1, 3, 96, 96)
    assert float(part.min()) >= 0
    assert float(part.max()) <= 1
