"""Which files a run restores, and where each result goes, settled before the first one is touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

from polyrestore.errors import ImageError, OutputError
from polyrestore.imaging import READABLE_SUFFIXES, read_start, sniff_format, writable_format
from polyrestore.storage.urls import Store, is_url, url_name
from polyrestore.video.kinds import VIDEO_SUFFIXES, container_of, is_installed, is_video, named_for_video

_KINDS_NAMED = 6
# Of the file systems in use, those that count bytes.
_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class FileJob:
    """One file to restore, as text, because a run may hold a million of them.

    Attributes:
        input: the image or video, as an absolute path or a URL.
        output: where the result goes, relative to the output folder.
        named: whether the user named the result, which then gets no number.
        state: of a file behind a URL, what tells later whether it has changed.
    """

    input: str
    output: str
    named: bool = False
    state: str | None = None


def find_named_job(inputs: Sequence[str | Path], output: str | Path) -> FileJob | None:
    """Return the job of a single video whose result was named as a file; None for a run into a folder.

    Args:
        inputs: files and folders.
        output: the result of a video, or a folder. What is a folder already, or has no ending of a video, is
            one, and so is what is behind a URL.

    Raises:
        OutputError: no video is written with that ending.
    """
    if len(inputs) != 1 or is_url(inputs[0]) or not isinstance(output, Path):
        return None
    if output.suffix.lower() not in VIDEO_SUFFIXES or os.path.isdir(output):
        return None
    path = os.path.abspath(inputs[0])
    if os.path.isdir(path) or not is_video(path, _start_of(path)):
        return None
    container_of(output)
    return FileJob(path, output.name, named=True)


def _start_of(path: str) -> bytes:
    try:
        return read_start(path)
    except ImageError:
        # What it is called says enough; why it cannot be read is told when it is its turn.
        return b""


def find_jobs(
    inputs: Sequence[str | Path],
    output_folder: str | Path,
    *,
    recursive: bool,
    left_out: Counter[str] | None = None,
    none: bool = False,
) -> list[FileJob]:
    """Return one job per input file, each with an output name of its own.

    Files named directly are taken whatever their ending; folders give the images, and where
    PyAV is installed the videos, that they hold, and with
    ``recursive`` those of their sub-folders under the same relative names. The output folder is never
    searched. What does not exist or cannot be listed becomes a job as well, to be reported as failed.

    Args:
        inputs: files and folders, or URLs of such.
        output_folder: where the results will be, or its URL.
        recursive: whether folders within folders are searched.
        left_out: counts the files of folders that are of other kinds, by ending in lower case; hidden ones
            and those that are only reached with ``recursive`` are not there.
        none: whether there may be no image at all.

    Raises:
        ImageError: there is no image, or a path is empty.
        OutputError: a result would overwrite an input.
        StorageError: what is behind a URL cannot be listed.
    """
    output_root = "" if is_url(output_folder) else os.path.realpath(output_folder)
    found: dict[str, str] = {}
    states: dict[str, str | None] = {}
    others: Counter[str] = Counter() if left_out is None else left_out
    for given in inputs:
        if not os.fspath(given):
            raise ImageError("the path of an input is empty")
        if isinstance(given, str) and is_url(given):
            for url, name, state in _images_behind(given, str(output_folder), recursive, others):
                found.setdefault(url, name)
                states[url] = state
            continue
        path = os.path.abspath(given)
        if not os.path.isdir(path):
            found.setdefault(path, os.path.basename(path))
            continue
        if os.path.realpath(path) == output_root:
            raise OutputError(
                f"{output_folder} is both input and output folder; choose another output folder"
            )
        for source in _images_in(path, output_root, recursive, others):
            # A folder that cannot be listed is found itself, and no name of a file is left of it.
            found.setdefault(
                source, os.path.relpath(source, os.path.dirname(path) if source == path else path)
            )
    if not found and not none:
        hint = "" if recursive else "; --recursive looks into sub-folders too"
        beside = f"; {describe_kinds(others)}" if others else ""
        raise ImageError(f"no images in {', '.join(str(given) for given in inputs)}{beside}{hint}")

    taken: set[str] = set()
    numbers: dict[str, int] = {}
    jobs = [
        FileJob(source, str(free_name(PurePath(name), taken, numbers)), state=states.get(source))
        for source, name in found.items()
    ]
    if is_url(output_folder):
        for job in jobs:
            if f"{output_folder}/{job.output}" in states:
                raise _overwrites(job)
    elif within := inputs_within(output_root, jobs):
        for job in jobs:
            if os.path.realpath(os.path.join(output_root, job.output)) in within:
                raise _overwrites(job)
    return jobs


def _overwrites(job: FileJob) -> OutputError:
    return OutputError(f"the result of {job.input} would overwrite an input; choose another output folder")


def describe_kinds(left_out: Counter[str]) -> str:
    """Return "3 files of other kinds left out (2 .heic, 1 .txt)", the most frequent kinds first.

    Args:
        left_out: by ending, as :func:`find_jobs` counts them; at least one.
    """
    ordered = sorted(left_out.items(), key=lambda entry: (-entry[1], entry[0]))
    named = [f"{count} {_shown_ending(ending)}" for ending, count in ordered[:_KINDS_NAMED]]
    if len(ordered) > _KINDS_NAMED:
        named.append(f"{sum(count for _, count in ordered[_KINDS_NAMED:])} others")
    total = left_out.total()
    files = "1 file of another kind" if total == 1 else f"{total} files of other kinds"
    return f"{files} left out ({', '.join(named)})"


def inputs_within(folder: str | Path, jobs: Iterable[FileJob]) -> set[str]:
    """Return the real paths of those inputs that lie in a folder, where results could take their places."""
    inside = os.path.join(os.path.realpath(folder), "")
    real_folder = cache(os.path.realpath)
    found = set()
    for job in jobs:
        if is_url(job.input):
            continue
        parent, name = os.path.split(job.input)
        linked = os.path.islink(job.input)
        real = os.path.realpath(job.input) if linked else os.path.join(real_folder(parent), name)
        if real.startswith(inside):
            found.add(real)
    return found


def free_name(wanted: PurePath, taken: set[str], numbers: dict[str, int] | None = None) -> PurePath:
    """Return ``wanted``, or the same with "-2", "-3", ... added when that is taken, and take it.

    Names that differ in case only count as the same, because some file systems cannot hold both.

    Args:
        wanted: the name.
        taken: the names that are not free.
        numbers: the last number that was given to each name, where many may be wanted again and again.
    """
    numbers = {} if numbers is None else numbers
    key = str(wanted).casefold()
    name, number = wanted, numbers.get(key, 1)
    while str(name).casefold() in taken:
        number += 1
        name = _fitting(wanted, wanted.stem, f"-{number}{wanted.suffix}")
    taken.add(str(name).casefold())
    numbers[key] = number
    return name


def named_for_format(output: PurePath, file_format: str) -> PurePath:
    """Return ``output`` with the ending of what a format is written in, unchanged when it has one."""
    suffixes = writable_format(file_format).suffixes
    if output.suffix.lower() in suffixes:
        return output
    if output.suffix.lower() in READABLE_SUFFIXES:
        return output.with_suffix(suffixes[0])
    return _fitting(output, output.name, suffixes[0])


def named_for_content(output: PurePath, content: bytes, file_format: str | None = None) -> PurePath:
    """Return ``output`` with the ending of the format that its result will be written in.

    Args:
        output: a name, which stays as it is where the content announces no format.
        content: the input's bytes, or the first ones.
        file_format: the format of all results; None for that of the input, or what is written in its place.
    """
    if is_video(output, content):
        return named_for_video(output)
    found = sniff_format(content)
    return output if found is None else named_for_format(output, file_format or found)


def _fitting(path: PurePath, stem: str, ending: str) -> PurePath:
    """Return a path with another name, of whose stem the end is left out where it would be too long."""
    while len(os.fsencode(stem + ending)) > _LONGEST_NAME_BYTES:
        stem = stem[:-1]
    return path.with_name(stem + ending)


def require_inside(folder: Path, target: Path) -> None:
    """Refuse a file that a link would lead out of its folder.

    Raises:
        OutputError: ``target`` would not be in ``folder``.
    """
    root, parent = os.path.realpath(folder), os.path.realpath(target.parent)
    if parent != root and not parent.startswith(os.path.join(root, "")):
        raise OutputError(f"{target} leads out of the output folder through a link")


def _shown_ending(ending: str) -> str:
    if not ending:
        return "without an ending"
    # Names come from anywhere, and may hold what a terminal would obey.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in ending)


def _images_behind(
    url: str, output_folder: str, recursive: bool, left_out: Counter[str]
) -> Iterator[tuple[str, str, str | None]]:
    """Yield the URL of each image, its name in the output folder, and its state."""
    store = Store(url)
    if not store.is_folder():
        # What does not exist is reported when it is its turn.
        found = store.look()
        if url_name(url) in ("", ".", ".."):
            raise ImageError(f"{url} is no file")
        yield url, url_name(url), None if found is None else found.state
        return
    if url == output_folder:
        raise OutputError(f"{url} is both input and output folder; choose another output folder")
    endings = _taken_endings()
    for each in store.files(recursive=recursive):
        source, name = store.url_of(each.name), PurePath(each.name)
        if any(part.startswith(".") for part in name.parts) or source.startswith(f"{output_folder}/"):
            continue
        if name.suffix.lower() in endings:
            yield source, each.name, each.state
        else:
            left_out[name.suffix.lower()] += 1


def _taken_endings() -> frozenset[str]:
    """Return the endings by which files in folders are taken."""
    return READABLE_SUFFIXES | VIDEO_SUFFIXES if is_installed() else READABLE_SUFFIXES


def _images_in(folder: str, output_root: str, recursive: bool, left_out: Counter[str]) -> Iterator[str]:
    unlisted: list[str] = []
    endings = _taken_endings()
    for parent, folders, names in os.walk(folder, onerror=lambda error: unlisted.append(error.filename)):
        # Sorted, so that a second run gives every file the same output name.
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and os.path.realpath(os.path.join(parent, name)) != output_root
        )
        for name in sorted(names):
            if name.startswith("."):
                continue
            ending = os.path.splitext(name)[1].lower()
            if ending in endings:
                yield os.path.join(parent, name)
            else:
                left_out[ending] += 1
    yield from unlisted
