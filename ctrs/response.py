"""Response by conventional reading: RECIST 1.1, tumour volume, and where the score disagrees."""

from __future__ import annotations

from math import isnan

from ctrs.types import Recist, RiskGroup

PARTIAL_RESPONSE = 0.7  # of the baseline sum: a fall of at least 30 %
PROGRESSION = 1.2  # of the smallest sum on study: a rise of at least 20 % ...
PROGRESSION_MM = 5.0  # ... and of at least 5 mm

# The volume of a sphere goes with the third power of its diameter: -65.7 % and +72.8 %.
VOLUME_RESPONSE = PARTIAL_RESPONSE**3 - 1
VOLUME_PROGRESSION = PROGRESSION**3 - 1

# Two scans of one tumour within 15 minutes differ by this much in 95 of 100, as fractions of the
# first: Zhao et al., Radiology 252 (2009) 263-272 (RIDER), by computer.
VOLUME_NOISE = (-0.12, 0.13)
DIAMETER_NOISE = (-0.07, 0.06)

# Diameters are read to 0.1 mm; far less than that decides no class, but 0.7 * 30 > 21 in binary.
_TOLERANCE = 1e-9

_WORDS = {
    Recist.CR: "complete response",
    Recist.PR: "partial response",
    Recist.SD: "stable",
    Recist.PD: "progression",
    Recist.NE: "not evaluable",
}
_RESPONSE = (Recist.CR, Recist.PR)


def recist_class(
    sum_baseline_mm: float,
    sum_follow_up_mm: float,
    nadir_mm: float | None = None,
    new_lesions: int = 0,
    all_targets_gone: bool = False,
) -> Recist:
    """Response class of the target lesions and new lesions, by RECIST 1.1.

    Progression is tested before partial response: a tumour that shrank by half and grew again
    progresses. Non-target lesions are not looked at.

    Args:
        sum_baseline_mm, sum_follow_up_mm: Sums of target diameters (nodes: short axis), mm;
            NaN where a target was not measured.
        nadir_mm: Smallest sum on study before this scan; ``None`` or NaN: the baseline. A nadir
            above the baseline counts as the baseline, which is itself on study.
        new_lesions: How many; one is enough for progression, even where the sums are missing.
        all_targets_gone: No target left and every node below 10 mm short axis; the sum need not
            be 0 then.

    Returns:
        NE where the sums do not tell: one is missing, or there was nothing to measure.

    Source:
        Eisenhauer et al., Eur. J. Cancer 45 (2009) 228-247.
    """
    if new_lesions > 0:
        return Recist.PD
    if all_targets_gone:
        return Recist.CR
    if isnan(sum_follow_up_mm) or isnan(sum_baseline_mm) or sum_baseline_mm <= 0:
        return Recist.NE
    if nadir_mm is None or isnan(nadir_mm):
        nadir_mm = sum_baseline_mm
    return _by_sums(sum_baseline_mm, sum_follow_up_mm, min(nadir_mm, sum_baseline_mm))


def _by_sums(baseline_mm: float, follow_up_mm: float, nadir_mm: float) -> Recist:
    if follow_up_mm <= 0:
        return Recist.CR
    growth_mm = follow_up_mm - nadir_mm
    needed_mm = max((PROGRESSION - 1) * nadir_mm, PROGRESSION_MM)
    if growth_mm >= needed_mm - _TOLERANCE:
        return Recist.PD
    if follow_up_mm <= PARTIAL_RESPONSE * baseline_mm + _TOLERANCE:
        return Recist.PR
    return Recist.SD


def volume_class(volume_change: float) -> Recist:
    """The class that the tumour volume change (TVC) would be, were the tumour a sphere.

    Args:
        volume_change: As a fraction of the baseline volume: -0.5 = half is left.

    Returns:
        PR from -65.7 % down (CR: nothing left), PD from +72.8 % up, NE for NaN, else SD. Not
        RECIST: new lesions count only by their volume, and the reference is the baseline.
    """
    if isnan(volume_change):
        return Recist.NE
    if volume_change <= -1 + _TOLERANCE:
        return Recist.CR
    if volume_change <= VOLUME_RESPONSE + _TOLERANCE:
        return Recist.PR
    if volume_change >= VOLUME_PROGRESSION - _TOLERANCE:
        return Recist.PD
    return Recist.SD


def discordance(recist: Recist, volume: Recist, risk_group: RiskGroup | None) -> str:
    """Who disagrees, in a few words for the worklist; ``""`` where nobody does.

    High risk agrees with progression, low risk with response and with stable disease. Complete
    and partial response are one. The volume is named where its class is not RECIST's. Without a
    risk group, or without a RECIST class, the sentence says what is missing.
    """
    words = [f"RECIST {_WORDS[recist]}"]
    if _volume_differs(recist, volume):
        words.append(f"volume {_WORDS[volume]}")
    if risk_group is None:
        words.append("CTRS not assessable")
    elif recist is Recist.NE or _score_differs(recist, risk_group):
        words.append(f"CTRS {risk_group.lower()}")
    return ", ".join(words) if len(words) > 1 else ""


def discordance_rank(recist: Recist, volume: Recist, risk_group: RiskGroup | None) -> int:
    """Where the patient stands in the worklist; ascending = what needs talking about first.

    0. RECIST sees response or stable disease, the score high risk: bad news that nobody expects.
    1. RECIST sees progression, the score low risk.
    2. RECIST and the score agree, the volume does not.
    3. RECIST or the score could not be assessed: after those with an answer to discuss, before
       the quiet ones, because something may have to be done about it.
    4. Nothing disagrees.
    """
    if risk_group is None or recist is Recist.NE:
        return 3
    if _score_differs(recist, risk_group):
        return 0 if risk_group is RiskGroup.HIGH else 1
    return 2 if _volume_differs(recist, volume) else 4


def _score_differs(recist: Recist, risk_group: RiskGroup) -> bool:
    return (recist is Recist.PD) != (risk_group is RiskGroup.HIGH)


def _volume_differs(recist: Recist, volume: Recist) -> bool:
    if Recist.NE in (recist, volume):
        return False
    return recist is not volume and not (recist in _RESPONSE and volume in _RESPONSE)
