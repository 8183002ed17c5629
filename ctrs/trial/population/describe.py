"""`trial describe`: what a trial's table says, beside figures of real patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ctrs.errors import TooFewPatients
from ctrs.survival import concordance, kaplan_meier, survival_at
from ctrs.types import Cohort

NEEDED = (
    "recist", "sum_baseline_mm", "sum_follow_up_mm", "months", "event", "split",
    "true_log_hazard_scan",
)  # fmt: skip
CLASSES = ("PD", "SD", "PR")  # PR includes CR
FEW = 1000  # patients; below, chance alone moves a class's survival by several points

# 202 patients of OAK (R package jmpost), clock at the scan near week 12. Their classes are those of
# the target lesions alone; the simulated reader's are whole ones, with new lesions and non-targets.
# The last is ours: the room that the published systems leave above what they reach.
TARGETS: dict[str, tuple[float, float]] = {
    "c_diameter_change": (0.64, 0.03), "c_recist": (0.61, 0.03),
    "c_baseline_diameter": (0.57, 0.03),
    "survival_12m_PD": (0.43, 0.06), "survival_12m_SD": (0.59, 0.06),
    "survival_12m_PR": (0.85, 0.06),
    "mix_PD": (0.19, 0.05), "mix_SD": (0.64, 0.05), "mix_PR": (0.17, 0.05),
    "c_oracle": (0.77, 0.02),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A figure of real patients and what the simulated ones give; ``met`` within the tolerance."""

    target: float
    tolerance: float
    value: float | None

    @property
    def met(self) -> bool:
        """Never where the value could not be computed."""
        # Six decimals: 0.57 + 0.03 is a hair below 0.6 in binary.
        return (
            self.value is not None and round(abs(self.value - self.target) - self.tolerance, 6) <= 0
        )


@dataclass(frozen=True, kw_only=True)
class Description:
    """A trial in figures. Survival starts at the follow-up scan.

    Attributes:
        c_index: 1 = the one with the worse value always dies first; all on the same ``compared``
            patients, who have a class and a target lesion; ``None`` where no two of them can be
            ordered.
        not_evaluable: Patients without a response class; left out of all but ``n``, ``events``,
            ``by_split`` and the median.
        without_targets: Patients with a class (by new or non-target lesions) and no target lesion
            at baseline; counted by their class, left out of the C-indices.
        in_real_chests: Patients painted into real scans, which do not show all that the oracle
            knows.
        survival_12m_by_recist, recist_mix: By `CLASSES`.
        median_os_months: ``None`` where it is not reached.
    """

    n: int
    events: int
    not_evaluable: int
    without_targets: int
    in_real_chests: int
    compared: int
    c_index: dict[str, float | None]
    survival_12m_by_recist: dict[str, float | None]
    recist_mix: dict[str, float]
    median_os_months: float | None
    by_split: dict[str, int]

    @property
    def targets(self) -> dict[str, Target]:
        """Every figure that is tied to real patients."""
        found = dict(self._figures())
        return {name: Target(*wanted, found[name]) for name, wanted in TARGETS.items()}

    def _figures(self) -> Iterator[tuple[str, float | None]]:
        for name, c_index in self.c_index.items():
            yield f"c_{name}", c_index
        for response in CLASSES:
            yield f"survival_12m_{response}", self.survival_12m_by_recist[response]
            yield f"mix_{response}", self.recist_mix[response]


def describe(table: pd.DataFrame) -> Description:
    """Describe the patients of `ctrs.trial.population.patients.trial_table`.

    Args:
        table: With the columns `NEEDED`.

    Raises:
        TooFewPatients: There are none.
    """
    if table.empty:
        raise TooFewPatients("The trial has no patients.", "Simulate at least one.")
    response = table["recist"].astype(str).replace("CR", "PR")
    evaluable, measured = response.isin(CLASSES), table["sum_baseline_mm"] > 0
    compared = evaluable & measured
    curve = kaplan_meier(Cohort("trial", table))
    return Description(
        n=len(table),
        events=int(table["event"].sum()),
        not_evaluable=int((~evaluable).sum()),
        without_targets=int((evaluable & ~measured).sum()),
        compared=int(compared.sum()),
        c_index=_c_indices(table[compared], response[compared]),
        in_real_chests=int(table["background"].notna().sum()) if "background" in table else 0,
        survival_12m_by_recist={
            c: _survival_12m(table[evaluable & (response == c)], c) for c in CLASSES
        },
        recist_mix={c: float((response[evaluable] == c).mean()) for c in CLASSES},
        median_os_months=curve.median_months,
        by_split={str(k): int(n) for k, n in table["split"].value_counts().items()},
    )


def _c_indices(table: pd.DataFrame, response: pd.Series) -> dict[str, float | None]:
    better = {
        "oracle": -table["true_log_hazard_scan"],
        "diameter_change": -table["sum_follow_up_mm"] / table["sum_baseline_mm"],
        "recist": response.map({c: float(rank) for rank, c in enumerate(CLASSES)}),
        "baseline_diameter": -table["sum_baseline_mm"],
    }
    return {name: _c_index(table, values) for name, values in better.items()}


def _c_index(table: pd.DataFrame, values: pd.Series) -> float | None:
    try:
        return concordance(Cohort("trial", table.assign(value=values)), "value")
    except TooFewPatients:
        return None


def _survival_12m(table: pd.DataFrame, name: str) -> float | None:
    cohort = Cohort(name, table)
    try:
        return survival_at(kaplan_meier(cohort), cohort, 12.0).survival
    except TooFewPatients:
        return None


def as_json(found: Description) -> dict[str, Any]:
    """The document that ``trial describe --json`` prints."""
    document = asdict(found)
    document["targets"] = {
        name: asdict(target) | {"met": target.met} for name, target in found.targets.items()
    }
    return document


def as_text(found: Description) -> str:
    """The same for a person: one line a figure, beside the target."""
    median = found.median_os_months
    lines = [
        f"{found.n} simulated patients, {found.events} deaths; clock at the follow-up scan",
        "median survival " + ("not reached" if median is None else f"{median:.1f} months"),
        f"{'':24}simulated   real (tolerance)",
    ]
    for name, target in found.targets.items():
        value = "     -" if target.value is None else f"{target.value:6.3f}"
        wanted = f"{target.target:.2f} (± {target.tolerance:.2f})"
        lines.append(f"{name:24}{value}      {wanted}  {'met' if target.met else 'MISSED'}")
    lines.append(f"All C-indices (c_…) are of the same {found.compared} patients.")
    lines += _left_out(found)
    lines.append("Real classes are by target lesions alone, simulated ones with new lesions too.")
    if found.n < FEW:
        lines.append(f"Of {found.n} patients no figure is firm: describe {FEW} or more.")
    if found.in_real_chests:
        lines.append(
            f"{found.in_real_chests} patients lie in real chests, which do not show all that the"
            " oracle knows."
        )
    return "\n".join(lines)


def _left_out(found: Description) -> list[str]:
    """Who is not in all of the figures, and why."""
    lines = []
    if found.not_evaluable:
        lines.append(
            f"{found.not_evaluable} patients have no response class: only the numbers of patients"
            " and deaths and the median count them."
        )
    if found.without_targets:
        lines.append(
            f"{found.without_targets} patients have a class and no target lesion at baseline: they"
            " count by their class, and not in the C-indices."
        )
    return lines
