"""Which series is scored where several could be: by rule for both scans, or by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ctrs.errors import NoCtFound
from ctrs.kernels import Sharpness, sharpness
from ctrs.types import Inventory, Series

BY_USER = "named by the user"
_ALIKE = "the same kind of reconstruction as in the other scan"
_MAX_SPACING_RATIO = 2.0  # as in `ctrs.pair`: beyond it a remark would follow
_MAX_DAYS_OF_A_SCAN = 1  # some examinations end after midnight


def several_scans(accepted: Sequence[Series]) -> str:
    """Why no rule may choose among these series: they are of more than one patient or day.

    ``""`` where they are not. Two volumes that say nothing of either count as two scans; one
    beside a DICOM series is taken for a copy of it.
    """
    headers = [series.header for series in accepted]
    patients = {header.patient_id for header in headers} - {""}
    if len(patients) > 1:
        return f"The files hold CT series of {len(patients)} patients; one is expected."
    days = sorted({header.acquired_on for header in headers if header.acquired_on})
    if days and (apart := (days[-1] - days[0]).days) > _MAX_DAYS_OF_A_SCAN:
        return (
            f"The files hold CT scans of {len(days)} days, up to {apart} days apart; one scan is "
            "expected."
        )
    silent = sum(not (h.patient_id or h.acquired_on or h.study_uid) for h in headers)
    if silent > 1:
        return (
            f"The files hold {silent} usable volumes that say neither whose nor of which day they "
            "are; one scan is expected."
        )
    return ""


def named(inventory: Inventory, series_uid: str) -> Inventory:
    """The same inventory with this series chosen, and that a person chose it.

    Raises:
        NoCtFound: No series of that UID.
    """
    for series in inventory.series:
        if series.header.series_uid == series_uid:
            return replace(_preferring(inventory, series, BY_USER), doubt="")
    raise NoCtFound(
        f"None of the {len(inventory.series)} series has the UID that was asked for.",
        "Take the UID of a series from the inventory.",
    )


def alike(
    baseline: Inventory, follow_up: Inventory, eligible: tuple[Sequence[Series], Sequence[Series]]
) -> tuple[Inventory, Inventory]:
    """Both inventories with the best two series of one kind chosen, where there are such.

    A change of kernel or of slice distance changes what is measured. So like comes before best.

    Args:
        eligible: Of each inventory, the series that are as fit as its chosen one but for kernel
            and slice distance; best first.
    """
    if not (eligible[0] and eligible[1]):
        return baseline, follow_up
    ranked = product(enumerate(eligible[0]), enumerate(eligible[1]))
    (_, first), (_, second) = min(
        ranked, key=lambda pair: (_unlike(pair[0][1], pair[1][1]), pair[0][0] + pair[1][0])
    )
    return _choosing(baseline, first), _choosing(follow_up, second)


def _unlike(one: Series, other: Series) -> tuple[bool, bool]:
    kinds = {sharpness(one.header.kernel), sharpness(other.header.kernel)}
    mm = one.spacing[0], other.spacing[0]
    return kinds == {Sharpness.SOFT, Sharpness.SHARP}, max(mm) > _MAX_SPACING_RATIO * min(mm)


def _choosing(inventory: Inventory, series: Series) -> Inventory:
    return inventory if series is inventory.chosen else _preferring(inventory, series, _ALIKE)


def _preferring(inventory: Inventory, series: Series, why: str) -> Inventory:
    """With another series in the first place; its old reasons stay, and the new one leads."""
    summary = series.reasons[:1] if series.accepted else series.reasons
    chosen = replace(series, reasons=(*summary, why))
    others = [found for found in inventory.series if found is not series]
    ordered = [chosen, *others] if series.accepted else list(inventory.series)
    ranks = iter(range(1, len(ordered) + 1))
    ranked = [replace(s, rank=next(ranks)) if s.accepted else s for s in ordered]
    return replace(inventory, series=tuple(ranked), chosen=ranked[0] if series.accepted else series)
