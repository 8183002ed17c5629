"""Text from files, made fit to be kept and shown: data, never markup."""

from __future__ import annotations

import re
import unicodedata

# Words that describe a CT series; of anything else nobody knows whether it is a name.
_TECHNICAL = frozenset((
    "abd", "abdomen", "angio", "arterial", "art", "av", "axial", "ax", "bone", "body", "br",
    "cap", "cer", "chest", "contrast", "cor", "coronal", "ct", "cta", "ctpa", "delayed",
    "delay", "dose", "exp", "expiration", "fc", "filter", "full", "helical", "hd", "hr", "hrct",
    "insp", "inspiration", "iv", "km", "kernel", "lat", "low", "lung", "lungs", "lvl",
    "mediastinum", "mip", "mm", "mpr", "nativ", "native", "neck", "non", "of", "parenchyma",
    "pelvis", "phase", "plain", "pe", "portal", "post", "pre", "prone", "pv", "pulm", "recon",
    "routine", "sag", "sagittal", "scout", "series", "sharp", "soft", "spiral", "standard",
    "std", "supine", "thick", "thin", "thorax", "tissue", "topogram", "tr", "upper", "lower",
    "venous", "ven", "vol", "volume", "w", "wb", "whole", "window", "wo", "with", "without",
))  # fmt: skip
_NUMBER = re.compile(r"\d{1,3}(?:[.,]\d{1,3})?(?:mm|s|kv|ma)?")
_KERNEL = re.compile(r"[a-z]{1,2}\d{2}[a-z]?")
_PART = re.compile(r"[A-Za-zÀ-ÿ]+[0-9]*[A-Za-z]?|\d+(?:[.,]\d+)?(?:[A-Za-z]+)?|\S")


def printable(text: object, limit: int = 64) -> str:
    """The text without control characters, at most ``limit`` characters, ``""`` for ``None``."""
    if text is None:
        return ""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in str(text)[:4096])
    return " ".join(kept.split())[:limit]


def technical(text: str) -> str:
    """A series description with the words that are certainly no name; "…" for the others.

    Some departments type the patient or the physician into it.
    """
    kept = []
    for part in _PART.findall(text):
        word = part.lower()
        if not any(c.isalnum() for c in word):
            continue  # punctuation may be markup, or make a formula of what follows
        known = word in _TECHNICAL or _NUMBER.fullmatch(word) or _KERNEL.fullmatch(word)
        kept.append(part if known else "…")
    return re.sub(r"(… ?)+", "… ", " ".join(kept)).strip()
