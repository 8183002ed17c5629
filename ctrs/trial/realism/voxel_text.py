"""The sections of the realism report on voxels: densities, noise and lungs, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from ctrs.kernels import Sharpness
from ctrs.trial.realism.evidence import MeasuredScan
from ctrs.trial.realism.noise import Noise, spectrum_overlap
from ctrs.trial.realism.text import MEMORY, spread, table
from ctrs.trial.realism.tissues import RANGES_HU, Densities, Histogram, overlap, pooled

MIXED_HU = (-50.0, 0.0)  # between the ranges of fat and soft tissue
KINDS = (Sharpness.SOFT, Sharpness.SHARP)


def densities_in_brief(
    real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]
) -> list[list[str]]:
    """Question and answer, a row each, for the top of the page."""
    rows = []
    for name, title in (("lung", "the lungs"), ("body", "the body without lungs")):
        _, alike, mixed = _overlap(_densities(real), _densities(simulated), name)
        question = f"Densities of {title}: overlap of a real with a simulated scan (of two real)"
        rows.append([question, f"{mixed:.2f} ({alike:.2f})"])
    return rows


def noise_in_brief(
    real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]
) -> list[list[str]]:
    """Question and answer, a row each, for the top of the page."""
    rows = []
    for kind in KINDS:
        alike, mixed = _spectrum_overlaps(real, simulated, kind)
        question = f"Noise of {kind} kernels: overlap of a real with a simulated scan (of two real)"
        rows.append([question, f"{_mean(mixed)} ({_mean(alike)})"])
    return rows


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f}" if values else "-"


# --- 3. Densities ---------------------------------------------------------------------------


def density_section(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> str:
    """Peaks, widths, areas and overlap of the tissues."""
    found, made = _densities(real), _densities(simulated)
    rows = [
        [name, *_tissue_cells(name, found, made)] for name in RANGES_HU
    ]  # fmt: skip
    heads = ["Tissue", "Peak HU, real", "simulated", "Width HU, real", "simulated",
             "Area cm², real", "simulated"]  # fmt: skip
    return f"""## 3. Densities of the tissues

{len(real)} real chest CTs (one a body) and the baseline CTs of {len(simulated)} simulated
patients, all averaged to voxels of 3 mm, where the noise of the scanner hardly counts, between
the apex and the base of the lungs. One rule on both sides: lungs as the application finds them;
fat -150 to -50, soft tissue (muscle, blood, liver) 0 to 100 and bone 150 to 1500 HU inside the
body, away from air and lung; dense blood between the lungs, in front of the spine, is not bone.
Median (smallest to largest scan). Width is at half height of the peak; area is the mean
cross-section. Bone has no peak of its own: its column gives the median density. Two real scans
cut off part of the chest wall (NLST, lung1), so their fat and muscle are underestimates.

{table(heads, rows)}

{_between(found, made)}

Overlap of the histograms, 1 = equal, 0 = nothing in common. "Means" compares the mean real with
the mean simulated histogram. The next two say how alike two single scans are: both real, and one
of each. A simulation as varied as reality would make the last two equal.

{_overlaps(found, made)}

![Histograms of density](densities.png)
"""


def _between(real: list[Densities], simulated: list[Densities]) -> str:
    """How much of the body is neither fat nor soft tissue, but a mixture of both."""
    shares = []
    for scans in (real, simulated):
        bodies = [s.body for s in scans]
        mixed = [b.share[(b.centres > MIXED_HU[0]) & (b.centres < MIXED_HU[1])] for b in bodies]
        shares.append(spread([100 * float(share.sum()) for share in mixed]))
    return f"""Share of the body without lungs that is neither, between fat and soft tissue at
{MIXED_HU[0]:.0f} to {MIXED_HU[1]:.0f} HU, in %: {shares[0]} in real scans, {shares[1]} in
simulated ones. Real muscle, organs and the mediastinum are streaked with fat."""


def _densities(scans: Sequence[MeasuredScan]) -> list[Densities]:
    return [scan.densities for scan in scans if scan.densities is not None]


def _tissue_cells(name: str, real: list[Densities], simulated: list[Densities]) -> list[str]:
    cells = []
    for attribute in ("peak_hu", "width_hu", "area_cm2"):
        wanted = "median_hu" if (name, attribute) == ("bone", "peak_hu") else attribute
        for scans in (real, simulated):
            cells.append(spread([getattr(s.tissues[name], wanted) for s in scans]))
    return cells


def _overlaps(real: list[Densities], simulated: list[Densities]) -> str:
    rows = []
    for name in ("lung", "body", *list(RANGES_HU)[1:]):
        title = "body without lung" if name == "body" else name
        rows.append([title, *(f"{share:.2f}" for share in _overlap(real, simulated, name))])
    heads = ["Tissue", "Means", "Two real scans", "A real and a simulated one"]
    return table(heads, rows)


def _overlap(
    real: list[Densities], simulated: list[Densities], name: str
) -> tuple[float, float, float]:
    """Of the two mean histograms; mean over pairs of real scans; mean over mixed pairs."""
    found, made = (_histograms(scans, name) for scans in (real, simulated))
    alike = [overlap(a, b) for a, b in combinations(found, 2)]
    mixed = [overlap(a, b) for a, b in product(found, made)]
    return overlap(pooled(found), pooled(made)), float(np.mean(alike)), float(np.mean(mixed))


def _histograms(scans: list[Densities], name: str) -> list[Histogram]:
    return [s.body if name == "body" else s.tissues[name].histogram for s in scans]


# --- 4. Noise -------------------------------------------------------------------------------


def noise_section(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> str:
    """Strength and texture of the noise, scan by scan."""
    rows = [
        _noise_cells(scan, side, kind)
        for kind in KINDS
        for side, scans in (("real", real), ("simulated", simulated))
        for scan in scans
        if scan.sharpness is kind and scan.noise is not None
    ]
    heads = ["Scan", "", "Kernel", "Slice mm", "Pixel mm", "SD HU", "Peak 1/mm", "Mean 1/mm",
             "r row", "r column", "r slice"]  # fmt: skip
    return f"""## 4. Texture of the noise

In up to 40 squares of 20 mm of uniform soft tissue a scan (liver, heart, aorta, spleen, found as
the places where the smoothed picture changes least), after a second-order surface is taken out.
SD = standard deviation within a square; peak and mean of the radial noise power spectrum; r =
correlation of a pixel with the next one in its row, in its column, and in the next slice; rows and
columns differ where the noise runs in streaks from side to side.
The kernel of scans without a header is by the look of their noise. The simulated kernels were
modelled on these same six reconstructions. Simulated scans here have
pixels of 0.7 mm, as scanners make them.

{table(heads, rows)}

{_spectra(real, simulated)}

![Noise power spectra](noise.png)
"""


def _noise_cells(scan: MeasuredScan, side: str, kind: Sharpness) -> list[str]:
    noise = scan.noise
    assert noise is not None
    return [
        scan.name, side, str(kind), f"{noise.slice_mm:g}", f"{noise.pixel_mm:.2f}",
        f"{noise.sd_hu:.1f}", f"{noise.peak_per_mm:.2f}", f"{noise.mean_per_mm:.2f}",
        f"{noise.in_row:.2f}", f"{noise.in_column:.2f}", f"{noise.between_slices:.2f}",
    ]  # fmt: skip


def _spectra(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> str:
    rows = []
    for kind in KINDS:
        alike, mixed = _spectrum_overlaps(real, simulated, kind)
        rows.append([str(kind), spread(alike, 2), spread(mixed, 2)])
    heads = ["Overlap of the spectra", "Two real scans", "A real and a simulated one"]
    return table(heads, rows)


def _spectrum_overlaps(
    real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan], kind: Sharpness
) -> tuple[list[float], list[float]]:
    """Over pairs of real scans of that kernel class, and over mixed pairs."""
    found, made = _noises(real, kind), _noises(simulated, kind)
    alike = [spectrum_overlap(a, b) for a, b in combinations(found, 2)]
    return alike, [spectrum_overlap(a, b) for a, b in product(found, made)]


def _noises(scans: Sequence[MeasuredScan], kind: Sharpness) -> list[Noise]:
    return [s.noise for s in scans if s.sharpness is kind and s.noise is not None]


# --- 5. Lungs -------------------------------------------------------------------------------


def lung_section(simulated: Sequence[MeasuredScan], real: Sequence[MeasuredScan]) -> str:
    """Lung volume, density and emphysema beside published ranges."""
    made, found = _densities(simulated), _densities(real)
    published = {
        "Both lungs, l": "4.5 ± 1.3 (564 adults; Cheng et al., Int. J. COPD 14 (2019) 1657);"
        f" about 4 to 7 in European adults at full breath ({MEMORY})",
        "Mean density, HU": f"about -830 to -870 at full breath ({MEMORY})",
        "Below -950 HU, %": "healthy non-smokers: mean 2.0, SD 2.7 (Zach et al., Invest. Radiol."
        " 47 (2012) 596), median 1.1, quartiles 0.5 to 2.5 (854 people of MESA; Hoffman et al.,"
        f" 2014); smokers with lung cancer: more, often 5 to 15 ({MEMORY})",
    }
    rows = []
    for (name, words), attribute, scale, digits in zip(
        published.items(),
        ("lung_ml", "lung_hu", "emphysema_percent"),
        (1 / 1000, 1.0, 1.0),
        (1, 0, 1),
        strict=True,
    ):
        values = [scale * float(getattr(d, attribute)) for d in made]
        low, middle, high = np.percentile(values, (5, 50, 95))
        here = f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
        scans = spread([scale * float(getattr(d, attribute)) for d in found], digits)
        rows.append([name, here, scans, words])
    heads = [f"Baseline, n = {len(made)}", "Simulated, median (5 to 95 %)",
             f"Real, n = {len(found)} (range)", "Published"]  # fmt: skip
    return f"""## 5. Lungs

Measured on voxels of 3 mm. The emphysema index there is lower than on the slices of about 1 mm of
the published studies, because noise that falls below -950 HU is averaged away.

{table(heads, rows)}

![Lungs](lungs.png)
"""
