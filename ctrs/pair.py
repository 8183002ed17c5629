"""Two scans become a pair, unless they cannot be one patient before and on treatment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ctrs.config import PairConfig
from ctrs.errors import DifferentPatients, SameScan, WrongOrder
from ctrs.ingest.identity import known_id, several_people
from ctrs.kernels import Sharpness, sharpness
from ctrs.types import Finding, Inventory, ScanPair, Series, SeriesHeader, Volume, Zone

# Dates of one visit may differ by some days between order, acquisition and report.
DATES_AGREE_DAYS = 7
MAX_SPACING_RATIO = 2.0
# A tenth leaves room for slices of air and drawings; two scans share none.
MAX_SHARED = 0.1
_FINGERPRINT_STEP = 8  # pixels, each way
_FINGERPRINT_RANGE_HU = 300
# What a fingerprint holds, around the brightest tenth of its slice: bodies without their lungs.
# Below, a constant added to all values is cut off at -1024 HU, and above by 12 bits.
_FINGERPRINT_RANK = 0.9
_FINGERPRINT_HU = (-400.0, 400.0)
_NO_CONTRAST = {"", "no", "none", "n", "nil", "na", "nativ", "native", "without", "ohne", "0"}
_SWAP = "Swap the two scans, or check which one was acquired first."
_CHECK_PATIENT = (
    "Check that both scans are of one patient; if they are, have the archive correct what differs "
    "and export both again."
)


@dataclass(frozen=True)
class ProposedPair:
    """The two series of one patient that are probably meant, and why."""

    baseline: Series
    follow_up: Series
    days: int
    reasons: tuple[str, str]


def propose_pair(
    inventory: Inventory, config: PairConfig, treatment_start: date | None = None
) -> ProposedPair | None:
    """Baseline and follow-up among the dated series of one patient.

    Baseline is the last scan up to the start of treatment; where that is unknown, the first
    scan. Follow-up is the later scan whose distance is nearest to 12 weeks. Of each day the best
    series counts.

    Returns:
        ``None`` where fewer than two days, or more than one patient, are there.
    """
    usable = [series for series in inventory.series if series.accepted]
    best: dict[date, Series] = {}
    for series in usable:
        if series.header.acquired_on:
            best.setdefault(series.header.acquired_on, series)
    before = [day for day in best if treatment_start is None or day <= treatment_start]
    if several_people([series.header for series in usable]) or not before:
        return None
    first = min(before) if treatment_start is None else max(before)
    later = [day for day in best if day > first]
    if not later:
        return None
    second = min(later, key=lambda day: (abs((day - first).days - config.assumed_days), day))
    why = (
        "the first scan" if treatment_start is None
        else f"the last scan up to the start of treatment, {(treatment_start - first).days} days "
        "before it"
    )  # fmt: skip
    days = (second - first).days
    among = f"nearest to {config.assumed_days} of {len(later)} later scans"
    nearest = f"{days} days later, {among if len(later) > 1 else 'the only later scan'}"
    return ProposedPair(best[first], best[second], days, (why, nearest))


def pair_scans(
    baseline: Volume,
    follow_up: Volume,
    config: PairConfig,
    interval_days: int | None = None,
) -> ScanPair:
    """Baseline and follow-up CT of one patient, with remarks on what lowers the trust.

    Identity is compared in the headers only, and no message repeats it.

    Args:
        interval_days: From baseline to follow-up, where the user knows it better than the
            dates in the files; it then counts, and the dates do not.

    Raises:
        SameScan: Both have the same voxels, or are of one DICOM series.
        DifferentPatients: Patient ID, sex or birth date disagree.
        WrongOrder: The follow-up is older than the baseline, by the dates or the days given.
    """
    _check_different(baseline, follow_up)
    _check_patient(baseline.header, follow_up.header)
    by_dates = _days_between(baseline.header, follow_up.header)
    for known in (by_dates, interval_days):  # days typed in do not turn the dates around
        if known is not None and known < 0:
            raise WrongOrder(
                f"The follow-up scan is {-known} days older than the baseline scan; it should be "
                "the later one.",
                _SWAP,
            )
    days = by_dates if interval_days is None else interval_days
    findings = (
        *_interval_findings(days, config),
        *_date_findings(by_dates, interval_days),
        *_identity_findings(baseline.header, follow_up.header),
        *_study_findings(baseline.header, follow_up.header),
        *_protocol_findings(baseline, follow_up),
    )
    return ScanPair(baseline, follow_up, days, findings)


def protocol(volume: Volume) -> dict[str, str | float | None]:
    """How a scan was made, to be read beside the other one of the pair."""
    header = volume.header
    return {
        "slice_spacing_mm": round(volume.spacing[0], 3),
        "slice_thickness_mm": header.slice_thickness_mm,
        "kernel": header.kernel,
        "sharpness": str(sharpness(header.kernel)),
        "contrast": header.contrast,
        "manufacturer": header.manufacturer,
    }


def has_contrast(header: SeriesHeader) -> bool:
    """Whether the files name a contrast medium; some scanners write NONE where there was none."""
    return header.contrast.strip(" .-").casefold() not in _NO_CONTRAST


def _check_different(baseline: Volume, follow_up: Volume) -> None:
    """Refuse one scan given twice: equal voxels, or one series.

    By the pixels as well as by the tags: a copy may have new UIDs, dates and names.
    """
    series = [_without_part(v.header.series_uid) for v in (baseline, follow_up)]
    one_study = _one_study(baseline.header, follow_up.header)
    shared = _shared_slices(baseline, follow_up)
    how = (
        "both are of one series" if one_study and all(series) and series[0] == series[1]
        else "every voxel is equal" if baseline.sha256 == follow_up.sha256
        else f"{shared:.0%} of the slices have equal pixels, but for a constant at most"
        if shared > MAX_SHARED
        else ""
    )  # fmt: skip
    if how:
        raise SameScan(
            f"Baseline and follow-up are the same scan: {how}.",
            "Choose two scans of different dates.",
        )


def _without_part(series_uid: str) -> str:
    """The series that an acquisition of it (``UID#2``) was taken from."""
    return series_uid.partition("#")[0]


def _one_study(baseline: SeriesHeader, follow_up: SeriesHeader) -> bool:
    return baseline.study_uid != "" and baseline.study_uid == follow_up.study_uid


def _shared_slices(baseline: Volume, follow_up: Volume) -> float:
    """Share of the shorter scan's slices whose pixels are in the other one, too.

    A grid of pixels stands for its slice: no two measured slices agree in the noise of a
    thousand pixels, whatever was added to all of them. Slices without anything on them do not
    count.
    """
    one, other = _fingerprints(baseline), _fingerprints(follow_up)
    return len(one & other) / max(min(len(one), len(other)), 1)


def _fingerprints(volume: Volume) -> set[bytes]:
    sample = np.rint(volume.hu[:, ::_FINGERPRINT_STEP, ::_FINGERPRINT_STEP])
    planes = sample.reshape(len(sample), -1)
    rank = int(_FINGERPRINT_RANK * (planes.shape[1] - 1))
    level = np.partition(planes, rank, axis=1)[:, rank, np.newaxis]
    kept = np.clip(planes - level, *_FINGERPRINT_HU).astype(np.int16)
    return {plane.tobytes() for plane in kept if np.ptp(plane) > _FINGERPRINT_RANGE_HU}


def _check_patient(baseline: SeriesHeader, follow_up: SeriesHeader) -> None:
    if differing := several_people((baseline, follow_up)):
        raise DifferentPatients(
            f"The {' and '.join(differing)} in the two scans differ; one patient is expected.",
            _CHECK_PATIENT,
        )


def _days_between(baseline: SeriesHeader, follow_up: SeriesHeader) -> int | None:
    if baseline.acquired_on is None or follow_up.acquired_on is None:
        return None
    return (follow_up.acquired_on - baseline.acquired_on).days


def _interval_findings(days: int | None, config: PairConfig) -> list[Finding]:
    if days is None:
        return [_amber(
            "The time between the scans is unknown; the score assumes "
            f"{config.assumed_days} days."
        )]  # fmt: skip
    if not config.amber_days[0] <= days <= config.amber_days[1]:
        low, high = config.amber_days
        return [Finding(Zone.RED, f"The scans are {days} days apart; {low} to {high} days are "
                        "needed for a score.")]  # fmt: skip
    if not config.green_days[0] <= days <= config.green_days[1]:
        low, high = config.green_days
        return [_amber(f"The scans are {days} days apart; {low} to {high} days are usual.")]
    return []


def _date_findings(by_dates: int | None, given: int | None) -> list[Finding]:
    if by_dates is None or given is None or abs(by_dates - given) <= DATES_AGREE_DAYS:
        return []
    return [_amber(f"The scans were said to be {given} days apart; by the dates in their files "
                   f"they are {by_dates} days apart.")]  # fmt: skip


def _identity_findings(baseline: SeriesHeader, follow_up: SeriesHeader) -> list[Finding]:
    """A remark where one scan says whose it is and the other does not.

    Two scans without any identity, as research volumes are, get none: nothing contradicts.
    """
    known = bool(known_id(baseline)), bool(known_id(follow_up))
    if known[0] == known[1]:
        return []
    nameless = "follow-up" if known[0] else "baseline"
    return [_amber(f"The {nameless} scan has no patient ID, or only a placeholder, and the other "
                   "one has: that both are of one patient could not be checked.")]  # fmt: skip


def _study_findings(baseline: SeriesHeader, follow_up: SeriesHeader) -> list[Finding]:
    """A remark where one Study Instance UID stands for both: some research exports do so.

    Two kernels of one breath cannot be told from that by tags; see `ctrs.align` for the bodies.
    """
    if not _one_study(baseline, follow_up):
        return []
    days = _days_between(baseline, follow_up)
    dates = "no two dates are in them" if days is None else f"their dates are {days} days apart"
    return [_amber("Both scans have the Study Instance UID of one examination, and "
                   f"{dates}: make sure that they are two scans.")]  # fmt: skip


def _protocol_findings(baseline: Volume, follow_up: Volume) -> list[Finding]:
    """Remarks on reconstructions so unlike that a change may be theirs, not the tumour's."""
    findings = []
    mm = baseline.spacing[0], follow_up.spacing[0]
    if max(mm) / min(mm) > MAX_SPACING_RATIO:
        findings.append(_amber(f"The slices are {mm[0]:.4g} mm apart at baseline and "
                               f"{mm[1]:.4g} mm at follow-up."))  # fmt: skip
    kinds = sharpness(baseline.header.kernel), sharpness(follow_up.header.kernel)
    if set(kinds) == {Sharpness.SOFT, Sharpness.SHARP}:
        findings.append(_amber(f"The baseline scan has a {kinds[0]} kernel and the follow-up "
                               f"scan a {kinds[1]} one."))  # fmt: skip
    given = has_contrast(baseline.header), has_contrast(follow_up.header)
    both_speak = baseline.header.study_uid and follow_up.header.study_uid  # DICOM, that is
    if both_speak and given[0] != given[1]:
        name = "baseline" if given[0] else "follow-up"
        findings.append(_amber(f"By the files only the {name} scan was made with contrast medium: "
                               "enhancement may pass for change."))  # fmt: skip
    return findings


def _amber(reason: str) -> Finding:
    return Finding(Zone.AMBER, reason)
