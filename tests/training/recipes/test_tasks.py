import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from polyrestore.backbones import build_backbone
from polyrestore.bundles import load_bundle
from polyrestore.data import Batch, FixedNoise, SyntheticDamage, find_sets, pack
from polyrestore.errors import DataError, RecipeError, UnknownNameError
from polyrestore.training.phases.pretraining import joint_bank
from polyrestore.training.phases.restoration_job import RestorationJob
from polyrestore.training.reading import load_recipe
from polyrestore.training.recipes.batches import training_source
from polyrestore.training.recipes.recipe import PretrainingRecipe, Recipe
from polyrestore.training.recipes.tasks import load_tasks
from polyrestore.training.run import run_recipe
from polyrestore.training.validation.tasks import TaskValidation, validation_of
from tests.cli.conftest import Outcome
from tests.cli.conftest import call as call
from tests.data.test_duplicates import scene
from tests.support.recipes import load_kind
from tests.support.set_trees import TREES, plant
from tests.training.conftest import PRETRAINING

HEAD = PRETRAINING.replace('clean = ["clean"]\nvalidation = "validation"\n', "").replace(
    '[synthesis]\ntasks = ["noise", "jpeg", "low_light"]\n', ""
)
SETS = """
[[data.sets]]
folder = "LOL"

[[data.sets]]
folder = "CDD-11_train"
tasks = ["low_light+haze", "rain"]

[[data.sets]]
folder = "BSD400"
sigma_255 = 25

[[data.sets]]
folder = "BSD400"
task = "compressed"
degradations = ["jpeg"]
severity = [0.4, 0.6]
"""
HELD_OUT = """
[[data.validation_sets]]
folder = "LOL"

[[data.validation_sets]]
folder = "CBSD68"
sigma_255 = 25
"""
NOISE = '[[data.sets]]\nfolder = "BSD400"\nsigma_255 = 25\n'
TASKS = ("low_light", "low_light+haze", "rain", "noise_25", "compressed")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name in ("LOL", "CDD-11_train", "BSD400"):
        plant(tmp_path / name, *TREES[name][1])
    plant(tmp_path / "CBSD68", "t1.png", "t2.png", "t3.png", size=(30, 24))
    plant(tmp_path / "held", "h1.png", "h2.png", size=(30, 24))
    write(tmp_path, SETS + HELD_OUT)
    return tmp_path


def write(folder: Path, tables: str, keys: str = 'sampler = "balanced"\ncheck_duplicates = false\n') -> Path:
    path = folder / "sets.toml"
    path.write_text(HEAD.replace("[data]\n", f"[data]\n{keys}") + tables)
    return path


def test_sets_become_tasks_with_degradations(library: Path) -> None:
    recipe = load_recipe(library / "sets.toml")
    tasks = {task.name: task for task in load_tasks(recipe.data.sets, (0.0, 1.0))}
    assert tuple(tasks) == TASKS
    assert tasks["low_light+haze"].degradations == ("low_light", "haze")
    assert tasks["noise_25"].groups[0].damage == FixedNoise(25)
    assert tasks["compressed"].groups[0].damage == SyntheticDamage(("jpeg",), (0.4, 0.6))
    # Only the training split of LOL.
    assert [str(s.clean.path.relative_to(library)) for s in tasks["low_light"].groups[0].samples] == [
        "LOL/our485/high/2.png"
    ]
    source = training_source(recipe)
    assert source.tasks == TASKS
    assert source.drawing_shares().tolist() == [1.0] * 5
    assert set(source.names) == {"low_light", "haze", "rain", "noise", "jpeg"}


def test_one_task_may_come_from_several_sets(library: Path) -> None:
    plant(library / "own", "input/a.png", "target/a.png")
    table = '[[data.sets]]\nfolder = "own"\ntask = "rain"\nshare = 3.0\n'
    recipe = load_recipe(write(library, SETS + table + HELD_OUT, 'sampler = "proportional"\n'))
    source = training_source(recipe)
    assert dict(zip(source.tasks, source.drawing_shares().tolist(), strict=True))["rain"] == 2 + 3


def test_training_on_sets_resumes_bit_for_bit(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = library / "sets.toml"
    overrides = [
        "steps=4", "checkpoint_every=1", "validate_every=4", "data.patch_px=16",
        "data.batch_size=5", "data.validation_crop_px=16", "data.validation_images=1",
    ]  # fmt: skip
    whole = run_recipe(path, output_folder=library / "whole", overrides=overrides)
    with monkeypatch.context() as patch:
        batch = RestorationJob.batch

        def dying(self: RestorationJob, step: int, rank: int) -> Batch:
            if step == 3:
                raise KeyboardInterrupt
            return batch(self, step, rank)

        patch.setattr(RestorationJob, "batch", dying)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(path, output_folder=library / "killed", overrides=overrides)
    resumed = run_recipe(path, output_folder=library / "killed", overrides=overrides)
    first, second = (load_bundle(str(folder)) for folder in (whole, resumed))
    states = first.backbone.state_dict(), second.backbone.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    lines = [json.loads(line) for line in (library / "whole" / "log.jsonl").read_text().splitlines()]
    (last,) = [line for line in lines if line["event"] == "validation" and line["step"] == 4]
    assert {"low_light", "noise_25", "mean"} < set(last)
    record = json.dumps(first.info.training)
    assert str(library.parent) not in record
    assert "BSD400" in record


def test_validation_without_sets_is_synthetic_by_task(library: Path) -> None:
    keys = f'sampler = "balanced"\nvalidation = "{library}/held"\n'
    recipe = load_recipe(write(library, SETS, keys))
    validation = validation_of(recipe, training_source(recipe))
    seen: list[tuple[str, ...]] = []
    network = build_backbone("compact", width=8, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))
    figures = validation.measure(network, seen.append)
    assert set(figures) == {*TASKS, "mean"}
    assert ("low_light", "haze") in seen
    assert figures == validation.measure(network)


def held_out(recipe: Recipe) -> TaskValidation:
    validation = validation_of(recipe, training_source(recipe))
    assert isinstance(validation, TaskValidation)
    return validation


def test_validation_is_on_the_middle_or_on_whole_images(library: Path) -> None:
    recipe = load_recipe(library / "sets.toml", ["data.validation_crop_px=10", "data.validation_images=2"])
    pairs = held_out(recipe).samples("noise_25")
    assert [clean.shape[-2:] for _, clean in pairs] == [(10, 10), (10, 10)]
    recipe = load_recipe(library / "sets.toml", ["data.validation_crop_px=0", "data.validation_images=0"])
    pairs = held_out(recipe).samples("noise_25")
    assert [clean.shape[-2:] for _, clean in pairs] == [(24, 30)] * 3


def test_a_task_is_validated_with_the_adapters_of_its_composition(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f'sampler = "balanced"\nvalidation = "{library}/held"\n'
    recipe = load_kind(PretrainingRecipe, write(library, SETS, keys), ["joint_rank=2"])
    source = training_source(recipe)
    network = build_backbone("compact", width=8, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))
    bank = joint_bank(recipe, network, ("haze", "low_light"))
    activated: list[dict[str, float]] = []
    monkeypatch.setattr(bank, "activate", activated.append)
    RestorationJob(network, source, validation_of(recipe, source), bank).validate()
    assert activated == [{"low_light": 1.0}, {"low_light": 0.5, "haze": 0.5}, {}, {}, {}]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ('[[data.sets]]\nfolder = "BSD400"\n', "BSD400 does not say what its images suffer from"),
        ('[[data.sets]]\nfolder = "LOL"\nsplit = "validation"\n', "no split 'validation': it holds test"),
        ('[[data.sets]]\nfolder = "LOL/eval15"\n', "nothing to train on: it holds test"),
        ('[[data.sets]]\nfolder = "LOL"\ntasks = ["low_lihgt"]\n', "did you mean 'low_light'"),
        ('[[data.sets]]\nfolder = "LOL"\nsigma_255 = 15\n', "holds pairs; severity and sigma_255"),
        (
            '[[data.sets]]\nfolder = "LOL"\n[[data.sets]]\nfolder = "CDD-11_train"\ntasks = ["rain"]\n'
            'task = "low_light"\n',
            "task 'low_light' is low_light in one set and rain in",
        ),
    ],
)  # fmt: skip
def test_sets_that_do_not_have_what_is_asked_for_are_named(library: Path, tables: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        run_recipe(write(library, tables + HELD_OUT), output_folder=library / "out")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tables", "keys", "message"),
    [
        ('[[data.sets]]\nfoldr = "x"\n', "", "unknown key 'data.sets.0.foldr'; did you mean 'folder'"),
        ('[[data.sets]]\nlayout = "lol"\n', "", "data.sets.0: a set has either a folder or shards"),
        (SETS, "", "nothing to validate on"),
        (HELD_OUT, "", "either data.clean or [[data.sets]]"),
        (SETS + HELD_OUT, 'clean = ["x"]\n', "either data.clean or [[data.sets]]"),
        (SETS + HELD_OUT, 'aligned = ["x"]\n', "go with data.clean"),
        (HELD_OUT, 'clean = ["x"]\n', "[[data.validation_sets]] go with [[data.sets]]"),
        (SETS + HELD_OUT + '[synthesis]\ntasks = ["rain"]\n', "", "the sets name the tasks"),
        (
            SETS + HELD_OUT + "[synthesis.task_shares]\nrain = 2.0\n", 'sampler = "balanced"\n',
            "not used by sampler 'balanced'",
        ),
        (SETS + HELD_OUT, 'sampler = "even"\n', "data.sampler = 'even'"),
    ],
)  # fmt: skip
def test_contradictions_in_a_recipe_are_one_line(library: Path, tables: str, keys: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        run_recipe(write(library, tables, keys), output_folder=library / "out")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_tasks_and_missing_folders_are_named(library: Path) -> None:
    tables = SETS + HELD_OUT + "[synthesis.task_shares]\nraim = 2.0\n"
    with pytest.raises(UnknownNameError, match="did you mean 'rain'"):
        run_recipe(write(library, tables, ""), output_folder=library / "out")
    with pytest.raises(DataError, match="no folder"):
        run_recipe(write(library, '[[data.sets]]\nfolder = "gone"\n' + HELD_OUT), output_folder=library / "o")


def test_the_recogniser_refuses_sets(library: Path) -> None:
    path = write(library, SETS + HELD_OUT)
    text = (
        path.read_text()
        .replace('"pretraining"', '"recogniser"')
        .replace('backbone = "compact"', "bundle = 'x'")
    )
    text = text.split("[backbone_options]")[0] + "[data]" + text.split("[data]")[1]
    path.write_text(text.replace('[weighting]\nname = "art"\n', ""))
    with pytest.raises(RecipeError, match="are not for phase"):
        run_recipe(path, output_folder=library / "out")


def test_samplers_hold_for_synthetic_recipes_too(workshop: Path) -> None:
    recipe = load_recipe(workshop / "pretraining.toml", ['data.sampler="balanced"', "data.batch_size=6"])
    source = training_source(recipe)
    assert torch.bincount(source.batch(1).task, minlength=3).tolist() == [2, 2, 2]
    assert source.drawing_shares().tolist() == [1, 1, 1]
    recipe = load_recipe(workshop / "pretraining.toml", ['data.sampler="proportional"'])
    assert training_source(recipe).drawing_shares().tolist() == [4, 4, 4]


def test_training_on_validation_images_is_refused(library: Path) -> None:
    copy = library / "CBSD68" / "copy.jpg"
    scene(5).save(library / "BSD400" / "5.png")
    scene(5).resize((100, 75)).save(copy, quality=50)
    path = write(library, SETS.split('[[data.sets]]\nfolder = "CDD')[0] + NOISE + HELD_OUT, "")
    with pytest.raises(RecipeError) as caught:
        run_recipe(path, output_folder=library / "out")
    assert "BSD400/5.png shows what" in str(caught.value)
    assert "data.check_duplicates = false" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_is_checked_on_the_command_line(library: Path, call: Callable[..., Outcome]) -> None:
    scene(5).save(library / "BSD400" / "5.png")
    scene(5).resize((100, 75)).save(library / "CBSD68" / "copy.jpg", quality=50)
    outcome = call("data", "check", library / "sets.toml")
    assert outcome.code == 1
    assert "BSD400/5.png shows what" in outcome.out


def test_shards_take_the_place_of_a_folder(library: Path) -> None:
    for name in ("LOL", "CDD-11_train", "BSD400"):
        pack(find_sets(library / name), library / name, library / "shards" / name)
    recipe = load_recipe(library / "sets.toml")
    in_shards = SETS.replace('folder = "', 'shards = "shards/')
    other = load_recipe(write(library, in_shards + HELD_OUT))
    assert other.data.sets[0].shards == library / "shards" / "LOL"
    first, second = training_source(recipe).batch(2), training_source(other).batch(2)
    assert all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("degraded", "clean", "task", "presence")
    )


def test_adapters_train_on_sets_a_task_a_batch(library: Path, tmp_path: Path) -> None:
    start = run_recipe(library / "sets.toml", output_folder=tmp_path / "start", overrides=["steps=1"])
    content = (library / "sets.toml").read_text()
    head, tables = content[: content.index("[data]")], content[content.index("[data]") :]
    kept = [line for line in head.splitlines() if line.startswith(("seed", "steps", "log", "valid", "check"))]
    first = ['phase = "adapters"', 'name = "adapted"', f'bundle = "{start}"', *kept]
    names = 'adapters = ["low_light", "haze", "rain", "noise"]'
    extended = names.replace("]", ', "jpeg"]')
    tables = tables.replace('[weighting]\nname = "art"\n', "")
    recipe = library / "adapters.toml"
    recipe.write_text("\n".join([*first, names, "adapter_options = { rank = 2 }", tables]))
    with pytest.raises(RecipeError, match="no adapter is trained on task 'compressed' .jpeg."):
        run_recipe(recipe, output_folder=tmp_path / "other")
    recipe.write_text(recipe.read_text().replace(names, extended))
    bundle = load_bundle(str(run_recipe(recipe, output_folder=tmp_path / "adapted")))
    assert sorted(bundle.adapters) == ["haze", "jpeg", "low_light", "noise", "rain"]
    trained = bundle.info.model_dump()["training"]
    figures = trained["adapter low_light"]["validation_psnr"]
    assert set(figures) == {"before", "after"}
    # No held-out set shows rain.
    assert trained["adapter rain"]["validation_psnr"] == {}
    lines = [json.loads(line) for line in (tmp_path / "adapted" / "log.jsonl").read_text().splitlines()]
    drawn = [set(line["losses"]) for line in lines if line["event"] == "losses"]
    assert all(len(tasks) == 1 for tasks in drawn)
    assert len(set.union(*drawn)) > 2
    recipe.write_text(recipe.read_text().replace('"noise"', '"snow"'))
    with pytest.raises(RecipeError, match="no set has samples for adapter 'snow'"):
        run_recipe(recipe, output_folder=tmp_path / "other")
