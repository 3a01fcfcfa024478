"""Typed training descriptions: what the recipes of each phase may say."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from polyrestore.bundles.manifest import Name
from polyrestore.data import MixtureWeights
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError
from polyrestore.training.recipes.data_table import DataTable, Strict, SynthesisTable
from polyrestore.training.recipes.precision import Precision
from polyrestore.training.weighting.registry import check_weighting

_Beta = Annotated[float, Field(ge=0, lt=1)]


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
    betas: tuple[_Beta, _Beta] = (0.9, 0.99)
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
        phase: which training it is, a name in :data:`polyrestore.training.phases.registry.PHASES`.
        name: of the run and of its bundle; letters, digits, ``_`` and ``-``.
        precision: "bf16" and "fp16" train in mixed precision, "no" in float32; "auto" is "bf16" only where
            the hardware has it, since elsewhere it is many times slower. Decided once, printed and logged.
        loss: per pixel, between the restored and the clean image; "smooth_l1" is quadratic below 1;
            "l1+structure" adds what SSIM says at three scales, for the eye rather than the PSNR.
        minutes: end after that much training, also where ``steps`` are left; the learning rate then follows
            the clock. 0 for no limit. Two such runs are not alike, since machines are not equally fast.
        tensorboard: also log for TensorBoard, in the output folder.
    """

    bundle_fields: ClassVar[tuple[str, ...]] = ()

    phase: str
    name: Name
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int = Field(ge=1, le=10**9)
    minutes: float = Field(0.0, ge=0, le=10**6)
    precision: Precision = "auto"
    data: DataTable
    synthesis: SynthesisTable = SynthesisTable()
    optimiser: OptimiserTable = OptimiserTable()
    loss: Literal["l1", "mse", "smooth_l1", "charbonnier", "l1+structure"] = "l1"
    tensorboard: bool = False
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    checkpoint_every: int = Field(500, ge=1)

    def check(self) -> None:
        """Refuse what only the registries can tell is wrong; phases add what is theirs.

        Raises:
            PolyrestoreError: a name is unknown, or an option is out of its bounds.
        """

    def choose(self) -> dict[str, Any]:
        """Return the fields that the registries decide where the recipe leaves them open.

        They are written into the recipe when it is read, so that a run does not go on with other ones when
        there is more in a registry.
        """
        return {}


def _choose_tasks(recipe: Recipe) -> dict[str, Any]:
    if recipe.data.sets or recipe.synthesis.tasks:
        return {}
    return {"synthesis": recipe.synthesis.model_copy(update={"tasks": tuple(DEGRADATIONS)})}


class BackboneRecipe(Recipe):
    """A phase that trains a backbone as a whole.

    Attributes:
        backbone: registry name.
        backbone_options: its options.
        start_from: bundle whose backbone to start from; a new one when empty.
        licence: SPDX identifier of the weights' licence.
    """

    bundle_fields = ("start_from",)

    backbone: str
    backbone_options: dict[str, Any] = {}
    start_from: str = ""
    licence: str = "Apache-2.0"


class PretrainingRecipe(BackboneRecipe):
    """Phase 1: the backbone learns every degradation from synthetic data.

    Attributes:
        joint_rank: rank of a LoRA per degradation on the layers that read the global context, trained along
            with the backbone; 0 for none. A dark patch may be a night scene or an underexposure: told which,
            the backbone need not guess, and what it learns for one degradation does not blur the others.
        weighting: how to balance the degradations.
        contrast: train by contrast as well.
    """

    phase: Literal["pretraining"]
    backbone: str = "compact"
    joint_rank: int = Field(0, ge=0)
    weighting: WeightingTable = WeightingTable()
    contrast: ContrastTable | None = None

    def check(self) -> None:
        """Refuse a strategy that is unknown, and options that it does not take.

        Raises:
            UnknownNameError: no strategy has this name.
            RecipeError: an option is unknown or out of its bounds.
        """
        check_weighting(self.weighting.name, self.weighting.options)

    def choose(self) -> dict[str, Any]:
        """Return the tasks where nothing names them: all degradations that can be synthesised."""
        return _choose_tasks(self)


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

    bundle_fields = ("bundle",)

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
    """A recogniser trained as a whole, and the prototypes of a bundle's adapters.

    Attributes:
        bundle: name of a shipped bundle or, with a slash in it, a folder relative to the recipe.
        recogniser: its kind, of :data:`polyrestore.recognition.RECOGNISERS`.
        recogniser_options: its options.
    """

    bundle_fields = ("bundle",)

    phase: Literal["recogniser"]
    bundle: str
    recogniser: str = "network"
    recogniser_options: dict[str, Any] = {}


class FitTable(Strict):
    """How small networks are fitted to features; see :class:`polyrestore.training.recognition.fitting.Fit`.

    Attributes:
        epochs: how often every sample is seen.
        dropout: share of the features and of the hidden units that are left out.
        real_share: how much a sample of a labelled photograph counts compared with the others.
        severity_share: how much the error of the severities counts.
    """

    epochs: int = Field(16, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    real_share: float = Field(1.5, gt=0)
    severity_share: float = Field(2.0, ge=0)


class SamplesRecipe(Recipe):
    """What the recipes for a recogniser on a pre-trained trunk share: the samples that it learns from.

    Of ``data``, the pairs of ``noise`` give camera noise, those of ``low_light`` and ``motion_blur`` give
    their inputs, and the bursts of ``motion_blur`` their means; the pairs of any other degradation give both
    of their images. ``synthesis.tasks`` are what is drawn.

    Attributes:
        bundle: name of a shipped bundle or, with a slash in it, a folder relative to the recipe.
        fit: of the small networks.
    """

    bundle_fields: ClassVar[tuple[str, ...]] = ("bundle",)

    bundle: str
    fit: FitTable = FitTable()

    def choose(self) -> dict[str, Any]:
        """Return the tasks where nothing names them: all degradations that can be synthesised."""
        return _choose_tasks(self)


class EncoderRecipe(SamplesRecipe):
    """A recogniser on a frozen trunk: features of many samples once, then small networks on them.

    ``steps`` is the number of samples.

    Attributes:
        pretrained: file of EfficientNet-Lite0's published weights, with a slash in it; without one, the trunk
            of the bundle's own recogniser.
        recogniser_options: members, hidden, dimension and taps.
    """

    bundle_fields = ("bundle", "pretrained")

    phase: Literal["encoder"]
    pretrained: str = ""
    recogniser_options: dict[str, Any] = {}

    def check(self) -> None:
        """Refuse a limit in minutes: what is trained here is small, and its features are made first.

        Raises:
            RecipeError: the recipe has one.
        """
        super().check()
        if self.minutes:
            raise RecipeError('minutes are not for phase "encoder"; lower steps')


class TrunkRecipe(SamplesRecipe):
    """The trunk of a bundle's recogniser learns as well, along with its small networks and the prototypes.

    After few steps, what is fitted to it anew by phase "encoder" is better than what has learned along.
    """

    phase: Literal["trunk"]


class VeilRecipe(Recipe):
    """A network learns to see haze: its bundle gains what takes a veil off, and an adapter that asks for it.

    Of ``data``, the clean photographs, ``vary_light`` and the size of the batches count, of ``synthesis`` the
    severity.

    Attributes:
        bundle: name of a shipped bundle or, with a slash in it, a folder relative to the recipe.
        width: of the estimator, see :class:`polyrestore.backbones.veil.VeilEstimator`.
        adapter: the one that opens the gate; it is made where the bundle has none of this name.
    """

    bundle_fields = ("bundle",)

    phase: Literal["veil"]
    bundle: str
    width: int = Field(16, ge=1, le=128)
    adapter: Name = "haze"
