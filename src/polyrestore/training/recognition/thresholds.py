"""From which probability on an adapter acts: chosen by what acting gains and what acting wrongly costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

HIGHEST = 0.99
# What acting where nothing is wrong costs, in units of what acting rightly gains. Tones that are changed and
# holes that are filled wrongly are seen at once; a photograph of the night made bright is unforgivable.
COSTS: Mapping[str, float] = {
    "low_light": 30.0,
    "haze": 9.0,
    "shadow": 30.0,
    "missing_pixels": 30.0,
    "rain": 5.0,
    "snow": 6.0,
    "raindrop": 6.0,
    "noise": 3.0,
    "jpeg": 3.0,
    "motion_blur": 6.0,
    "defocus_blur": 6.0,
    "downsampling": 6.0,
}
_COST = 10.0
# Nobody can have wanted a plainly damaged image to stay as it is, so acting wrongly costs less there. But
# noise and compression are far more common than haze or darkness beside them: what costs that much keeps its
# bar.
_COST_BESIDE = 1 / 3
_TOO_COSTLY = 9.0


def cost_of(name: str) -> float:
    """Return the cost of acting wrongly; 10 for an adapter that nothing is known about."""
    return COSTS.get(name, _COST)


def choose_threshold(
    damaged: Sequence[float], clean: Sequence[float], cost: float, lowest: float = 0.5
) -> float:
    """Return the probability from which acting gains most on held-back images.

    The gain is the share of the damaged ones that are acted on, less the cost times the share of the clean
    ones. Of several that gain the same the one in their middle is taken, which keeps its distance from both
    sides; where no damaged image was seen, the highest, since caution costs nothing then.

    Args:
        damaged: probabilities of images that show the degradation.
        clean: probabilities of images that do not.
        cost: of acting on a clean one.
        lowest: the answer is no lower: a probability below a half says that it is not there.
    """
    steps = [round(lowest + 0.01 * step, 2) for step in range(int((HIGHEST - lowest) * 100) + 1)]

    def gain(threshold: float) -> float:
        found = sum(value >= threshold for value in damaged) / max(1, len(damaged))
        wrong = sum(value >= threshold for value in clean) / max(1, len(clean))
        return found - cost * wrong

    if not damaged:
        return steps[-1]
    gains = [round(gain(threshold), 9) for threshold in steps]
    first = gains.index(max(gains))
    last = first
    while last + 1 < len(steps) and gains[last + 1] == gains[first]:
        last += 1
    return steps[(first + last) // 2]


def choose_thresholds(
    probabilities: Tensor, presence: Tensor, certainty: Tensor, names: Sequence[str]
) -> dict[str, float]:
    """Choose a threshold for each degradation, on images that show nothing else.

    Args:
        probabilities: (M, K) of held-back images.
        presence: (M, K) 1 where it is there.
        certainty: (M, K) how sure that is; what is less sure than a half is left out.
        names: of the K degradations.
    """
    beside = _beside_others(presence, certainty)
    chosen = {}
    for column, name in enumerate(names):
        damaged, clean = _damaged_and_clean(probabilities, presence, certainty, column, ~beside[:, column])
        # An expected gain is positive from cost / (1 + cost) on, if probabilities are what they say.
        lowest = max(0.5, min(0.85, 1 - 2 / (1 + cost_of(name))))
        chosen[name] = choose_threshold(damaged, clean, cost_of(name), round(lowest, 2))
    return chosen


def choose_thresholds_beside(
    probabilities: Tensor,
    presence: Tensor,
    certainty: Tensor,
    names: Sequence[str],
    alone: Mapping[str, float],
) -> dict[str, float]:
    """Choose from which probability on an adapter acts where another one plainly has to.

    Args:
        probabilities: as for :func:`choose_thresholds`, like the next three.
        presence: only images that show something else count.
        certainty: likewise.
        names: likewise.
        alone: the thresholds on images that show nothing else, which are not exceeded.

    Returns:
        the thresholds of those that have a lower one beside others; none of what costs most when it is wrong.
    """
    beside = _beside_others(presence, certainty)
    chosen = {}
    for column, name in enumerate(names):
        if cost_of(name) >= _TOO_COSTLY:
            continue
        damaged, clean = _damaged_and_clean(probabilities, presence, certainty, column, beside[:, column])
        if damaged and clean:
            chosen[name] = choose_threshold(damaged, clean, _COST_BESIDE * cost_of(name))
    return {name: threshold for name, threshold in chosen.items() if threshold < alone[name]}


def _beside_others(presence: Tensor, certainty: Tensor) -> Tensor:
    """Return (M, K) true where an image surely shows another degradation than this one."""
    shown = (presence > 0.5) & (certainty >= 0.5)
    return shown.sum(1, keepdim=True) > shown.long()


def _damaged_and_clean(
    probabilities: Tensor, presence: Tensor, certainty: Tensor, column: int, rows: Tensor
) -> tuple[list[float], list[float]]:
    """Return the probabilities of images that surely show a degradation, and of those that surely do not.

    Args:
        probabilities: (M, K).
        presence: (M, K).
        certainty: (M, K).
        column: of the degradation.
        rows: (M,) true for the images that count.
    """
    sure = rows & (certainty[:, column] >= 0.5)
    there = presence[:, column] > 0.5
    return probabilities[sure & there, column].tolist(), probabilities[sure & ~there, column].tolist()
