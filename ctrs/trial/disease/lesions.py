"""Tumours painted into a simulated or real thorax, with the truth in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from ctrs.trial.body.anatomy import AIR, Place
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.disease.shape import (
    Window,
    cover,
    draw_outline,
    open_window,
    reach_of,
    shape_field,
    smooth_noise,
    voxel_range,
)
from ctrs.types import Array, Mask, Triple

Kind = Literal["primary", "metastasis", "node", "liver", "bone"]
Texture = Literal["solid", "necrotic", "cavitating", "part-solid"]

CORED: tuple[Texture, ...] = ("necrotic", "cavitating")

PLEURA_HU = -150.0  # a darker voxel beside the lung is partly lung
SOLID_HU = 40.0  # tumour without contrast
TUMOUR_UPTAKE = 0.3  # share of the blood's enhancement, portal phase; ours
RIM_UPTAKE = 0.5  # of the living rim around a dead core
NECROSIS_HU = 14.0
GROUND_GLASS_HU = -520.0  # the rim of a part-solid nodule; -750 to -300 in Fleischner's glossary
HALO_HU = -640.0
CAVITY_HU = AIR + 30.0
FLUID_HU = 12.0
LIVER_DROP_HU = (30.0, 45.0)  # metastasis below the enhanced liver
LYTIC_SHARE, LYTIC_HU, SCLEROTIC_HU = 0.65, 50.0, 600.0


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One tumour through both visits.

    Attributes:
        diameter_mm: At baseline and follow-up, of the sphere with the same volume; 0 = absent.
        elongation: Longest axial diameter over that of the sphere, 1 = round; a reader measures
            ``elongation * diameter_mm`` (nodes: short axis, divided by it).
        irregularity: 0 = smooth ellipsoid, about 0.35 = lobulated.
        spicules: Length of the spikes over the radius.
        halo: Ground-glass rim at follow-up, as immune cells make it; share of the radius.
        collapse: Share of the lung behind the lesion that is airless because it blocks a
            bronchus, 0 to 1, at baseline and follow-up.
    """

    kind: Kind
    place: Place
    diameter_mm: tuple[float, float]
    texture: Texture
    elongation: float
    irregularity: float
    spicules: float
    halo: float
    collapse: tuple[float, float]
    seed: int

    def volume_ml(self, visit: int) -> float:
        """Volume at visit 0 (baseline) or 1 (follow-up)."""
        return float(np.pi / 6 * self.diameter_mm[visit] ** 3 / 1000)

    @property
    def is_new(self) -> bool:
        return self.diameter_mm[0] == 0 < self.diameter_mm[1]


@dataclass(frozen=True)
class Surroundings:
    """What a growing tumour keeps to; all of the scan's shape, ``None`` where not known.

    Attributes:
        lungs, liver: Tumours of these organs flatten against their border.
        taken: Share of each voxel that belongs to another tumour already.
    """

    lungs: Mask | None = None
    liver: Mask | None = None
    taken: Array | None = None


def paint_lesion(
    thorax: Thorax,
    lesion: Lesion,
    visit: int,
    enhancement: float,
    taken: Array | None = None,
    halo: Array | None = None,
) -> Array:
    """Paint one lesion into ``thorax.hu``.

    Args:
        enhancement: HU that contrast adds to blood.
        taken: Shares of voxels that belong to lesions painted before; this one keeps off them.
        halo: Raised in place to the strength of the lesion's hazy rim, 0 to 1.

    Returns:
        The share of each voxel that is tumour, 0 to 1; they add up to ``volume_ml`` of the visit
        as far as the tumour lies in the field of view. A cavity and a ground-glass rim belong
        to the tumour, as they do to a reader; the halo does not.
    """
    if lesion.diameter_mm[visit] <= 0:
        return np.zeros(thorax.grid.shape, np.float32)
    centre = thorax.grid.index(thorax.locate(lesion.place)[None], thorax.posture)[0]
    around = Surroundings(thorax.lungs, thorax.liver, taken)
    return paint_blob(
        thorax.hu, thorax.grid.spacing, centre, lesion, visit, enhancement, around, halo
    )


def paint_blob(
    hu: Array,
    spacing: Triple,
    centre: np.ndarray,
    lesion: Lesion,
    visit: int,
    enhancement: float,
    around: Surroundings | None = None,
    halo: Array | None = None,
) -> Array:
    """Paint one lesion into any scan; see `paint_lesion` for what comes back.

    Args:
        hu: Changed in place; a vessel or airway inside the tumour is replaced.
        centre: Voxel indices ``(z, y, x)``, not rounded; may lie outside.
    """
    share = np.zeros(hu.shape, np.float32)
    radius = lesion.diameter_mm[visit] / 2
    if radius <= 0:
        return share
    rng = np.random.default_rng(lesion.seed)
    outline = draw_outline(lesion.elongation, lesion.kind == "node", rng)
    reach = reach_of(outline, lesion.spicules)
    window = open_window(hu.shape, spacing, centre, radius, reach)
    if window is None:
        return share
    field = shape_field(window.axes, outline, lesion.irregularity, lesion.spicules, rng)
    width = voxel_range(field)
    if lesion.kind == "liver":
        width *= np.float32(2.5)  # a metastasis in the liver has no sharp edge
    around = around or Surroundings()
    field += _barrier(window, hu, lesion, visit, around)
    room = None if around.taken is None else 1 - window.view(around.taken)
    voxels = lesion.volume_ml(visit) * 1000 / float(np.prod(spacing))
    covered, level = cover(field, width, room, voxels)
    painter = _Painter(lesion, visit, enhancement, window, field, width, level)
    if halo is not None:
        rim = halo[window.inside]
        np.maximum(rim, painter.halo(around.lungs), out=rim)
    painter.blend(hu[window.inside], covered[window.part], around.lungs)
    share[window.inside] = covered[window.part]
    return share


# --- Where it may grow --------------------------------------------------------------------------


def _barrier(window: Window, hu: Array, lesion: Lesion, visit: int, around: Surroundings) -> Array:
    """What the field rises by where this kind of tumour does not grow, in radii.

    The larger the tumour the lower the wall: a mass of 8 cm goes through pleura and fascia.
    """
    wall = float(np.clip(1.1 - lesion.diameter_mm[visit] / 130, 0.3, 1.0))
    barrier = np.zeros(window.shape, np.float32)
    if lesion.kind in ("primary", "metastasis") and around.lungs is not None:
        lungs = to_the_pleura(around.lungs[window.inside], hu[window.inside])
        barrier[~np.pad(lungs, window.padding, mode="edge")] = wall
    elif lesion.kind == "liver" and around.liver is not None:
        barrier[~window.view(around.liver)] = wall
    elif lesion.kind == "node":
        tissue = window.view(hu)
        barrier[tissue > 30] = 0.5 * wall  # vessels and heart yield a little, fat at once
        barrier[tissue < -150] = wall
    elif lesion.kind == "bone":
        barrier[window.view(hu) < 75] = 0.7 * wall
    if around.taken is not None:
        barrier += 2 * window.view(around.taken)
    return barrier


def to_the_pleura(lungs: Mask, hu: Array) -> Mask:
    """With the voxels that are half lung, half wall: left out, they would show as a dark seam."""
    return np.asarray(lungs | (ndimage.binary_dilation(lungs) & (hu < PLEURA_HU)))


# --- What it is made of -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Painter:
    """Mixes a lesion's tissue into a scan.

    Attributes:
        field, width, level: The lesion is where ``field < level``, with an edge of ``width``.
    """

    lesion: Lesion
    visit: int
    enhancement: float
    window: Window
    field: Array
    width: Array
    level: float

    def blend(self, view: Array, share: Array, lungs: Mask | None) -> None:
        """Change ``view``, the scan inside the window, by ``share``."""
        part = self.window.part
        if self._has_halo:
            view += self.halo(lungs) * (np.maximum(view, np.float32(HALO_HU)) - view)
        tissue = self._tissue(view, share)[part]
        if self.lesion.texture == "part-solid":
            # Vessels and airway walls stay visible through ground glass.
            solid = self._below(0.62, 0.0)[part]
            glass = np.maximum(view, np.float32(GROUND_GLASS_HU))
            tissue = glass + solid * (tissue - glass)
        view += share * (tissue - view)

    def _below(self, depth: float, wobble: float) -> Array:
        """Soft share of voxels deeper than this fraction of the way out, with a rough edge."""
        rng = np.random.default_rng([self.lesion.seed, 2])
        field = self.field
        if wobble:
            field = field + np.float32(wobble) * smooth_noise(self.window.axes, 0.4, rng)
        share = (np.float32(depth * self.level) - field) / self.width + np.float32(0.5)
        return np.asarray(np.clip(share, 0, 1), np.float32)

    def _tissue(self, view: Array, share: Array) -> Array:
        lesion, rng = self.lesion, np.random.default_rng([self.lesion.seed, 1])
        patchy = smooth_noise(self.window.axes, 0.35, rng)
        uptake = TUMOUR_UPTAKE * float(rng.uniform(0.8, 1.2)) * self.enhancement
        if lesion.kind == "bone":
            if rng.random() < LYTIC_SHARE:
                return np.asarray(LYTIC_HU + 0.7 * uptake + 5 * patchy, np.float32)
            return np.asarray(SCLEROTIC_HU + 70 * patchy, np.float32)
        if lesion.kind == "liver":
            around = view[share > 0.5] if (share > 0.5).any() else view
            drop = float(rng.uniform(*LIVER_DROP_HU))
            return np.asarray(float(np.median(around)) - drop + 3 * patchy, np.float32)
        tissue = np.asarray(SOLID_HU + uptake + 4 * patchy, np.float32)
        if lesion.texture == "necrotic":
            tissue += np.float32((RIM_UPTAKE - TUMOUR_UPTAKE) * self.enhancement)
            tissue += self._below(0.66, 0.10) * (NECROSIS_HU - tissue)
        if lesion.texture == "cavitating":
            tissue += self._below(0.58, 0.13) * (self._cavity(rng) - tissue)
        return np.asarray(tissue, np.float32)

    def _cavity(self, rng: np.random.Generator) -> Array:
        """Air, in one of three cases over a level of fluid: the patient lies on the back."""
        level = float(rng.uniform(0.0, 0.35)) if rng.random() < 1 / 3 else np.inf
        y = self.window.axes[1]
        column = np.where(y > level, FLUID_HU, CAVITY_HU).astype(np.float32)
        return np.broadcast_to(column[None, :, None], self.window.shape)

    @property
    def _has_halo(self) -> bool:
        return self.visit == 1 and self.lesion.halo > 0

    def halo(self, lungs: Mask | None) -> Array:
        """Strength of the hazy rim in the scan's part of the window, 0 to 1."""
        part = self.window.part
        if not self._has_halo:
            return np.zeros(self.field[part].shape, np.float32)
        out = (np.float32(self.level + self.lesion.halo) - self.field[part]) / self.lesion.halo
        strength = np.clip(out, 0, 1)
        strength *= 2 - strength  # full near the tumour, then falling
        if lungs is not None:
            strength *= lungs[self.window.inside]
        return np.asarray(strength, np.float32)
