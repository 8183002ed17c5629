"""Published tables of follow-up that the statistics are held against, in days.

``lung``: Loprinzi et al., J. Clin. Oncol. 12 (1994) 601-607, as shipped with lifelines.
``veteran``: Kalbfleisch & Prentice, The Statistical Analysis of Failure Time Data (1980), app. 1,
with the columns and codes of R's ``survival::veteran``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from lifelines.datasets import load_lung

from ctrs.types import Cohort

VETERAN = Path(__file__).parent / "data" / "veteran.csv"
CELLS = ["squamous", "smallcell", "adeno", "large"]  # R's order: the first is the reference


def lung():
    table = load_lung().rename(columns={"time": "months"})
    return table.assign(event=table["status"] == 1)


def veteran():
    table = pd.read_csv(VETERAN).rename(columns={"time": "months", "status": "event"})
    return table.assign(
        event=table["event"] == 1, celltype=pd.Categorical(table["celltype"], CELLS)
    )


def cohorts(table, column):
    return [Cohort(str(name), part) for name, part in table.groupby(column, observed=True)]


def make_cohort(months, event, name="made by hand", **columns):
    table = {"months": np.array(months, float), "event": np.array(event, bool), **columns}
    return Cohort(name, pd.DataFrame(table))


def simulated_follow_up(seed, n):
    """Follow-up whose hazard changes by 0.74 per +10 points of the score; a quarter is lost.

    Returns:
        Months, event, score in points (0-100), and the true probability to live 12 months.
    """
    random = np.random.default_rng(seed)
    points = 100 * random.beta(4, 3, n)
    rate = 0.74 ** ((points - 55) / 10) / 14
    death, end = random.exponential(1 / rate), random.uniform(6, 40, n)
    return np.minimum(death, end), death <= end, points, np.exp(-12 * rate)
