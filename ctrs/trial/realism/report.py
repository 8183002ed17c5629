"""The realism report: how far the simulated trial is from real patients and scans, in one page.

Everything in ``report.md`` is made by the run that wrote it, except the section on what the eye
saw, which is written by hand into ``eye.md`` beside it.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import pandas as pd
from matplotlib.figure import Figure

from ctrs.places import ROOT
from ctrs.trial.population.patients import TrialPatient, simulate_patients, trial_table
from ctrs.trial.population.tables import change_near, read_diameters, read_oak
from ctrs.trial.realism import figures
from ctrs.trial.realism.contact_sheet import GREYS_AND_ORANGE, contact_sheet, save_small
from ctrs.trial.realism.evidence import Evidence, Plan, gather
from ctrs.trial.realism.tables import (
    WINDOW_DAYS,
    ClassSurvival,
    compare_survival,
    real_change,
    simulated_change,
)
from ctrs.trial.realism.text import (
    change_section,
    reflow,
    size_section,
    survival_section,
    table,
    tables_in_brief,
)
from ctrs.trial.realism.voxel_text import (
    densities_in_brief,
    density_section,
    lung_section,
    noise_in_brief,
    noise_section,
)

EYE = "eye.md"
NOBODY_LOOKED = "Nobody has written down yet what the eye sees in these pictures."
FULL = Plan()
N_PATIENTS = 2000  # for the tables; the first of them are rendered
PAIRS_A_SHEET = 2
FIGURE_DPI = 110
LIBRARIES = ("numpy", "scipy", "pandas", "SimpleITK", "lifelines", "matplotlib")

HEADING = """# How real is the simulated trial?

Nobody in this trial ever lived. The simulated patients and their CTs exist because no pair of
chest CTs with a known outcome is public. This page measures how far they are from real tables of
patients and from the real chest CTs that are public, with the same code on both sides. It says
where they differ; it proves nothing about people.
"""


@dataclass(frozen=True)
class Tables:
    """Real and simulated patients, as far as the sections need them.

    Attributes:
        real_mm: Baseline diameters of the real table.
        largest_mm, largest_ml: Of the largest lesion of each simulated patient at baseline.
    """

    real_change: pd.Series
    simulated_change: pd.Series
    oak: pd.DataFrame
    simulated: pd.DataFrame
    groups: list[ClassSurvival]
    real_mm: pd.Series
    largest_mm: pd.Series
    largest_ml: pd.Series


def write_report(
    data: Path,
    out: Path,
    seed: int,
    progress: Callable[[str], None] = lambda words: None,
    n_patients: int = N_PATIENTS,
    plan: Plan = FULL,
    workers: int = 2,
) -> Path:
    """Compare a simulated trial with real data; writes ``report.md`` and its figures to ``out``.

    Args:
        data: Folder with ``tables/`` and ``ct/``; only read, nothing of it is copied.
        seed: Of the simulated patients.
        n_patients: For the tables.
        plan: How many of them are rendered.

    Returns:
        Where the report is.

    Raises:
        InputRejected: A real table or scan is missing.
        TooFewPatients: A RECIST class is empty.
    """
    start = perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    patients = simulate_patients(n_patients, seed)
    progress(f"{n_patients} patients simulated")
    tables = compare_tables(data, patients)
    evidence = gather(data, patients, plan, workers, progress)
    write_figures(tables, evidence, out)
    sections = [reflow(text) for text in _sections(tables, evidence)]
    sections.append(_eye_section(out / EYE))
    seconds = perf_counter() - start
    sections.append(reflow(_origin_section(out, seed, n_patients, seconds)))
    report = out / "report.md"
    report.write_text("\n".join([HEADING, *sections]), encoding="utf-8")
    return report


def compare_tables(data: Path, patients: list[TrialPatient]) -> Tables:
    """Read the real tables and set the simulated one beside them."""
    diameters, oak = read_diameters(data), read_oak(data)
    simulated = trial_table(patients)
    sizes = [max(_sizes(patient)) for patient in patients]
    return Tables(
        real_change=real_change(diameters),
        simulated_change=simulated_change(simulated),
        oak=oak,
        simulated=simulated,
        groups=compare_survival(oak, simulated),
        real_mm=change_near(diameters, *WINDOW_DAYS)["baseline_mm"],
        largest_mm=pd.Series([mm for mm, _ in sizes]),
        largest_ml=pd.Series([ml for _, ml in sizes]),
    )


def _sizes(patient: TrialPatient) -> list[tuple[float, float]]:
    """Longest diameter (mm) and volume (ml) of each lesion at baseline."""
    return [
        (lesion.elongation * lesion.diameter_mm[0], lesion.volume_ml(0))
        for lesion in patient.lesions
    ]


def _sections(tables: Tables, evidence: Evidence) -> list[str]:
    real, simulated = tables.real_change, tables.simulated_change
    bodies, pairs = evidence.bodies, evidence.pairs
    brief = [
        *tables_in_brief(real, simulated, tables.groups),
        *densities_in_brief(bodies, pairs),
        *noise_in_brief(evidence.real, evidence.noise),
    ]
    return [
        f"## In brief\n\n{table(['Question', 'Answer'], brief)}",
        change_section(real, simulated),
        survival_section(tables.groups, tables.oak, tables.simulated),
        density_section(bodies, pairs),
        noise_section(evidence.real, evidence.noise),
        lung_section([*pairs, *evidence.lungs], bodies),
        size_section(
            tables.real_mm,
            tables.simulated["sum_baseline_mm"],
            tables.largest_mm,
            tables.largest_ml,
            evidence.tumours_ml,
        ),
        _pairs_section(len(pairs)),
    ]


# --- Figures --------------------------------------------------------------------------------


def write_figures(tables: Tables, evidence: Evidence, out: Path) -> None:
    """All figures of the report, as PNG files in ``out``; old sheets are taken away."""
    bodies = evidence.bodies
    lungs = [*evidence.pairs, *evidence.lungs]
    sums = tables.simulated["sum_baseline_mm"]
    drawn: dict[str, Figure] = {
        "change": figures.change_figure(tables.real_change, tables.simulated_change),
        "survival": figures.survival_figure(tables.groups),
        "densities": figures.density_figure(bodies, evidence.pairs),
        "noise": figures.noise_figure(evidence.real, evidence.noise),
        "lungs": figures.lung_figure(lungs, bodies),
        "sizes": figures.size_figure(tables.real_mm, sums, tables.largest_mm),
    }
    for name, figure in drawn.items():
        save_small(figure, out / f"{name}.png", dpi=FIGURE_DPI)
    for old in out.glob("pairs-*.png"):
        old.unlink()
    for number in range(_n_sheets(len(evidence.pairs))):
        some = evidence.pairs[number * PAIRS_A_SHEET : (number + 1) * PAIRS_A_SHEET]
        rows = [views for pair in some for views in pair.views]
        save_small(contact_sheet(rows), out / f"pairs-{number + 1}.png", palette=GREYS_AND_ORANGE)


def _n_sheets(n_pairs: int) -> int:
    return -(-n_pairs // PAIRS_A_SHEET)


# --- Sections without numbers ---------------------------------------------------------------


def _pairs_section(n_pairs: int) -> str:
    sheets = "\n".join(
        f"![Simulated pairs, sheet {n + 1}](pairs-{n + 1}.png)" for n in range(_n_sheets(n_pairs))
    )
    return f"""## 7. {n_pairs} simulated pairs

The first {n_pairs} patients of the trial, not chosen. Two rows each: baseline, and follow-up cut
through the same tumour, the largest one. From the left: axial, coronal and sagittal in the lung
window (centre -600, width 1500 HU), the same in the mediastinal window (40, 400), and the axial
slice enlarged to 90 mm with the true outline of the tumour. Real scans may not be shown here;
whoever has them can lay them beside these with `ctrs.trial.realism.contact_sheet`.

{sheets}
"""


def _eye_section(file: Path) -> str:
    seen = file.read_text(encoding="utf-8").strip() if file.exists() else NOBODY_LOOKED
    return f"## 8. What gives it away\n\n{seen}\n"


def _origin_section(out: Path, seed: int, n_patients: int, seconds: float) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    inside = out.resolve().is_relative_to(ROOT)
    place = out.resolve().relative_to(ROOT).as_posix() if inside else out.name
    return f"""## 9. Where this page comes from

```
python -m ctrs trial report --data DATA --out {place} --seed {seed}
```

Seed {seed}, {n_patients:,} patients; {seconds:.0f} seconds; commit {_commit()}; Python
{platform.python_version()}, {libraries}. `DATA` holds the real tables and scans, which are not
part of the project; its README names their sources and licences.
"""


def _commit() -> str:
    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
        )
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", "ctrs")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changed else "")
