"""Addresses that open for one reader, for some hours, and for nobody who was only sent them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

_HOURS: Final = 8  # a working day; the address stays the same that long, for the browser's cache


@dataclass(frozen=True)
class Signer:
    """Signs addresses with a secret of this server.

    Args:
        secret: Random bytes; other bytes, as after a restart, make all older addresses invalid.
    """

    secret: bytes

    def sign(self, path: str, reader: str, now: float) -> dict[str, str]:
        """The parameters that open ``path`` for this reader until 8 to 16 hours from ``now``.

        Args:
            reader: Something only the reader's browser sends, and the address does not show.
            now: Seconds since 1970.
        """
        window = _HOURS * 3600
        expires = str((int(now) // window + 2) * window)
        return {"until": expires, "sign": self._mac(path, reader, expires)}

    def allows(self, path: str, reader: str, until: str, sign: str, now: float) -> bool:
        """Whether these parameters were made for this path and reader, and still hold."""
        if not reader or not until.isascii() or not until.isdigit() or int(until[:12]) <= now:
            return False
        return hmac.compare_digest(self._mac(path, reader, until).encode(), sign.encode())

    def _mac(self, path: str, reader: str, until: str) -> str:
        # Each part with its length in front: no two triples give the same text.
        text = "".join(f"{len(part)}:{part}" for part in (path, reader, until))
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()
