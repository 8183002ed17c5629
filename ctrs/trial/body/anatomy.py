"""Who lies in the scanner: body build, places in the body, posture, and the grid of a scan.

Coordinates are mm in the patient frame: x to the patient's left, y to the back, z to the head;
(0, 0, 0) is in the middle of the chest at the height of the lung bases. A place *inside* a lung
is given by fractions, so that it follows the breath: see `LungPlace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from ctrs.types import Array, Triple

Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")

AIR, FAT, MUSCLE, BLOOD, LIVER = -1000.0, -100.0, 52.0, 42.0, 58.0


class LungPlace(NamedTuple):
    """A place in a lung: 0-1 from the base up, -1 to 1 inwards-outwards and front-back."""

    side: Side
    height: float
    across: float
    depth: float


class NodePlace(NamedTuple):
    """A lymph node station: mm from the hilum of a side, ``(z, y, x)``, x outwards."""

    side: Side
    z: float
    y: float
    x: float


class LiverPlace(NamedTuple):
    """A place in the liver under the right dome, -1 to 1: feet-head, front-back, right-left."""

    height: float
    depth: float
    across: float


class BonePlace(NamedTuple):
    """A place in a thoracic vertebral body: height 0-1 from the lung base up, the rest -1 to 1."""

    height: float
    depth: float
    across: float


Place: TypeAlias = LungPlace | NodePlace | LiverPlace | BonePlace


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Build of one patient; lengths in mm. Stays the same from visit to visit."""

    sex: str
    age: int
    bmi: float  # kg/m2
    half_width: float  # of the rib cage, inside, where it is widest
    half_depth: float
    lung_height: float  # at full breath, from the base to the apex
    fat: float  # thickness of the fat under the skin at the side of the chest
    visceral: float  # fat in the mediastinum and abdomen, 0 = hardly any, 1 = much
    muscle: float  # thickness of the chest wall muscle
    breast: float  # how far a breast stands out; 0 for men
    heart: float  # scale, 1 = usual
    kyphosis: float  # how far the spine bows back in its middle, beyond the usual
    asymmetry: float  # right half of the cage this share wider, left half so much narrower
    trachea: float  # deviation of the trachea to the left
    lung_hu: float  # of healthy parenchyma at full breath
    emphysema: float  # share of the lung destroyed, 0 to 0.5
    fibrosis: float  # thickness of the fibrotic rim at the bases
    seed: int  # of everything that has no number of its own: vessels, textures


def draw_anatomy(
    rng: np.random.Generator,
    *,
    sex: str,
    age: int,
    bmi: float,
    emphysema: float,
    fibrosis_mm: float,
    muscle_z: float,
) -> Anatomy:
    """A body build around given age, weight and lung disease.

    Cage and lung sizes after CT chest dimensions of adults, women about a tenth smaller; the
    effect of emphysema (barrel chest) and of age (kyphosis) in the middle of what is published.

    Args:
        sex: ``"male"`` or ``"female"``.
        bmi: kg/m2.
        emphysema: Share of the lung destroyed, 0 to 0.5.
        fibrosis_mm: Thickness of the fibrotic rim at the bases; 0 = none.
        muscle_z: Muscle against others of the same sex, in standard deviations.
    """
    normal = rng.standard_normal(12).tolist()
    female = sex == "female"
    small = 0.92 if female else 1.0
    heavy = min(max((bmi - 18.0) / 17.0, 0.0), 1.3)  # 0 at BMI 18, 1 at BMI 35
    old = min(max((age - 50) / 40.0, 0.0), 1.0)
    return Anatomy(
        sex=sex,
        age=age,
        bmi=bmi,
        half_width=small * (141 + 7 * normal[0] + 4 * heavy),
        half_depth=small * (97 + 6 * normal[1] + 5 * heavy) * (1 + 0.22 * emphysema + 0.03 * old),
        lung_height=small * (259 + 14 * normal[2]) * (1 + 0.14 * emphysema),
        fat=float(min(max((7 if female else 4) + 24 * heavy + 2.5 * normal[3], 3.0), 48.0)),
        visceral=float(min(max(0.1 + 0.75 * heavy + 0.15 * normal[4], 0.0), 1.0)),
        muscle=float(min(max(small * (14 + 3.5 * muscle_z), 5.0), 28.0)),
        breast=float(max(14 + 24 * heavy + 6 * normal[5], 6.0)) if female else 0.0,
        heart=float(min(max(1.0 + 0.08 * normal[6] + 0.06 * heavy, 0.82), 1.32)),
        kyphosis=float(max(14 * old + 6 * normal[7], -6.0)),
        asymmetry=float(0.028 + 0.011 * normal[8]),
        trachea=float(-2 + 2.5 * normal[9]),
        lung_hu=float(-855 + 16 * normal[10]),
        emphysema=emphysema,
        fibrosis=fibrosis_mm,
        seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class Posture:
    """How the patient lay and breathed at one visit; mm, and ``breath`` 1 = full."""

    breath: float
    shift: Triple  # (z, y, x)
    turn: float  # radians about the long axis

    @staticmethod
    def draw(rng: np.random.Generator) -> Posture:
        z, y, x = rng.normal(0, (8, 6, 6))
        return Posture(float(np.clip(rng.normal(0.95, 0.05), 0.78, 1.04)), (z, y, x),
                       float(rng.normal(0, 0.025)))  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels: shape, spacing and first voxel, each ``(z, y, x)``, mm."""

    shape: tuple[int, int, int]
    spacing: Triple
    first: Triple

    @staticmethod
    def around(centre: Triple, shape: tuple[int, int, int], spacing: Triple) -> Grid:
        z, y, x = (c - (n - 1) / 2 * mm for c, n, mm in zip(centre, shape, spacing, strict=True))
        return Grid(shape, spacing, (z, y, x))

    def between(self, low: float, high: float) -> Grid:
        """Its slices between two heights, mm."""
        at = self.first[0] + np.arange(self.shape[0]) * self.spacing[0]
        kept = np.flatnonzero((at >= low) & (at <= high))
        shape, first = (len(kept), *self.shape[1:]), (float(at[kept[0]]), *self.first[1:])
        return Grid(shape, self.spacing, first)

    def body(self, posture: Posture) -> tuple[Array, Array, Array]:
        """The voxels in the coordinates of a body that lies shifted and turned; broadcasts."""
        z, y, x = np.ix_(
            *(
                np.arange(n, dtype=np.float32) * mm + start - shift
                for n, mm, start, shift in zip(
                    self.shape, self.spacing, self.first, posture.shift, strict=True
                )
            )
        )
        cos, sin = np.float32(np.cos(posture.turn)), np.float32(np.sin(posture.turn))
        return z, cos * y + sin * x, cos * x - sin * y

    def index(self, points: np.ndarray, posture: Posture) -> np.ndarray:
        """Voxel indices (not rounded) of points ``(n, 3)`` given in body coordinates."""
        z, y, x = points.T
        cos, sin = np.cos(posture.turn), np.sin(posture.turn)
        lab = np.stack([z, cos * y - sin * x, sin * y + cos * x], 1) + posture.shift
        return np.asarray((lab - self.first) / self.spacing)
