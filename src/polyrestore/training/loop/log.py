"""What a run tells: JSON lines always, TensorBoard where the recipe asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from polyrestore.errors import OutputError, needs_extra
from polyrestore.files import read_text, write_bytes


class RunLog:
    """Events of one run, written by the main process only.

    Args:
        folder: gets ``log.jsonl``, and ``tensorboard/`` if asked for.
        enabled: False in all processes but the main one.
        first_step: what was written of this step or later ones is dropped: those steps are made again.
        tensorboard: also write losses, weights, rates and validation figures as scalars.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, enabled: bool, first_step: int, tensorboard: bool) -> None:
        self.path = folder / "log.jsonl"
        self.enabled = enabled
        self._scalars: Any = None
        if not enabled:
            return
        write_bytes(self.path, _kept(self.path, first_step))
        if tensorboard:
            with needs_extra("tensorboard = true", "train"):
                from torch.utils.tensorboard.writer import SummaryWriter
            self._scalars = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, **record: Any) -> None:
        """Append one event.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.enabled:
            try:
                with open(self.path, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(record) + "\n")
            except OSError as error:
                raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def losses(self, tasks: tuple[str, ...], running: Tensor, step: int, **rates: float) -> None:
        """Write the tasks' mean losses and weights since the last time.

        Args:
            tasks: their names.
            running: (3, K) summed losses, sample counts and weights.
            step: the number of finished steps.
            rates: further figures.
        """
        if not self.enabled:
            return
        rows = zip(tasks, running[0].tolist(), running[1].tolist(), strict=True)
        losses = {name: round(total / count, 6) for name, total, count in rows if count}
        shares = running[2] / running[2].sum().clamp(min=1e-12)
        weights = {name: round(share, 4) for name, share in zip(tasks, shares.tolist(), strict=True)}
        mean = round(sum(losses.values()) / max(1, len(losses)), 6)
        self.write(event="losses", step=step, mean=mean, losses=losses, weights=weights, **rates)
        self._chart(step, loss=losses, weight=weights, run=rates)

    def validation(self, step: int, figures: dict[str, float]) -> None:
        """Write validation figures."""
        self.write(event="validation", step=step, **figures)
        self._chart(step, validation=figures)

    def close(self) -> None:
        """Finish what is buffered."""
        if self._scalars is not None:
            self._scalars.close()

    def _chart(self, step: int, **groups: dict[str, float]) -> None:
        if self._scalars is not None:
            for group, values in groups.items():
                for name, value in values.items():
                    self._scalars.add_scalar(f"{group}/{name}", value, step)


def _kept(path: Path, first_step: int) -> bytes:
    """Return the lines of an older log up to the step from which the run goes on."""
    if not first_step or not path.exists():
        return b""
    kept = []
    for line in read_text(path).splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record.get("step", 0) <= first_step:
            kept.append(line + "\n")
    return "".join(kept).encode()
