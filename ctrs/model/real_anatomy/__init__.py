"""Whether the networks learned medicine or our renderer: checks on real scans.

Tumours that people outlined must be found and measured. Follow-ups made of the same scans
(semi-synthetic: no patient was scanned twice) must score the lower the more the tumour grew, and
what a scanner or a crop changes must move the score less than what a tumour does.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from ctrs.model.real_anatomy.common import Network, Progress, Row, rounded
from ctrs.model.real_anatomy.follow_ups import (
    dose_response,
    erased,
    judge_doses,
    judge_erased,
    zero_change,
)
from ctrs.model.real_anatomy.masks import judge_boxes, judge_masks, measure_tumour
from ctrs.model.real_anatomy.rim import gates, judge_gates
from ctrs.model.real_anatomy.text import as_markdown
from ctrs.trial.real.outlined import (
    BOXES,
    REAL_CROPS,
    REAL_SCANS,
    REAL_TUMOURS,
    has_scan,
    outlined_scan,
)
from ctrs.trial.real.semisynthetic import WORDS

__all__ = ["as_markdown", "check_real_anatomy"]


def check_real_anatomy(
    data: Path, ensemble: Network, *, typical_survival: float, progress: Progress
) -> dict[str, Any]:
    """All checks on the real scans of a data folder, by those of its scans that are there.

    Some minutes on a CPU: a dozen follow-ups are made of each scan with an outline.

    Args:
        data: Folder with ``ct/``; see `ctrs.trial.real.outlined`.
        typical_survival: Median ``survival_12m`` of the trial, in [0, 1], higher = lives longer:
            who has no tumour left must be above it.
        progress: Told in words what is done.

    Returns:
        Readable JSON, a section a check. Each has ``n`` (tumours or pairs that decide),
        ``target`` in words, ``met`` (``None``: nothing to decide by) and ``scans``. Volumes in
        ml, changes as fractions of the baseline, survival in [0, 1]. ``crops`` are parts of a
        chest, which the app itself refuses: they stand apart from ``masks``.
    """
    there = {name for name in (*REAL_SCANS, *REAL_CROPS) if has_scan(data, name)}
    masks, doses, without, moved = [], [], [], []
    for name in (name for name in REAL_TUMOURS if name in there):
        progress(f"{name}: is the tumour found?")
        scan = outlined_scan(data, name)
        masks.append(measure_tumour(scan, ensemble))
        doses.append(dose_response(scan, ensemble, progress))
        progress(f"{name}: erased")
        without.append(erased(scan, ensemble, typical_survival))
        progress(f"{name}: noise, crop and kernel against a rim of tumour")
        moved.append(gates(scan, ensemble))
    return {
        "follow_ups": WORDS,
        "typical_survival_12m": rounded(typical_survival),
        "missing": [name for name in (*REAL_SCANS, *REAL_CROPS) if name not in there],
        "masks": judge_masks(masks),
        "crops": judge_masks(_measured(data, REAL_CROPS, there, ensemble, progress)),
        "boxes": judge_boxes(_measured(data, BOXES, there, ensemble, progress)),
        "dose_response": judge_doses(doses),
        "zero_change": zero_change(data, ensemble, progress),
        "erased": judge_erased(without),
        "gates": judge_gates(moved),
    }


def _measured(
    data: Path, names: Iterable[str], there: Container[str], network: Network, progress: Progress
) -> list[Row]:
    rows = []
    for name in (name for name in names if name in there):
        progress(f"{name}: is the tumour found?")
        rows.append(measure_tumour(outlined_scan(data, name), network))
    return rows
