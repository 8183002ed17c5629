"""Survival statistics at a million patients beside lifelines, in one run.

Run with ``python -m tests.benchmarks.bench_survival``. Each pair of times is the best of three,
taken in turns; above 1 = ours is faster. What is compared is checked to be equal first.

* statistics: curves with bands and medians, numbers at risk and log-rank. Ours: the rows lie in
  a table of the database. lifelines: in arrays; its fit alone, and with its log-rank test.
* from the store: the same with finding the patients. lifelines: after reading them into a frame.
* C-index of 100,000 patients: `harrell_c` beside lifelines' ``concordance_index``.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index

from ctrs.store import Members, Store
from ctrs.store import survival as in_sql
from ctrs.survival import GroupComparison, harrell_c

TICKS = tuple(range(0, 37, 6))
ROUNDS = 3
FEMALE_FIRST = ["female", "male"]


def in_turns(**actions: Callable[[], object]) -> dict[str, float]:
    """Seconds of each, the best of three."""
    best = dict.fromkeys(actions, np.inf)
    for _ in range(ROUNDS):
        for name, action in actions.items():
            start = perf_counter()
            action()
            best[name] = min(best[name], perf_counter() - start)
    return best


def report(what: str, ours: float, theirs: float) -> None:
    print(f"  {what:52}{ours:7.3f} s   lifelines {theirs:7.3f} s   ratio {theirs / ours:5.1f}")


def cohort(n: int, in_days: bool) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    sex = np.where(rng.random(n) < 0.4, "male", "female")
    death = rng.exponential(np.where(sex == "male", 13.0, 15.0))
    lost = rng.uniform(2, 60, n)
    months = np.minimum(death, lost)
    if in_days:
        months = np.ceil(months * 30.4375) / 30.4375
    ids = [f"P-{number:07d}" for number in range(n)]
    return pd.DataFrame({"patient": ids, "sex": sex, "months": months, "event": death <= lost})


def fits(table: pd.DataFrame) -> list[KaplanMeierFitter]:
    parts = (table[table["sex"] == sex] for sex in FEMALE_FIRST)
    return [KaplanMeierFitter().fit(part["months"], part["event"]) for part in parts]


def log_rank(table: pd.DataFrame) -> float:
    a, b = (table[table["sex"] == sex] for sex in FEMALE_FIRST)
    test = logrank_test(a["months"], b["months"], a["event"], b["event"])
    return float(test.test_statistic)


def check(found: GroupComparison, table: pd.DataFrame) -> None:
    furthest = 0.0
    for curve, fit in zip(found.curves, fits(table), strict=True):
        expected = fit.survival_function_at_times(curve.months).to_numpy()
        furthest = max(furthest, float(np.abs(expected[1:] - curve.survival[1:]).max()))
    assert found.test is not None
    chi_square = log_rank(table)
    off = abs(found.test.chi_square / chi_square - 1)
    print(f"  furthest from lifelines: survival {furthest:.0e}, chi-square {off:.0e} (relative)")
    assert max(furthest, off) < 1e-9


def bench_groups(n: int, in_days: bool) -> None:
    table = cohort(n, in_days)
    times = table["months"].nunique()
    print(f"{n:,} patients in two groups, {times:,} different times")
    with Store() as store:
        store.bulk_load(
            patients=table[["patient", "sex"]].assign(cohort="bench"),
            outcomes=table[["patient", "months", "event"]],
        )
        members = Members(cohort="bench")
        check(store.compare(members, "sex", TICKS), table)
        with store._reading() as cursor:
            groups = in_sql._follow(cursor, members, "sex")
            best = in_turns(
                sql=lambda: in_sql.statistics(cursor, groups, TICKS, "log-log"),
                fit=lambda: fits(table),
                test=lambda: log_rank(table),
                store=lambda: store.compare(members, "sex", TICKS),
                read=lambda: store.cohort_table("bench", "", scored=False),
            )
    report("statistics, beside the fit alone", best["sql"], best["fit"])
    report("statistics, beside fit and log-rank", best["sql"], best["fit"] + best["test"])
    report(
        "from the store, beside reading, fit and log-rank",
        best["store"],
        best["read"] + best["fit"] + best["test"],
    )


def bench_c_index(n: int) -> None:
    print(f"C-index of {n:,} patients")
    rng = np.random.default_rng(5)
    months, event = rng.exponential(14, n), rng.random(n) < 0.6
    cases = {
        "no ties": (months, rng.random(n)),
        "days and whole percent": (np.ceil(months * 30.4375), rng.integers(0, 101, n) / 100),
    }
    for what, (time, score) in cases.items():
        assert harrell_c(time, event, score) == concordance_index(time, score, event)
        best = in_turns(
            ours=lambda time=time, score=score: harrell_c(time, event, score),
            theirs=lambda time=time, score=score: concordance_index(time, score, event),
        )
        report(what, best["ours"], best["theirs"])


if __name__ == "__main__":
    for size in (1_830, 1_000_000):
        for days in (True, False):
            bench_groups(size, days)
    bench_c_index(100_000)
