"""Which series is scored where several could be: by rule for both scans, or by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from ctrs.errors import NoCtFound
from ctrs.ingest import image_file
from ctrs.ingest.identity import known_id, several_people
from ctrs.kernels import Sharpness, sharpness
from ctrs.types import Inventory, Series, SeriesHeader

BY_USER = "named by the user"
_INSTEAD = "in place of the series that was preferred, whose values are no Hounsfield units"
_ALIKE = "the same kind of reconstruction as in the other scan"
_MAX_SPACING_RATIO = 2.0  # as in `ctrs.pair`: beyond it a remark would follow
_MAX_DAYS_OF_A_SCAN = 1  # some examinations end after midnight


def several_scans(found: Sequence[Series]) -> str:
    """Why no rule may choose among these series: they may be of more than one patient or day.

    ``""`` where they are not. Two volumes that say nothing of either count as two scans; an image
    file beside a DICOM series is taken for a copy of it.

    Args:
        found: All that can be used, and what would be a scan if it were not damaged: a fault in
            one of two scans does not make the other one the one that is meant.
    """
    headers = [series.header for series in found]
    dicom = [s.header for s in found if not image_file.is_image_file(s.files[0])]
    silent = sum(not (known_id(h) or h.acquired_on or h.study_uid) for h in headers)
    words = _several_patients(headers) or _several_days(headers) or _several_studies(dicom)
    if words or silent < 2:
        return words
    return (
        f"The files hold {silent} usable volumes that say neither whose nor of which day they "
        "are; one scan is expected."
    )


def _several_patients(headers: Sequence[SeriesHeader]) -> str:
    several = several_people(headers)
    if not several:
        return ""
    by = " and ".join(several)
    return f"The files hold CT series of {max(several.values())} patients, by their {by}; one is " \
        "expected."  # fmt: skip


def _several_days(headers: Sequence[SeriesHeader]) -> str:
    days = sorted({header.acquired_on for header in headers if header.acquired_on})
    if not days or (apart := (days[-1] - days[0]).days) <= _MAX_DAYS_OF_A_SCAN:
        return ""
    return (
        f"The files hold CT scans of {len(days)} days, up to {apart} days apart; one scan is "
        "expected."
    )


def _several_studies(headers: Sequence[SeriesHeader]) -> str:
    """Two examinations that do not say whether they are of one patient and one day.

    Of one patient and day two are ordinary: chest and abdomen, ordered by themselves.
    """
    studies = {header.study_uid for header in headers}
    if len(studies) < 2 or all(known_id(h) and h.acquired_on for h in headers):
        return ""
    named = {h.study_uid for h in headers if known_id(h) and h.acquired_on} - {""}
    if all(h.study_uid in named for h in headers):
        return ""  # a series made afterwards, without a name, in a study that has one
    return (
        f"The files hold CT series of {len(studies)} examinations, and not all of them say whose "
        "and of which day they are; one scan is expected."
    )


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


def without_chosen(inventory: Inventory, why: str, eligible: Sequence[Series]) -> Inventory | None:
    """The inventory with the next best series chosen, because the chosen one cannot be used.

    ``None`` where a person named the chosen one, or none of ``eligible`` is left.

    Args:
        why: What was found in the chosen one.
        eligible: Series as fit as the best one but for kernel and slice distance.
    """
    chosen = inventory.chosen
    if chosen is None or BY_USER in chosen.reasons:
        return None
    fit = {series.header.series_uid for series in eligible}
    left = [series for series in inventory.series if series.accepted and series is not chosen]
    following = next((series for series in left if series.header.series_uid in fit), None)
    if following is None:
        return None
    refused = replace(chosen, accepted=False, reasons=(why,), rank=None)
    others = [series for series in inventory.series if not series.accepted]
    rest = replace(inventory, series=(*left, refused, *others), chosen=None)
    return _preferring(rest, following, _INSTEAD)


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
