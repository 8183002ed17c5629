"""How fast the simulated trial is made: tables, training pairs, full-resolution DICOM pairs.

Run with ``python -m tests.benchmarks.bench_trial``. Two processes, as `trial simulate` uses. The
floor of a scan is one pass of white noise over its voxels, the least that any scanner simulation
must do: it says how much of the time the anatomy costs.
"""

import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from ctrs.trial.bank import simulate_trial
from ctrs.trial.dicom import write_series
from ctrs.trial.population.describe import describe
from ctrs.trial.population.patients import simulate_patients, trial_table
from ctrs.trial.render import render_visit
from ctrs.trial.scanner import Protocol

TABLES, PAIRS, DICOM_PAIRS = 20_000, 40, 3
FULL = Protocol(
    spacing=(2.0, 0.75, 0.75), kernel="B40f", manufacturer="Simulated", sharpness=0.9,
    noise_hu=14.0, enhancement=100.0, field_mm=384.0,
)  # fmt: skip


def write_full(job):
    """One visit at full resolution as DICOM; returns voxels."""
    patient, visit, folder = job
    volume = render_visit(patient, visit, protocol=FULL).volume
    write_series(volume, Path(folder) / patient.patient.patient / str(visit))
    return volume.hu.size


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main():
    taken, table = seconds(lambda: trial_table(simulate_patients(TABLES, 7, workers=2)))
    described, found = seconds(lambda: describe(table))
    met = sum(target.met for target in found.targets.values())
    print(f"tables of {TABLES} patients: {taken:.1f} s, described in {described:.1f} s,"
          f" {met} of {len(found.targets)} targets met")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        taken, _ = seconds(lambda: simulate_trial(Path(folder), PAIRS, 7))
        print(f"training pairs: {PAIRS / taken:.2f} a second ({PAIRS} in {taken:.1f} s)")
    patients = simulate_patients(DICOM_PAIRS, 7)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        jobs = [(patient, visit, folder) for patient in patients for visit in (0, 1)]
        taken, voxels = seconds(lambda: list(pool.map(write_full, jobs)))
    rng = np.random.default_rng(1)
    floor, _ = seconds(lambda: [rng.standard_normal(n, dtype=np.float32) for n in voxels])
    print(f"DICOM pairs at full resolution: {taken / DICOM_PAIRS:.1f} s a pair"
          f" ({np.mean(voxels) / 1e6:.0f} million voxels a scan), {2 * taken / floor:.0f} times"
          " white noise on one core")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
