"""The tables of a recipe that say where images come from and how they are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polyrestore.data.sampling import Sampler


class Strict(BaseModel):
    """A table of a recipe: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SetTable(Strict):
    """A set of images, ``[[data.sets]]`` or ``[[data.validation_sets]]``.

    Attributes:
        folder: where the set lies.
        shards: instead of the folder, a folder of tar shards or a pattern such as "shards/*.tar".
        layout: how it is laid out, see :data:`polyrestore.data.LAYOUTS`; "auto" to look.
        split: "train", "validation", "test" or "all"; where it is not given, the split that fits.
        tasks: which of the set's tasks to use; all when empty.
        task: what to call the task, for sets that do not say or to choose another name.
        degradations: the degradations that act in the task, where neither the set nor the task's name tells.
        severity: range of the synthetic severities, for clean photographs.
        sigma_255: strength of Gaussian noise as the published comparisons add it, for clean photographs.
        share: how much one of these samples counts against one of another set.
        zoom_out: largest reduction of an image before a patch is cut.
    """

    folder: Path | None = None
    shards: Path | None = None
    layout: str = "auto"
    split: str = ""
    tasks: tuple[str, ...] = ()
    task: str = ""
    degradations: tuple[str, ...] = ()
    severity: tuple[float, float] | None = None
    sigma_255: float | None = Field(None, gt=0)
    share: float = Field(1.0, gt=0)
    zoom_out: float = Field(1.0, ge=1, le=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.folder is None) == (self.shards is None):
            raise ValueError("a set has either a folder or shards")
        if self.severity is not None and self.sigma_255 is not None:
            raise ValueError("a set has either severity or sigma_255")
        if self.severity is not None and not 0 <= self.severity[0] <= self.severity[1] <= 1:
            raise ValueError(f"severity = {list(self.severity)} must be two values in [0, 1], in order")
        if self.sigma_255 is not None and self.degradations not in ((), ("noise",)):
            raise ValueError("sigma_255 makes noise and nothing else; leave degradations out")
        return self

    @property
    def place(self) -> Path:
        """The folder or the shards."""
        place = self.folder if self.shards is None else self.shards
        assert place is not None
        return place


class DataTable(Strict):
    """Where the images are; relative paths start at the recipe's folder.

    Samples come from ``clean`` (with ``pairs`` and ``bursts``), which are held in memory, or from ``sets``,
    which are read when they are needed.

    Attributes:
        provenance: one line per source, what its images are and under which licence, for the model card.
        clean: folders of clean photographs.
        validation: folder of clean photographs that are held back.
        pairs: by task, folders with ``input`` and ``target``.
        aligned: tasks whose pairs are shifted onto their targets first, for data sets whose targets are not
            the frame that the inputs show.
        bursts: by task, folders of frames to average.
        validation_pairs: by task, folders with ``input`` and ``target`` that are held back; they take the
            place of what is synthesised on ``validation``, and a task that cannot be synthesised needs them.
        pair_share: probability that a sample of a task with pairs is a real one; 1 for a task that cannot be
            synthesised.
        pair_stops: inputs of pairs for ``low_light`` are exposed up to so many stops more or less.
        patch_px: side of the training patches.
        zoom_out: largest reduction of a photograph before a patch is cut.
        zoom_in: largest enlargement of a clean photograph before it is damaged.
        vary_light: share of the clean patches whose light, contrast and colours are varied.
        stars: share of the clean patches that become starry skies or get points of light.
        stored: share of the patches that are stored as JPEG of a quality of 85 to 96, as photographs are.
        narrow: share of the samples with noise alone, or nothing wrong, that use a part of the range only.
        batch_size: samples per batch and process.
        workers: processes that make batches while the network trains; they are the same for any number.
        sets: sets of images on disk, by task.
        validation_sets: sets that are held back; the figures are given by task.
        sampler: how often each task comes: "task_shares" as ``synthesis.task_shares`` says, "balanced" all
            alike in every batch, "proportional" by its number of samples.
        cache_mb: how much of the sets is kept in memory, in megabytes of pixels.
        validation_crop_px: side of the square in the middle of each validation image; 0 for whole images.
        validation_images: images per task and validation, spread over the set; 0 for all.
        held_back: for the phase "encoder", folders of clean photographs of which every sixteenth is validated
            on, while the others are trained on.
        labelled: for the same, folders with a ``labels.csv``, see :mod:`polyrestore.data.labelled`.
        validation_labelled: such folders that are held back.
        check_duplicates: stop when a training image shows what a validation image shows.
    """

    provenance: tuple[str, ...] = ()
    clean: tuple[Path, ...] = ()
    validation: Path | None = None
    pairs: dict[str, tuple[Path, ...]] = {}
    bursts: dict[str, tuple[Path, ...]] = {}
    validation_pairs: dict[str, tuple[Path, ...]] = {}
    aligned: tuple[str, ...] = ()
    pair_share: float = Field(0.5, ge=0, le=1)
    pair_stops: float = Field(0.0, ge=0, le=4)
    patch_px: int = Field(96, ge=16)
    zoom_out: float = Field(3.0, ge=1, le=64)
    zoom_in: float = Field(1.0, ge=1, le=64)
    vary_light: float = Field(0.0, ge=0, le=1)
    stars: float = Field(0.0, ge=0, le=1)
    stored: float = Field(0.0, ge=0, le=1)
    narrow: float = Field(0.0, ge=0, le=1)
    batch_size: int = Field(16, ge=1)
    workers: int = Field(0, ge=0, le=1024)
    sets: tuple[SetTable, ...] = ()
    validation_sets: tuple[SetTable, ...] = ()
    sampler: Sampler = "task_shares"
    cache_mb: int = Field(2048, ge=0)
    validation_crop_px: int = Field(160, ge=0)
    validation_images: int = Field(12, ge=0)
    held_back: tuple[Path, ...] = ()
    labelled: tuple[Path, ...] = ()
    validation_labelled: tuple[Path, ...] = ()
    check_duplicates: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.clean) == bool(self.sets):
            raise ValueError("images come from either data.clean or [[data.sets]]; give one of them")
        if self.sets and (self.pairs or self.bursts or self.aligned or self.validation_pairs):
            raise ValueError(
                "data.pairs, bursts, aligned and validation_pairs go with data.clean; name pairs in "
                "[[data.sets]] and [[data.validation_sets]]"
            )
        if self.clean and self.validation_sets:
            raise ValueError("[[data.validation_sets]] go with [[data.sets]]; data.clean has data.validation")
        if self.validation is None and not (self.validation_sets or self.validation_pairs):
            raise ValueError(
                "nothing to validate on; give data.validation"
                + (" or [[data.validation_sets]]" if self.sets else "")
            )
        return self


class SynthesisTable(Strict):
    """How samples are damaged; see :class:`polyrestore.data.Synthesis`.

    Attributes:
        tasks: the degradations to train a backbone on; all that can be synthesised where they are left out.
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    mixture_share: float = Field(0.35, ge=0, le=1)
    region_share: float = Field(0.1, ge=0, le=1)
    clean_share: float = Field(0.0, ge=0, le=1)
    severity: tuple[float, float] = (0.02, 1.0)
    task_shares: dict[str, Annotated[float, Field(gt=0)]] = {}


def resolve(data: DataTable, folder: Path) -> DataTable:
    """Make the paths of a recipe relative to the folder it lies in."""

    def place(table: SetTable) -> SetTable:
        key = "folder" if table.shards is None else "shards"
        return table.model_copy(update={key: folder / table.place})

    def by_task(table: dict[str, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
        return {name: tuple(folder / path for path in paths) for name, paths in table.items()}

    return data.model_copy(
        update={
            "clean": tuple(folder / path for path in data.clean),
            "held_back": tuple(folder / path for path in data.held_back),
            "labelled": tuple(folder / path for path in data.labelled),
            "validation_labelled": tuple(folder / path for path in data.validation_labelled),
            "validation": None if data.validation is None else folder / data.validation,
            **{key: by_task(getattr(data, key)) for key in ("pairs", "bursts", "validation_pairs")},
            "sets": tuple(place(table) for table in data.sets),
            "validation_sets": tuple(place(table) for table in data.validation_sets),
        }
    )
