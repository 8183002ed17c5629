"""How long the store takes to load and to tabulate a cohort, beside a floor.

Run ``python tests/benchmarks/bench_store.py`` from the project's root. The floors are what no
store could undercut by much: writing the same frames as Parquet, and reading the finished table
back from Parquet with pandas. Shown is the best of three runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))
from ctrs.store import Store, StoredPair
from ctrs.types import (
    Biomarker,
    Outcome,
    Patient,
    PredictedCurve,
    Recist,
    Response,
    ResponseScore,
    RiskGroup,
    Zone,
)

MONTHS = tuple(float(month) for month in range(37))


def make_score(survival_12m: float) -> ResponseScore:
    curve = tuple(survival_12m ** (month / 12) for month in MONTHS)
    return ResponseScore(
        zone=Zone.GREEN,
        reasons=(),
        survival_12m=survival_12m,
        interval_90=(survival_12m * 0.8, survival_12m),
        curve=PredictedCurve(MONTHS, curve, curve, curve),
        risk_group=RiskGroup.LOW if survival_12m >= 0.5 else RiskGroup.HIGH,
        members=(survival_12m,) * 5,
        cut_off=0.5,
        ood_percentile=50.0,
        biomarkers={"tumour_volume": Biomarker(30.0, 20.0, "ml")},
        model_version="v1",
        device="cpu",
    )


def make_cohort(n: int) -> dict[str, list]:
    rng = np.random.default_rng(7)
    survival = rng.uniform(0.05, 0.95, n).tolist()
    months = rng.exponential(14.0, n).tolist()
    return {
        "patients": [Patient(patient=f"P-{i}", cohort="bench", age=60) for i in range(n)],
        "pairs": [StoredPair(f"k{i}", f"P-{i}", f"b{i}", f"f{i}", 84) for i in range(n)],
        "scores": [(f"k{i}", make_score(survival[i])) for i in range(n)],
        "responses": [(f"k{i}", Response(Recist.SD, 60.0, 55.0, 0, -0.1)) for i in range(n)],
        "outcomes": [(f"P-{i}", Outcome(months[i], i % 3 > 0)) for i in range(n)],
    }


def seconds(action: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        start = perf_counter()
        action()
        taken.append(perf_counter() - start)
    return min(taken)


def read_frames(store: Store) -> dict[str, pd.DataFrame]:
    """The stored tables as the frames they could have been loaded from."""
    tables = ("patients", "pairs", "scores", "responses", "outcomes")
    with store._reading() as cursor:
        found = {t: cursor.sql(f"SELECT * FROM {t}").to_arrow_table() for t in tables}
    return {name: table.to_pandas() for name, table in found.items()}


def write_parquet(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    for name, frame in frames.items():
        simple = frame.drop(columns=["biomarkers", "seconds"], errors="ignore")
        simple.to_parquet(folder / f"{name}.parquet")


def report(what: str, taken: float, floor: float) -> None:
    print(f"  {what:34}{taken:8.3f} s   floor {floor:8.3f} s   ratio {taken / floor:6.1f}")


def bench(n: int, folder: Path) -> None:
    print(f"{n:,} patients")
    cohort = make_cohort(n)
    with Store(folder / f"{n}.duckdb") as store:
        first = seconds(lambda: store.bulk_load(**cohort), times=1)
        frames = read_frames(store)
        floor = seconds(lambda: write_parquet(frames, folder))
        report("bulk_load of nouns", first, floor)
        report(
            "bulk_load of nouns, replacing", seconds(lambda: store.bulk_load(**cohort), 1), floor
        )

        table = store.cohort_table("bench", "v1")
        table.to_parquet(folder / "table.parquet")
        floor = seconds(lambda: pd.read_parquet(folder / "table.parquet"))
        report("cohort_table", seconds(lambda: store.cohort_table("bench", "v1")), floor)
        report("cohort_counts", seconds(lambda: store.cohort_counts("bench", "v1")), floor)
        report("worklist", seconds(lambda: store.worklist("bench")), floor)
        report("find_score", seconds(lambda: store.find_score("k7", "v1")), floor)
        report("save_score", seconds(lambda: store.save_score("k7", make_score(0.4), {})), floor)
    with Store(folder / f"{n}-frames.duckdb") as store:
        floor = seconds(lambda: write_parquet(frames, folder))
        frames["scores"] = frames["scores"].drop(columns=["biomarkers", "seconds"])
        report("bulk_load of frames", seconds(lambda: store.bulk_load(**frames), 1), floor)


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        for size in (1_830, 100_000):
            bench(size, Path(temporary))
