"""Kaplan-Meier, numbers at risk and log-rank, counted in the database where the patients lie.

The same as `ctrs.survival.compare_groups` on the rows of `Store.cohort_table`, for a million of
them. The steps of each curve are worked out in SQL; the band, the median and the p value are
those of `ctrs.survival`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctrs.errors import InputRejected, TooFewPatients
from ctrs.store.database import Connection
from ctrs.store.queries import CHOSEN
from ctrs.survival import (
    SPLIT_AGE,
    GroupComparison,
    Steps,
    curve_of_steps,
    log_rank_of_sums,
    ordered_levels,
)
from ctrs.types import UNKNOWN, Interval, LogRank, Recist, RiskGroup, SurvivalCurve, Zone

MAX_GROUPS = 20  # more curves nobody can tell apart
MANY_TIMES = 0.5  # share of different times from which grouping by time does not pay

# Factors in columns of `patients`, whose levels are whatever somebody entered.
_ENTERED = ("sex", "histology", "pd_l1", "ecog", "line", "regimen", "site")
_SPLIT = f"< {SPLIT_AGE}", f">= {SPLIT_AGE}"
# The others, with all their levels: factor, its SQL, levels. `None`: in no group.
_KNOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "recist": (
        f"coalesce(responses.recist, readings.recist, '{UNKNOWN}')", (*Recist, UNKNOWN)
    ),
    "risk_group": ("risk_group", tuple(RiskGroup)),
    "zone": ("zone", (Zone.GREEN, Zone.AMBER)),
    "age": (
        f"CASE WHEN age < {SPLIT_AGE} THEN '{_SPLIT[0]}' WHEN age >= {SPLIT_AGE}"
        f" THEN '{_SPLIT[1]}' ELSE '{UNKNOWN}' END",
        (*_SPLIT, UNKNOWN),
    ),
}  # fmt: skip
FACTORS = (*_ENTERED, *_KNOWN)


@dataclass(frozen=True, kw_only=True)
class Members:
    """Which patients of a cohort are looked at; all have an outcome after the follow-up CT.

    Attributes:
        model_version: Whose scores count; ``None``: everybody, with or without a score.
        include_amber: With the scores that need caution.
        levels: By factor (`FACTORS`), those that are kept; a factor left out keeps all.
        ages: First and last year that is kept; ``None`` keeps all, also who has none.
    """

    cohort: str
    model_version: str | None = None
    include_amber: bool = False
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ages: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Group:
    level: str
    place: int
    n_patients: int
    n_events: int
    end: float


def compare(
    cursor: Connection,
    members: Members,
    by: str | None,
    months: Sequence[float],
    interval: Interval,
) -> GroupComparison:
    """As `Store.compare`; leaves temporary tables behind on the cursor."""
    return statistics(cursor, _follow(cursor, members, by), months, interval)


def statistics(
    cursor: Connection, groups: Sequence[_Group], months: Sequence[float], interval: Interval
) -> GroupComparison:
    """Of the patients in the table ``followed``."""
    _line_up(cursor, groups)
    return GroupComparison(
        curves=tuple(_curve(cursor, k, group, interval) for k, group in enumerate(groups)),
        months=tuple(float(month) for month in months),
        at_risk=_at_risk(cursor, len(groups), months),
        test=_log_rank(cursor, groups),
    )


def _follow(cursor: Connection, members: Members, by: str | None) -> list[_Group]:
    """Make the table ``followed``: one row a patient, with the number of the group."""
    levels = _levels(cursor, members.cohort, by)
    level = "$cohort::TEXT" if by is None else _factor(by)
    conditions, parameters = _conditions(members)
    cursor.execute(
        f"""CREATE OR REPLACE TEMP TABLE followed AS {CHOSEN}
        SELECT months, event, list_position($levels::TEXT[], {level}) - 1 AS place
        FROM members JOIN outcomes USING (patient) LEFT JOIN chosen USING (patient)
        LEFT JOIN responses USING (pair_key) LEFT JOIN readings USING (patient)
        WHERE months > 0 AND place IS NOT NULL AND {" AND ".join(conditions)}""",
        parameters | {"levels": levels},
    )
    rows = cursor.execute(
        "SELECT place, count(*), count(*) FILTER (event), max(months) FROM followed"
        " GROUP BY place ORDER BY place"
    ).fetchall()
    if not rows:
        raise TooFewPatients(
            f"No patient is in “{members.cohort}”; at least 1 is needed.",
            "Widen the filters or choose a larger cohort.",
        )
    if len(rows) > MAX_GROUPS:
        raise InputRejected(
            f"“{by}” has {len(rows)} levels; up to {MAX_GROUPS} can be compared.",
            "Group by something else, or filter for some of the levels.",
        )
    return [_Group(levels[place], place, *sizes) for place, *sizes in rows]


def _levels(cursor: Connection, cohort: str, by: str | None) -> list[str]:
    """All levels that may occur, in the order in which groups are shown."""
    if by is None:
        return [cohort]
    if by in _KNOWN:
        return [str(level) for level in _KNOWN[by][1]]
    rows = cursor.execute(
        f"SELECT DISTINCT {_factor(by)} FROM patients WHERE cohort = ?", [cohort]
    ).fetchall()
    return ordered_levels(by, {level for (level,) in rows})


def _factor(name: str) -> str:
    """The SQL of a factor; a name from outside never becomes a part of a query."""
    if name not in FACTORS:
        raise ValueError(f"{name!r} is no factor; there are {', '.join(FACTORS)}.")
    return _KNOWN[name][0] if name in _KNOWN else name


def _conditions(members: Members) -> tuple[list[str], dict[str, Any]]:
    parameters: dict[str, Any] = {
        "cohort": members.cohort,
        "model_version": members.model_version,
        "include_amber": members.include_amber,
    }
    conditions = [
        "($model_version::TEXT IS NULL OR zone = 'green' OR (zone = 'amber' AND $include_amber))"
    ]
    for number, (factor, kept) in enumerate(members.levels.items()):
        conditions.append(f"list_contains($kept_{number}::TEXT[], {_factor(factor)})")
        parameters[f"kept_{number}"] = list(kept)
    if members.ages is not None:
        conditions.append("age BETWEEN $youngest AND $oldest")
        parameters["youngest"], parameters["oldest"] = members.ages
    return conditions, parameters


def _line_up(cursor: Connection, groups: Sequence[_Group]) -> None:
    """Make the table ``standing``: one row a time, in order, who dies and who is at risk then.

    The windows of this module have no order of their own: they go by the order in which the
    rows were written, which DuckDB keeps. Sorting once is most of the work. Times in days are
    few and quickly grouped; where hardly two are alike, grouping costs more than all the rest,
    and the rows are counted one by one instead.
    """
    (alike,) = cursor.execute(
        f"SELECT approx_count_distinct(months) < {MANY_TIMES} * count(*) FROM followed"
    ).fetchall()[0]
    rows = _grouped(groups) if alike else _one_by_one(groups)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE standing AS {rows}")


def _counts(groups: Sequence[_Group], window: str = "") -> str:
    return ", ".join(
        f"count(*) FILTER (place = {group.place}) {window} AS gone_{k},"
        f" count(*) FILTER (event AND place = {group.place}) {window} AS deaths_{k}"
        for k, group in enumerate(groups)
    )


def _grouped(groups: Sequence[_Group]) -> str:
    at_risk = ", ".join(
        f"deaths_{k}, {group.n_patients} + gone_{k}"
        f" - (sum(gone_{k}) OVER (ROWS UNBOUNDED PRECEDING))::BIGINT AS at_risk_{k}"
        for k, group in enumerate(groups)
    )
    return f"""SELECT months, {at_risk}
        FROM (SELECT months, {_counts(groups)} FROM followed GROUP BY months ORDER BY months)"""


def _one_by_one(groups: Sequence[_Group]) -> str:
    """Of patients with one time the last has counted them all; the others are left out."""
    at_risk = ", ".join(
        f"deaths_{k} - lag(deaths_{k}, 1, 0) OVER () AS deaths_{k},"
        f" {group.n_patients} - lag(gone_{k}, 1, 0) OVER () AS at_risk_{k}"
        for k, group in enumerate(groups)
    )
    return f"""SELECT months, {at_risk} FROM (
            SELECT *, lead(months) OVER () AS next FROM (
                SELECT months, {_counts(groups, "OVER (ROWS UNBOUNDED PRECEDING)")}
                FROM (SELECT months, event, place FROM followed ORDER BY months)
            )
        ) WHERE next IS DISTINCT FROM months"""


def _curve(cursor: Connection, k: int, group: _Group, interval: Interval) -> SurvivalCurve:
    found = cursor.execute(
        f"""SELECT months,
            product(1 - deaths_{k} / at_risk_{k}) OVER (ROWS UNBOUNDED PRECEDING) AS survival,
            sum(CASE WHEN at_risk_{k} > deaths_{k}
                THEN deaths_{k} / (at_risk_{k}::DOUBLE * (at_risk_{k} - deaths_{k})) ELSE 0 END)
                OVER (ROWS UNBOUNDED PRECEDING) AS greenwood
        FROM standing WHERE deaths_{k} > 0 OR months = ?""",
        [group.end],
    ).fetchnumpy()
    steps = Steps(*(np.asarray(found[name]) for name in ("months", "survival", "greenwood")))
    return curve_of_steps(group.level, steps, group.n_patients, group.n_events, interval)


def _at_risk(
    cursor: Connection, n_groups: int, months: Sequence[float]
) -> tuple[tuple[int, ...], ...]:
    """Who is still there at a time was there at the next time that somebody left."""
    left = ", ".join(f"at_risk_{k}" for k in range(n_groups))
    # Stops at the first row that fits, as the rows are in order: no join with a million of them.
    query = f"SELECT {left} FROM standing WHERE months >= ? LIMIT 1"
    nobody = (0,) * n_groups
    rows = [cursor.execute(query, [float(month)]).fetchone() or nobody for month in months]
    return tuple(zip(*rows, strict=True)) if rows else ((),) * n_groups


def _log_rank(cursor: Connection, groups: Sequence[_Group]) -> LogRank | None:
    k = range(len(groups))
    pairs = [(a, b) for a in k for b in k]
    sums = [f"sum(died * share_{a})" for a in k] + [
        f"sum(scale * ({'share_' + str(a) if a == b else '0'} - share_{a} * share_{b}))"
        for a, b in pairs
    ]
    # Of several deaths on one day each leaves one patient fewer for the next (hypergeometric).
    (row,) = cursor.execute(
        f"""WITH deaths AS (
            SELECT *, ({" + ".join(f"deaths_{a}" for a in k)})::DOUBLE AS died,
            ({" + ".join(f"at_risk_{a}" for a in k)})::DOUBLE AS everybody
            FROM standing WHERE died > 0
        ), weighed AS (
            SELECT died, died * (everybody - died) / greatest(everybody - 1, 1) AS scale,
            {", ".join(f"at_risk_{a} / everybody AS share_{a}" for a in k)} FROM deaths
        )
        SELECT {", ".join(sums)} FROM weighed"""
    ).fetchall()
    if row[0] is None:  # nobody died
        return None
    expected, variance = np.array(row[: len(groups)]), np.array(row[len(groups) :])
    try:
        return log_rank_of_sums(
            np.array([float(group.n_events) for group in groups]),
            expected,
            variance.reshape(len(groups), len(groups)),
            np.array([group.n_patients for group in groups]),
        )
    except TooFewPatients:
        return None
