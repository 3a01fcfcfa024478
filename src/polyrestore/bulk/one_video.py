"""One video of a run: a record out, as of an image, and what a killed run has finished of it kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from polyrestore.bulk.files import require_inside
from polyrestore.bulk.one_file import RestoreTask, SettledJob, describe_failure, skip_finished
from polyrestore.bulk.record import FileRecord
from polyrestore.errors import ImageError
from polyrestore.files import read_times, set_staged_times, sha256_of, staged_path
from polyrestore.notes import Note
from polyrestore.restoration.restorer import Restorer
from polyrestore.video.restoring import RestoredVideo, VideoOptions, restore_video
from polyrestore.video.segments import discard_segments


def restore_video_file(task: RestoreTask, job: SettledJob, restorer: Restorer) -> FileRecord:
    """Restore one video, in whichever process this is; every error with the file becomes a record.

    The result lies beside its place, as :meth:`~polyrestore.bulk.one_file.SettledJob.staged` says. What is
    finished on the way lies in a hidden folder, until :func:`forget_video` is called.

    Args:
        task: how.
        job: what.
        restorer: ``task.open()``.
    """
    sha256 = None
    try:
        times_ns = read_times(job.input) if task.keep_times else None
        sha256 = sha256_of(job.input)
        job = replace(job, times_ns=times_ns)
        return skip_finished(job, sha256) or _restore(task, job, restorer, sha256)
    except Exception as error:
        # As with images, one odd file must not stop the others.
        return describe_failure(job.input, error, sha256)


def forget_video(folder: Path, output: PurePath) -> None:
    """Remove what was kept on the way to a result that is in its place.

    Args:
        folder: the output folder.
        output: the result, relative to it.
    """
    discard_segments(_folder_of(folder / output))


def _folder_of(path: Path) -> Path:
    # The rest of a name as long as names can be has no room for more.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return path.with_name(f".video-{name[:16]}")


def _restore(task: RestoreTask, job: SettledJob, restorer: Restorer, sha256: str) -> FileRecord:
    if task.scale != 1:
        raise ImageError(f"{job.input}: videos are not enlarged; leave out --scale")
    place = job.folder / job.output
    require_inside(job.folder, place)
    folder = _folder_of(place)
    require_inside(job.folder, folder / "plan.json")
    record = FileRecord(str(job.input), job.output.as_posix(), "restored", sha256=sha256)
    options = VideoOptions(task.as_, task.strength, task.video_codec, task.video_quality)
    ((target, token),) = job.staged(record)
    with staged_path(target, token) as temporary:
        restored = restore_video(
            restorer,
            job.input,
            temporary,
            job.output,
            folder,
            options,
            settings={"sha256": sha256, "identity": task.identity(restorer)},
            on_frame=restorer.on_tile,
        )
        output_sha256 = sha256_of(temporary)
    if job.times_ns is not None:
        set_staged_times(target, token, job.times_ns)
    notes = restored.notes
    if job.output.suffix.lower() != job.input.suffix.lower():
        notes = (*notes, Note("renamed", f"written as {job.output.name}"))
    if task.explain:
        notes = (*notes, Note("not_explained", "a video is restored without explaining it"))
    return replace(
        record,
        weights=restored.mean_weights(),
        similarities={},
        seconds=round(restored.seconds, 4),
        width=restored.facts.width,
        height=restored.facts.height,
        notes=notes,
        output_sha256=output_sha256,
        shots=_shots(restored),
    )


def _shots(restored: RestoredVideo) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "start_s": round(start, 6),
            "end_s": round(end, 6),
            "frames": shot.stop - shot.start,
            "weights": dict(shot.weights),
            "similarities": {name: round(value, 6) for name, value in shot.similarities.items()},
        }
        for shot, start, end in zip(restored.shots, restored.times_s, restored.times_s[1:], strict=False)
    )
