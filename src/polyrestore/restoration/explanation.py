"""What each adapter did to an image: alone, and added up in the order of the weights.

Weights say how much an adapter acts, not what it changes. Two things show that: the image as the adapter
alone restores it at weight 1, and the way from the bare backbone to the result, one adapter more at a time.
The last step of that way is the result itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from polyrestore.files import write_bytes
from polyrestore.imaging import ImageMetadata, encode_image
from polyrestore.imaging.sheets import Panel, encode_sheet
from polyrestore.restoration.restored import Restored

WEIGHTS_NAME = "weights.json"
SHEET_NAME = "sheet.png"
PANEL_PX = 320

Encode = Callable[[], bytes]
"""What makes the content of one file, when it is asked for."""


@dataclass(frozen=True, eq=False)
class Step:
    """One adapter's part in a restored image.

    Attributes:
        adapter: its name.
        weight: in the composition.
        alone: (3, H, W) in [0, 1], restored by this adapter alone at weight 1.
        added: (3, H, W) in [0, 1], restored by this adapter and all with a larger weight, each with its
            weight in the composition.
    """

    adapter: str
    weight: float
    alone: Tensor
    added: Tensor


@dataclass(frozen=True, eq=False)
class Explanation:
    """A restored image and how it came about, adapter by adapter.

    Attributes:
        given: (3, H, W) in [0, 1], the input.
        restored: the result.
        backbone: (3, H, W) in [0, 1], what the backbone does without adapters; None where no adapter acts.
        steps: one for each adapter that acts, from the largest weight to the smallest.
    """

    given: Tensor
    restored: Restored
    backbone: Tensor | None
    steps: tuple[Step, ...]

    def files(self) -> dict[str, Encode]:
        """Return what makes each file of the explanation, by file name.

        ``weights.json``, ``sheet.png``, and where adapters act ``0-backbone.png`` and for each of them, in
        the order of the weights, such as ``1-rain-alone.png`` and ``1-rain-added.png``.
        """
        images: dict[str, Tensor] = {}
        if self.backbone is not None:
            images["0-backbone.png"] = self.backbone
        for number, step in enumerate(self.steps, 1):
            images[f"{number}-{step.adapter}-alone.png"] = step.alone
            images[f"{number}-{step.adapter}-added.png"] = step.added
        files: dict[str, Encode] = {name: partial(_encode, pixels) for name, pixels in images.items()}
        files[SHEET_NAME] = lambda: encode_sheet(list(self._rows()))
        files[WEIGHTS_NAME] = lambda: (json.dumps(self.facts(), indent=2) + "\n").encode()
        return files

    def facts(self) -> dict[str, object]:
        """Return the weights, probabilities and similarities as plain values, largest first."""
        recognition = self.restored.recognition
        return {
            "weights": {step.adapter: step.weight for step in self.steps},
            "probabilities": _ordered(recognition.probabilities if recognition else {}),
            "similarities": _ordered(recognition.similarities if recognition else {}),
            "recognised": recognition is not None,
        }

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write all files of :meth:`files` into a folder, each whole or not at all, and return their paths.

        Files of the same names are replaced.

        Raises:
            OutputError: a file cannot be written.
        """
        written = []
        for name, encode in self.files().items():
            write_bytes(Path(folder) / name, encode())
            written.append(Path(folder) / name)
        return tuple(written)

    def _rows(self) -> Iterator[list[Panel]]:
        result = "nothing to restore" if self.restored.unchanged else "restored"
        yield [_panel("input", self.given), _panel(result, self.restored.pixels)]
        if self.backbone is not None:
            alone = [_panel(f"{step.adapter} alone, weight 1", step.alone) for step in self.steps]
            added = [_panel(f"+ {step.adapter} {step.weight:.2f}", step.added) for step in self.steps]
            for row in (alone, added):
                yield [_panel("no adapter: the backbone", self.backbone), *row]


def explained(given: Tensor, restored: Restored, run: Callable[[Mapping[str, float]], Tensor]) -> Explanation:
    """Return the explanation of a restored image.

    Args:
        given: (3, H, W) in [0, 1], the input.
        restored: what came of it.
        run: restores the input with the composition that it is given; asked once for each.
    """
    weights = {name: weight for name, weight in _ordered(restored.weights).items() if weight > 0}
    if not weights:
        return Explanation(given, restored, None, ())
    known = {_key(weights): restored.pixels}

    def result(composition: Mapping[str, float]) -> Tensor:
        key = _key(composition)
        if key not in known:
            known[key] = run(composition)
        return known[key]

    steps, so_far = [], {}
    for name, weight in weights.items():
        so_far[name] = weight
        steps.append(Step(name, weight, result({name: 1.0}), result(so_far)))
    return Explanation(given, restored, result({}), tuple(steps))


def count_runs(weights: Mapping[str, float]) -> int:
    """Return how often :func:`explained` runs a network for a composition, beside the result itself."""
    acting = {name: weight for name, weight in _ordered(weights).items() if weight > 0}
    if not acting:
        return 0
    names = list(acting)
    added = [{name: acting[name] for name in names[:count]} for count in range(len(names) + 1)]
    return len({_key(each) for each in (*added, *({name: 1.0} for name in names))}) - 1


def _key(composition: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(composition.items()))


def _ordered(values: Mapping[str, float]) -> dict[str, float]:
    """Sort by falling value, and by name among equals."""
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return {name: float(value) for name, value in ordered}


def _encode(pixels: Tensor) -> bytes:
    return encode_image("explanation.png", pixels, ImageMetadata())[0]


def _panel(label: str, pixels: Tensor) -> Panel:
    """Reduce an image that is too large for a sheet of many."""
    longest = max(pixels.shape[-2:])
    if longest > PANEL_PX:
        height, width = (max(1, round(side * PANEL_PX / longest)) for side in pixels.shape[-2:])
        enlarged = pixels.detach().unsqueeze(0)
        reduced = functional.interpolate(enlarged, size=(height, width), mode="bicubic", antialias=True)
        pixels = reduced[0].clamp(0, 1)
    return Panel(label, pixels)
