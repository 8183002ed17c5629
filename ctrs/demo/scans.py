"""The scans of the demo board, made on this machine as DICOM: simulated, and the same everywhere.

``python -m ctrs.demo.scans FOLDER PART PARTS`` makes every ``PARTS``-th, unless it is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from subprocess import PIPE, Popen
from typing import IO, cast

import SimpleITK as sitk

from ctrs import places
from ctrs.trial.dicom import write_series
from ctrs.trial.population.patients import TrialPatient, simulate_patients
from ctrs.trial.render import render_visit
from ctrs.trial.scanner import Protocol
from ctrs.types import Volume

DEMO_BOARD = "demo board"
VISITS = ("baseline", "follow_up")
PROCESSES = 2

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class DemoCase:
    """One patient of the demo board.

    Attributes:
        seed: Of `simulate_patients`; chosen so that the truth fits the story.
        lost_slices: Of the follow-up, as if the export had been interrupted.
        kept_share: Of the follow-up's slices from the top; below 1 the scan ends too early.
    """

    name: str
    seed: int
    note: str
    lost_slices: tuple[int, ...] = ()
    kept_share: float = 1.0


CASES = (
    DemoCase("DEMO-1", 1868, "Stable by RECIST; necrotic primary, fluid, emphysema"),
    DemoCase("DEMO-2", 199, "Larger at 12 weeks with a hazy rim: pseudoprogression in the making"),
    DemoCase("DEMO-3", 141, "Partial response"),
    DemoCase("DEMO-4", 714, "Stable by RECIST; tumour volume nearly halved"),
    DemoCase("DEMO-5", 18, "Export interrupted: slices are missing", lost_slices=(40, 41, 60)),
    DemoCase("DEMO-6", 7, "Follow-up scan ends in the middle of the lungs", kept_share=0.55),
)


def demo_patient(case: DemoCase) -> TrialPatient:
    """The simulated patient behind a case, under the case's name."""
    (patient,) = simulate_patients(1, case.seed, prefix=case.name)
    clinic = replace(patient.patient, patient=case.name, cohort=DEMO_BOARD, note=case.note)
    return replace(patient, person=replace(patient.person, clinic=clinic))


def demo_protocol(visit: int) -> Protocol:
    """A plain chest protocol, coarse enough to be made while somebody waits."""
    noise = (13.0, 15.0)[visit]
    return Protocol(
        spacing=(3.75, 2.2, 2.2),
        kernel="B40f",
        manufacturer="Simulated",
        sharpness=0.9,
        noise_hu=noise,
        enhancement=(95.0, 110.0)[visit],
        field_mm=370.0,
    )


def write_demo_scan(folder: Path, case: DemoCase, visit: int) -> None:
    """Render one scan of a case into ``folder/<name>/baseline`` or ``…/follow_up``."""
    volume = render_visit(demo_patient(case), visit, protocol=demo_protocol(visit)).volume
    lost: tuple[int, ...] = ()
    if visit == 1:
        lost = case.lost_slices
        volume = _upper_part(volume, case.kept_share)
    write_series(volume, folder / case.name / VISITS[visit], lost)


def _upper_part(volume: Volume, share: float) -> Volume:
    first = round((1 - share) * len(volume.hu))
    x, y, z = volume.origin
    return replace(volume, hu=volume.hu[first:], origin=(x, y, z + first * volume.spacing[0]))


def write_demo_scans(folder: Path, progress: Progress) -> None:
    """Make the scans that are not there yet, in two processes.

    Plain processes, not a pool: a pool's workers would begin by running the main module, which
    inside the app is a page.

    Raises:
        RuntimeError: A process failed.
    """
    total = len(_missing(folder, 0, 1))
    if total == 0:
        return
    command = [sys.executable, "-m", "ctrs.demo.scans", str(folder)]
    parts = [
        Popen([*command, str(part), str(PROCESSES)], cwd=places.ROOT, stdout=PIPE, text=True)
        for part in range(PROCESSES)
    ]
    for n, _ in enumerate(_lines([cast("IO[str]", process.stdout) for process in parts])):
        progress((n + 1) / total, f"Making demo scans, {n + 1} of {total}")
    if any(process.wait() for process in parts):
        raise RuntimeError("Making the demo scans failed.")


def _lines(streams: list[IO[str]]) -> Iterator[str]:
    """Lines of several processes as they come."""
    with DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                stream = cast("IO[str]", key.fileobj)
                if line := stream.readline():
                    yield line
                else:
                    selector.unregister(stream)
                    stream.close()


def _missing(folder: Path, part: int, parts: int) -> list[tuple[DemoCase, int]]:
    """What one process has to make. Its share is fixed: a late one must not count on what is
    missing, because others have begun to make it."""
    share = [(case, visit) for case in CASES for visit in (0, 1)][part::parts]
    return [job for job in share if not _mark(folder, *job).exists()]


def _mark(folder: Path, case: DemoCase, visit: int) -> Path:
    return folder / case.name / f"{VISITS[visit]}.done"


def main(folder: Path, part: int, parts: int) -> None:
    """Make one part of the missing scans; prints a line for each."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    for case, visit in _missing(folder, part, parts):
        write_demo_scan(folder, case, visit)
        _mark(folder, case, visit).touch()
        print(case.name, VISITS[visit], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
