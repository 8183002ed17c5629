"""A visit of a simulated patient → the CT of that visit, with the truth in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ctrs.trial.body.anatomy import SIDES, Posture
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.disease.lesions import paint_lesion
from ctrs.trial.disease.pleura import paint_collapse, paint_effusion
from ctrs.trial.population.patients import TrialPatient
from ctrs.trial.scanner import Protocol, acquire, draw_protocol
from ctrs.types import Array, SeriesHeader, Volume

FIRST_DAY = date(2021, 3, 1)
CONTRAST_SHARE = 0.6  # of the scans; ours


@dataclass(frozen=True)
class RenderedScan:
    """One simulated scan; the share of each of its voxels, 0 to 1, that is tumour or fluid."""

    volume: Volume
    tumour: Array
    effusion: Array


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
    protocol = protocol or protocol_of(patient, visit, in_plane_mm)
    grid = protocol.grid(patient.anatomy.lung_height)
    thorax = Thorax(patient.anatomy, posture, grid, protocol.enhancement)
    side = SIDES[0] if patient.disease.effusion_side == SIDES[0] else SIDES[1]
    contrast = protocol.enhancement
    for lesion in patient.lesions:
        paint_collapse(thorax, lesion, visit, contrast)
    effusion = paint_effusion(thorax, side, patient.disease.effusion_ml[visit], contrast)
    tumour = np.zeros(grid.shape, np.float32)
    for lesion in patient.lesions:
        tumour += paint_lesion(thorax, lesion, visit, contrast, tumour)
    z, y, x = grid.first
    volume = Volume(
        hu=acquire(thorax.hu, protocol, rng),
        spacing=protocol.spacing,
        origin=(x, y, z),
        header=_header(patient, visit, protocol),
    )
    return RenderedScan(volume, tumour, np.minimum(effusion, 1 - tumour))


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
