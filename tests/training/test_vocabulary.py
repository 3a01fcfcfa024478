"""A degradation is a name: one that has pairs only is trained, recognised and restored like the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bundles import Bundle, load_bundle, save_bundle
from polyrestore.data.images import load_pixels
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import DegradationError, PolyrestoreError, RecipeError, UnknownNameError
from polyrestore.recognition import CLEAN, build_recogniser
from polyrestore.restoration.restorer import Restorer
from polyrestore.training.loop.checkpoint import same_recipe
from polyrestore.training.phases.recogniser import validation_samples
from polyrestore.training.reading import load_recipe
from polyrestore.training.run import run_recipe
from polyrestore.training.tiny import generated_photograph
from polyrestore.training.validation.crops import ValidationSet
from tests.support.registered import registered
from tests.test_readme import fenced
from tests.training.test_run import ADAPTERS, RECOGNISER

OWN = "wet_glass"
PAIRS = f'{OWN} = ["{OWN}"]'


def save(path: Path, image: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image.permute(1, 2, 0) * 255).round().byte().numpy()).save(path)


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(-10 * (first - second).square().mean().log10())


def tinted(image: torch.Tensor) -> torch.Tensor:
    """Look through yellow glass: (3, H, W) in [0, 1]."""
    return image * torch.tensor([0.95, 0.8, 0.25]).view(3, 1, 1)


@pytest.fixture
def shop(workshop: Path) -> Path:
    """The workshop with pairs of a degradation that nothing can make, a backbone and recipes for the rest."""
    for index in range(6):
        photograph = generated_photograph(50 + index, (56, 48))
        folder = workshop / (OWN if index < 4 else "held")
        save(folder / "target" / f"{index}.png", photograph)
        save(folder / "input" / f"{index}.png", tinted(photograph))
    for name, text in (("adapters", ADAPTERS), ("recogniser", RECOGNISER)):
        changed = text.replace('"low_light"', f'"{OWN}"').replace(
            "[data]", f'[data]\npairs = {{ {PAIRS} }}\nvalidation_pairs = {{ {OWN} = ["held"] }}'
        )
        (workshop / f"{name}.toml").write_text(changed)
    return workshop


def pretrained(folder: Path, *overrides: str) -> Path:
    return run_recipe(folder / "pretraining.toml", output_folder=folder / "pretrained", overrides=overrides)


def test_an_adapter_is_trained_recognised_and_restored_from_pairs_alone(shop: Path) -> None:
    pretrained(shop, "steps=1")
    quickly = ["steps=25", "log_every=25", "validate_every=25", "checkpoint_every=25"]
    quickly += [f"optimiser.{key}" for key in ("learning_rate=2e-2", "warmup_steps=1", "ema_decay=0.0")]
    run_recipe(shop / "adapters.toml", output_folder=shop / "adapted", overrides=quickly)
    folder = run_recipe(shop / "recogniser.toml", output_folder=shop / "whole", overrides=quickly)
    bundle = load_bundle(folder)
    assert sorted(bundle.adapters) == ["noise", OWN]
    assert set(bundle.prototypes) == {"noise", OWN, CLEAN}
    figures = bundle.info.model_dump()["training"][f"adapter {OWN}"]["validation_psnr"]
    assert figures["after"] > figures["before"] + 1
    restorer = Restorer(bundle, "cpu")
    shown, target = (
        load_pixels(shop / "held" / side / "4.png")[None].float() / 255 for side in ("input", "target")
    )
    assert psnr(restorer.restore(shown, OWN).pixels, target) > psnr(shown, target) + 1
    found = [restorer.recognise(image).probabilities[OWN] for image in (shown, target)]
    assert found[0] > found[1]


def test_a_backbone_learns_from_pairs_of_what_cannot_be_synthesised(shop: Path) -> None:
    content = (shop / "pretraining.toml").read_text().replace('"jpeg"', f'"{OWN}"')
    pairs = f'pairs = {{ {PAIRS} }}\nvalidation_pairs = {{ {OWN} = ["held"] }}'
    (shop / "own.toml").write_text(content.replace("[data]", f"[data]\n{pairs}"))
    folder = run_recipe(shop / "own.toml", output_folder=shop / "out", overrides=["joint_rank=2", "steps=3"])
    bundle = load_bundle(folder)
    assert sorted(bundle.adapters) == ["low_light", "noise", OWN]
    record = bundle.info.model_dump()["training"]["pretraining"]
    assert set(record["validation_psnr"]) == {"noise", OWN, "low_light", "mean"}
    assert record["recipe"]["data"]["validation_pairs"] == {OWN: [f"{shop.name}/held"]}
    assert run_recipe(shop / "own.toml", output_folder=shop / "tiny", tiny=True).is_dir()


def test_the_documented_recipe_of_an_own_degradation_runs(tmp_path: Path) -> None:
    recipe = next(block for block in fenced("docs/training.md", "toml") if "wet_glass" in block)
    (tmp_path / "own.toml").write_text(recipe)
    folder = run_recipe(tmp_path / "own.toml", output_folder=tmp_path / "out", tiny=True)
    assert list(load_bundle(folder).adapters) == ["wet_glass"]


def test_sets_of_pairs_need_no_function(shop: Path) -> None:
    content = (shop / "pretraining.toml").read_text().split("[synthesis]")[0]
    content = content.replace('clean = ["clean"]\n', "").replace('validation = "validation"\n', "")
    table = f'folder = "{{}}"\ntask = "glass"\ndegradations = ["{OWN}"]\n'
    training = "[[data.sets]]\n" + table.format(OWN)
    held_out = "[[data.validation_sets]]\n" + table.format("held")

    def run(tables: str, keys: str = "") -> Path:
        recipe = shop / "sets.toml"
        recipe.write_text(content.replace("[data]", f"[data]\n{keys}") + tables)
        return run_recipe(recipe, output_folder=shop / "out", overrides=["joint_rank=2", "steps=2"])

    bundle = load_bundle(run(training + held_out))
    assert sorted(bundle.adapters) == [OWN]
    assert set(bundle.info.model_dump()["training"]["pretraining"]["validation_psnr"]) == {"glass", "mean"}
    with pytest.raises(RecipeError, match="'wet_glass' cannot be synthesised; give pairs"):
        run(training, 'validation = "validation"\n')
    with pytest.raises(RecipeError, match="clean photographs, and 'wet_glass' cannot be synthesised"):
        run(training.replace(f'"{OWN}"\n', '"clean"\n', 1) + held_out)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (f"data.pairs={{ noise = ['{OWN}'] }}", UnknownNameError, r"no pairs \(data.pairs.wet_glass\)"),
        ("adapters=['noise', 'wet_glas']", UnknownNameError, "did you mean 'wet_glass'"),
        ("adapters=['noise']", UnknownNameError, "unknown degradation 'wet_glass'"),
        ("data.validation_pairs={}", RecipeError, r"held back: data.validation_pairs.wet_glass"),
        ("data.aligned=['wet_glas']", UnknownNameError, "did you mean 'wet_glass'"),
        ("options_for={ wet_glas = { rank = 4 } }", UnknownNameError, "did you mean 'wet_glass'"),
        ("adapters=['noise', 'clean']", DegradationError, "'clean' cannot name a degradation"),
        ("adapters=['noise', 'wet glass']", DegradationError, "'wet glass' cannot name a degradation"),
    ],
)
def test_what_a_recipe_has_no_samples_of_is_one_line(
    shop: Path, change: str, error: type[PolyrestoreError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run_recipe(shop / "adapters.toml", output_folder=shop / "out", overrides=[change])
    assert "\n" not in str(caught.value)
    assert not (shop / "out").exists()


def test_a_recogniser_needs_pairs_of_every_adapter_that_cannot_be_synthesised(shop: Path) -> None:
    pretrained(shop, "steps=1")
    run_recipe(shop / "adapters.toml", output_folder=shop / "adapted", overrides=["steps=1"])
    overrides = ["data.pairs={}", "data.validation_pairs={}"]
    with pytest.raises(UnknownNameError, match="'wet_glass' cannot be synthesised and has no pairs"):
        run_recipe(shop / "recogniser.toml", output_folder=shop / "whole", overrides=overrides)


ENCODER = f"""
phase = "encoder"
name = "eyes"
steps = 24
bundle = "./seeing"
recogniser_options = {{ taps = [0, 1], members = 1, hidden = 8, dimension = 4 }}

[data]
clean = ["clean"]
validation = "validation"
pairs = {{ {PAIRS} }}
validation_pairs = {{ {OWN} = ["held"] }}
batch_size = 8

[synthesis]
tasks = ["noise", "rain"]

[fit]
epochs = 2
"""


@pytest.fixture
def seeing(shop: Path) -> Path:
    """The shop with a bundle of two adapters and an untrained trunk, and a recipe for its recogniser."""
    backbone = build_backbone("compact", **BACKBONES["compact"].tiny_options)
    bank = AdapterBank(backbone)
    for name in ("noise", OWN):
        bank.create(name, LoraConfig(rank=1), torch.Generator().manual_seed(0))
    adapters = {name: bank.export(name) for name in bank.names}
    bank.detach()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        recogniser = build_recogniser("encoder", taps=[0, 1], members=1, hidden=8, dimension=4)
    save_bundle(shop / "seeing", Bundle("seeing", backbone, adapters, recogniser))
    (shop / "encoder.toml").write_text(ENCODER)
    return shop


def test_a_recogniser_on_a_trunk_learns_from_pairs_too(seeing: Path) -> None:
    bundle = load_bundle(run_recipe(seeing / "encoder.toml", output_folder=seeing / "eyes"))
    assert set(bundle.prototypes) == {"noise", OWN, CLEAN}
    assert set(bundle.recognition_settings["minimum_shares"]) == {"noise", OWN}
    assert bundle.recogniser is not None
    # How strong something is can be learned of what is synthesised only.
    assert bundle.recogniser.options["severities"] == ["noise"]
    assert f"{OWN} found" in bundle.info.model_dump()["training"]["recogniser"]["validation"]
    assert set(Restorer(bundle, "cpu").recognise(torch.rand(1, 3, 40, 40)).probabilities) == {
        "noise",
        OWN,
        CLEAN,
    }
    with registered():
        again = load_bundle(run_recipe(seeing / "encoder.toml", output_folder=seeing / "again"))
    assert again.recognition_settings == bundle.recognition_settings
    assert all(torch.equal(value, again.prototypes[name]) for name, value in bundle.prototypes.items())
    overrides = ["data.pairs={}", "data.validation_pairs={}"]
    with pytest.raises(UnknownNameError, match="'wet_glass' cannot be synthesised and has no pairs"):
        run_recipe(seeing / "encoder.toml", output_folder=seeing / "refused", overrides=overrides)


def test_a_recipe_that_names_no_tasks_keeps_those_that_it_began_with(shop: Path) -> None:
    content = (shop / "pretraining.toml").read_text()
    (shop / "all.toml").write_text(content.replace('tasks = ["noise", "jpeg", "low_light"]\n', ""))
    before = load_recipe(shop / "all.toml")
    assert before.synthesis.tasks == tuple(DEGRADATIONS)
    with registered():
        assert load_recipe(shop / "all.toml").synthesis.tasks == tuple(DEGRADATIONS)
        assert not same_recipe(before.model_dump_json(), load_recipe(shop / "all.toml"))
    assert same_recipe(before.model_dump_json(), load_recipe(shop / "all.toml"))


def test_one_more_degradation_changes_no_validation_image(shop: Path) -> None:
    names = tuple(DEGRADATIONS)
    images = [load_pixels(path) for path in sorted((shop / "validation").iterdir())]

    def made() -> list[torch.Tensor]:
        crops = ValidationSet(images, names).degraded
        whole = validation_samples(images, names, 99)
        return [*crops.values(), *(image for each in whole.values() for image in each)]

    before = made()
    with registered():
        after = made()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_one_more_degradation_in_the_registry_changes_nothing_that_is_trained_or_measured(shop: Path) -> None:
    def trained(folder: str) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
        pretrained(shop, "steps=2", "joint_rank=2", "synthesis.mixture_share=0.6")
        run_recipe(shop / "adapters.toml", output_folder=shop / "adapted", overrides=["steps=2"])
        bundle = load_bundle(
            run_recipe(shop / "recogniser.toml", output_folder=shop / folder, overrides=["steps=2"])
        )
        recogniser = bundle.recogniser
        assert recogniser is not None
        tensors = {**bundle.backbone.state_dict(), **recogniser.state_dict(), **bundle.prototypes}
        for name, adapter in bundle.adapters.items():
            tensors |= {f"{name}/{key}": value for key, value in adapter.tensors.items()}
        logs = [(shop / part / "log.jsonl").read_text() for part in ("pretrained", "adapted", folder)]
        lines = [json.loads(line) for log in logs for line in log.splitlines()]
        return tensors, [line for line in lines if line["event"] == "validation"]

    expected, figures = trained("first")
    for part in ("pretrained", "adapted"):
        (shop / part).rename(shop / f"{part}-before")
    with registered():
        found, others = trained("second")
    assert others == figures
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
