"""What every statistic asks of its input, and the words it refuses with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ctrs.errors import InputRejected, TooFewPatients
from ctrs.types import Floats, Mask

MIN_GROUP = 10  # patients; below this a p value says more about chance than about the group


def require(condition: bool, what: str) -> None:
    """Raise `TooFewPatients`, saying ``what`` was found and what is needed."""
    if not condition:
        raise TooFewPatients(what, "Widen the filters or choose a larger cohort.")


def follow_up(table: pd.DataFrame) -> tuple[Floats, Mask]:
    """The columns ``months`` and ``event`` as arrays."""
    return table["months"].to_numpy(dtype=float), table["event"].to_numpy(dtype=bool)


def outcomes(
    months: npt.ArrayLike, event: npt.ArrayLike, *values: npt.ArrayLike
) -> tuple[Floats, Mask, list[Floats]]:
    """Follow-up and the values of the same patients as plain arrays of one length.

    Raises:
        InputRejected: Lengths differ, a time is missing, infinite or negative, an event is
            neither 0 nor 1, or a value is missing or infinite.
    """
    times = np.asarray(months, dtype=float)
    died = np.asarray(event, dtype=float)
    columns = [np.asarray(column, dtype=float) for column in values]
    shapes = {column.shape for column in (times, died, *columns)}
    if len(shapes) > 1 or times.ndim != 1:
        raise InputRejected(
            f"Times, outcomes and values have the shapes {sorted(shapes)}; one row a patient is"
            " expected.",
            "Give columns of one table.",
        )
    _refuse(~np.isfinite(times), "times are missing or infinite", "Leave those patients out.")
    _refuse(times < 0, "times are below 0", "Count from the landmark; leave out who died before.")
    _refuse(~np.isin(died, (0, 1)), "outcomes are neither 0 nor 1", "Code death as 1.")
    for column in columns:
        _refuse(~np.isfinite(column), "values are missing", "Leave those patients out.")
    return times, died.astype(bool), columns


def _refuse(wrong: Mask, what: str, next_step: str) -> None:
    if wrong.any():
        raise InputRejected(f"{int(wrong.sum())} of {len(wrong)} {what}.", next_step)
