"""Files from the browser, for a moment on this machine's disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

_CHUNK = 1024 * 1024


class Upload(Protocol):
    """A file from the browser."""

    name: str
    file_id: str

    def read(self, size: int = ..., /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


@contextmanager
def staged(baseline: Sequence[Upload], follow_up: Sequence[Upload]) -> Iterator[tuple[Path, Path]]:
    """The files of each scan in a private folder of their own, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ctrs-upload-") as scratch:
        folders = Path(scratch) / "baseline", Path(scratch) / "follow-up"
        for folder, files in zip(folders, (baseline, follow_up), strict=True):
            folder.mkdir()
            stage(files, folder)
        # One archive or one volume is a scan by itself; a folder is searched.
        yield _only_file(folders[0]) or folders[0], _only_file(folders[1]) or folders[1]


def stage(files: Sequence[Upload], folder: Path) -> None:
    """Write files into a folder under the last part of their names, none over another.

    A name from a browser is anybody's text: it may hold ``../``, a drive, or be the name of the
    file before.
    """
    for number, file in enumerate(files):
        target = folder / _safe(file.name)
        if target.exists():
            target = folder / f"{number:06d}" / target.name
            target.parent.mkdir()
        file.seek(0)
        with target.open("xb") as sink:
            _copy(file, sink)


def _safe(name: str) -> str:
    last = name.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")
    last = last.strip().lstrip(".")[-120:]
    return last or "unnamed"


def _copy(source: Upload, sink: BinaryIO) -> None:
    while chunk := source.read(_CHUNK):
        sink.write(chunk)


def _only_file(folder: Path) -> Path | None:
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_file() else None
