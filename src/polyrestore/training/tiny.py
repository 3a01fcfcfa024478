"""A recipe in small: generated images, a tiny network and a few steps, to see in seconds that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image as PillowImage
from torch import Generator, Tensor

from polyrestore.data.labelled import LABELS_FILE
from polyrestore.degradations import DEGRADATIONS, degrade
from polyrestore.degradations.base import pixel_grid, smooth_field
from polyrestore.errors import RecipeError
from polyrestore.files import atomic_path, write_text
from polyrestore.training.phases.registry import PHASES
from polyrestore.training.recipes.data_table import DataTable, SetTable
from polyrestore.training.recipes.recipe import Recipe

STEPS = 4
PATCH_PX = 32
IMAGE_PX = (72, 80)
IMAGES = 3


def tiny_recipe(recipe: Recipe, folder: Path) -> Recipe:
    """Return a small version of a recipe whose images lie in a folder, after making them there.

    Everything that the recipe chooses stays, but for sizes and numbers of steps: phase, network, tasks,
    sampler, strategy, optimiser, schedule.

    Args:
        recipe: any recipe; the folders that it names need not exist.
        folder: where images, and a bundle if the recipe starts from one, are written.

    Raises:
        RecipeError: a set does not say which tasks it holds, which only its folder could tell.
    """
    changes: dict[str, Any] = {
        "steps": min(recipe.steps, STEPS),
        "minutes": 0.0,
        "log_every": 1,
        "validate_every": STEPS,
        "checkpoint_every": 2,
        "data": _Images(folder).table(recipe.data),
        "optimiser": recipe.optimiser.model_copy(update={"warmup_steps": 1}),
    }
    changes |= PHASES[recipe.phase].shrink(recipe, folder)
    return recipe.model_copy(update=changes)


def generated_photograph(seed: int, size: tuple[int, int] = IMAGE_PX) -> Tensor:
    """Draw discs over a smooth background: (3, H, W), RGB in [0, 1]."""
    generator = Generator().manual_seed(seed)
    image = torch.cat([smooth_field(generator, 1, size, 4) for _ in range(3)], 1)
    rows, columns = pixel_grid(size)
    for _ in range(8):
        row, column, radius = (torch.rand(3, generator=generator) * min(size)).tolist()
        colour = torch.rand((1, 3, 1, 1), generator=generator)
        inside = (rows - row).square() + (columns - column).square() < (2 + radius / 4) ** 2
        image = torch.where(inside, colour, image)
    return image[0]


class _Images:
    """Generates the images that a recipe's data table asks for, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drawn = 0

    def table(self, data: DataTable) -> DataTable:
        """Return the table with generated images in place of everything that it names."""
        changes: dict[str, Any] = {"patch_px": PATCH_PX, "batch_size": min(data.batch_size, STEPS)}
        # Generated images are few and plain: likeness among them says nothing.
        changes["check_duplicates"] = False
        if data.clean:
            changes["clean"] = (self._photographs("clean"),)
        if data.validation is not None:
            changes["validation"] = self._photographs("validation")
        for key in ("pairs", "validation_pairs"):
            changes[key] = {name: (self._pairs(f"{key}/{name}", (name,)),) for name in getattr(data, key)}
        changes["bursts"] = {name: (self._photographs(f"bursts/{name}", "burst_"),) for name in data.bursts}
        changes["held_back"] = (self._photographs("held_back"),) if data.held_back else ()
        for key in ("labelled", "validation_labelled"):
            changes[key] = (self._labelled(key),) if getattr(data, key) else ()
        for key in ("sets", "validation_sets"):
            changes[key] = tuple(part for table in getattr(data, key) for part in self._parts(key, table))
        return data.model_copy(update=changes)

    def _parts(self, key: str, table: SetTable) -> list[SetTable]:
        place = f"{key}-{self._drawn}"
        if table.severity is not None or table.sigma_255 is not None:
            changes = {"folder": self._photographs(place), "shards": None, "layout": "clean", "split": ""}
            return [table.model_copy(update=changes)]
        names = (table.task,) if table.task else table.tasks
        if not names:
            raise RecipeError(f"--tiny needs the tasks of the set {table.place}: give them as tasks = [...]")
        return [
            SetTable(
                folder=self._pairs(f"{place}/{name}", table.degradations or tuple(name.split("+"))),
                layout="pairs",
                task=name,
                degradations=table.degradations,
                share=table.share,
                zoom_out=table.zoom_out,
            )
            for name in names
        ]

    def _labelled(self, place: str) -> Path:
        folder = self._photographs(place)
        rows = [
            "file,labels,strength,kind",
            "0.png,clean,none,texture",
            "1.png,haze,clear,",
            "2.png,rain,faint,",
        ]
        write_text(folder / LABELS_FILE, "\n".join(rows) + "\n")
        return folder

    def _photographs(self, place: str, prefix: str = "") -> Path:
        for index in range(IMAGES):
            _write(self.folder / place / f"{prefix}{index}.png", self._draw())
        return self.folder / place

    def _pairs(self, place: str, composition: tuple[str, ...]) -> Path:
        generator = Generator().manual_seed(self._drawn)
        # What cannot be synthesised looks like something else in small.
        acting = [name if name in DEGRADATIONS else "noise" for name in composition]
        for index in range(IMAGES):
            clean = self._draw()
            damaged = degrade(clean[None], dict.fromkeys(acting, 0.4), generator)[0]
            _write(self.folder / place / "target" / f"{index}.png", clean)
            _write(self.folder / place / "input" / f"{index}.png", damaged)
        return self.folder / place

    def _draw(self) -> Tensor:
        self._drawn += 1
        return generated_photograph(self._drawn)


def _write(path: Path, image: Tensor) -> None:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        PillowImage.fromarray(pixels).save(temporary, "PNG")
