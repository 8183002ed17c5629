"""NRRD: what its header has to say before SimpleITK, which makes up what is missing, reads it."""

from __future__ import annotations

import re
from math import hypot
from pathlib import Path

import numpy as np

from ctrs.errors import NotAVolume

# The patient's axes; SimpleITK takes any other space for left-posterior-superior.
_SPACES = (
    "leftposteriorsuperior", "lps", "rightanteriorsuperior", "ras", "leftanteriorsuperior", "las",
)  # fmt: skip
_MILLIMETRES = ("mm", "")
_DATA_FILE = "datafile"
_HEADER_BYTES = 64 * 1024
_SAME_SIZE = 0.01  # relative

_CONVERT = "Convert the DICOM series again, with a program that keeps the geometry."


def data_name(path: Path) -> str | None:
    """What the header calls the file of its voxels; ``None`` where they follow the header.

    ``""`` where several are named, or the header is too long to know.
    """
    head, whole = _head(path)
    # In all that was read, for readers differ on where a header ends.
    lines = [_field(line) for line in re.split(rb"[\r\n]+", head)]
    names = [value for name, value in lines if name.startswith(_DATA_FILE)]
    if len(names) > 1 or (not names and not whole):
        return ""
    return names[0] if names else None


def check_header(path: Path, spacing: tuple[float, ...]) -> None:
    """Refuse a header that leaves the size of the voxels or the patient's axes to a guess.

    Args:
        spacing: What SimpleITK makes of it: 1 mm where it cannot make anything.

    Raises:
        NotAVolume: No space of the patient, no usable directions, or other units than mm.
        ValueError: A direction that is no numbers.
    """
    head, _ = _head(path)
    lines = re.split(rb"\r?\n", re.split(rb"\r?\n\r?\n", head)[0])
    fields = dict(_field(line) for line in lines if line[:1] != b"#" and b":=" not in line)
    space = re.sub(r"[\s-]", "", fields.get("space", "")).lower()
    if space not in _SPACES:
        raise NotAVolume(
            "The file does not say how the patient lies in it (its space is none of "
            "left-posterior-superior, right-anterior-superior, left-anterior-superior).",
            _CONVERT,
        )
    steps = _lengths(fields.get("spacedirections", ""))
    if len(steps) != len(spacing) or not np.allclose(steps, spacing, rtol=_SAME_SIZE, atol=0):
        raise NotAVolume(
            "The file does not say how large its voxels are (no usable space directions).",
            _CONVERT,
        )
    units = re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))
    if any(unit.strip().lower() not in _MILLIMETRES for unit in units):
        raise NotAVolume("The file measures in other units than mm.", _CONVERT)


def _lengths(directions: str) -> list[float]:
    vectors = re.findall(r"\(([^)]*)\)", directions)
    return [hypot(*(float(n) for n in vector.split(","))) for vector in vectors]


def _head(path: Path) -> tuple[bytes, bool]:
    """The beginning of the file, and whether the whole header is in it."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    return head, len(head) < _HEADER_BYTES or re.search(rb"\r?\n\r?\n", head) is not None


def _field(line: bytes) -> tuple[str, str]:
    """Name, without spaces and in small letters, and value of a line."""
    name, _, value = line.decode("utf-8", "replace").partition(":")
    return re.sub(r"\s", "", name).lower(), value.strip()
