"""NIfTI: what its header has to say before SimpleITK, which makes up what is missing, reads it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctrs.errors import NotAVolume
from ctrs.types import Floats, Mask

_HEADER_BYTES = 348
_MAGIC = b"n+1\0"  # version 1, voxels in the same file
_FLOATS = {16: "f4", 64: "f8"}
# Relative. Both are 32-bit numbers of one scan; 1 % of each edge is 3 % of a volume.
_SAME_SIZE = 0.01
_SAME_DIRECTION_DEG = 1.0

_CONVERT = "Convert the DICOM series again, with a program that keeps the geometry."


@dataclass(frozen=True)
class Nifti:
    """The header's own numbers: in its own unit, patient axes to the right, front and head.

    Attributes:
        pixdim: Size of a voxel along each axis of the grid.
        qform, sform: Columns are the grid's axes in the patient, of length 1 and of a voxel;
            ``None`` where the code says that it is not given.
    """

    byte_order: str
    datatype: int
    bits: int
    start: int
    pixdim: Floats
    qform: Floats | None
    sform: Floats | None


def read_header(path: Path) -> Nifti:
    """What the header says.

    Raises:
        ValueError: No NIfTI of version 1 with its voxels in the same file.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    order = "<" if head[:4] == struct.pack("<i", _HEADER_BYTES) else ">"
    if head[:4] != struct.pack(order + "i", _HEADER_BYTES) or head[344:348] != _MAGIC:
        raise ValueError("no NIfTI in one file")

    def at(offset: int, kind: str) -> tuple[float, ...]:
        return struct.unpack_from(order + kind, head, offset)

    datatype, bits = at(70, "2h")
    pixdim, quaternion, codes = at(76, "8f"), at(256, "3f"), at(252, "2h")
    return Nifti(
        order,
        int(datatype),
        int(bits),
        max(int(at(108, "f")[0]), _HEADER_BYTES),
        np.array(pixdim[1:4]),
        _rotation(quaternion, pixdim[0]) if codes[0] > 0 else None,
        np.array(at(280, "12f")).reshape(3, 4)[:, :3] if codes[1] > 0 else None,
    )


def _rotation(quaternion: tuple[float, ...], handedness: float) -> Floats:
    """Source: nifti1.h, method 2."""
    b, c, d = quaternion
    a = np.sqrt(max(1.0 - b * b - c * c - d * d, 0.0))
    axes = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip
    axes[:, 2] *= -1.0 if handedness < 0 else 1.0
    return axes


def check_header(header: Nifti) -> None:
    """Refuse a header that leaves open, or contradicts itself on, where the voxels lie.

    Raises:
        NotAVolume: No orientation, no size of the voxels, or two that differ.
    """
    if header.qform is None and header.sform is None:
        raise NotAVolume(
            "The file does not say how the patient lies in it (qform and sform codes are 0).",
            _CONVERT,
        )
    if not np.isfinite(header.pixdim).all() or header.pixdim.min() <= 0:
        raise NotAVolume("The file gives no usable voxel size.", _CONVERT)
    if header.sform is None:
        return
    lengths = np.linalg.norm(header.sform, axis=0)
    if not (np.abs(lengths - header.pixdim) <= _SAME_SIZE * header.pixdim).all():
        raise NotAVolume(
            f"The file gives two sizes of its voxels: {_by(header.pixdim)} (pixdim) and "
            f"{_by(lengths)} (sform).",
            _CONVERT,
        )
    if header.qform is not None:
        _check_directions(header.qform, header.sform / lengths)


def _check_directions(qform: Floats, sform: Floats) -> None:
    cosines = np.clip((qform * sform).sum(axis=0), -1.0, 1.0)
    degrees = float(np.degrees(np.arccos(cosines)).max())
    if not degrees <= _SAME_DIRECTION_DEG:
        raise NotAVolume(
            f"The file says twice how the patient lies in it (qform and sform), and the two are "
            f"{degrees:.0f}° apart.",
            _CONVERT,
        )


def without_value(header: Nifti, path: Path, shape: tuple[int, int, int]) -> Mask | None:
    """Where a file of floats holds no number (NaN): SimpleITK makes 0 of it, which is water here.

    Args:
        shape: Of the volume, ``(z, y, x)`` of its own grid.

    Returns:
        Of that shape; ``None`` where every voxel has a value.
    """
    if header.datatype not in _FLOATS:
        return None
    kind = header.byte_order + _FLOATS[header.datatype]
    unknown = ~np.isfinite(np.memmap(path, kind, "r", header.start, shape))
    return unknown if unknown.any() else None


def _by(steps: Floats) -> str:
    return " × ".join(f"{step:.4g}" for step in steps)
