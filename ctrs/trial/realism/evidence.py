"""What there is to compare: real scans and simulated ones, read or rendered, and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ctrs.config import Config
from ctrs.ingest import read_scan
from ctrs.kernels import Sharpness, sharpness
from ctrs.trial.population.patients import TrialPatient
from ctrs.trial.real.outlined import REAL_SCANS, REAL_TUMOURS
from ctrs.trial.realism.contact_sheet import Views, cut_views, in_mm, largest_tumour, same_place
from ctrs.trial.realism.noise import Noise, measure_noise
from ctrs.trial.realism.tissues import Densities, measure_densities
from ctrs.trial.render import RenderedScan, render_visit
from ctrs.trial.scanner import Protocol, draw_protocol
from ctrs.types import Triple, Volume

SAME_BODY = "Lung_Dx A0002, B70f"  # left out where a body may count once only
# Files without a header: the kernel by the look of the noise (peak of the spectrum, measured).
SOFT_BY_LOOK = ("LIDC-IDRI-0001", "pyradiomics lung1", "pyradiomics lung2")

LOOK_MM = 1.2  # pixel size for the eye and for the densities
NOISE_MM = 0.7  # ... for noise: as a scanner makes them
LUNG_MM = 3.0  # ... for lung volumes alone
HALF = 0.5  # share of a voxel from which it is inside the outline


@dataclass(frozen=True)
class Plan:
    """How many simulated scans: pairs shown, more lungs, and each kernel class for its noise."""

    pairs: int = 12
    lungs: int = 24
    noise: int = 3


@dataclass(frozen=True)
class MeasuredScan:
    """One scan and what was measured on it; ``None`` = not asked for, or not possible."""

    name: str
    sharpness: Sharpness
    slice_mm: float
    contrast: bool
    densities: Densities | None = None
    noise: Noise | None = None
    views: tuple[Views, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Everything measured on voxels.

    Attributes:
        real: `REAL_SCANS`, densities and noise.
        pairs: Simulated baselines with densities, and the views of both visits.
        lungs: More simulated baselines, coarse, with densities for the lung volumes only.
        noise: Simulated scans at a scanner's pixel size, soft and sharp.
        tumours_ml: Real tumours by the readers' masks.
    """

    real: list[MeasuredScan]
    pairs: list[MeasuredScan]
    lungs: list[MeasuredScan]
    noise: list[MeasuredScan]
    tumours_ml: dict[str, float]

    @property
    def bodies(self) -> list[MeasuredScan]:
        """Real scans of different bodies: those with densities."""
        return [scan for scan in self.real if scan.densities is not None]


def gather(
    data: Path,
    patients: list[TrialPatient],
    plan: Plan,
    workers: int,
    progress: Callable[[str], None],
) -> Evidence:
    """Measure real and simulated scans; the first patients are shown, whoever they are.

    Args:
        data: Folder with ``ct/``.
        patients: Fewer than planned make a smaller report.
    """
    shown, others = patients[: plan.pairs], patients[plan.pairs : plan.pairs + plan.lungs]
    kinds = (Sharpness.SOFT, Sharpness.SHARP)
    wanted = [(patient, kind) for kind in kinds for patient in patients[: plan.noise]]
    ct = data / "ct"
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        real = pool.map(partial(measure_real, ct), REAL_SCANS)
        noise = pool.map(measure_sharpness, *zip(*wanted, strict=True))
        pairs = pool.map(measure_pair, shown)
        lungs = pool.map(measure_lungs, others)
        return Evidence(
            real=_said(real, len(REAL_SCANS), "real scans", progress),
            noise=_said(noise, len(wanted), "simulated scans for their noise", progress),
            pairs=_said(pairs, len(shown), "simulated pairs", progress),
            lungs=_said(lungs, len(others), "simulated lungs", progress),
            tumours_ml={name: mask_ml(ct / file) for name, file in REAL_TUMOURS.items()},
        )


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _said(
    results: Iterable[MeasuredScan], n: int, what: str, progress: Callable[[str], None]
) -> list[MeasuredScan]:
    found = []
    for number, result in enumerate(results, 1):
        progress(f"{what}: {number}/{n}")
        found.append(result)
    return found


def measure_real(ct: Path, name: str) -> MeasuredScan:
    """One scan of `REAL_SCANS`: densities and noise. Contrast is not known: False."""
    _, volume = read_scan(ct / REAL_SCANS[name], Config().intake)
    kind = Sharpness.SOFT if name in SOFT_BY_LOOK else sharpness(volume.header.kernel)
    return MeasuredScan(
        name,
        kind,
        volume.spacing[0],
        contrast=False,
        densities=None if name == SAME_BODY else measure_densities(volume, Config()),
        noise=measure_noise(volume),
    )


def measure_pair(patient: TrialPatient) -> MeasuredScan:
    """Both visits cut through the same tumour, and the densities of the baseline."""
    baseline, follow_up = (render_visit(patient, visit, LOOK_MM) for visit in (0, 1))
    volume = baseline.volume
    z, y, x = volume.hu.shape
    place = largest_tumour(baseline.tumour >= HALF) or (z / 2, y / 2, x / 2)
    again = same_place(follow_up.tumour >= HALF, follow_up.volume, in_mm(volume, place))
    views = (_views(patient, 0, baseline, place), _views(patient, 1, follow_up, again))
    densities = measure_densities(volume, Config())
    return _simulated(patient, volume, densities=densities, views=views)


def _views(patient: TrialPatient, visit: int, scan: RenderedScan, place: Triple) -> Views:
    header, when = scan.volume.header, ("baseline", f"{patient.interval_days} days later")[visit]
    contrast = "contrast" if header.contrast else "no contrast"
    label = (
        f"{patient.patient.patient}  {when}   {header.kernel}, {scan.volume.spacing[0]:g} mm,"
        f" {contrast}   {patient.response.recist}"
    )
    return cut_views(scan.volume, place, label, scan.tumour >= HALF)


def measure_sharpness(patient: TrialPatient, kind: Sharpness) -> MeasuredScan:
    """The noise of one baseline on a protocol of that kernel class."""
    scan = render_visit(patient, 0, NOISE_MM, _protocol(patient.seed, kind))
    return _simulated(patient, scan.volume, noise=measure_noise(scan.volume))


def _protocol(seed: int, kind: Sharpness) -> Protocol:
    rng = np.random.default_rng([seed, 2])
    while True:
        protocol = draw_protocol(rng, NOISE_MM, contrast=0.6)
        if sharpness(protocol.kernel) is kind:
            return protocol


def measure_lungs(patient: TrialPatient) -> MeasuredScan:
    """The lungs of one baseline, rendered no finer than they are measured."""
    volume = render_visit(patient, 0, LUNG_MM).volume
    return _simulated(patient, volume, densities=measure_densities(volume, Config()))


def _simulated(
    patient: TrialPatient,
    volume: Volume,
    densities: Densities | None = None,
    noise: Noise | None = None,
    views: tuple[Views, ...] = (),
) -> MeasuredScan:
    header = volume.header
    return MeasuredScan(
        f"{patient.patient.patient}, {header.kernel}",
        sharpness(header.kernel),
        volume.spacing[0],
        bool(header.contrast),
        densities,
        noise,
        views,
    )


def mask_ml(file: Path) -> float:
    """Volume of what a mask file outlines, ml."""
    image = sitk.ReadImage(str(file))
    voxels = int((sitk.GetArrayViewFromImage(image) > 0).sum())
    return float(voxels * np.prod(image.GetSpacing()) / 1000.0)
