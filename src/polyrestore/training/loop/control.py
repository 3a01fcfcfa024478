"""What a caller decides about a run beside its recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from polyrestore.training.loop.events import OnEvent, StopWhen, ignore, never


@dataclass(frozen=True)
class RunControl:
    """Where a run writes, whether it goes on from an earlier one, whom it tells, and who may stop it.

    Attributes:
        folder: gets checkpoints, the log and the bundle.
        resume: go on from the newest whole checkpoint of the folder, if there is one.
        on_event: called in the main process with each :data:`~polyrestore.training.loop.events.Event`.
        stop_when: asked after every step; when it says True, a checkpoint is written and
            :class:`~polyrestore.errors.StoppedError` is raised. With several processes, one of them suffices.
    """

    folder: Path
    resume: bool = True
    on_event: OnEvent = ignore
    stop_when: StopWhen = never

    def within(self, name: str) -> RunControl:
        """Return the same for a part of the run that has a sub-folder of its own."""
        return replace(self, folder=self.folder / name)
