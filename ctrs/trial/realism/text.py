"""The sections of the realism report as Markdown: measured values and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np
import pandas as pd

from ctrs.trial.realism.tables import (
    CHECKED,
    CLASSES,
    TOLERANCE_POINTS,
    ClassSurvival,
    by_targets,
    compare_quantiles,
    discrimination,
    kolmogorov_distance,
    shares,
)

TARGET_C = {"% change of the sum": 0.64, "RECIST class": 0.61, "sum at baseline": 0.57}
# Outlined in the data's own RTSTRUCT files (pyCERR's IBSI cases), ml.
CERR_ML = (6.46, 11.59, 123.4)
LINE = 99  # characters
KEPT = ("|", "#", "!", "```")
MEMORY = "*from memory, unverified*"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = [":--", *["--:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, rule, *rows])


def spread(values: Sequence[float], digits: int = 0) -> str:
    """``median (smallest to largest)``, NaN left out; "-" without values."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "-"
    middle, low, high = float(np.median(known)), min(known), max(known)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def reflow(text: str) -> str:
    """Wrap the paragraphs, whose numbers differ in length; leave tables, titles and pictures."""
    blocks = text.strip("\n").split("\n\n")
    wrapped = [
        block if block.startswith(KEPT) else fill(block, LINE, break_on_hyphens=False)
        for block in blocks
    ]
    return "\n\n".join(wrapped) + "\n"


def _yes(value: bool | None) -> str:
    return "" if value is None else ("yes" if value else "**no**")


def tables_in_brief(
    real: pd.Series, simulated: pd.Series, groups: Sequence[ClassSurvival]
) -> list[list[str]]:
    """Question and answer, a row each, for the top of the page."""
    near = sum(q.near is True for q in compare_quantiles(real, simulated))
    inside = sum(g.within for g in groups)
    return [
        ["Percentiles of the change of diameters within 5 points", f"{near} of {len(CHECKED)}"],
        ["RECIST classes with 12-month survival inside the real 95 % interval",
         f"{inside} of {len(groups)}"],
    ]  # fmt: skip


# --- 1. Change ------------------------------------------------------------------------------


def change_section(real: pd.Series, simulated: pd.Series) -> str:
    """Percentiles of the change of diameters, and whether they are near enough."""
    compared = compare_quantiles(real, simulated)
    rows = [
        [str(q.percentile), f"{q.real:+.1f}", f"{q.simulated:+.1f}", f"{q.difference:+.1f}",
         _yes(q.near)]
        for q in compared
    ]  # fmt: skip
    inside = sum(q.near is True for q in compared)
    return f"""## 1. Change of the target diameters at 12 weeks

Change from baseline to the scan nearest day 84 within days 70 to 98, in %: {len(real):,} patients
with lung cancer in four trials of atezolizumab and docetaxel (Ghaffari Laleh et al., PLoS Comput.
Biol. 18 (2022) e1009822; its fifth study, bladder cancer, is left out), and {len(simulated):,}
simulated ones as a simulated reader measured them. Percentiles in points of change;
"near" means within {TOLERANCE_POINTS:.0f} points, a limit of ours.

The growth and decay of the simulated tumours were fitted to this very table (`python -m ctrs trial
fit`). Agreement says that rates, lesions and reader come out right together, not that anything
new was predicted.

{table(["Percentile", "Real", "Simulated", "Difference", "Near"], rows)}

**{inside} of {len(CHECKED)} percentiles are near.** The largest gap between the two distribution
functions is {kolmogorov_distance(real, simulated):.3f} (Kolmogorov-Smirnov distance; 0 = equal).
Two cautions. Drug and line of treatment differ between the trials and from the simulated cohorts.
And the name of the table's column, `TargetLesionLongDiam_mm`, and its sizes (section 6) leave
open whether it holds sums or one lesion a patient; one lesion varies more than a sum.

![Change of diameters](change.png)
"""


# --- 2. Survival ----------------------------------------------------------------------------


def survival_section(
    groups: Sequence[ClassSurvival], real: pd.DataFrame, simulated: pd.DataFrame
) -> str:
    """12-month survival by response, shares of the classes, and what predicts survival."""
    rows = [
        [g.recist, f"{g.target:.2f}",
         f"{g.real_12m.survival:.2f} ({g.real_12m.lower:.2f} to {g.real_12m.upper:.2f})",
         f"{g.simulated_12m.survival:.2f}", _yes(g.within), f"{g.p_value:.2f}"]
        for g in groups
    ]  # fmt: skip
    heads = ["Class", "Target", "Real (95 % interval)", "Simulated", "Inside", "Log-rank p"]
    within = sum(g.within for g in groups)
    return f"""## 2. Survival by response

Months from the follow-up scan to death, Kaplan-Meier: {len(real)} patients of the OAK trial (R
package `jmpost`) who were alive and scanned in weeks 6 to 18, and {len(simulated):,} simulated
ones. The class here is by the two sums of target diameters alone, on both sides, CR with PR; the
simulated readers' full class, with new lesions, is in the second table. The simulated hazard was
fitted to these real patients, so agreement is again no prediction. Survival at 12 months:

{table(heads, rows)}

**{within} of {len(groups)} simulated values lie inside the 95 % interval of the real ones.** The
target comes from the same real patients with progression counted from the smallest sum so far;
the project's tests hold the simulation to it. A large log-rank p proves nothing, since the real
groups are small. The real table has two traits that no simulation should copy: it keeps only
patients with at least three scans, so that hardly anybody dies early, and its patients were
matched to their outcomes with the help of their response, so that the separation of the curves
is partly built in.

{_shares(real, simulated)}

Harrell's C, 1 = who has the worse reading always dies first, 0.5 = chance:

{_discrimination(real, simulated)}

![Survival by response](survival.png)
"""


def _shares(real: pd.DataFrame, simulated: pd.DataFrame) -> str:
    full = simulated["recist"].astype(str).replace("CR", "PR")
    columns = {
        "Real, targets": shares(by_targets(real)),
        "Real, against the smallest sum": shares(real["recist"]),
        "Simulated, targets": shares(by_targets(simulated)),
        "Simulated, with new lesions": shares(full),
    }
    rows = [[name, *(f"{column[name]:.0%}" for column in columns.values())] for name in CLASSES]
    return table(["Share of patients", *columns], rows)


def _discrimination(real: pd.DataFrame, simulated: pd.DataFrame) -> str:
    found, made = discrimination(real), discrimination(simulated)
    rows = [
        [name, f"{TARGET_C[name]:.2f}" if name in TARGET_C else "", f"{value:.2f}",
         f"{made[name]:.2f}"]
        for name, value in found.items()
    ]  # fmt: skip
    return table(["Reading", "Target", "Real", "Simulated"], rows)


# --- 6. Sizes -------------------------------------------------------------------------------


def size_section(
    real_mm: pd.Series,
    sums_mm: pd.Series,
    largest_mm: pd.Series,
    largest_ml: pd.Series,
    tumours_ml: dict[str, float],
) -> str:
    """Diameters and volumes of the tumours at baseline."""
    percentiles = (5, 25, 50, 75, 95)
    rows = [
        [f"{name} (n = {len(values):,})", *(f"{v:.0f}" for v in np.percentile(values, percentiles))]
        for name, values in (
            ("Real table, mm", real_mm),
            ("Simulated, sum of targets, mm", sums_mm),
            ("Simulated, largest lesion, mm", largest_mm),
            ("Simulated, largest lesion, ml", largest_ml),
        )
    ]
    masks = ", ".join(f"{ml:.1f} ({name})" for name, ml in tumours_ml.items())
    cerr = ", ".join(f"{ml:.1f}" for ml in CERR_ML)
    return f"""## 6. Sizes of the tumours at baseline

{table(["Percentile", *map(str, percentiles)], rows)}

Real tumours with an outline, ml: {masks}; {cerr} (IBSI cases of pyCERR, outlined for
radiotherapy). Primary tumours of Lung1, 422 patients planned for radiotherapy, have a median of
roughly 40 ml and range from below 1 to several hundred ({MEMORY}).

![Sizes](sizes.png)
"""
