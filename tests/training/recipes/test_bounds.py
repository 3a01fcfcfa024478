from pathlib import Path

import pytest

from polyrestore.errors import DeviceMemoryError, NotationError, RecipeError
from polyrestore.training.reading import load_recipe
from polyrestore.training.run import run_recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('name="night rain"', "name = 'night rain': letters, digits, _ and - only"),
        ('name=""', "name = ''"),
        ("seed=99999999999999999999999", "seed"),
        ("seed=-1", "seed"),
        ("steps=0", "steps"),
        ("synthesis.tasks=[]", "synthesis.tasks"),
        ("optimiser.learning_rate=nan", "optimiser.learning_rate"),
        ("optimiser.learning_rate=inf", "optimiser.learning_rate"),
        ("optimiser.betas=[0.9, 1.0]", "optimiser.betas.1"),
        ("data.patch_px=0", "data.patch_px"),
        ("data.batch_size=-4", "data.batch_size"),
        ("data.zoom_out=1e9", "data.zoom_out"),
        ("weighting.options={ temperature = nan }", "weighting.options"),
        ("steps=" + "[" * 5000, "nested too deeply"),
    ],
)
def test_values_outside_their_bounds_are_refused_in_one_short_line(
    workshop: Path, change: str, message: str
) -> None:
    with pytest.raises((RecipeError, NotationError)) as caught:
        load_recipe(workshop / "pretraining.toml", [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_deeply_nested_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 20000 + "]" * 20000)
    with pytest.raises(RecipeError, match="nested too deeply"):
        load_recipe(path)


@pytest.mark.parametrize("change", ["data.batch_size=100000000", "data.patch_px=1000000"])
def test_batches_beyond_the_memory_are_refused_before_anything_is_read(
    workshop: Path, change: str, tmp_path: Path
) -> None:
    with pytest.raises(DeviceMemoryError, match="of memory for a batch"):
        run_recipe(
            workshop / "pretraining.toml",
            output_folder=tmp_path / "out",
            overrides=[change, "data.clean=['nowhere']"],
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", ["{ temperature = -1 }", "{ average_rate = 2.0 }", "{ tempo = 1 }"])
def test_options_of_a_strategy_are_refused_before_anything_is_read(
    workshop: Path, options: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="weighting"):
        run_recipe(
            workshop / "pretraining.toml",
            output_folder=tmp_path / "out",
            overrides=['weighting.name="art"', f"weighting.options={options}", "data.clean=['nowhere']"],
        )
