"""Files behind URLs: which texts are some, and stores that are asked again when a connection is lost.

What a scheme means is fsspec's business, and so are credentials: they come from its configuration, or from
where the library of a store looks for them, and never from a URL.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from polyrestore.errors import StorageError

PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""How long to wait before each new try; what fails once more after the last one has failed."""

EMPTY = "0"
"""The state of a file without any bytes."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = ("file", "local")
_START_BYTES = 64
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s'\"]*=[^\s'\"]*")
_SECRET = re.compile(r"secret|token|key|pass|cred|sas", re.IGNORECASE)
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
_FINAL = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    NotImplementedError,
    ImportError,
    ValueError,
    TypeError,
)

Answer = TypeVar("Answer")


def is_url(place: object) -> bool:
    """Return whether a text is a URL, such as ``s3://bucket/photos``."""
    return isinstance(place, str) and _URL.match(place) is not None


def as_place(text: str) -> Path | str:
    """Return a path of this machine, or a URL without its last slashes.

    Args:
        text: as a user gave it; ``file://`` is a path too.

    Raises:
        StorageError: a URL has a password or a query, which could be secret, or is a chain of several.
    """
    if not is_url(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme.lower() in _LOCAL:
        return Path(rest)
    if _PASSWORD.search(text):
        raise StorageError(
            f"{_PASSWORD.sub('***@', text)}: leave the password out of the URL, and in fsspec's configuration"
        )
    if scheme.lower() in ("http", "https") and "?" in rest:
        raise StorageError(f"{text.partition('?')[0]}: URLs with a query, which can be secret, are not taken")
    if "::" in text:
        raise StorageError(f"{text}: chains of URLs are not taken")
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def url_name(url: str) -> str:
    """Return the last part of a URL; empty where there is nothing behind its scheme."""
    return url.partition("://")[2].rpartition("/")[2]


@dataclass(frozen=True)
class StoredFile:
    """A file in a store.

    Attributes:
        name: relative to the root that was listed; empty for that itself.
        state: changes when the file does: its size, with the store's checksum or else the time of change;
            None where the store tells neither.
    """

    name: str
    state: str | None


class Store:
    """What is behind a URL, a folder or a file; names are relative to it, and empty for itself.

    Args:
        url: as :func:`as_place` returns it.

    Attributes:
        url: the same.
        many_at_once: whether it may be asked from several threads at once.

    Raises:
        StorageError: the scheme is unknown, or its library is not installed.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url
        self._files: Any = None
        if "::" in url:
            # It would be taken for a chain of URLs.
            raise StorageError(f"{url}: a name with two colons is not taken")
        try:
            self._files, root = url_to_fs(url)
        except Exception as error:
            # What the library of a store raises where it is not there, or not told enough, is its own.
            raise self._fault(error, url) from error
        self._root = str(root).rstrip("/")
        self.many_at_once = bool(getattr(self._files, "async_impl", False))

    def url_of(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.url}/{name}" if name else self.url

    def look(self, name: str = "") -> StoredFile | None:
        """Return what there is under a name that is no folder; None where there is nothing, or a folder.

        Raises:
            StorageError: the store does not answer, or denies access.
        """
        info = self._info(name)
        return None if info is None or info["type"] == "directory" else StoredFile(name, _state_of(info))

    def is_folder(self) -> bool:
        """Return whether this is a folder, or nothing but the beginning of names.

        Raises:
            StorageError: as in :meth:`look`.
        """
        info = self._info("")
        return info is not None and info["type"] == "directory"

    def files(self, *, recursive: bool) -> list[StoredFile]:
        """Return the files of a folder, sorted by name, hidden ones included; none where there is no folder.

        Raises:
            StorageError: the store does not answer, or a folder cannot be listed.
        """
        return self._asked(lambda: sorted(self._walk(recursive), key=lambda each: each.name), self.url)

    def _walk(self, recursive: bool) -> Iterator[StoredFile]:
        self._files.invalidate_cache()
        depth = None if recursive else 1
        try:
            for _, _, files in self._files.walk(self._root, depth, on_error="raise", detail=True):
                for info in files.values():
                    if name := str(info["name"]).removeprefix(self._root).lstrip("/"):
                        yield StoredFile(name, _state_of(info))
        except FileNotFoundError:
            return
        finally:
            # What is asked for later shall be new.
            self._files.invalidate_cache()

    def start(self, name: str = "") -> bytes:
        """Return the first bytes of a file, as many as say of which format it is.

        Raises:
            StorageError: it cannot be read.
        """
        path = self._path(name)
        content = self._asked(
            lambda: self._files.cat_file(path, start=0, end=_START_BYTES), self.url_of(name)
        )
        return bytes(content[:_START_BYTES])

    def fetch(self, target: Path, name: str = "") -> None:
        """Copy a file to this machine.

        Raises:
            StorageError: it cannot be read, or not be written here.
        """
        path = self._path(name)
        self._asked(lambda: self._files.get_file(path, str(target)), self.url_of(name))

    def require_writable(self, name: str) -> None:
        """Write an empty file and remove it, to find out whether that can be done at all.

        Args:
            name: that nothing else has.

        Raises:
            StorageError: it cannot.
        """
        path = self._path(name)
        with tempfile.NamedTemporaryFile() as empty:
            self._asked(lambda: self._files.put_file(empty.name, path), self.url_of(""))
        self.remove(name)

    def put(self, source: Path, name: str) -> None:
        """Copy a file of this machine to a name.

        Raises:
            StorageError: it cannot be written.
        """
        path = self._path(name)
        self._asked(lambda: self._files.put_file(str(source), path), self.url_of(name))

    def move(self, name: str, to: str) -> None:
        """Give a file another name, in the place of what has that; it is whole under it, or not there.

        Raises:
            StorageError: it cannot be done.
        """
        source, target = self._path(name), self._path(to)
        tries = 0

        def move() -> None:
            nonlocal tries
            tries += 1
            try:
                self._rename(source, target)
            except FileNotFoundError:
                # A try whose answer was lost may have done it.
                if tries == 1 or not self._files.exists(target):
                    raise

        self._asked(move, self.url_of(to))

    def _rename(self, source: str, target: str) -> None:
        from fsspec import AbstractFileSystem

        if type(self._files).mv is not AbstractFileSystem.mv:
            self._files.mv(source, target)
            return
        # Not the method of this name that all have: it takes brackets and stars in names for patterns.
        self._files.cp_file(source, target)
        self._files.rm_file(source)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            StorageError: it cannot be removed.
        """

        def remove() -> None:
            try:
                self._files.rm_file(path)
            except FileNotFoundError:
                return

        path = self._path(name)
        self._asked(remove, self.url_of(name))

    def _info(self, name: str) -> Mapping[str, Any] | None:
        def info() -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = self._files.info(path)
            except FileNotFoundError:
                return None
            return found

        path = self._path(name)
        return self._asked(info, self.url_of(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _asked(self, ask: Callable[[], Answer], url: str) -> Answer:
        """Return an answer; a store that gives none is asked again, after pauses that grow."""
        pauses = iter(PAUSES_S)
        while True:
            try:
                return ask()
            except Exception as error:
                pause_s = None if _is_final(error) else next(pauses, None)
                if pause_s is None:
                    raise self._fault(error, url) from error
            time.sleep(pause_s)

    def _fault(self, error: Exception, url: str) -> StorageError:
        if isinstance(error, FileNotFoundError):
            return StorageError(f"{url} does not exist")
        return StorageError(f"{url}: {self._reason(error)}")

    def _reason(self, error: Exception) -> str:
        """Return what a library says in one line, without what could be secret."""
        text = " ".join(str(error).split())[:300]
        if isinstance(error, OSError) and error.strerror and not error.filename:
            text = error.strerror
        for secret in _secrets(getattr(self._files, "storage_options", {})):
            text = text.replace(secret, "***")
        text = _QUERY.sub("", _PASSWORD.sub("***@", text))
        return text or type(error).__name__


def _is_final(error: Exception) -> bool:
    """Say whether asking once more would not help."""
    return isinstance(error, _FINAL) or "Credential" in type(error).__name__


def _secrets(options: object, named: bool = False) -> Iterator[str]:
    """Yield the values of options whose names say that they are secret."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            yield from _secrets(value, named or _SECRET.search(str(name)) is not None)
    elif named and isinstance(options, str) and len(options) > 3:
        yield options


def _state_of(info: Mapping[str, Any]) -> str | None:
    size = info.get("size")
    if size == 0:
        return EMPTY
    version = next((info[key] for key in (*_VERSIONS, *_TIMES) if info.get(key)), None)
    # Some stores give a time as such when they are asked for one file, and in seconds when for many.
    told = version.timestamp() if isinstance(version, datetime) else version
    return None if size is None or version is None else f"{size} {told}"


def scratch_folder(token: str) -> Path:
    """Return the place of a private folder for a file that is fetched or will be brought to a store.

    Args:
        token: that no other file has.
    """
    import tempfile

    return Path(os.path.realpath(tempfile.gettempdir()), f"polyrestore-{token}")
