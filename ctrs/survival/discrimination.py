"""Does a score put patients in the order in which they die, and how far off is a probability?

Higher score = lives longer, everywhere. All functions take columns of one table, one row a
patient: ``months`` of follow-up, ``event`` (True = died), and the score.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ctrs.errors import InputRejected
from ctrs.survival.censoring import inverse_weights
from ctrs.survival.checks import follow_up, outcomes, require
from ctrs.survival.comparable_pairs import pairs_of_deaths
from ctrs.types import Cohort, Floats, Mask

if TYPE_CHECKING:
    from torchsurv.metrics.auc import Auc
    from torchsurv.metrics.brier_score import BrierScore


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
    _require_cases_and_controls(times, died, at)
    weights, weight_at = _weights(times, died, at)
    torch, auc, _ = _torchsurv()
    # Ranks: the same order, and torchsurv takes scores closer than 1e-8 for tied.
    risk = -np.unique(value, return_inverse=True)[1].astype(float)
    now, past, known = _coded(times, died, at)
    found = auc(
        torch.from_numpy(risk),
        torch.from_numpy(known),
        torch.from_numpy(past),
        weight=torch.from_numpy(weights),
        new_time=torch.from_numpy(now),
        weight_new_time=torch.from_numpy(weight_at),
    )
    return float(found[0])


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
    weights, weight_at = _weights(times, died, at)
    torch, _, brier = _torchsurv()
    now, past, known = _coded(times, died, at)
    found = brier(
        torch.from_numpy(probability)[:, None],
        torch.from_numpy(known),
        torch.from_numpy(past),
        new_time=torch.from_numpy(now),
        weight=torch.from_numpy(weights),
        weight_new_time=torch.from_numpy(weight_at),
    )
    return float(found[0])


def check_probabilities(probability: Floats) -> None:
    """Refuse what is no probability: percentages, most often."""
    wrong = int(((probability < 0) | (probability > 1)).sum())
    if wrong:
        raise InputRejected(
            f"{wrong} of {len(probability)} probabilities lie outside 0 to 1.",
            "Give the predicted probability of being alive, not a percentage.",
        )


def _weights(months: Floats, event: Mask, at: float) -> tuple[Floats, Floats]:
    """Of each patient's own time and of ``at``. torchsurv needs both; left out, it takes 1."""
    weights = np.zeros(len(months))  # only deaths by `at` are weighed by their own time
    dead = event & (months <= at)
    weights[dead] = inverse_weights(months, event, months[dead])
    return weights, inverse_weights(months, event, np.array([at], dtype=float))


def _torchsurv() -> tuple[ModuleType, Auc, BrierScore]:
    """Takes seconds to import, which a page without these figures need not wait for."""
    with warnings.catch_warnings():
        # torchsurv 0.2.0 compiles its losses on import, in a way that torch 2.13 deprecates.
        warnings.filterwarnings("ignore", ".*torch.jit.script.* is deprecated", DeprecationWarning)
        import torch
        from torchsurv.metrics.auc import Auc
        from torchsurv.metrics.brier_score import BrierScore
    return torch, Auc(), BrierScore()


def _coded(months: Floats, event: Mask, at: float) -> tuple[Floats, Floats, Mask]:
    """``at`` as 1, follow-up as 1 (up to ``at``) or 2 (past it), and whose outcome is known.

    torchsurv rounds times to 32 bits but not ``at``: a death on the very day fell behind it.
    It also refuses patients without a death; whether one died later changes nothing here.
    """
    past = months > at
    return np.array([1.0]), np.where(past, 2.0, 1.0), event | past


def _require_pair(months: Floats, event: Mask, where: str) -> None:
    # A pair can be ordered if one dies while, or before, the other's follow-up ends.
    first = months[event].min() if event.any() else np.inf
    outlived = (months > first) | ((months == first) & ~event)
    require(
        bool(outlived.any()),
        f"{len(months)} patients with {int(event.sum())} deaths{where} give no pair in which it"
        " is known who died first.",
    )


def _require_cases_and_controls(months: Floats, event: Mask, at: float) -> None:
    dead, alive = int((event & (months <= at)).sum()), int((months > at).sum())
    require(
        dead > 0 and alive > 0,
        f"{dead} of {len(months)} patients have died by {at:g} and {alive} are followed past it;"
        " at least 1 of each is needed.",
    )
