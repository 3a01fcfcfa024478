"""Restore many files: account for each one, continue where an earlier run stopped, lose nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Protocol

import torch
from torch import Tensor

from polyrestore.bulk.explained_files import ExplainedFiles
from polyrestore.bulk.files import FileJob, find_jobs, free_name, named_for_format
from polyrestore.bulk.report import FileRecord, Report
from polyrestore.errors import ImageError, OutputError, PolyrestoreError
from polyrestore.files import TEMPORARY_MARK, sha256_of, write_bytes
from polyrestore.imaging import FORMATS, Image, read_image, read_start, sniff_format, write_image

_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY_MARK) + "[0-9a-f]{8}-")


class RecognitionLike(Protocol):
    """What the report takes from a recognition."""

    @property
    def similarities(self) -> Mapping[str, float]:
        """Similarity by prototype name."""

    def remarks(self) -> Sequence[str]:
        """One sentence for each degradation that may be there but is not acted on."""


class RestoredLike(Protocol):
    """What a batch takes from a restored image."""

    @property
    def pixels(self) -> Tensor:
        """(3, H, W) in [0, 1]."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The composition."""

    @property
    def recognition(self) -> RecognitionLike | None:
        """What was recognised, None when the composition was given."""

    @property
    def seconds(self) -> float:
        """How long it took."""


class ExplanationLike(Protocol):
    """What a batch takes from an explained image."""

    @property
    def restored(self) -> RestoredLike:
        """The restored image."""

    def files(self) -> Mapping[str, Callable[[Path], object]]:
        """What writes each file of the explanation, by file name."""


RestoreOne = Callable[[Tensor], RestoredLike]
ExplainOne = Callable[[Tensor], ExplanationLike]


@dataclass(frozen=True)
class BatchSummary:
    """How a batch ended; ``found`` is always the sum of the other three counts."""

    found: int
    restored: int
    skipped: int
    failed: int
    seconds: float
    report: Path


def restore_files(
    inputs: Sequence[str | Path],
    output_folder: str | Path,
    restore_one: RestoreOne,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    explain_one: ExplainOne | None = None,
    settings: Mapping[str, Any] | None = None,
    on_start: Callable[[int], None] | None = None,
    on_file: Callable[[FileRecord], None] | None = None,
) -> BatchSummary:
    """Restore files and folders into ``output_folder`` and report on each in ``report.jsonl`` there.

    Results keep their relative name and format; a format that cannot be written becomes PNG. An image that
    comes back unchanged is copied byte for byte. A file that fails is reported and the others go on. A file
    that an earlier run restored from the same bytes with the same settings is skipped.

    Args:
        inputs: files and folders.
        output_folder: made when missing. Inputs in it are not searched for, and none is overwritten.
        restore_one: restores pixels (3, H, W) in [0, 1].
        recursive: look into sub-folders too, and keep their structure.
        overwrite: replace files in the output folder that no earlier run wrote, instead of failing.
        explain_one: restores in place of ``restore_one`` and explains; the explanation of ``a.png`` goes to
            ``explained/a.png/``. Files that an earlier run restored without it are restored again.
        settings: everything that decides about a result beside the input, as plain JSON values.
        on_start: called with the number of files.
        on_file: called with the record of each file as soon as it is on disk.

    Raises:
        ImageError: there is nothing to restore.
        OutputError: the output folder or the report cannot be written, or a result would overwrite an input.
    """
    started = time.monotonic()
    folder = Path(output_folder)
    jobs = find_jobs(inputs, folder, recursive=recursive)
    counts = {"restored": 0, "skipped": 0, "failed": 0}
    with Report(folder) as report:
        _remove_leftovers(folder)
        plain_settings = json.loads(json.dumps(settings or {}))
        batch = _Batch(folder, jobs, restore_one, explain_one, report, plain_settings, overwrite)
        if on_start is not None:
            on_start(len(jobs))
        for job in jobs:
            record = batch.run(job)
            report.append(record)
            counts[record.status] += 1
            if on_file is not None:
                on_file(record)
    return BatchSummary(len(jobs), **counts, seconds=time.monotonic() - started, report=report.path)


class _Batch:
    """What the files of one batch share."""

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[FileJob],
        restore_one: RestoreOne,
        explain_one: ExplainOne | None,
        report: Report,
        settings: dict[str, Any],
        overwrite: bool,
    ) -> None:
        self.folder = folder
        self.root = os.path.realpath(folder)
        self.restore_one = restore_one
        self.explain_one = explain_one
        self.explained = ExplainedFiles(folder, report, self._require_explanation)
        self.report = report
        self.settings = settings
        self.overwrite = overwrite
        self.sources = {os.path.realpath(job.input) for job in jobs}
        self.taken = {str(job.output).casefold() for job in jobs}

    def run(self, job: FileJob) -> FileRecord:
        """Restore one file; every error becomes a record."""
        output, sha256 = job.output, None
        try:
            output = self._final_name(job)
            sha256 = _hash(job.input)
            earlier = self.report.finished(output.as_posix(), sha256, self.settings)
            if earlier is not None and self._is_complete(earlier, output):
                return replace(earlier, input=str(job.input), status="skipped")
            return self._restore(job.input, output, sha256)
        except PolyrestoreError as error:
            reason = str(error)
        except Exception as error:
            # One odd file among a million must not stop the others, whatever it raised.
            reason = f"{type(error).__name__}: {error}"
        owned = output.as_posix() if output.as_posix() in self.report.owned else None
        return FileRecord(
            input=str(job.input),
            output=owned,
            status="failed",
            error=" ".join(reason.split()),
            explanation=self.explained.own(output),
            sha256=sha256,
            settings=self.settings,
        )

    def _final_name(self, job: FileJob) -> PurePath:
        """Return an output name whose ending tells the truth about the format that will be written."""
        file_format = sniff_format(read_start(job.input))
        if file_format is None:
            return job.output
        wanted = named_for_format(job.output, file_format if file_format in FORMATS else "PNG")
        return job.output if wanted == job.output else free_name(wanted, self.taken)

    def _restore(self, source: Path, output: PurePath, sha256: str) -> FileRecord:
        image = read_image(source)
        self._require_target(output)
        explanation = None if self.explain_one is None else self.explain_one(image.pixels)
        restored = self.restore_one(image.pixels) if explanation is None else explanation.restored
        pixels = restored.pixels
        if pixels.shape != image.pixels.shape:
            raise OutputError(f"{source}: restored to {tuple(pixels.shape)} from {tuple(image.pixels.shape)}")
        # Before the result, which is there only when all that explains it is there too.
        explanation_files = self.explained.write(output, {} if explanation is None else explanation.files())
        notes = self._write(source, output, sha256, image, pixels)
        if output.name != source.name:
            notes = (*notes, f"written as {output.name}")
        recognition = restored.recognition
        notes = (*notes, *(() if recognition is None else recognition.remarks()))
        return FileRecord(
            input=str(source),
            output=output.as_posix(),
            status="restored",
            weights={name: float(weight) for name, weight in restored.weights.items()},
            similarities=_similarities(recognition),
            seconds=round(restored.seconds, 4),
            width=int(pixels.shape[2]),
            height=int(pixels.shape[1]),
            notes=notes,
            explanation=explanation_files,
            sha256=sha256,
            settings=self.settings,
        )

    def _write(
        self, source: Path, output: PurePath, sha256: str, image: Image, pixels: Tensor
    ) -> tuple[str, ...]:
        target = self.folder / output
        self.report.claim(output.as_posix())
        # Encoding an image that nothing was done to could only make it worse.
        if image.metadata.orientation == 1 and torch.equal(pixels.cpu(), image.pixels):
            content = source.read_bytes()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise ImageError(f"{source} changed while it was being restored")
            write_bytes(target, content)
            return ("nothing to restore, copied byte for byte",)
        return (*image.notes, *write_image(target, pixels, image.metadata))

    def _is_complete(self, record: FileRecord, output: PurePath) -> bool:
        """Say whether all that an earlier run wrote for a file, and all that is wanted now, is there."""
        if not _is_plain_file(self.folder / output):
            return False
        return self.explain_one is None or self.explained.complete(record)

    def _require_explanation(self, path: PurePath) -> None:
        if str(path).casefold() in self.taken:
            raise OutputError(f"{self.folder / path} is the result of another input; restore that elsewhere")
        self._require_target(path)

    def _require_target(self, output: PurePath) -> None:
        """Raise when writing ``output`` would leave the output folder or cost somebody a file."""
        target = self.folder / output
        parent = os.path.realpath(target.parent)
        if parent != self.root and not parent.startswith(os.path.join(self.root, "")):
            raise OutputError(f"{target} leads out of the output folder through a link")
        if os.path.join(parent, target.name) in self.sources:
            raise OutputError(f"{target} is an input and is not overwritten")
        ours = output.as_posix() in self.report.owned
        if os.path.lexists(target) and not (ours or self.overwrite):
            raise OutputError(
                f"{target} is there already and no earlier run wrote it; "
                "move it, choose another output folder or allow overwriting"
            )


def _similarities(recognition: RecognitionLike | None) -> dict[str, float]:
    if recognition is None:
        return {}
    return {name: round(float(value), 6) for name, value in recognition.similarities.items()}


def _hash(source: Path) -> str:
    try:
        return sha256_of(source)
    except OSError as error:
        raise ImageError(f"cannot read {source}: {error.strerror or error}") from error


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a run that was killed; the lock says that none is running."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if _TEMPORARY_NAME.match(name):
                Path(parent, name).unlink(missing_ok=True)
