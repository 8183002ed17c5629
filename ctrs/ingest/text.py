"""Text from files, made fit to be kept and shown: data, never markup."""

from __future__ import annotations

import unicodedata


def printable(text: object, limit: int = 64) -> str:
    """The text without control characters, at most ``limit`` characters, ``""`` for ``None``."""
    if text is None:
        return ""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in str(text)[:4096])
    return " ".join(kept.split())[:limit]
