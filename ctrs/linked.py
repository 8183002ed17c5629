"""The link of a pair, aligned once and remembered: some seconds for a look that lasts minutes."""

from __future__ import annotations

import json
from typing import Final

import numpy as np

from ctrs.align import align
from ctrs.assess import Workshop
from ctrs.disk_cache import AnyArray
from ctrs.link import Link
from ctrs.types import PreparedScan

_WAY: Final = "2"  # raise it when the same pair would be aligned differently


def _key(scans: tuple[str, str]) -> str:
    return f"link-{scans[0][:32]}-{scans[1][:32]}-{_WAY}"


def find_link(scans: tuple[str, str], workshop: Workshop) -> Link | None:
    """What `draw_link` kept for the scans of this content, or ``None``."""
    arrays = workshop.cache.get(_key(scans)) if workshop.cache else None
    if arrays is None:
        return None
    words = json.loads(arrays["words"].tobytes())
    return Link(arrays["matrix"], words["sure"], words["how"])


def draw_link(
    scans: tuple[str, str], prepared: tuple[PreparedScan, PreparedScan], workshop: Workshop
) -> None:
    """Align the follow-up with the baseline, and keep how they belong together."""
    if workshop.cache is None or find_link(scans, workshop) is not None:
        return
    found = align(*prepared)
    words = json.dumps({"sure": bool(found.sure), "how": found.how}).encode()
    kept: dict[str, AnyArray] = {"matrix": found.affine, "words": np.frombuffer(words, np.uint8)}
    workshop.cache.put(_key(scans), kept)
