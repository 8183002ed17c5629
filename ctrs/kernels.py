"""What a Convolution Kernel's name says: soft for mediastinum, sharp for lung and bone."""

from __future__ import annotations

import re
from enum import StrEnum


class Sharpness(StrEnum):
    SOFT = "soft"
    SHARP = "sharp"
    UNKNOWN = "unknown"


# Siemens and United Imaging number their kernels (B30f, Br40d, I70f, B_SHARP_C): 10 is the
# smoothest, 90 the sharpest; lung kernels start at B50s/Bl57, soft ones end at B45/Br49.
_NUMBERED = re.compile(r"^[BDHIQTU][A-Z]?(\d\d)")
_FIRST_SHARP_NUMBER = 50
# GE by name; Canon FC3x, FC5x and FC8x; Philips D, E, L and Y-.
_SHARP = re.compile(r"LUNG|BONE|EDGE|SHARP|^FC[358]\d|^(?:D|E|L|Y[A-Z])$")
# GE by name; Canon FC0x to FC2x and FC4x; Philips A, B, C.
_SOFT = re.compile(r"STAND|STD|SOFT|SMOOTH|BODY|CHST|CHEST|DETAIL|^FC[0124]\d|^[ABC]$")


def sharpness(kernel: str) -> Sharpness:
    """Whether a reconstruction kernel is soft or sharp, by its name; unknown if nobody can say."""
    name = kernel.strip().upper()
    if numbered := _NUMBERED.match(name):
        sharp = int(numbered[1]) >= _FIRST_SHARP_NUMBER
        return Sharpness.SHARP if sharp else Sharpness.SOFT
    if _SHARP.search(name):
        return Sharpness.SHARP
    return Sharpness.SOFT if _SOFT.search(name) else Sharpness.UNKNOWN
