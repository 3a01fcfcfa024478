"""One file of a run as a task that any process can do: plain values in, a record out.

Nothing here looks at other files or at the report. What is written lies beside its place under a temporary
name; whoever owns the report puts it there, so that a result is never in its place without being accounted
for.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from polyrestore.adapters.registry import adapter_kind
from polyrestore.bulk.files import named_for_content, require_inside
from polyrestore.bulk.one_content import Order, restore_content
from polyrestore.bulk.record import FileRecord, explanation_place
from polyrestore.bundles import Bundle
from polyrestore.bundles.fingerprint import fingerprint
from polyrestore.devices import is_out_of_memory
from polyrestore.errors import CompositionError, ImageError, PolyrestoreError, StorageError
from polyrestore.files import (
    discard_all_staged,
    discard_staged,
    read_times,
    set_staged_times,
    set_times,
    sha256_of,
    stage_bytes,
)
from polyrestore.imaging import Quality, format_named, read_content, require_quality
from polyrestore.installed_plugins import code_sha256
from polyrestore.notes import MEANINGS, Note
from polyrestore.plugins import load_plugin
from polyrestore.restoration.explanation import Encode
from polyrestore.restoration.opening import load
from polyrestore.restoration.restorer import Restorer
from polyrestore.storage.urls import scratch_folder
from polyrestore.video.encoders import require_video_codec


@dataclass(frozen=True)
class RestoreTask:
    """How every file of a run is restored: all that a process has to be told, as values that pickle.

    Attributes:
        bundle: the name of a shipped bundle, a bundle's folder, or its repository on the hub.
        device: where to compute; None takes a GPU where there is one.
        tile_px: largest side of a tile; None for what suits the network.
        steps: of a generative network; None for the bundle's own.
        runtime: what runs the network; ``"auto"`` for the fastest one here.
        precision: the number format that it computes in.
        quality: in how many views; one of :data:`~polyrestore.restoration.views.QUALITIES`.
        scale: how many times as wide and high as its input a result is.
        settings: recognition settings in place of the bundle's own.
        plugins: Python files that are loaded before the bundle is opened.
        as_: the composition to use instead of the recognised one.
        strength: from 0, the input, to 1, the restored image.
        explain: also show what each adapter did.
        format: of all results, as :func:`~polyrestore.imaging.format_named` takes it; None for that of the
            input, or what is written in its place.
        jpeg_quality: of results that are JPEG files: from 1 to 100, or ``"keep"`` for the input's own tables;
            None for what neither damages the picture again nor wastes space.
        max_megapixels: larger images are refused, and results that would be larger; None for Pillow's limit.
        keep_times: give results the times of access and change that their inputs have.
        video_codec: of videos, a key of :data:`~polyrestore.video.encoders.ENCODERS`; None for what suits
            the result.
        video_quality: of videos, on the scale of their codec, lower for better; None for its usual one.

    Raises:
        CompositionError: the strength is outside [0, 1], or what is enlarged should be explained.
        UnknownFormatError: there is no such format, or it cannot be written.
        OutputError: the JPEG quality is not from 1 to 100, or the codec of videos has no such quality.
    """

    bundle: str = "default"
    device: str | None = None
    tile_px: int | None = None
    steps: int | None = None
    runtime: str = "torch"
    precision: str = "float32"
    quality: str = "normal"
    scale: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    as_: str | Mapping[str, float] | None = None
    strength: float = 1.0
    explain: bool = False
    format: str | None = None
    jpeg_quality: Quality = None
    max_megapixels: float | None = None
    keep_times: bool = False
    video_codec: str | None = None
    video_quality: int | None = None

    def __post_init__(self) -> None:
        # Not a number lies outside too.
        if not 0 <= self.strength <= 1:
            raise CompositionError(f"strength must be between 0 and 1, not {self.strength:g}")
        if self.explain and self.scale != 1:
            raise CompositionError("images are explained at their own size; leave out --scale or --explain")
        if self.format is not None:
            object.__setattr__(self, "format", format_named(self.format).name)
        require_quality(self.jpeg_quality)
        require_video_codec(self.video_codec, self.video_quality)

    def open(self) -> Restorer:
        """Load the plugins and open the bundle in this process.

        Raises:
            PolyrestoreError: a plugin fails, the bundle cannot be used, or the device is not there.
        """
        for path in self.plugins:
            load_plugin(Path(path))
        return load(
            self.bundle,
            self.device,
            tile_px=self.tile_px,
            steps=self.steps,
            settings=self.settings,
            runtime=self.runtime,
            precision=self.precision,
            quality=self.quality,
            scale=self.scale,
        )

    def order(self, name: Path, output: Path) -> Order:
        """Return how one image is restored.

        Args:
            name: what messages call it.
            output: the path of its result.
        """
        return Order(
            name,
            output,
            self.as_,
            self.strength,
            self.explain,
            self.format,
            self.jpeg_quality,
            self.max_megapixels,
        )

    def identity(self, restorer: Restorer) -> dict[str, Any]:
        """Return all that decides about the pixels of a result beside the input, as plain JSON values.

        A file that was restored under another identity is restored again.

        Args:
            restorer: from :meth:`open`.

        Raises:
            CompositionError: an unknown adapter, or weights that do not add up.
        """
        runtime = restorer.runtime
        identity: dict[str, Any] = {
            "bundle": restorer.bundle.name,
            "bundle_sha256": fingerprint(restorer.bundle),
            "as": None if self.as_ is None else restorer.named(self.as_),
            "strength": self.strength,
            "runtime": runtime.name,
            "precision": runtime.precision,
            "quality": restorer.quality,
            "device": runtime.device.type,
        }
        if not runtime.description.exact_tiles:
            # Elsewhere a tile of any size gives what the whole image gives. What was not asked for stays
            # open, because some networks then take an image whole where the memory allows it.
            identity["tile_px"] = self.tile_px
        for name in ("format", "scale", "jpeg_quality", "video_codec", "video_quality"):
            if (chosen := getattr(self, name)) != getattr(RestoreTask, name):
                identity[name] = chosen
        # Their code may be the network, of which the bundle holds the weights only.
        plugins = [sha256_of(Path(path)) for path in self.plugins]
        plugins += code_sha256(_parts_of(restorer.bundle))
        if plugins:
            identity["plugins_sha256"] = sorted(plugins)
        return identity


def _parts_of(bundle: Bundle) -> Iterator[type]:
    """Yield the classes of what a bundle is made of."""
    yield type(bundle.backbone)
    if bundle.recogniser is not None:
        yield type(bundle.recogniser)
    for adapter in bundle.adapters.values():
        yield adapter_kind(adapter.config.kind)


@dataclass(frozen=True)
class SettledJob:
    """One file to restore, with what the owner of the report knows about it.

    Attributes:
        input: the image or video, as an absolute path.
        folder: the output folder.
        output: where the result will be, relative to the output folder, in the format that it will have.
        token: eight hexadecimal digits that no other job has; part of the temporary names.
        finished: what an earlier run wrote, where one made the result in the same way from an input with
            the hash in it, and the result is there.
        times_ns: of access and of change, in nanoseconds, that the result shall have; None for now.
        source: the URL of the input, which is fetched to ``input``; None where it is a file of this machine.
        source_state: what tells later whether the input has changed since.
        store: the URL of the output folder, to which what lies in ``folder`` is brought; None likewise.
    """

    input: Path
    folder: Path
    output: PurePath
    token: str
    finished: FileRecord | None = None
    times_ns: tuple[int, int] | None = None
    source: str | None = None
    source_state: str | None = None
    store: str | None = None

    @property
    def shown(self) -> str:
        """What messages and the report call the input."""
        return self.source or str(self.input)

    @property
    def scratch(self) -> Path | None:
        """The private folder of a job with URLs, for what is fetched and what will be brought away."""
        return scratch_folder(self.token) if self.source or self.store else None

    def staged(self, record: FileRecord) -> list[tuple[Path, str]]:
        """Return the files that a restored job left beside their places: the place and the token of each.

        The result is the last one: it is there only when all that explains it is there too.
        """
        names = [*record.explanation, self.output.as_posix()]
        return [(self.folder / name, f"{self.token}-{number}") for number, name in enumerate(names)]

    def discard(self) -> None:
        """Remove what a process that was ended in the midst of it left beside the places."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in ((self.folder / self.output).parent, self.folder / explanation_place(self.output)):
            discard_all_staged(folder, self.token)


def restore_file(task: RestoreTask, job: SettledJob, restorer: Restorer | None = None) -> FileRecord:
    """Restore one image file, in whichever process this is; every error with the file becomes a record.

    The input is read once: its hash, its pixels and a copy of it come from the same bytes. The result lies
    beside its place, as :meth:`SettledJob.staged` says. The record lacks what only the owner of the report
    knows: the identity of the run, and what earlier runs left.

    Args:
        task: how.
        job: what.
        restorer: ``task.open()``; opened here if it is None.

    Raises:
        PolyrestoreError: the task cannot be opened.
    """
    restorer = restorer or task.open()
    sha256 = None
    try:
        times_ns = read_times(job.input) if task.keep_times else None
        content = read_content(job.input)
        sha256 = hashlib.sha256(content).hexdigest()
        job = replace(job, times_ns=times_ns)
        return skip_finished(job, sha256) or _restore(task, job, restorer, content, sha256)
    except Exception as error:
        # One odd file among a million must not stop the others, whatever it raised.
        return describe_failure(job.input, error, sha256)


def skip_finished(job: SettledJob, sha256: str) -> FileRecord | None:
    """Return the record of a file that an earlier run has restored, its result given the times of the job.

    Args:
        job: what.
        sha256: of the input as it is now.

    Returns:
        None where no earlier run restored these bytes.
    """
    if job.finished is None or sha256 != job.finished.sha256:
        return None
    if job.times_ns is not None:
        set_times(job.folder / job.output, job.times_ns)
    return replace(job.finished, input=str(job.input), status="skipped")


def describe_failure(source: str | Path, error: Exception, sha256: str | None = None) -> FileRecord:
    """Return the record of a file that could not be restored."""
    if isinstance(error, PolyrestoreError):
        reason = str(error)
    elif is_out_of_memory(error):
        reason = f"not enough memory for {source}; free some, or take smaller tiles (--tile-px)"
    else:
        reason = f"{type(error).__name__}: {error}"
    notes = (Note("storage", MEANINGS["storage"]),) if isinstance(error, StorageError) else ()
    error_text = " ".join(reason.split())
    return FileRecord(str(source), None, "failed", error=error_text, notes=notes, sha256=sha256)


def _restore(
    task: RestoreTask, job: SettledJob, restorer: Restorer, content: bytes, sha256: str
) -> FileRecord:
    if named_for_content(job.output, content, task.format) != job.output:
        raise ImageError(f"{job.input} changed while it was being restored")
    made = restore_content(content, task.order(job.input, job.folder / job.output), restorer)
    restored = made.restored
    recognition = restored.recognition
    record = FileRecord(
        input=str(job.input),
        output=job.output.as_posix(),
        status="restored",
        weights={name: float(weight) for name, weight in restored.weights.items()},
        similarities={} if recognition is None else _round_values(recognition.similarities),
        seconds=round(made.seconds, 4),
        width=int(restored.pixels.shape[2]),
        height=int(restored.pixels.shape[1]),
        notes=made.notes,
        explanation=tuple((explanation_place(job.output) / name).as_posix() for name in made.explaining),
        sha256=sha256,
        output_sha256=hashlib.sha256(made.content).hexdigest(),
    )
    _stage(job, record, [*made.explaining.values(), lambda: made.content])
    return record


def _stage(job: SettledJob, record: FileRecord, contents: Sequence[Encode]) -> None:
    """Write each file beside its place, all of them or none."""
    staged = job.staged(record)
    for place, _ in staged:
        require_inside(job.folder, place)
    try:
        for (place, token), encode in zip(staged, contents, strict=True):
            stage_bytes(place, token, encode())
        if job.times_ns is not None:
            set_staged_times(*staged[-1], job.times_ns)
    except BaseException:
        for place, token in staged:
            discard_staged(place, token)
        raise


def _round_values(similarities: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in similarities.items()}
