"""Does a score put patients in the order in which they die, and how far off is a probability?

Higher score = lives longer, everywhere. All functions take columns of one table, one row a
patient: ``months`` of follow-up, ``event`` (True = died), and the score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctrs.errors import InputRejected
from ctrs.survival.censoring import inverse_weights
from ctrs.survival.checks import follow_up, outcomes, require
from ctrs.survival.comparable_pairs import pairs_of_deaths
from ctrs.types import Cohort, Floats, Mask


def concordance(cohort: Cohort, column: str = "survival_12m") -> float:
    """Harrell's C of a column of the cohort's table; rows without a value are left out.

    Raises:
        TooFewPatients: As `harrell_c`.
    """
    table = cohort.table.dropna(subset=[column])
    months, event = follow_up(table)
    _require_pair(months, event, f" in “{cohort.name}”")
    return _share_in_order(months, event, table[column].to_numpy(dtype=float))


def harrell_c(months: npt.ArrayLike, event: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Harrell's C: 1 = of two patients the one with the lower score always dies first.

    0.5 is chance. A tie in the score counts half; two deaths on one day are no pair; somebody
    lost on the day another dies outlived that one. Rises with the share of patients lost: give
    `uno_c` beside it.

    Raises:
        InputRejected: Missing or negative times, missing scores, columns of unequal length.
        TooFewPatients: No two patients can be ordered by who died first.

    Source:
        Harrell, Lee & Mark, Stat. Med. 15 (1996) 361-387; same as R's ``concordance``.
    """
    times, died, (value,) = outcomes(months, event, score)
    _require_pair(times, died, "")
    return _share_in_order(times, died, value)


def _share_in_order(months: Floats, event: Mask, score: Floats) -> float:
    pairs = pairs_of_deaths(months, event, score)
    # Whole numbers up to here: a million patients' pairs are added without rounding.
    return float((pairs.above.sum() + pairs.tied.sum() / 2) / pairs.outlived.sum())


def uno_c(months: npt.ArrayLike, event: npt.ArrayLike, score: npt.ArrayLike, until: float) -> float:
    """Uno's C up to ``until``: Harrell's, made independent of how many were lost, and when.

    Each pair counts by 1 / P(still followed at the earlier death) squared. Deaths at ``until``
    or later are not the earlier half of a pair.

    Args:
        until: Months; choose it where a fair number is still followed.

    Raises:
        InputRejected: As `harrell_c`.
        TooFewPatients: No pair before ``until``, or nobody was followed at one of its deaths.

    Source:
        Uno et al., Stat. Med. 30 (2011) 1105-1117; same as scikit-survival's
        ``concordance_index_ipcw``. R's ``concordance(timewt = "n/G2")`` takes the weight just
        before the death and differs in the fourth digit where deaths and losses share a day.
    """
    times, died, (value,) = outcomes(months, event, score)
    early = times[died] < until
    _require_pair(times, died & (times < until), "")
    pairs = pairs_of_deaths(times, died, value)
    weights = inverse_weights(times, died, times[died][early]) ** 2
    right = weights @ (pairs.above + pairs.tied / 2)[early]
    return float(right / (weights @ pairs.outlived[early]))


def auc_at(months: npt.ArrayLike, event: npt.ArrayLike, score: npt.ArrayLike, at: float) -> float:
    """Of one patient dead by ``at`` and one alive then: how often has the dead the lower score?

    Cumulative/dynamic AUC. 0.5 is chance, a tie counts half. Who was lost before ``at`` is
    stood in for by those who died at a time when many had been lost (IPCW).

    Raises:
        InputRejected: As `harrell_c`.
        TooFewPatients: Nobody has died by ``at``, or nobody is followed past it.

    Source:
        Uno et al., JASA 102 (2007) 527-537; same as scikit-survival's
        ``cumulative_dynamic_auc`` with the weights from the same patients.
    """
    times, died, (value,) = outcomes(months, event, score)
    case, control = died & (times <= at), times > at
    _require_cases_and_controls(len(times), int(case.sum()), int(control.sum()), at)
    weights = inverse_weights(times, died, times[case])
    return float(weights @ share_above(value[case], value[control]) / weights.sum())


def share_above(values: Floats, others: Floats, weights: Floats | None = None) -> Floats:
    """For each of ``values`` the share of the others that are higher; those as high count half.

    Args:
        weights: Of the others; ``None``: each counts 1.
    """
    order = np.argsort(others)
    below = np.append(0.0, np.cumsum(np.ones(len(others)) if weights is None else weights[order]))
    low, high = (below[np.searchsorted(others[order], values, side)] for side in ("left", "right"))
    share: Floats = 1 - (low + high) / 2 / below[-1]
    return share


def brier_at(
    months: npt.ArrayLike, event: npt.ArrayLike, survival_probability: npt.ArrayLike, at: float
) -> float:
    """Mean squared error of a predicted probability of being alive at ``at``; 0 is perfect.

    0.25 is what "50 % for everybody" gets. Who was lost before ``at`` is stood in for (IPCW).
    Depends on both order and calibration, and on how many die: compare on the same patients
    only, with what the Kaplan-Meier estimate for all gets.

    Raises:
        InputRejected: As `harrell_c`; also a probability outside [0, 1].
        TooFewPatients: One patient or none, or nobody is followed up to ``at``.

    Source:
        Graf et al., Stat. Med. 18 (1999) 2529-2545; same as scikit-survival's ``brier_score``.
    """
    times, died, (probability,) = outcomes(months, event, survival_probability)
    check_probabilities(probability)
    require(len(times) > 1, f"A mean error needs 2 patients or more; found: {len(times)}.")
    dead, alive = died & (times <= at), times > at
    weights_dead = inverse_weights(times, died, times[dead])
    weight_alive = inverse_weights(times, died, np.array([at], dtype=float))
    errors = weights_dead @ probability[dead] ** 2
    errors += weight_alive[0] * ((1 - probability[alive]) ** 2).sum()
    return float(errors / len(times))


def check_probabilities(probability: Floats) -> None:
    """Refuse what is no probability: percentages, most often."""
    wrong = int(((probability < 0) | (probability > 1)).sum())
    if wrong:
        raise InputRejected(
            f"{wrong} of {len(probability)} probabilities lie outside 0 to 1.",
            "Give the predicted probability of being alive, not a percentage.",
        )


def _require_pair(months: Floats, event: Mask, where: str) -> None:
    # A pair can be ordered if one dies while, or before, the other's follow-up ends.
    first = months[event].min() if event.any() else np.inf
    outlived = (months > first) | ((months == first) & ~event)
    require(
        bool(outlived.any()),
        f"{len(months)} patients with {int(event.sum())} deaths{where} give no pair in which it"
        " is known who died first.",
    )


def _require_cases_and_controls(n: int, dead: int, alive: int, at: float) -> None:
    require(
        dead > 0 and alive > 0,
        f"{dead} of {n} patients have died by {at:g} and {alive} are followed past it;"
        " at least 1 of each is needed.",
    )
