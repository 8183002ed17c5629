"""Would acting on the prediction do more good than acting on everybody, or on nobody?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrs.errors import InputRejected
from ctrs.survival.checks import outcomes, require
from ctrs.survival.discrimination import check_probabilities
from ctrs.survival.kaplan_meier import survival_of_parts
from ctrs.types import Floats

THRESHOLDS = tuple(float(share) for share in np.arange(1, 100) / 100)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit against the risk of death from which on one would act.

    Attributes:
        at: Months; the risk is that of having died by then.
        threshold: Risks of death in (0, 1), shape ``(thresholds,)``: 0.2 = would act on four
            who live for one who dies.
        net_benefit: Deaths rightly foreseen per patient, less those wrongly foreseen at their
            price; higher = better. NaN where nobody of those acted on was followed to ``at``.
        treat_all: The same for acting on everybody; acting on nobody is 0 throughout.
        acted_on: Share of patients at or above each threshold.
    """

    at: float
    threshold: Floats
    net_benefit: Floats
    treat_all: Floats
    acted_on: Floats
    n_patients: int
    n_events: int


def decision_curve(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    survival_probability: npt.ArrayLike,
    at: float,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DecisionCurve:
    """Net benefit of acting on whose predicted risk of death reaches a threshold.

    Deaths among those acted on are counted by Kaplan-Meier, so that who was lost counts too.

    Args:
        survival_probability: Predicted P(alive at ``at``), in [0, 1]; the risk is 1 less that.
        thresholds: Between 0 and 1, both excluded.

    Raises:
        InputRejected: As `brier_at`; also a threshold that is no risk.
        TooFewPatients: No patient, or nobody is followed to ``at``.

    Source:
        Vickers et al., BMC Med. Inform. Decis. Mak. 8 (2008) 53.
    """
    times, died, (probability,) = outcomes(months, event, survival_probability)
    check_probabilities(probability)
    threshold = np.asarray(thresholds, dtype=float)
    if not ((threshold > 0) & (threshold < 1)).all():
        raise InputRejected("A threshold lies outside 0 to 1.", "Give risks such as 0.3.")
    require(len(times) > 0, "No patient is left; at least 1 is needed.")
    price = threshold / (1 - threshold)
    # A risk of 0.3 written as 1 - 0.7 comes out a hair below.
    acted = [1 - probability >= risk - 1e-12 for risk in threshold]
    everybody = np.ones(len(times), bool)
    dead, *deaths_of_acted = 1 - survival_of_parts(times, died, [everybody, *acted], at)
    require(np.isfinite(dead), f"Nobody is followed up to {at:g}.")
    share, deaths = np.array([chosen.mean() for chosen in acted]), np.array(deaths_of_acted)
    return DecisionCurve(
        at=at,
        threshold=threshold,
        net_benefit=share * deaths - share * (1 - deaths) * price,
        treat_all=dead - (1 - dead) * price,
        acted_on=share,
        n_patients=len(times),
        n_events=int(died.sum()),
    )
