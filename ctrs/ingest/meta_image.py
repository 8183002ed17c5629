"""MetaImage (.mha, .mhd): header and voxels, read by ourselves.

The reader inside SimpleITK goes on when the compressed voxels are damaged or too few, makes up
what the header leaves out, and follows the header to any file of the machine.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctrs.errors import InputRejected, NotAVolume

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
# Several names of one thing: all are in use.
_SPACING = ("ElementSpacing", "ElementSize")
_AXES = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
_BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
# What may stand there, in small letters. Where the line is missing, the first is meant.
_ONLY = {
    "BinaryData": ("true", "1"),
    "HeaderSize": ("0",),
    "DistanceUnits": ("mm", "?", ""),
    "ElementToIntensityFunctionSlope": ("1",),
    "ElementToIntensityFunctionOffset": ("0",),
}
_LAST = "ElementDataFile"  # the header ends with this line
_READ = frozenset((
    "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "CompressedData",
    "CompressedDataSize", _LAST, *_ONLY, *_SPACING, *_AXES, *_ORIGIN, *_BIG_ENDIAN,
))  # fmt: skip
_TRUE = ("true", "1")
_HEADER_BYTES = 64 * 1024
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS

_EXPORT_AGAIN = "Export the volume again from the program that wrote it."


@dataclass(frozen=True)
class MetaImage:
    """What the header says, in its own order (x, y, z).

    Attributes:
        direction: Cosines as in `ctrs.types.Volume`: the columns are the axes of the grid.
        voxel_type: Of one value, with the order of its bytes.
        start: Where in their file the voxels begin.
        packed: How many bytes they are compressed to; ``None`` where they are not.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    channels: int
    voxel_type: np.dtype[np.generic]
    start: int
    packed: int | None


def data_name(path: Path) -> str:
    """What the header calls the file of its voxels (``LOCAL``: itself); ``""`` if nothing.

    Raises:
        InputRejected: A line that matters stands there twice.
    """
    return _fields(path)[0].get(_LAST, "")


def read_header(path: Path, data: Path) -> MetaImage:
    """What the header says.

    Args:
        data: The file with the voxels: ``path`` itself, or the one that it names.

    Raises:
        NotAVolume: It does not say how large the voxels are, or which way they point.
        InputRejected: A line stands there twice, or asks for something that is not done.
        ValueError, KeyError: Damaged.
    """
    fields, end = _fields(path)
    _check_only(fields)
    size = tuple(int(n) for n in fields["DimSize"].split())
    if len(size) != int(fields["NDims"]):
        raise ValueError("dimensions")
    start = end if data == path else 0
    rows = _numbers(_told(fields, _AXES, "which way its axes point"), len(size) ** 2)
    return MetaImage(
        size,
        _numbers(_told(fields, _SPACING, "how large its voxels are"), len(size)),
        _numbers(_first(fields, _ORIGIN) or "0 " * len(size), len(size)),
        tuple(np.reshape(rows, (len(size), len(size))).T.ravel().tolist()),
        int(fields.get("ElementNumberOfChannels", "1")),
        _voxel_type(fields),
        start,
        _packed(fields, data.stat().st_size - start),
    )


def read_voxels(header: MetaImage, data: Path) -> sitk.Image:
    """The voxels and where they lie.

    Raises:
        ValueError, zlib.error: Damaged, or not as many as announced.
    """
    expected = prod(header.size) * header.voxel_type.itemsize
    with data.open("rb") as file:
        file.seek(header.start)
        content = file.read(expected + 1 if header.packed is None else header.packed)
    if header.packed is not None:
        content = _inflated(content, expected)
    if len(content) != expected:
        raise ValueError("not as many voxels as announced")
    stored = np.frombuffer(content, header.voxel_type).reshape(header.size[::-1])
    image = sitk.GetImageFromArray(stored.astype(header.voxel_type.newbyteorder("="), copy=False))
    image.SetSpacing(header.spacing)
    image.SetOrigin(header.origin)
    image.SetDirection(header.direction)
    return image


def _inflated(packed: bytes, expected: int) -> bytes:
    """What a stream holds, if it is whole: its checksum is the last thing in it."""
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    content = stream.decompress(packed, expected + 1)  # one more shows that there is too much
    if not stream.eof:
        raise ValueError("compressed voxels without an end")
    return content


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The lines that are read, and where the header ends.

    Programs add lines of their own, the patient's data among them: those are passed over.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    fields: dict[str, str] = {}
    end = 0
    for line in head.split(b"\n"):
        end += len(line) + 1
        name, _, value = (part.strip() for part in line.decode("utf-8", "replace").partition("="))
        if name in _READ and fields.setdefault(name, value) != value:
            raise InputRejected(f"The header says two things of its {name}.", _EXPORT_AGAIN)
        if name == _LAST:
            break
    return fields, end


def _check_only(fields: dict[str, str]) -> None:
    for name, allowed in _ONLY.items():
        if name in fields and not any(_same(fields[name], value) for value in allowed):
            raise InputRejected(
                f"The header's {name} is something else than {allowed[0]}, and only that can be "
                "read.",
                _EXPORT_AGAIN,
            )


def _same(found: str, value: str) -> bool:
    """Whether two texts are the same word, or the same number."""
    try:
        return float(found) == float(value)
    except ValueError:
        return found.lower() == value


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _told(fields: dict[str, str], names: tuple[str, ...], what: str) -> str:
    if not (value := _first(fields, names)):
        raise NotAVolume(f"The file does not say {what} ({names[0]}).", _EXPORT_AGAIN)
    return value


def _numbers(text: str, count: int) -> tuple[float, ...]:
    numbers = tuple(float(word) for word in text.split())
    if len(numbers) != count:
        raise ValueError("numbers")
    return numbers


def _voxel_type(fields: dict[str, str]) -> np.dtype[np.generic]:
    big = _first(fields, _BIG_ENDIAN).lower() in _TRUE
    return np.dtype(_TYPES[fields["ElementType"]]).newbyteorder(">" if big else "<")


def _packed(fields: dict[str, str], to_the_end: int) -> int | None:
    if fields.get("CompressedData", "").lower() not in _TRUE:
        return None
    return int(fields.get("CompressedDataSize", to_the_end))
