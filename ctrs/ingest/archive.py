"""Files out of folders and zip archives, without trusting either."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, UnsafeArchive
from ctrs.ingest.text import printable
from ctrs.types import RejectedFile

_CHUNK = 1024 * 1024
# Below this an archive cannot hurt, however well it is packed.
_HARMLESS_BYTES = 8 * 1024 * 1024
_END_BYTES = 22 + 65_535  # the record that ends an archive, behind it a comment
_ENTRY_BYTES = 512  # of the table of contents: 46, the name, times and rights
_ZIP_MAGIC = b"PK\x03\x04"
_OTHER_KINDS = {
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR", b"\x1f\x8b": "gzip", b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}  # fmt: skip
_TAR_AT, _TAR = 257, b"ustar"
_PACK_AGAIN = "Pack the DICOM files into a plain zip without a password, or choose the folder."
# Reasons to pass over a file that may have been a slice.
DAMAGED_INSIDE, EMPTY, UNOPENED = "damaged inside the archive", "empty", "cannot be opened"
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def is_zip(path: Path) -> bool:
    """Whether to unpack: by name, or by its first bytes where the name says nothing."""
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as file:
        return file.read(4) == _ZIP_MAGIC


def other_archive(head: bytes) -> str:
    """What kind of archive that is not unpacked a file begins as; ``""`` for anything else."""
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return "tar"
    return next((kind for magic, kind in _OTHER_KINDS.items() if head.startswith(magic)), "")


@dataclass
class Unpacked:
    """How much several archives made together, those that were refused half way included."""

    entries: int = 0
    n_bytes: int = 0


def unpack(
    archive: Path, folder: Path, config: IntakeConfig, sofar: Unpacked | None = None
) -> list[RejectedFile]:
    """Unpack a zip into a folder; comes back with the entries that are damaged.

    Bytes are counted while they are written: what the archive says of itself is not believed.

    Args:
        sofar: What other archives of the same study made: the limits are for all. What this one
            makes is added to it, also where it is refused.

    Raises:
        UnsafeArchive: Too many entries or bytes, packed too tightly, encrypted, or an entry
            that leads outside the folder, or too deep into it, or is a link.
        InputRejected: Not a zip archive, or it cannot be written to disk.
    """
    try:
        _check_directory(archive, config)
        with zipfile.ZipFile(archive) as packed:
            size = archive.stat().st_size
            return _unpack_entries(packed, folder, size, config, sofar or Unpacked())
    except OSError as error:
        raise InputRejected(
            f"The archive cannot be unpacked ({error.strerror or 'read error'}).", _PACK_AGAIN
        ) from None
    except _DAMAGED:
        raise InputRejected("The archive is damaged, or no zip archive.", _PACK_AGAIN) from None


def find_files(folder: Path, config: IntakeConfig) -> tuple[list[Path], list[RejectedFile]]:
    """Every regular file below a folder, sorted, and what was passed over.

    Links are not followed: they may lead outside the folder, or in circles.

    Raises:
        InputRejected: More than ``config.max_files``.
    """
    files: list[Path] = []
    rejected: list[RejectedFile] = []
    for path in _walk(folder, config.max_files):
        if reason := _why_not(path):
            rejected.append(RejectedFile(relative(path, folder), reason))
        else:
            files.append(path)
        if len(files) + len(rejected) > config.max_files:
            raise _too_many(config.max_files, "files")
    return sorted(files), sorted(rejected, key=lambda file: file.path)


def _too_many(most: int, what: str) -> InputRejected:
    return InputRejected(
        f"The folder holds more than {most:,} {what}.", "Choose the folder of one CT study."
    )


def relative(path: Path, root: Path) -> str:
    """A path as the user knows it, fit to be shown."""
    return printable(path.relative_to(root).as_posix(), limit=256) if path != root else path.name


def _walk(folder: Path, most_folders: int) -> Iterator[Path]:
    """Everything below the folder that is no folder itself; one that can't be listed, too."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                        if len(waiting) > most_folders:
                            raise _too_many(most_folders, "folders")
                    else:
                        yield Path(entry.path)
        except OSError:
            yield here


def _why_not(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:  # so deep that its path is longer than the system allows, or just removed
        return UNOPENED
    if stat.S_ISLNK(status.st_mode):
        return "a link; links are not followed"
    if stat.S_ISDIR(status.st_mode):
        return "a folder that cannot be opened"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return "" if status.st_size else EMPTY


def _check_directory(archive: Path, config: IntakeConfig) -> None:
    """Refuse a table of contents for millions of entries before it is read into memory."""
    with archive.open("rb") as file:
        file.seek(-min(archive.stat().st_size, _END_BYTES), os.SEEK_END)
        tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        size = int.from_bytes(tail[end + 12 : end + 16], "little")
        if end >= 0 and size == 0xFFFFFFFF:  # zip64: the number stands in a record further up
            file.seek(int.from_bytes(tail[end - 12 : end - 4], "little") + 40)
            size = int.from_bytes(file.read(8), "little")
    if end >= 0 and size > config.max_files * _ENTRY_BYTES:
        raise _unsafe(
            f"has a table of contents of {size:,} bytes; at most {config.max_files:,} entries "
            "are accepted"
        )


def _unpack_entries(
    packed: zipfile.ZipFile,
    folder: Path,
    packed_bytes: int,
    config: IntakeConfig,
    sofar: Unpacked,
) -> list[RejectedFile]:
    entries, left = packed.infolist(), config.max_files - sofar.entries
    if len(entries) > left:
        raise _unsafe(f"has {len(entries):,} entries; at most {left:,} are accepted")
    for entry in entries:
        _check_entry(entry, config)
    sofar.entries += len(entries)
    most = max(_HARMLESS_BYTES, int(packed_bytes * config.max_compression_ratio))
    limit = min(config.max_unpacked_bytes, sofar.n_bytes + most)
    damaged: list[RejectedFile] = []
    for entry in (entry for entry in entries if not _inside(entry).endswith("/")):
        target = folder / _inside(entry)
        try:
            _write(packed, entry, target, limit, sofar)
        except _DAMAGED:
            target.unlink(missing_ok=True)
            name = printable(_inside(entry), limit=256)
            damaged.append(RejectedFile(name, DAMAGED_INSIDE))
    return damaged


def _inside(entry: zipfile.ZipInfo) -> str:
    """Where an entry wants to lie. Some packers write Windows' separators, against the standard."""
    return entry.filename.replace("\\", "/")


def _check_entry(entry: zipfile.ZipInfo, config: IntakeConfig) -> None:
    name = _inside(entry)
    parts = PurePosixPath(name).parts
    if entry.flag_bits & 0x1:
        raise _unsafe("is encrypted")
    if not parts or PureWindowsPath(name).drive or name.startswith("/"):
        raise _unsafe("has an entry with an absolute path")
    if ".." in parts:
        raise _unsafe("has an entry that leads outside its folder")
    if len(parts) - 1 > (most := config.max_folder_depth):
        raise _unsafe(f"has an entry {len(parts) - 1} folders deep; at most {most} are accepted")
    kind = stat.S_IFMT(entry.external_attr >> 16)  # zero where the packer was not Unix
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe("has an entry that is a link or a device, not a file")


def _write(
    packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limit: int, sofar: Unpacked
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # "x": the second of two entries with one name must not replace the first.
    with packed.open(entry) as source, target.open("xb") as sink:
        _copy(source, sink, limit, sofar)


def _copy(source: IO[bytes], sink: IO[bytes], limit: int, sofar: Unpacked) -> None:
    while chunk := source.read(_CHUNK):
        if sofar.n_bytes + len(chunk) > limit:
            raise _unsafe("unpacks to far more than a CT study (a zip bomb)")
        sofar.n_bytes += len(chunk)
        sink.write(chunk)


def _unsafe(what: str) -> UnsafeArchive:
    return UnsafeArchive(f"The archive {what}.", _PACK_AGAIN)
