"""The model's folder: safetensors with a JSON card beside them. Read without torch where possible.

``card.json`` says what the weights are, how they were made and how well they do; it also holds
everything small that changes a result (cut-off, calibration, interval), so that a person can read
it. ``perceiver.safetensors`` and ``foreseers.safetensors`` hold the networks, and
``usual.safetensors`` what the training scans look like; the card has their checksums.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ctrs.errors import WeightsUnusable

CARD = "card.json"
PERCEIVER, FORESEERS = "perceiver.safetensors", "foreseers.safetensors"
USUAL = "usual.safetensors"
REPORT = "report.md"  # what was measured, in words
FORMAT = 4  # of the card; another format needs another program


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about one set of weights.

    Attributes:
        version: Names the weights: date and the first letters of their checksum.
        trained_on, command, seed, commit: Where they come from.
        sites: That gave patients to the training, where the table says.
        members: Networks in the ensemble.
        cut_off: Of `survival_12m`; below it is high risk. Fixed on training patients.
        typical_survival: Median of `survival_12m` over the training patients.
        calibration: ``intercept`` and ``slope`` of the log cumulative hazard.
        interval_parts: Half widths of 90 % intervals on the logit scale: ``calibration`` (how
            far it may be off), ``rescan`` (another scan of the same patient on the same day) and
            ``unseen`` (what the scans show and the networks miss). Measured on training patients
            that the weights did not learn from.
        ood_distances: 101 percentiles (0-100) of the training pairs' distance from the usual.
        checksums: sha256 by file name.
        remarks: What else somebody who makes the weights again should know.
        metrics: Measured on patients that nothing was trained or tuned on.
    """

    version: str
    trained_on: str
    sites: list[str]
    command: str
    seed: int
    commit: str
    members: int
    cut_off: float
    typical_survival: float
    calibration: dict[str, float]
    interval_parts: dict[str, float]
    ood_distances: list[float]
    prepare_version: str
    checksums: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)
    remarks: str = ""
    format: int = FORMAT

    @property
    def interval_logit(self) -> float:
        """Half width of the 90 % interval on the logit scale, beside the members' spread."""
        return math.hypot(*self.interval_parts.values())


def read_card(folder: Path) -> Card:
    """The card of a folder with weights.

    Raises:
        WeightsUnusable: There is no card, it cannot be read, or it is of another format.
    """
    try:
        content = json.loads((folder / CARD).read_text())
        if content.get("format") != FORMAT:
            raise WeightsUnusable(
                f"The weights' card has format {content.get('format')}; this program reads"
                f" format {FORMAT}.",
                "Use weights made by this version, or train them again.",
            )
        return Card(**content)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsUnusable(
            "The model's weights are missing or their card cannot be read.",
            "Install the project again, or name a folder made by `python -m ctrs train`.",
        ) from error


def write_card(folder: Path, card: Card) -> None:
    (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")


def checksum(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def check_files(folder: Path, card: Card) -> None:
    """Compare every weight file with the card.

    Raises:
        WeightsUnusable: A file is missing, or is not the one that the card describes.
    """
    for name, expected in card.checksums.items():
        file = folder / name
        if not file.exists():
            raise WeightsUnusable(
                f"The weights' file {name} is missing.", "Install the project again."
            )
        if checksum(file) != expected:
            raise WeightsUnusable(
                f"The weights' file {name} is not the one its card describes (checksum differs).",
                "Install the project again; do not use altered weights.",
            )
