"""What a person measures on a scan: a length, or two diameters at right angles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import dist, isfinite, nan, sqrt
from typing import Final, TypeAlias

from ctrs.types import Triple

PLANES: Final = ("axial", "coronal", "sagittal")
RIGHT_ANGLE_TOLERANCE: Final = 0.18  # cosine; a line drawn by hand may lean by ten degrees
# RECIST 1.1: up to five targets. Which of them, and at most two an organ, a person decides.
MAX_TARGETS: Final = 5
NORMAL_NODE_MM: Final = 10.0  # short axis below which a lymph node is no disease

Line: TypeAlias = tuple[Triple, Triple]


@dataclass(frozen=True)
class Measurement:
    """One lesion measured in one scan of a pair.

    Attributes:
        key: Names it; a measurement with the same key replaces it.
        lesion: What the lesion is called, the same in both scans.
        visit: 0 = baseline, 1 = follow-up.
        plane: One of `PLANES`, in which it was drawn.
        lines: Ends in mm from the centre of the scan's first voxel, ``(x, y, z)``: the longest
            diameter and, if drawn, the longest one at right angles to it. None at the follow-up:
            a person looked, and the lesion is gone.
        target: Counts in the sum of RECIST 1.1.
        node: A lymph node, which counts by its short axis.
        made_by: Who drew it: the account that runs the program, or who is logged in.
    """

    key: str
    lesion: str
    visit: int
    plane: str
    lines: tuple[Line, ...]
    target: bool = False
    node: bool = False
    made_by: str = ""

    def __post_init__(self) -> None:
        if self.plane not in PLANES or self.visit not in (0, 1) or len(self.lines) > 2:
            raise ValueError("A measurement is one or two lines in one plane of one scan.")
        if self.gone:
            if self.visit == 0:
                raise ValueError("A lesion without a line is gone, which only a follow-up shows.")
            return
        if not all(isfinite(mm) for line in self.lines for end in line for mm in end):
            raise ValueError("A line ends at a place in the scan.")
        if min(dist(*line) for line in self.lines) <= 0:
            raise ValueError("A line has a length.")
        if len(self.lines) == 2 and abs(_cosine(*self.lines)) > RIGHT_ANGLE_TOLERANCE:
            raise ValueError("The second diameter is at right angles to the first.")

    @property
    def gone(self) -> bool:
        """Nothing is left of the lesion: it counts as 0 mm."""
        return not self.lines

    @property
    def long_mm(self) -> float:
        return max((dist(*line) for line in self.lines), default=0.0)

    @property
    def short_mm(self) -> float | None:
        """The shorter diameter, or ``None`` where only one was drawn, or none."""
        return min(dist(*line) for line in self.lines) if len(self.lines) == 2 else None

    @property
    def recist_mm(self) -> float:
        """What counts in the sum; NaN for a node without a short axis."""
        if self.gone or not self.node:
            return self.long_mm
        return nan if self.short_mm is None else self.short_mm


def _cosine(first: Line, second: Line) -> float:
    a, b = ([end - start for start, end in zip(*line, strict=True)] for line in (first, second))
    lengths = sqrt(sum(v * v for v in a) * sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths


def recist_sums(measurements: Iterable[Measurement]) -> tuple[float, float]:
    """Sums of the target diameters at baseline and follow-up, mm.

    NaN where a target was measured in one scan only: a sum without it would be too small. NaN
    for both where there is no target.
    """
    targets = [drawn for drawn in measurements if drawn.target]
    wanted = {drawn.lesion for drawn in targets}

    def total(visit: int) -> float:
        found = {drawn.lesion: drawn.recist_mm for drawn in targets if drawn.visit == visit}
        return sum(found.values()) if wanted and set(found) == wanted else nan

    return total(0), total(1)


def all_targets_gone(measurements: Iterable[Measurement]) -> bool:
    """Whether no target is left at the follow-up; a node below 10 mm is none, though measured.

    Source:
        RECIST 1.1, complete response: Eisenhauer et al., Eur. J. Cancer 45 (2009) 228-247.
    """
    left = [drawn for drawn in measurements if drawn.target and drawn.visit == 1]
    return bool(left) and all(
        drawn.recist_mm < NORMAL_NODE_MM if drawn.node else drawn.gone for drawn in left
    )
