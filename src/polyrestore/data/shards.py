"""Sets packed into tar shards, for disks and networks that many small files are too much for.

Shards follow the WebDataset convention: the files of a sample lie side by side under one key,
``000000012.clean.png``, ``000000012.degraded.jpg`` and ``000000012.json`` with its task, its split and its
names. The images keep their bytes. Any WebDataset reader can stream them; here they are read by random access
through an index of offsets, since a batch has to depend on seed, step and process alone.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from polyrestore.data.layouts import FoundSet
from polyrestore.data.layouts.base import NO_SPLIT
from polyrestore.data.samples import ImageFile, Sample
from polyrestore.errors import DataError, OutputError, needs_extra
from polyrestore.files import TEMPORARY_MARK, read_text, require_regular, write_text

INDEX_NAME = "index.json"
INDEX_FORMAT = "polyrestore-shards-1"
SHARDS = "shards"


def pack(found: Sequence[FoundSet], root: Path, output: Path, shard_mb: int = 1000) -> list[Path]:
    """Write sets as shards of about ``shard_mb`` megabytes, with an index beside them.

    Everything is written into a hidden folder beside ``output``, which takes its name when all is there: an
    interrupted packing leaves nothing that would be read.

    Args:
        found: what to pack.
        root: the samples' names in the shards start here.
        output: a folder that is empty or not there.
        shard_mb: a shard is closed when it has grown to this size.

    Returns:
        the shards.

    Raises:
        MissingExtraError: webdataset is not installed.
        DataError: an image cannot be read.
        OutputError: ``output`` holds something already, or cannot be written.
    """
    with needs_extra("packing", "data"):
        from webdataset import ShardWriter
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputError(f"{output} is there already; choose another folder")
    output = output.absolute()
    hidden = output.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(4)}-{output.name}")
    try:
        hidden.mkdir(parents=True)
        pattern = str(hidden).replace("%", "%%") + "/%06d.tar"
        options = {"verbose": 0, "encoder": False, "mtime": 0, "user": "", "group": ""}
        with ShardWriter(pattern, maxsize=shard_mb * 10**6, post=_flush, **options) as writer:
            samples = (sample for each in found for sample in each.samples)
            for number, sample in enumerate(samples):
                writer.write(_record(number, sample, root))
        shards = sorted(hidden.glob("*.tar"))
        write_text(hidden / INDEX_NAME, json.dumps(_index(shards)))
        os.replace(hidden, output)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return [output / shard.name for shard in shards]


def find_shards(place: Path) -> list[FoundSet]:
    """Return the sets in shards, by split.

    Args:
        place: a folder of shards, or a pattern such as ``folder/*.tar``.

    Raises:
        DataError: there are no shards, one is damaged or differs from the index, or holds something else.
    """
    shards = _matching(place)
    index = _load_index(shards[0].parent / INDEX_NAME)
    samples = [sample for shard in shards for sample in _read_shard(shard, index.get(shard.name))]
    if not samples:
        raise DataError(f"the shards of {place} hold no samples")
    folder = shards[0].parent
    splits = dict.fromkeys(sample.split for sample in samples)
    return [
        FoundSet(SHARDS, folder, split, tuple(sample for sample in samples if sample.split == split))
        for split in splits
    ]


def holds_shards(folder: Path) -> bool:
    """Tell whether a path is a folder of shards, or a pattern for them."""
    return "*" in folder.name or (folder.is_dir() and any(folder.glob("[!.]*.tar")))


def _record(number: int, sample: Sample, root: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"__key__": f"{number:09d}"}
    facts = {"task": sample.task, "split": sample.split}
    for role, file in (("clean", sample.clean), ("degraded", sample.degraded)):
        if file is not None:
            # A suffix tells the format; the first dot of a member's name ends its key.
            record[f"{role}{file.suffix.lower()}"] = file.content()
            facts[role] = file.member or os.path.relpath(file.path, root)
    record["json"] = json.dumps(facts).encode()
    return record


def _flush(name: str) -> None:
    with open(name, "rb") as written:
        os.fsync(written.fileno())


def _index(shards: Iterable[Path]) -> dict[str, Any]:
    """Return by shard its size, and of each sample task, split and [member, offset, length] of its images."""
    entries: dict[str, Any] = {}
    for shard in shards:
        samples = [
            [sample.task, sample.split, *(_place(file) for file in (sample.clean, sample.degraded))]
            for sample in _scan(shard)
        ]
        entries[shard.name] = {"bytes": shard.stat().st_size, "samples": samples}
    return {"format": INDEX_FORMAT, "shards": entries}


def _place(file: ImageFile | None) -> list[Any] | None:
    return None if file is None else [file.member, file.offset, file.length]


def _matching(place: Path) -> list[Path]:
    folder, pattern = (place.parent, place.name) if "*" in place.name else (place, "*.tar")
    if not folder.is_dir():
        raise DataError(f"no folder {folder}")
    shards = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    if not shards:
        raise DataError(f"no shards {place if pattern == place.name else folder / pattern}")
    return shards


def _read_shard(shard: Path, entry: Any) -> list[Sample]:
    """Return a shard's samples from its entry in the index, or by looking through it where there is none."""
    if entry is None:
        return list(_scan(shard))
    try:
        if entry["bytes"] != shard.stat().st_size:
            raise DataError(
                f"{shard} has {shard.stat().st_size} bytes and its index says {entry['bytes']}; copy it again"
            )
        return [
            Sample(task, split, ImageFile(shard, *clean), None if other is None else ImageFile(shard, *other))
            for task, split, clean, other in entry["samples"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{shard.parent / INDEX_NAME} is damaged; remove it to read the shards anyway"
        ) from error


def _load_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged; remove it to read the shards anyway") from error
    if not isinstance(content, dict) or content.get("format") != INDEX_FORMAT:
        raise DataError(f"{path} is not an index of this version; remove it to read the shards anyway")
    shards: dict[str, Any] = content["shards"]
    return shards


def _scan(shard: Path) -> Iterator[Sample]:
    """Yield the samples of a shard, in its order."""
    groups: dict[str, dict[str, tarfile.TarInfo]] = {}
    facts: dict[str, Any] = {}
    try:
        require_regular(shard)
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, _, base = member.name.rpartition("/")
                key, _, ending = base.partition(".")
                groups.setdefault(f"{folder}/{key}", {})[ending.partition(".")[0]] = member
                if ending == "json":
                    stream = archive.extractfile(member)
                    facts[f"{folder}/{key}"] = json.loads(stream.read()) if stream is not None else {}
    except (OSError, tarfile.TarError, ValueError) as error:
        raise DataError(f"{shard} is no shard or a damaged one: {error}") from error
    for key, members in groups.items():
        if "clean" not in members:
            raise DataError(
                f"sample {key.lstrip('/')!r} of {shard} has no clean image, named KEY.clean.png or so"
            )
        files = [
            ImageFile(shard, member.name, member.offset_data, member.size)
            for member in (members["clean"], members.get("degraded"))
            if member is not None
        ]
        said = facts.get(key, {})
        yield Sample(str(said.get("task", "")), str(said.get("split", NO_SPLIT)), *files)
