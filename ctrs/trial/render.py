"""A visit of a simulated patient → the CT of that visit, with the truth in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ctrs.trial.anatomy import SIDES, Posture, Thorax
from ctrs.trial.lesions import paint_effusion, paint_lesion
from ctrs.trial.patients import TrialPatient
from ctrs.trial.scanner import Protocol, acquire, draw_protocol
from ctrs.types import Mask, SeriesHeader, Volume

FIRST_DAY = date(2021, 3, 1)


@dataclass(frozen=True)
class RenderedScan:
    """One simulated scan; masks have the shape of ``volume.hu``."""

    volume: Volume
    tumour: Mask
    effusion: Mask


def render_visit(
    patient: TrialPatient, visit: int, in_plane_mm: float = 1.0, protocol: Protocol | None = None
) -> RenderedScan:
    """Render visit 0 (baseline) or 1 (follow-up); the same arguments give the same voxels.

    Args:
        in_plane_mm: Pixel size of a drawn protocol.
        protocol: How to scan; by default drawn for this patient and visit.
    """
    rng = np.random.default_rng([patient.seed, visit])
    posture = Posture.draw(rng)
    protocol = protocol or draw_protocol(rng, in_plane_mm, contrast=0.6)
    grid = protocol.grid(patient.anatomy.lung_height)
    thorax = Thorax(patient.anatomy, posture, grid, protocol.enhancement)
    side = SIDES[0] if patient.effusion_side == SIDES[0] else SIDES[1]
    effusion = paint_effusion(thorax, side, patient.effusion_ml[visit])
    tumour = np.zeros(grid.shape, bool)
    for lesion in patient.lesions:
        tumour |= paint_lesion(thorax, lesion, visit, protocol.enhancement)
    z, y, x = grid.first
    volume = Volume(
        hu=acquire(thorax.hu, protocol, rng),
        spacing=protocol.spacing,
        origin=(x, y, z),
        header=_header(patient, visit, protocol),
    )
    return RenderedScan(volume, tumour, effusion & ~tumour)


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
