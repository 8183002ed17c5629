"""The real tables that the simulated trial is fitted to: diameters over time, and survival.

They hold no images and no identity. They are read where they lie and never copied.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import rdata

from ctrs.errors import InputRejected
from ctrs.response import recist_class

LALEH = "tables/tumor_ts_laleh2022/journal.pcbi.1009822.s006.xlsx"
OAK = "tables/jmpost"

LUNG_STUDIES = ("Study1", "Study2", "Study3", "Study4")  # the fifth sheet is bladder cancer
TOO_SMALL_MM = 5.0  # RECIST 1.1: what is seen but too small to measure counts as 5 mm
LAST_BASELINE_DAY = 7  # scans up to a week after the first dose still show the state before it
WINDOW_DAYS = (42, 126)  # weeks 6 to 18
DAYS_A_MONTH = 365.25 / 12


def read_diameters(data: Path) -> pd.DataFrame:
    """Sums of target diameters of patients with NSCLC on atezolizumab or docetaxel.

    Args:
        data: Folder with ``tables/``.

    Returns:
        One row a scan, sorted: ``patient``, ``day`` since the first dose, ``diameter_mm``
        (0 = gone; what was too small to measure is 5; not evaluable scans are left out),
        ``study``, ``arm``.

    Raises:
        InputRejected: The table is not there.

    Source:
        Ghaffari Laleh et al., PLoS Comput. Biol. 18 (2022) e1009822, supplement 6: patients of
        FIR, POPLAR, BIRCH and OAK with at least three scans (a few have fewer that are
        evaluable).
    """
    sheets = pd.read_excel(_existing(data / LALEH), sheet_name=list(LUNG_STUDIES))
    names = ["patient", "day", "diameter_mm", "arm"]
    table = pd.concat(
        sheet.set_axis(names, axis=1).assign(study=name) for name, sheet in sheets.items()
    )
    too_small = table["diameter_mm"].astype(str).str.startswith("TOO SMALL")
    measured = pd.to_numeric(table["diameter_mm"], errors="coerce")
    table["diameter_mm"] = measured.mask(too_small, TOO_SMALL_MM)
    table["day"] = pd.to_numeric(table["day"], errors="coerce")
    # A few numbers occur in two studies.
    table["patient"] = table["study"] + "/" + table["patient"].astype(str)
    of_one_day = ["patient", "day", "study", "arm"]
    measured_days = table.dropna(subset=["day", "diameter_mm"]).groupby(of_one_day)
    return measured_days["diameter_mm"].mean().reset_index()


def change_near(diameters: pd.DataFrame, first_day: float, last_day: float) -> pd.DataFrame:
    """Change of the sum of diameters from baseline to the scan nearest the window's middle.

    Args:
        diameters: `read_diameters`.

    Returns:
        One row a patient with both: ``patient``, ``baseline_mm``, ``follow_up_mm``, ``change``
        as a fraction (-0.3 = a fall by 30 %).
    """
    before = diameters[diameters["day"] <= LAST_BASELINE_DAY].groupby("patient").last()
    inside = diameters[diameters["day"].between(first_day, last_day)]
    off = (inside["day"] - (first_day + last_day) / 2).abs()
    after = inside.assign(off=off).sort_values(["patient", "off"]).groupby("patient").first()
    both = pd.DataFrame(
        {"baseline_mm": before["diameter_mm"], "follow_up_mm": after["diameter_mm"]}
    ).dropna()
    both = both[both["baseline_mm"] > 0]
    both["change"] = both["follow_up_mm"] / both["baseline_mm"] - 1
    return both.reset_index(names="patient")


def read_oak(data: Path) -> pd.DataFrame:
    """Patients of OAK with diameters and survival; the clock starts at the scan near week 12.

    Returns:
        One row a patient who was alive and scanned in weeks 6 to 18: ``patient``, ``months``
        from that scan, ``event`` (True = died), ``sum_baseline_mm``, ``sum_follow_up_mm``,
        ``recist`` (targets only, against the smallest sum so far; PR includes CR), ``ecog``
        (``"0"`` or ``"1"``), ``age``, ``sex`` (``"male"``, ``"female"``), ``arm``.

    Raises:
        InputRejected: The tables are not there.

    Source:
        R package ``jmpost``, data sets ``os_data`` and ``tumor_data``; ids matched there with
        the help of the response, so the agreement with it is partly built in.
    """
    people = _read_r(data / OAK / "os_data.rda").set_index("id")
    scans = _read_r(data / OAK / "tumor_data.rda")
    scans["day"] = scans["year"] * 365.25
    scans = scans.sort_values(["id", "day"])
    inside = scans[scans["day"].between(*WINDOW_DAYS)]
    off = (inside["day"] - sum(WINDOW_DAYS) / 2).abs()
    follow_up = inside.assign(off=off).sort_values(["id", "off"]).groupby("id").first()
    table = people.join(follow_up[["sld", "day"]].rename(columns={"sld": "after"}), how="inner")
    table["baseline"] = scans.groupby("id")["sld"].first()
    table["nadir"] = _smallest_before(scans, table["day"]).fillna(table["baseline"])
    table["months"] = (table["os_time"] * 365.25 - table["day"]) / DAYS_A_MONTH
    return _as_cohort(table[table["months"] > 0])


def _smallest_before(scans: pd.DataFrame, day: pd.Series) -> pd.Series:
    limit = scans["id"].map(day)
    return scans[scans["day"] < limit].groupby("id")["sld"].min()


def _as_cohort(table: pd.DataFrame) -> pd.DataFrame:
    sums = table[["baseline", "after", "nadir"]].itertuples(index=False)
    classes = [str(recist_class(before, after, nadir)) for before, after, nadir in sums]
    return pd.DataFrame(
        {
            "patient": table.index.astype(str),
            "months": table["months"].to_numpy(float),
            "event": table["os_event"].to_numpy(bool),
            "sum_baseline_mm": table["baseline"].to_numpy(float),
            "sum_follow_up_mm": table["after"].to_numpy(float),
            "recist": np.where(np.array(classes) == "CR", "PR", classes),
            "ecog": table["ecog"].astype(str).to_numpy(),
            "age": table["age"].to_numpy(float),
            "sex": np.where(table["sex"].astype(str) == "M", "male", "female"),
            "arm": table["arm"].astype(str).to_numpy(),
        }
    )


def _read_r(file: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tibble is read as a plain data frame: wanted
        (table,) = rdata.read_rda(str(_existing(file))).values()
    return cast("pd.DataFrame", table).assign(id=lambda t: t["id"].astype(str))


def _existing(file: Path) -> Path:
    if not file.exists():
        raise InputRejected(
            f"The table {file.name} is not in the data folder.",
            "Name the folder that holds tables/ with --data.",
        )
    return file
