"""What a taught adapter does: to the pairs that were held back, and to images that it was not taught for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from polyrestore.bundles import Bundle
from polyrestore.data import Pair
from polyrestore.recognition import RecognitionSettings
from polyrestore.recognition.similarity import similarity
from polyrestore.restoration.restorer import Restorer
from polyrestore.teaching.recognising import Judged, Shown, weights_of
from polyrestore.teaching.report import Effect
from polyrestore.teaching.training import Item, spread
from polyrestore.training.validation.crops import batch_psnr

# What is better cannot be seen; it bounds what an undamaged image counts.
HIGHEST_PSNR = 45.0
# By how much the mean of a kind of images may become worse, in dB.
MOST_HARM = 0.1
_MEASURED, _PROBED = 12, 8
# What acting wrongly costs at least and at most, in units of what acting rightly gains.
_COSTS = (3.0, 30.0)
_MIDDLE_PX = 256
_STEP = 0.005


@dataclass(frozen=True)
class PairFigures:
    """Means over held-back pairs, PSNR in dB.

    Attributes:
        damaged: of the inputs.
        untaught: of what the bundle made of them before, blind.
        named: of what it makes of them now, with the degradation named.
        blind: of what it makes of them now, blind; None where the bundle recognises nothing.
        found: in how many it is recognised.
        count: how many there are.
    """

    damaged: float
    untaught: float
    named: float
    blind: float | None
    found: int
    count: int


def measure_pairs(
    untaught: Bundle, taught: Bundle, name: str, pairs: Sequence[Pair], tell: Callable[[], None]
) -> PairFigures:
    """Measure what was gained on held-back pairs, twelve of them at most, as whole images.

    Args:
        untaught: the bundle as it was.
        taught: the same with the new adapter.
        name: of the adapter.
        pairs: that were held back.
        tell: called after each image, and may raise.
    """
    blind = taught.recogniser is not None and name in taught.prototypes
    before, after = Restorer(untaught), Restorer(taught)
    rows, found = [], 0
    for pair in spread(pairs, _MEASURED):
        damaged, clean = pair.degraded.float() / 255, pair.clean.float() / 255
        row = [damaged, _blindly(before, damaged), after.restore(damaged, as_=name).pixels]
        if blind:
            restored = after.restore(damaged)
            found += name in restored.weights
            row.append(restored.pixels)
        rows.append([psnr(image, clean) for image in row])
        tell()
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return PairFigures(means[0], means[1], means[2], means[3] if blind else None, found, len(rows))


def _blindly(restorer: Restorer, image: Tensor) -> Tensor:
    """Restore an image blind; where nothing is recognised and adapters have to be named, leave it."""
    if restorer.bundle.recogniser is None and not restorer.is_bare:
        return image
    return restorer.restore(image).pixels


def psnr(image: Tensor, clean: Tensor) -> float:
    """Return the PSNR in dB of an image (3, H, W), rounded to 8 bits."""
    return batch_psnr(image[None], clean[None])


def measure_effects(untaught: Bundle, taught: Bundle, name: str, shown: Sequence[Shown]) -> dict[str, Effect]:
    """Measure what a new adapter does to images that it was not taught for, by their group.

    Only the middle of those on which it acts is restored, once as before and once as now.
    """
    harm = _Harm(untaught, taught, name)
    groups = _by_group(shown, lambda each: each.group)
    return {group: harm.effect(members) for group, members in groups.items()}


def cost_of_mistakes(
    untaught: Bundle, taught: Bundle, name: str, pairs: Sequence[Pair], shown: Sequence[Shown]
) -> float:
    """Return what acting wrongly costs in units of what acting rightly gains, from 3 to 30.

    It is thirty times what was measured: there are many more images without the damage than with it.

    Args:
        untaught: the bundle as it was.
        taught: the same with the new adapter and its prototype.
        name: of the adapter.
        pairs: that were held back.
        shown: images that it was not taught for.
    """
    harm = _Harm(untaught, taught, name)
    gains = [harm.named_gain(pair.degraded, pair.clean) for pair in spread(pairs, _PROBED)]
    likely = sorted(shown, key=lambda each: -similarity(each.embedding, taught.prototypes[name]))[:_PROBED]
    losses = [max(0.0, -harm.named_gain(each.image, each.clean)) for each in likely]
    gain, loss = sum(gains) / max(1, len(gains)), sum(losses) / max(1, len(losses))
    least, most = _COSTS
    return most if gain <= 0 else min(most, max(least, most * loss / gain))


def least_harmful_share(untaught: Bundle, taught: Bundle, name: str, judged: Sequence[Judged]) -> float:
    """Return the least share from which on the adapter makes no group of other images worse by 0.1 dB.

    Args:
        untaught: the bundle as it was.
        taught: the same with the new adapter and its prototype.
        name: of the adapter.
        judged: images that it was not taught for.

    Returns:
        the one that the adapter has in the bundle, or a higher one.
    """
    harm = _Harm(untaught, taught, name)
    least_share = RecognitionSettings(**taught.recognition_settings).minimum_shares[name]
    for members in _by_group(judged, lambda each: each.shown.group).values():
        acting = sorted(
            ((each.share, harm.change(each.shown)) for each in members if each.share >= least_share),
            reverse=True,
        )
        # The least probable go first: what is left alone then is what acting on it was worth least.
        while acting and sum(change for _, change in acting) < -MOST_HARM * len(members):
            share, _ = acting.pop()
            least_share = min(1.0, share + _STEP)
            acting = [entry for entry in acting if entry[0] >= least_share]
    return least_share


def _by_group(images: Sequence[Item], group_of: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for each in images:
        groups.setdefault(group_of(each), []).append(each)
    return groups


def change_in(restorer: Restorer, name: str, shown: Shown, weights: Mapping[str, float]) -> float:
    """Return by how many grey levels an adapter changes what others make of an image.

    Args:
        restorer: of the bundle that has it.
        name: of the adapter.
        shown: the image.
        weights: with which the others act on it, and the adapter.
    """
    beside = {other: weight for other, weight in weights.items() if other != name}
    return restorer.change_in(shown.image.float() / 255, name, beside)


class _Harm:
    """Restores the same images with and without the new adapter."""

    def __init__(self, untaught: Bundle, taught: Bundle, name: str) -> None:
        self.name = name
        self.restorer = Restorer(taught)
        self.before = untaught.prototypes, RecognitionSettings(**untaught.recognition_settings)
        settings = RecognitionSettings(**taught.recognition_settings)
        self.after = taught.prototypes, settings
        # As if it acted on everything that it could be.
        shares = {**settings.minimum_shares, name: 0.0}
        self.forced = taught.prototypes, replace(settings, minimum_shares=shares)

    def named_gain(self, image: Tensor, clean: Tensor) -> float:
        """Return by how many dB the adapter alone makes an image (3, H, W) better, uint8 both."""
        given, wanted = _middle(image.float() / 255), _middle(clean.float() / 255)
        made = self.restorer.apply([given], {self.name: 1.0})[0]
        return min(HIGHEST_PSNR, psnr(made, wanted)) - min(HIGHEST_PSNR, psnr(given, wanted))

    def effect(self, members: Sequence[Shown]) -> Effect:
        """Return what is done to the images of a group."""
        acting = [each for each in members if self._acts(each)]
        total = sum(self._change(each, weights_of(each.embedding, *self.after)) for each in acting)
        return Effect(len(members), len(acting), total / len(members))

    def _acts(self, shown: Shown) -> bool:
        weights = weights_of(shown.embedding, *self.after)
        least_change = self.after[1].least_changes.get(self.name, 0.0)
        return self.name in weights and change_in(self.restorer, self.name, shown, weights) >= least_change

    def change(self, shown: Shown) -> float:
        """Return by how many dB an image becomes better when the adapter acts on it."""
        return self._change(shown, weights_of(shown.embedding, *self.forced))

    def _change(self, shown: Shown, weights: Mapping[str, float]) -> float:
        image, clean = (_middle(each.float() / 255) for each in (shown.image, shown.clean))
        both = []
        for composition in (weights_of(shown.embedding, *self.before), weights):
            pixels = self.restorer.apply([image], composition)[0] if composition else image
            both.append(min(HIGHEST_PSNR, psnr(pixels, clean)))
        return both[1] - both[0]


def _middle(image: Tensor) -> Tensor:
    height, width = (min(_MIDDLE_PX, side) for side in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]
