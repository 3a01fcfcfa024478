"""Typed training descriptions in TOML; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from polyrestore.data import MixtureWeights
from polyrestore.errors import RecipeError, nearest_names
from polyrestore.training.recipes.data_table import DataTable, Strict, SynthesisTable, resolve
from polyrestore.training.recipes.precision import Precision


class OptimiserTable(Strict):
    """The optimiser, and how its learning rate changes after a linear warm-up.

    Attributes:
        name: "adamw" or "muon"; "adamw" without weight decay is Adam.
        matrix_ratio: Muon's learning rate for matrices divided by ``learning_rate``.
        precision: in which Muon makes matrices orthogonal: "bf16", "no" for float32, or "auto", which is
            "bf16" only where the hardware has it.
        schedule: "cosine" or "linear" down to ``final_share``; "constant"; "steps" multiplies by ``decay`` at
            each of the ``milestones``; "cycles" takes them for the lengths of cycles, the first one flat and
            each later one a cosine.
        final_share: the lowest share of the learning rate.
        clip_norm: largest norm of the gradient; 0 does not clip.
        ema_decay: of the moving average of the parameters, which is what is kept; 0 keeps the last ones.
        accumulation: batches per optimiser step; a strategy weights each of them by itself.
    """

    name: Literal["adamw", "muon"] = "adamw"
    matrix_ratio: float = Field(3.0, gt=0)
    precision: Literal["auto", "no", "bf16"] = "auto"
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["cosine", "linear", "constant", "steps", "cycles"] = "cosine"
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    decay: float = Field(0.5, gt=0, le=1)
    final_share: float = Field(0.02, ge=0, le=1)
    warmup_steps: int = Field(200, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(0.5, ge=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    accumulation: int = Field(1, ge=1)


class WeightingTable(Strict):
    """The strategy that balances the tasks; uniform weights are hard to beat without knowing more."""

    name: str = "uniform"
    options: dict[str, float] = {}


class ContrastTable(Strict):
    """Training by contrast, for backbones that have it (AirNet).

    Attributes:
        encoder_steps: steps in which the encoder is trained alone, before the others.
        encoder_learning_rate: of those steps; the optimiser's when 0.
        encoder_milestones: steps at which it is divided by ten.
        share: how much the contrastive loss counts beside the pixel loss.
        crop_px: two crops of this size are cut from every patch; the whole patch twice when 0.
    """

    encoder_steps: int = Field(0, ge=0)
    encoder_learning_rate: float = Field(0.0, ge=0)
    encoder_milestones: tuple[Annotated[int, Field(ge=1)], ...] = ()
    share: float = Field(0.1, ge=0)
    crop_px: int = Field(0, ge=0)


class Recipe(Strict):
    """What every phase needs.

    Attributes:
        precision: "bf16" and "fp16" train in mixed precision, "no" in float32; "auto" is "bf16" only where
            the hardware has it, since elsewhere it is many times slower. Decided once, printed and logged.
        loss: per pixel, between the restored and the clean image; "smooth_l1" is quadratic below 1;
            "l1+structure" adds what SSIM says at three scales, for the eye rather than the PSNR.
        tensorboard: also log for TensorBoard, in the output folder.
    """

    name: str
    seed: int = 0
    steps: int = Field(ge=1)
    precision: Precision = "auto"
    data: DataTable
    synthesis: SynthesisTable = SynthesisTable()
    optimiser: OptimiserTable = OptimiserTable()
    loss: Literal["l1", "mse", "smooth_l1", "charbonnier", "l1+structure"] = "l1"
    tensorboard: bool = False
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    checkpoint_every: int = Field(500, ge=1)


class BackboneRecipe(Recipe):
    """A phase that trains a backbone as a whole.

    Attributes:
        backbone: registry name.
        backbone_options: its options.
        start_from: bundle whose backbone to start from; a new one when empty.
        licence: SPDX identifier of the weights' licence.
    """

    phase: Literal["pretraining", "generative"]
    backbone: str
    backbone_options: dict[str, Any] = {}
    start_from: str = ""
    licence: str = "Apache-2.0"


class PretrainingRecipe(BackboneRecipe):
    """Phase 1: the backbone learns every degradation from synthetic data.

    Attributes:
        routed_rank: rank of a LoRA per degradation on the layers that read the global context, trained along
            with the backbone; 0 for none. A dark patch may be a night scene or an underexposure: told which,
            the backbone need not guess, and what it learns for one degradation does not blur the others.
        weighting: how to balance the degradations.
        contrast: train by contrast as well.
    """

    phase: Literal["pretraining"]
    backbone: str = "compact"
    routed_rank: int = Field(0, ge=0)
    weighting: WeightingTable = WeightingTable()
    contrast: ContrastTable | None = None


class GenerativeRecipe(BackboneRecipe):
    """Generative pre-training by flow matching, on clean photographs alone.

    Attributes:
        backbone: registry name of a network that generates.
        time_centre: the times on the path from noise (0) to image (1) are drawn from a logit-normal
            distribution (Esser et al., ICML 2024, arXiv 2403.03206); this is the mean of log(t / (1 - t)).
        time_spread: its standard deviation.
    """

    phase: Literal["generative"]
    backbone: str = "flow"
    time_centre: float = 0.0
    time_spread: float = Field(1.0, gt=0)
    loss: Literal["l1", "mse", "smooth_l1", "charbonnier"] = "mse"


class AdapterRecipe(Recipe):
    """Phase 2: one adapter per degradation on the frozen backbone of a bundle.

    In ``synthesis``, ``task_shares`` are the shares of the steps, and ``mixture_share`` is how often a second
    adapter acts together with the first, and a third with the second; 0 trains each adapter alone.

    Attributes:
        bundle: name of a shipped bundle or, with a slash in it, a folder relative to the recipe.
        backbone: if given, the one that the bundle must hold.
        adapters: the degradations to train adapters for.
        kind: of the adapters.
        adapter_options: of the adapters' configuration.
        options_for: by adapter, what differs from ``adapter_options``.
        mixture_weights: "mean" or "full", see :class:`polyrestore.data.OneCompositionSource`; composed
            later, the weights must be normalised likewise.
        bystander_share: how often an adapter acts whose degradation is not there.
    """

    phase: Literal["adapters"]
    bundle: str
    backbone: str = ""
    adapters: tuple[str, ...] = Field(min_length=1)
    kind: str = "lora"
    adapter_options: dict[str, Any] = {}
    options_for: dict[str, dict[str, Any]] = {}
    mixture_weights: MixtureWeights = "mean"
    bystander_share: float = Field(0.0, ge=0, le=1)


class RecogniserRecipe(Recipe):
    """The recogniser and the prototypes of a bundle's adapters."""

    phase: Literal["recogniser"]
    bundle: str
    recogniser_options: dict[str, Any] = {}


AnyRecipe = PretrainingRecipe | GenerativeRecipe | AdapterRecipe | RecogniserRecipe
_ADAPTER: TypeAdapter[AnyRecipe] = TypeAdapter(Annotated[AnyRecipe, Field(discriminator="phase")])
_PHASES: dict[str, type[Recipe]] = {
    "pretraining": PretrainingRecipe,
    "generative": GenerativeRecipe,
    "adapters": AdapterRecipe,
    "recogniser": RecogniserRecipe,
}


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe and apply overrides such as ``optimiser.learning_rate=1e-4``.

    A recipe that says ``base = "other.toml"`` changes the one beside it, table by table; several bases are
    laid over each other in order, and may be parts that are no recipes by themselves.

    Raises:
        RecipeError: the file is missing or no TOML, a key is unknown, or a value does not fit.
    """
    content = _read(path)
    for override in overrides:
        _apply_override(content, override)
    try:
        recipe = _ADAPTER.validate_python(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_explain(error, content)}") from error
    changes: dict[str, Any] = {"data": resolve(recipe.data, path.parent)}
    source = "start_from" if isinstance(recipe, BackboneRecipe) else "bundle"
    if "/" in getattr(recipe, source):
        changes[source] = str(path.parent / getattr(recipe, source))
    return recipe.model_copy(update=changes)


def _read(path: Path, readers: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe's tables, on top of those of its bases."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"cannot read the recipe {path}: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error
    if "base" not in content:
        return content
    named = content.pop("base")
    whole: dict[str, Any] = {}
    for base in named if isinstance(named, list) else [named]:
        # In one folder, relative paths mean the same in both.
        if not isinstance(base, str) or Path(base).name != base:
            raise RecipeError(f"{path}: base must name a recipe in the same folder, not {base!r}")
        if path in readers:
            raise RecipeError(f"{path}: its base leads back to itself")
        whole = _merged(whole, _read(path.parent / base, (*readers, path)))
    return _merged(whole, content)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Put changes over a base, table by table."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"override {override!r} is not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise RecipeError(f"override {override!r}: {table!r} is not a table")
    content[last] = value


def _explain(error: ValidationError, content: dict[str, Any]) -> str:
    """Put the first problem of a validation error into one line."""
    first = error.errors()[0]
    phase = str(content.get("phase", ""))
    location = [str(part) for part in first["loc"] if str(part) != phase]
    where = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}; {nearest_names(location[-1], _known_keys(phase, location[:-1]))}"
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"phase must be one of {', '.join(_PHASES)}, not {content.get('phase')!r}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing"
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}"
    return f"{where} = {first['input']!r}: {first['msg']}"


def _known_keys(phase: str, tables: Sequence[str]) -> list[str]:
    model: type[BaseModel] = _PHASES.get(phase, Recipe)
    for table in tables:
        if table not in model.model_fields:
            continue
        inner = _table_in(model.model_fields[table].annotation)
        if inner is None:
            break
        model = inner
    return list(model.model_fields)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation such as ``Table | None`` or ``tuple[Table, ...]`` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
