"""Train the recogniser on a pre-trained trunk, make the prototypes, and choose when an adapter acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyrestore.backbones import BACKBONES, build_backbone
from polyrestore.bundles import Bundle, load_bundle
from polyrestore.data.images import image_paths, pair_paths
from polyrestore.data.labelled import read_labelled
from polyrestore.degradations import DEGRADATIONS
from polyrestore.errors import RecipeError, RecognitionError, StoppedError
from polyrestore.recognition import CLEAN, RecognitionSettings, build_recogniser
from polyrestore.recognition.encoder import EncoderRecogniser
from polyrestore.recognition.encoder.trunk import fold_published_weights
from polyrestore.storage.foreign import read_checkpoint
from polyrestore.training.loop.control import RunControl
from polyrestore.training.loop.events import Advanced, Started, Validated
from polyrestore.training.loop.log import RunLog
from polyrestore.training.phases.base import Phase
from polyrestore.training.phases.export import extended_info, save_trained, training_record
from polyrestore.training.recipes.names import check_trained
from polyrestore.training.recipes.recipe import EncoderRecipe, SamplesRecipe
from polyrestore.training.recognition.features import FeatureSet, extract_features, features_of
from polyrestore.training.recognition.fitting import TEMPERATURE, Fit, fit_members
from polyrestore.training.recognition.samples import Sample, SampleSource, folder_bursts
from polyrestore.training.recognition.thresholds import choose_thresholds, choose_thresholds_beside
from polyrestore.training.recognition.validation import found_and_false, validation_samples

_TINY_OPTIONS: dict[str, Any] = {"taps": [0, 1], "members": 2, "hidden": 8, "dimension": 4}
_HELD_BACK_EVERY = 16
# Their pairs are not labelled by their folder alone.
_PAIRS_OF_THEIR_OWN = ("noise", "low_light", "motion_blur")
# Each adapter has a threshold of its own, so that nothing else needs to hold all of them back.
NO_CLEAN_THRESHOLD = 1.01


def train_encoder(recipe: EncoderRecipe, control: RunControl) -> Path:
    """Train a recogniser for the adapters of a bundle and return the bundle that has it.

    Features that an earlier run has left in the folder are used again.

    Raises:
        UnknownNameError: an adapter's degradation can neither be synthesised nor has pairs in the recipe.
        RecipeError: one that cannot be synthesised has no pairs to be validated on, or there is no trunk.
        DataError: photographs or labels are missing.
        TrainingError: a loss is not finite, or the folder holds another run.
        StoppedError: the control said so.
    """
    bundle = load_bundle(recipe.bundle)
    # Asked about besides the adapters: what they must not be taken for.
    asked = asked_names(recipe, bundle)
    check_trained(recipe, asked)
    names = tuple(name for name in asked if not bundle.adapters or name in bundle.adapters)
    graded = tuple(name for name in names if name in DEGRADATIONS)
    recogniser = EncoderRecogniser(graded, **recipe.recogniser_options).eval()
    fill_trunk(recogniser, recipe, bundle)
    log = RunLog(control.folder, enabled=True, first_step=0, tensorboard=recipe.tensorboard)
    summary = f"features of {recipe.steps} samples, then {recipe.fit.epochs} epochs on them"
    control.on_event(Started(recipe.name, 0, recipe.steps, summary))

    def tell(done: int) -> None:
        control.on_event(Advanced(done))
        if control.stop_when():
            raise StoppedError(f"stopped after {done} of {recipe.steps} samples; run it again to go on")

    made = sample_source(recipe, asked).sample
    found = extract_features(recogniser, asked, made, recipe.steps, control.folder / "features", tell)

    def note(epoch: int, loss: float) -> None:
        log.write(event="losses", step=epoch, losses={"mean": round(loss, 6)})

    prototypes = fit_members(recogniser, found, names, fit_of(recipe), recipe.seed, note)
    settings, figures = settle(recogniser, prototypes, held_out_samples(recipe, asked), names)
    log.write(event="validation", step=recipe.steps, **figures)
    control.on_event(Validated(recipe.steps, figures))
    record = training_record(recipe, {})
    record["validation"] = figures
    finished = replace(
        bundle,
        recogniser=recogniser,
        prototypes=prototypes,
        recognition_settings={**settings.to_dict(), **bundle.composing_settings(settings.activation)},
        info=extended_info(bundle.info, recipe, "recogniser", record),
    )
    return save_trained(control.folder / "bundle", finished)


@torch.inference_mode()
def settle(
    recogniser: EncoderRecogniser,
    prototypes: dict[str, Tensor],
    held_out: Iterator[Sample],
    names: Sequence[str],
) -> tuple[RecognitionSettings, dict[str, float]]:
    """Choose when each adapter acts, and say how often it then does, rightly and wrongly.

    Args:
        recogniser: as it was trained.
        prototypes: by name, "clean" among them.
        held_out: samples that it was not trained on.
        names: the degradations to choose for.

    Returns:
        the settings, and the shares of :func:`found_and_false`, where nothing else is plain.
    """
    found = features_of(recogniser, held_out)
    probabilities = probabilities_of(recogniser, prototypes, found, names)
    settings = chosen_settings(probabilities, found, names)
    least = torch.tensor([settings.minimum_shares[name] for name in names])
    return settings, found_and_false(probabilities >= least, found, names)


def fit_of(recipe: SamplesRecipe) -> Fit:
    """Return how a recipe's members are fitted."""
    return Fit(
        batch=recipe.data.batch_size,
        learning_rate=recipe.optimiser.learning_rate,
        weight_decay=recipe.optimiser.weight_decay,
        **recipe.fit.model_dump(),
    )


def fill_trunk(recogniser: EncoderRecogniser, recipe: EncoderRecipe, bundle: Bundle) -> None:
    """Give a recogniser the published trunk, or that of the bundle's own recogniser.

    Raises:
        RecipeError: there is neither, or it is another network's.
    """
    taps = recogniser.trunk.taps
    try:
        if recipe.pretrained:
            published = read_checkpoint(Path(recipe.pretrained)).tensors
            recogniser.trunk.load_state_dict(fold_published_weights(published, taps), strict=True)
        elif isinstance(bundle.recogniser, EncoderRecogniser) and bundle.recogniser.trunk.taps == taps:
            recogniser.trunk.load_state_dict(bundle.recogniser.trunk.state_dict(), strict=True)
        else:
            raise RecipeError(f"bundle {recipe.bundle!r} has no such trunk to start from; give pretrained")
    except (RecognitionError, RuntimeError) as error:
        raise RecipeError(f"{recipe.pretrained} cannot be the trunk: {error}") from error
    # Stored in float16: what is learned on its features must see those of the stored one.
    with torch.no_grad():
        for parameter in recogniser.trunk.parameters():
            parameter.copy_(parameter.half().float())


def asked_names(recipe: SamplesRecipe, bundle: Bundle) -> tuple[str, ...]:
    """Return the degradations that the training asks about: the recipe's tasks, then other adapters.

    Where the bundle has no adapters, what the recipe has pairs of takes their place.
    """
    tasks = recipe.synthesis.tasks or tuple(DEGRADATIONS)
    return tuple(dict.fromkeys((*tasks, *(sorted(bundle.adapters) or recipe.data.pairs))))


def sample_source(recipe: SamplesRecipe, asked: tuple[str, ...]) -> SampleSource:
    """Return what makes the training samples of a recipe.

    Args:
        recipe: names the files.
        asked: the degradations that are asked about.

    Raises:
        DataError: a folder is missing, or its images do not pair up.
    """
    data = recipe.data
    photographs = _listed(data.clean)
    for folder in data.held_back:
        paths = image_paths(folder)
        held = set(_held_back(paths))
        photographs += [path for path in paths if path not in held]
    others = {name: folders for name, folders in data.pairs.items() if name not in _PAIRS_OF_THEIR_OWN}
    return SampleSource(
        asked,
        recipe.seed,
        photographs,
        {folder.name: read_labelled(folder) for folder in data.labelled},
        noisy=_inputs(data.pairs.get("noise", ())),
        dark=_inputs(data.pairs.get("low_light", ())),
        blurred=_inputs(data.pairs.get("motion_blur", ())),
        bursts=[frames for folder in data.bursts.get("motion_blur", ()) for frames in folder_bursts(folder)],
        pairs=_pairs(others),
        task_shares=recipe.synthesis.task_shares,
    )


@torch.inference_mode()
def probabilities_of(
    recogniser: EncoderRecogniser, prototypes: dict[str, Tensor], found: FeatureSet, names: Sequence[str]
) -> Tensor:
    """Return how probable each degradation is in each sample, (M, K)."""
    embeddings = recogniser.embed_features(found.features)
    bank = torch.stack([prototypes[name] for name in (*names, CLEAN)])
    similarities = embeddings @ bank.T
    return torch.sigmoid((similarities[:, :-1] - similarities[:, -1:]) / TEMPERATURE)


def chosen_settings(probabilities: Tensor, held_out: FeatureSet, names: Sequence[str]) -> RecognitionSettings:
    """Return settings with which each adapter acts from its own threshold on."""
    columns = held_out.columns(names)
    presence, certainty = held_out.presence[:, columns], held_out.certainty[:, columns]
    thresholds = choose_thresholds(probabilities, presence, certainty, names)
    return RecognitionSettings(
        temperature=TEMPERATURE,
        activation="sigmoid",
        clean_threshold=NO_CLEAN_THRESHOLD,
        minimum_share=max(thresholds.values()),
        minimum_shares=thresholds,
        beside_shares=choose_thresholds_beside(probabilities, presence, certainty, names, thresholds),
        saturation=0.5,
    )


def held_out_samples(recipe: SamplesRecipe, asked: tuple[str, ...]) -> Iterator[Sample]:
    """Make what a recipe validates on.

    Raises:
        RecipeError: the recipe names nothing to validate on.
        DataError: a folder is missing.
    """
    data = recipe.data
    if data.validation is None:
        raise RecipeError("nothing to validate on; give data.validation")
    held_back = [path for folder in data.held_back for path in _held_back(image_paths(folder))]
    labelled = {folder.name: read_labelled(folder) for folder in data.validation_labelled}
    return validation_samples(asked, data.validation, held_back, labelled, _pairs(data.validation_pairs))


def _listed(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for path in image_paths(folder)]


def _held_back(paths: Sequence[Path]) -> list[Path]:
    return list(paths[_HELD_BACK_EVERY // 2 - 1 :: _HELD_BACK_EVERY])


def _pairs(folders: Mapping[str, Sequence[Path]]) -> dict[str, list[tuple[Path, Path]]]:
    return {name: [pair for path in paths for pair in pair_paths(path)] for name, paths in folders.items()}


def _inputs(folders: Sequence[Path]) -> list[Path]:
    return _listed([folder / "input" for folder in folders])


def _shrink(recipe: EncoderRecipe, folder: Path) -> dict[str, Any]:
    network = build_backbone("compact", **BACKBONES["compact"].tiny_options)
    # Its trunk takes the place of the published one.
    tiny = build_recogniser("encoder", **_TINY_OPTIONS)
    return {
        "bundle": str(save_trained(folder / "bundle", Bundle("tiny", network, recogniser=tiny))),
        "pretrained": "",
        "recogniser_options": dict(_TINY_OPTIONS),
        "fit": recipe.fit.model_copy(update={"epochs": 2}),
    }


ENCODER = Phase(EncoderRecipe, train_encoder, _shrink)
