"""The straight line of a lesson: pairs, a split by scene, an adapter, a prototype, figures, a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyrestore.adapters import Adapter, Prototype, base_sha256
from polyrestore.bundles import Bundle, load_bundle, save_bundle
from polyrestore.bundles.installing import open_own, taken_name, with_adapter
from polyrestore.bundles.manifest_file import MANIFEST_FILE
from polyrestore.data import Pair
from polyrestore.degradations import DEGRADATIONS, check_name
from polyrestore.errors import StoppedError
from polyrestore.recognition import RecognitionSettings
from polyrestore.restoration.restorer import Restorer
from polyrestore.teaching.effects import (
    PairFigures,
    change_in,
    cost_of_mistakes,
    least_harmful_share,
    measure_effects,
    measure_pairs,
)
from polyrestore.teaching.making import Damage, make_pairs
from polyrestore.teaching.pairs import read_pairs
from polyrestore.teaching.recognising import Views, fit_prototype, look_at, superseded, weights_of
from polyrestore.teaching.report import Effect, TeachingReport
from polyrestore.teaching.splitting import Split, split_by_scene
from polyrestore.teaching.training import Trained, Training, train_adapter
from polyrestore.teaching.trusting import cross_validated_shares, trust
from polyrestore.training.loop.events import Advanced, OnEvent, Started, StopWhen, ignore, never

# Of a lesson's minutes; the others are for looking at images and for measuring.
TRAINING_SHARE = 0.75
_SELDOM = 0.5


@dataclass(frozen=True)
class Lesson:
    """What is to be taught, and to which bundle.

    Attributes:
        name: of the degradation, and of its adapter.
        images: folder with pairs in ``input`` and ``target``; where ``damage`` is given, one with clean
            photographs.
        into: folder of the user's bundle; made when missing.
        base: the bundle that a new one is a copy of; None for ``default``.
        minutes: how long it takes at most, about.
        damage: what makes pairs of clean photographs; None for pairs.
        made_by: what ``damage`` is, for the record.
        training: how the adapter is trained; its minutes come from the lesson's.
    """

    name: str
    images: Path
    into: Path
    base: str | None = None
    minutes: float = 15.0
    damage: Damage | None = None
    made_by: str = "pairs"
    training: Training = Training()


def teach(lesson: Lesson, on_event: OnEvent = ignore, stop_when: StopWhen = never) -> TeachingReport:
    """Teach a bundle a degradation that it does not know.

    The bundle's network and its other adapters stay as they are. What comes of it is a bundle of the user's
    own that recognises the degradation, restores it, and is written whole or not at all.

    Args:
        lesson: what, from what, and where to.
        on_event: told how far it is.
        stop_when: asked again and again whether to stop.

    Raises:
        DegradationError: the name cannot be that of a degradation.
        AdapterError: the bundle has an adapter of this name.
        BundleError: there is no such bundle, or it is not the user's own.
        DataError: the pairs cannot be learned from.
        PluginError: what makes pairs fails.
        MissingExtraError: a library that trains, or one that compares images, is not installed.
        TrainingError: a loss is not finite.
        StoppedError: ``stop_when`` said so; nothing was installed.
        OutputError: the bundle cannot be written.
    """
    check_name(lesson.name)
    bundle = open_own(lesson.into, lesson.base)
    if lesson.name in bundle.adapters:
        raise taken_name(bundle, lesson.name)
    if lesson.damage is None:
        found = read_pairs(lesson.images)
    else:
        found = make_pairs(lesson.images, lesson.damage, lesson.training.seed)
    split = split_by_scene([pair.name for pair in found.pairs], found.targets, lesson.training.seed)
    placed = [
        [(found.pairs[index], split.scene_of[index]) for index in side]
        for side in (split.training, split.held_back)
    ]
    sides = [[pair for pair, _ in side] for side in placed]
    how = replace(lesson.training, minutes=lesson.minutes * TRAINING_SHARE)
    tell = _Looks(lesson.name, on_event, stop_when)
    bystanders = {name for name in bundle.adapters if name in DEGRADATIONS}
    seen = None
    if bundle.recogniser is not None:
        seen = look_at(bundle, placed[0], lesson.training.seed + 1, tell, changed=True)
        bystanders -= {*superseded(seen, bundle)}
    trained = train_adapter(
        lesson.name, bundle, sides[0], sides[1], tuple(sorted(bystanders)), how, lesson.images, on_event,
        stop_when,
    )  # fmt: skip
    adapter = replace(trained.adapter, base_sha256=base_sha256(bundle.backbone))
    others: dict[str, Effect] = {}
    if seen is not None:
        unseen = look_at(bundle, placed[1], lesson.training.seed + 2, tell)
        adapter = _recognisable(adapter, bundle, sides[1], seen, unseen)
        others = measure_effects(bundle, with_adapter(bundle, adapter), lesson.name, unseen.others)
    figures = measure_pairs(bundle, with_adapter(bundle, adapter), lesson.name, sides[1], tell)
    report = _report(lesson, split, trained, figures, others, adapter, found.notes)
    # Another lesson may have ended in the meantime.
    own = load_bundle(lesson.into) if (lesson.into / MANIFEST_FILE).exists() else bundle
    save_bundle(lesson.into, with_adapter(own, replace(adapter, record=report.to_record())))
    return report


def _recognisable(
    adapter: Adapter, bundle: Bundle, held_back: Sequence[Pair], seen: Views, unseen: Views
) -> Adapter:
    """Return a trained adapter with its prototype, and with a least share that does no other image harm."""
    name, prototype = adapter.name, make_prototype(adapter.name, bundle, seen)

    def taught() -> Bundle:
        return with_adapter(bundle, replace(adapter, prototype=prototype))

    cost = cost_of_mistakes(bundle, taught(), name, held_back, unseen.others)
    believing = with_adapter(bundle, replace(adapter, prototype=replace(prototype, least_share=0.0)))
    restorer, settings = Restorer(believing), RecognitionSettings(**believing.recognition_settings)
    prototype, judged = trust(
        prototype,
        cross_validated_shares(name, bundle, (seen, unseen)),
        lambda shown: change_in(
            restorer, name, shown, weights_of(shown.embedding, believing.prototypes, settings)
        ),
        cost,
    )
    others = [each for each in judged if not each.shown.is_damaged]
    least = least_harmful_share(bundle, taught(), name, others)
    return replace(adapter, prototype=replace(prototype, least_share=least))


def make_prototype(name: str, bundle: Bundle, seen: Views) -> Prototype:
    """Make what a taught degradation is recognised by.

    Args:
        name: of the degradation.
        bundle: with the recogniser, which stays as it is.
        seen: what the prototype is fitted to.
    """
    assert bundle.recogniser is not None
    settings = RecognitionSettings(**bundle.recognition_settings)
    embedding = fit_prototype(seen.inputs, seen.negatives, bundle.prototypes, settings)
    return Prototype(embedding, bundle.recogniser.fingerprint(), 1.0, superseded(seen, bundle))


class _Looks:
    """Tells how many images were looked at, and ends the work where the user wants that."""

    def __init__(self, name: str, on_event: OnEvent, stop_when: StopWhen) -> None:
        self.on_event, self.stop_when, self.done = on_event, stop_when, 0
        on_event(Started(name, 0, 0, f"{name}: learning to recognise it, and measuring"))

    def __call__(self) -> None:
        self.done += 1
        self.on_event(Advanced(self.done))
        if self.stop_when():
            raise StoppedError("stopped while looking at images; nothing was installed")


def _report(
    lesson: Lesson,
    split: Split,
    trained: Trained,
    figures: PairFigures,
    others: Mapping[str, Effect],
    adapter: Adapter,
    notes: Sequence[str],
) -> TeachingReport:
    prototype = adapter.prototype
    report = TeachingReport(
        name=lesson.name,
        bundle=str(lesson.into),
        made_by=lesson.made_by,
        pairs=len(split.training),
        held_back=figures.count,
        scenes=split.scenes,
        start=trained.start,
        steps=trained.steps,
        best_step=trained.best_step,
        minutes=round(trained.seconds / 60, 1),
        damaged=round(figures.damaged, 2),
        untaught=round(figures.untaught, 2),
        named=round(figures.named, 2),
        blind=None if figures.blind is None else round(figures.blind, 2),
        found=None if prototype is None else figures.found,
        least_share=None if prototype is None else prototype.least_share,
        supersedes=() if prototype is None else prototype.supersedes,
        least_change=None if prototype is None else prototype.least_change,
        others=others,
    )
    return replace(report, notes=(*notes, *split.notes, *_warnings(report)))


def _warnings(report: TeachingReport) -> list[str]:
    """Return what a user should know before the figures are trusted."""
    told = []
    if report.best_step == 0:
        told.append("training did not help: no step was better than the start")
    if report.found is None:
        told.append(f"the bundle recognises nothing; name it: --as {report.name}")
    elif report.found < _SELDOM * report.held_back:
        told.append(
            f"recognised in {report.found} of {report.held_back} held-back images only; where it is not, "
            f"name it: --as {report.name}"
        )
    if report.gain < 0:
        told.append("the held-back images are restored worse than before; more pairs may help")
    return told
