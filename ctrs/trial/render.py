"""A visit of a simulated patient → the CT of that visit, with the truth in every voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ctrs.trial.body.anatomy import SIDES, Posture
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.disease.lesions import CORED, Lesion, paint_lesion
from ctrs.trial.disease.pleura import paint_collapse, paint_effusion
from ctrs.trial.population.patients import TrialPatient
from ctrs.trial.scanner import Protocol, acquire, draw_protocol
from ctrs.types import Array, SeriesHeader, Volume

FIRST_DAY = date(2021, 3, 1)
CONTRAST_SHARE = 0.6  # of the scans; ours


@dataclass(frozen=True)
class RenderedScan:
    """One simulated scan with the truth.

    Attributes:
        structures: By the name in `ctrs.types.STRUCTURES`, the share of each voxel, 0 to 1. What
            is not named is not known; nothing there is all zeros.
    """

    volume: Volume
    structures: Mapping[str, Array]

    @property
    def tumour(self) -> Array:
        return self.structures["tumour"]

    @property
    def effusion(self) -> Array:
        return self.structures["effusion"]


class TumourMaps:
    """The maps of a scan's tumours, filled lesion by lesion.

    Attributes:
        tumour: Share of each voxel that is taken by tumours so far.
        halo: Strength of hazy rims.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.tumour, self.halo, self._liver, self._bone, self._cored = (
            np.zeros(shape, np.float32) for _ in range(5)
        )

    def add(self, lesion: Lesion, share: Array) -> None:
        """``share`` is what `ctrs.trial.disease.lesions.paint_lesion` gave back."""
        self.tumour += share
        if lesion.kind == "liver":
            self._liver += share
        if lesion.kind == "bone":
            self._bone += share
        if lesion.texture in CORED:
            self._cored += share

    def structures(self, effusion: Array, atelectasis: Array) -> dict[str, Array]:
        """By the name in `ctrs.types.STRUCTURES`; no voxel is filled more than once."""
        effusion = np.minimum(effusion, 1 - self.tumour)
        return {
            "tumour": self.tumour,
            "effusion": effusion,
            "atelectasis": np.minimum(atelectasis, 1 - self.tumour - effusion),
            "liver_tumour": self._liver,
            "bone_tumour": self._bone,
            "cored_tumour": self._cored,
            "halo": np.minimum(self.halo, 1 - self.tumour),
        }


def render_visit(
    patient: TrialPatient,
    visit: int,
    in_plane_mm: float = 1.0,
    protocol: Protocol | None = None,
    heights: tuple[float, float] | None = None,
) -> RenderedScan:
    """Render visit 0 (baseline) or 1 (follow-up); the same arguments give the same voxels.

    Args:
        in_plane_mm: Pixel size of a drawn protocol.
        protocol: How to scan; by default drawn for this patient and visit.
        heights: Only the slices between these, mm from the base of the lungs. Their noise is
            another, and fluid stands higher: all of it is poured into them.
    """
    rng = np.random.default_rng([patient.seed, visit])
    posture = Posture.draw(rng)
    protocol = protocol or protocol_of(patient, visit, in_plane_mm)
    grid = protocol.grid(patient.anatomy.lung_height)
    if heights is not None:
        grid = grid.between(*heights)
    thorax = Thorax(patient.anatomy, posture, grid, protocol.enhancement)
    side = SIDES[0] if patient.disease.effusion_side == SIDES[0] else SIDES[1]
    contrast = protocol.enhancement
    airless = np.zeros(grid.shape, np.float32)
    for lesion in patient.lesions:
        np.maximum(airless, paint_collapse(thorax, lesion, visit, contrast), out=airless)
    fluid = paint_effusion(thorax, side, patient.disease.effusion_ml[visit], contrast)
    np.maximum(airless, fluid.atelectasis, out=airless)
    maps = TumourMaps(grid.shape)
    for lesion in patient.lesions:
        share = paint_lesion(thorax, lesion, visit, contrast, maps.tumour, maps.halo)
        maps.add(lesion, share)
    z, y, x = grid.first
    volume = Volume(
        hu=acquire(thorax.hu, protocol, rng),
        spacing=protocol.spacing,
        origin=(x, y, z),
        header=_header(patient, visit, protocol),
    )
    ill = maps.structures(fluid.effusion, airless)
    untouched = 1 - np.minimum(ill["tumour"] + ill["effusion"] + ill["atelectasis"], 1)
    anatomy = {"fibrosis": thorax.fibrosis * untouched, "muscle": thorax.muscle * untouched}
    return RenderedScan(volume, ill | anatomy)


def protocol_of(patient: TrialPatient, visit: int, in_plane_mm: float) -> Protocol:
    """How this patient is scanned at this visit, at the scanner that the table names."""
    rng = np.random.default_rng([patient.seed, visit, 3])
    scanner = patient.person.scanner[visit]
    return draw_protocol(rng, in_plane_mm, CONTRAST_SHARE, scanner)


def _header(patient: TrialPatient, visit: int, protocol: Protocol) -> SeriesHeader:
    day = FIRST_DAY + timedelta(days=patient.seed % 600 + visit * patient.interval_days)
    return SeriesHeader(
        description=("Baseline" if visit == 0 else "Follow-up") + " chest, simulated",
        acquired_on=day,
        kernel=protocol.kernel,
        contrast="yes" if protocol.enhancement else "",
        body_part="CHEST",
        manufacturer=protocol.manufacturer,
        slice_thickness_mm=protocol.spacing[0],
        patient_id=patient.patient.patient,
        patient_sex=patient.patient.sex[:1].upper(),
    )
