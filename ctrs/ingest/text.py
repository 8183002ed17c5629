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


# Defined terms; of any other word nobody knows whether it is a name, or markup.
MODALITIES = frozenset((  # DICOM PS3.3 C.7.3.1.1.1, without the rarest
    "AU", "BDUS", "BI", "BMD", "CR", "CT", "CTPROTOCOL", "DG", "DOC", "DX", "ECG", "EPS", "ES",
    "FID", "GM", "HD", "IO", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP", "OT", "PLAN", "PR", "PT",
    "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV",
    "SC", "SEG", "SM", "SMR", "SR", "TG", "US", "XA", "XC",
))  # fmt: skip
PHOTOMETRIC = frozenset((  # C.7.6.3.1.2
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL",
    "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "XYB",
))  # fmt: skip
RESCALED = frozenset((  # C.11.1.1.2
    "ED", "EDW", "HU", "HU_MOD", "MGML", "OD", "PCT", "US", "Z_EFF",
))  # fmt: skip


def term(text: object, known: frozenset[str], other: str) -> str:
    """The text in capitals where it is a known term, ``""`` for nothing, else ``other``."""
    word = printable(text).upper()
    return word if word in known or not word else other


def printable(text: object, limit: int = 64) -> str:
    """The text without control characters, at most ``limit`` characters, ``""`` for ``None``."""
    if text is None:
        return ""
    kept = str(text)[:4096]
    if not kept.isprintable():  # nearly all are, and looking at each character takes long
        kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in kept)
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
