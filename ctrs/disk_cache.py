"""Named arrays on disk, bounded: what can be made again, but slowly. Knows nothing of scans."""

from __future__ import annotations

import logging
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

AnyArray: TypeAlias = npt.NDArray[Any]

_KEY: Final = re.compile(r"[a-z0-9._-]{1,200}")
_ABANDONED_S: Final = 3600  # a file still being written after an hour was left by a crash
_NAMES: Final = "names_of_all"  # a flipped bit in a zip's table of contents can hide an entry
# What numpy and zipfile raise when bits of a file are flipped, or its end is missing.
_DAMAGED: Final = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,  # and NotImplementedError, its subclass
    MemoryError,
    zipfile.BadZipFile,
)
_log = logging.getLogger(__name__)


class DiskCache:
    """Arrays by key in a folder that stays below a size; the least recently used go first.

    Threads and processes may share a folder: a file appears under its name only when it is
    complete. Files are uncompressed ``.npz``, each array with its CRC-32, read without pickle.
    Reading 150 MB takes 50 ms, as fast as safetensors, which has no checksum.

    Args:
        folder: Created if absent, for its owner alone. Holds nothing but the cache.
        max_bytes: What all files together may take.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: str) -> dict[str, AnyArray] | None:
        """The arrays under this key, or ``None``; a damaged file counts as absent and goes."""
        return self._get(key, _read)

    def part(self, key: str, names: Iterable[str]) -> dict[str, AnyArray] | None:
        """Some of the arrays under this key, without reading the others.

        ``None`` if the key is absent or damaged where it was read, or lacks one of ``names``.
        """
        wanted = list(names)
        return self._get(key, lambda path: _read_some(path, wanted))

    def _get(
        self, key: str, read: Callable[[Path], dict[str, AnyArray] | None]
    ) -> dict[str, AnyArray] | None:
        path = self._path(key)
        try:
            arrays = read(path)
        except FileNotFoundError:
            return None
        except _DAMAGED:
            _log.warning("A damaged file was removed from the cache.")
            _remove(path)
            return None
        _touch(path)
        return arrays

    def put(self, key: str, arrays: Mapping[str, AnyArray]) -> None:
        """Keep these arrays under this key, in place of what was there.

        A cache may forget: what does not fit at all, or cannot be written because the disk is
        full, is not kept, and nothing is raised.

        Raises:
            ValueError: The key has other characters than ``[a-z0-9._-]`` or more than 200, or
                an array holds Python objects.
        """
        path = self._path(key)
        if sum(array.nbytes for array in arrays.values()) > self._max_bytes:
            _remove(path)
            return
        try:
            self._write(path, arrays)
        except OSError as error:
            _log.warning("The cache could not be written: %s", error.strerror)
        self._make_room()

    def delete(self, key: str) -> None:
        """Forget this key; nothing happens if it is not there."""
        _remove(self._path(key))

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("A cache key has 1 to 200 characters out of a-z, 0-9, '.', '_', '-'.")
        return self._folder / f"{key}.npz"

    def _write(self, path: Path, arrays: Mapping[str, AnyArray]) -> None:
        # The temporary file is made with mode 0600, and in the same folder, because a file can
        # only be renamed atomically within one file system.
        with NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as file:
            part = Path(file.name)
        try:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays, **{_NAMES: _names(arrays)})
            _touch(part)
            part.replace(path)
        except BaseException:
            _remove(part)
            raise

    def _make_room(self) -> None:
        """Remove the least recently used files until the rest fits, and leftovers of crashes."""
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another thread was faster
                    files.append((entry.stat(), Path(entry.path)))
        for status, path in files:
            if path.suffix == ".part" and time.time() - status.st_mtime > _ABANDONED_S:
                _remove(path)
        kept = sorted((s.st_mtime_ns, s.st_size, p) for s, p in files if p.suffix == ".npz")
        total = sum(size for _, size, _ in kept)
        for _, size, path in kept:
            if total <= self._max_bytes:
                return
            _remove(path)
            total -= size


def _names(names: Iterable[str]) -> AnyArray:
    return np.frombuffer("\n".join(sorted(names)).encode(), np.uint8)


def _read(path: Path) -> dict[str, AnyArray]:
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if not np.array_equal(arrays.pop(_NAMES), _names(arrays)):
        raise ValueError("The file does not hold the arrays that were put in.")
    return arrays


def _read_some(path: Path, names: list[str]) -> dict[str, AnyArray] | None:
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as stored:
        if not set(names) <= set(stored.files):
            return None
        return {name: stored[name] for name in names}


def _touch(path: Path) -> None:
    """Note that the file was used now. By the time of change: disks are often mounted so that
    reading leaves no trace, and a backup that reads everything would leave a false one."""
    now = time.time_ns()
    with suppress(OSError):
        os.utime(path, ns=(now, now))


def _remove(path: Path) -> None:
    with suppress(OSError):  # already gone, or still open elsewhere on Windows
        path.unlink()
