"""A patient's identifier becomes a pseudonym that only the holder of the key can connect."""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from ctrs.errors import StoreUnusable

# Crockford's base 32: no I, L, O (read as 1, 1, 0) and no U.
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_KEY_BYTES: Final = 32


def pseudonym(patient_id: str, key: bytes) -> str:
    """The pseudonym of this patient, like ``P-7F3K-2QXB``; the same every time.

    Forty bits of HMAC-SHA-256. A hash without a key would be no protection: hospital numbers
    are few enough to try them all. Spaces around the identifier, with which DICOM pads, do not
    count. Among 10,000 patients two share a pseudonym with a chance of 1 in 22,000.

    Args:
        patient_id: As the files have it. Where they have none, the ``sha256`` of the baseline
            scan stands in for it.
        key: From `load_key`.
    """
    if not patient_id.strip():
        raise ValueError("Without an identifier, give the sha256 of the baseline scan.")
    if len(key) != _KEY_BYTES:
        raise ValueError(f"The key has {len(key)} bytes, {_KEY_BYTES} are expected.")
    digest = hmac.new(key, patient_id.strip().encode(), hashlib.sha256).digest()
    number = int.from_bytes(digest[:5], "big")
    text = "".join(_LETTERS[number >> shift & 31] for shift in range(35, -1, -5))
    return f"P-{text[:4]}-{text[4:]}"


def load_key(path: Path) -> bytes:
    """The 32 secret bytes in this file; on first use they are drawn and the file is made.

    Keep the file apart from the database: whoever has both can test who a pseudonym is. Without
    it, known patients get new pseudonyms. Only its owner can read it. Two programs that start
    at once get the same key.

    Raises:
        StoreUnusable: The file cannot be read or made, or does not hold 32 bytes.
    """
    try:
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreUnusable(
            f"The key file {path.name} of the pseudonyms cannot be read or created.",
            "Check that its folder exists and can be written to by this account.",
        ) from error
    if len(key) != _KEY_BYTES:
        raise StoreUnusable(
            f"The key file {path.name} has {len(key)} bytes; {_KEY_BYTES} are expected.",
            "Restore it from a backup: with another key, known patients get new pseudonyms.",
        )
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=".key-") as file:  # mode 0600
        file.write(os.urandom(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
        # A link, unlike a rename, fails where a file already is: the first program wins, and
        # nobody ever sees half a key.
        with suppress(FileExistsError):
            os.link(file.name, path)
