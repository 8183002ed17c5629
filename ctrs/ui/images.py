"""The images behind the viewer: slabs of voxels, for the reader they were signed for.

The server answers these addresses itself, beside streamlit's own; no script runs for them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ctrs.assess import Workshop
from ctrs.overlays import LAYERS, outlines_key, saliency_key, slab
from ctrs.signed import Signer
from ctrs.store import StoredPair
from ctrs.ui import resources
from ctrs.volume_cache import VolumeCache

READER: Final = "ctrs_reader"  # a cookie without meaning: two browsers have two
SALIENCY: Final = "saliency"
_FRONTEND: Final = Path(__file__).with_name("frontend")
_KINDS: Final = {".js": "text/javascript", ".css": "text/css"}
_SIGNER: Final = Signer(secrets.token_bytes(32))

# Bytes that never change under their address. No "Vary: Cookie": streamlit renews its own cookies,
# and the browser would fetch everything again.
_HEADERS: Final = {
    "Content-Encoding": "gzip",
    "Cache-Control": "private, max-age=57600, immutable",
    "X-Content-Type-Options": "nosniff",
}


def address(pair: StoredPair, visit: int, layer: str) -> str:
    """Where this reader's browser finds the slabs of a scan: put a number for ``{slab}``."""
    path = _path(pair.patient, pair.pair_key, visit, layer)
    reader = st.context.cookies.get(READER, "")
    return f"{quote(path)}/{{slab}}?{urlencode(_SIGNER.sign(path, reader, time.time()))}"


def _path(patient: str, pair_key: str, visit: int | str, layer: str) -> str:
    return f"ctrs/image/{patient}/{pair_key}/{visit}/{layer}"


def send_slab(request: Request) -> Response:
    """One slab, already compressed; 403 for anybody else's address, 404 for what is gone."""
    asked = request.path_params
    path = _path(asked["patient"], asked["pair"], asked["visit"], asked["layer"])
    query, reader = request.query_params, request.cookies.get(READER, "")
    signed = query.get("until", ""), query.get("sign", "")
    if not _SIGNER.allows(path, reader, *signed, time.time()):
        return Response(status_code=403)
    tools = resources.workshop()
    data = _find(tools, asked["patient"], asked["pair"], int(asked["visit"]), asked["layer"],
                 asked["slab"])  # fmt: skip
    if data is None:
        return Response(status_code=404)
    return Response(data, media_type="application/octet-stream", headers=_HEADERS)


def _find(
    tools: Workshop, patient: str, pair_key: str, visit: int, layer: str, number: int
) -> bytes | None:
    """The bytes, if the patient still has this pair; a deleted patient's address leads nowhere."""
    pairs = tools.store.pairs_of(patient) if tools.store else []
    pair = next((pair for pair in pairs if pair.pair_key == pair_key), None)
    if pair is None or tools.cache is None or visit not in (0, 1):
        return None
    sha256 = (pair.baseline_sha256, pair.follow_up_sha256)[visit]
    if layer == "ct":
        return VolumeCache(tools.cache).slab(sha256, number)
    if layer == SALIENCY:
        return slab(saliency_key(pair_key, visit, tools), number, tools)
    return slab(outlines_key(sha256, layer, tools), number, tools) if layer in LAYERS else None


def send_part(request: Request) -> Response:
    """A file of the viewer itself; the browser asks each time whether it has changed."""
    file = _FRONTEND / request.path_params["name"]
    if file.parent != _FRONTEND or file.suffix not in _KINDS or not file.is_file():
        return Response(status_code=404)
    kind = _KINDS[file.suffix]
    return FileResponse(file, media_type=kind, headers={"Cache-Control": "no-cache"})


class KnownReader:
    """Gives every browser a random cookie, so that an address can be signed for one of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        introduced = _introduce(send, scope["scheme"] == "https") if _is_new(scope) else send
        await self._app(scope, receive, introduced)


def _is_new(scope: Scope) -> bool:
    """Whether a page is opened by a browser without the cookie. Of the many parts that a page
    fetches at once, each would get a cookie of its own."""
    if scope["type"] != "http":
        return False
    request = Request(scope)
    return "text/html" in request.headers.get("accept", "") and READER not in request.cookies


def _introduce(send: Send, secure: bool) -> Callable[[Message], Awaitable[None]]:
    async def with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"set-cookie", _new_cookie(secure).encode()),
            ]
        await send(message)

    return with_cookie


def _new_cookie(secure: bool) -> str:
    cookie = SimpleCookie({READER: secrets.token_urlsafe(24)})
    traits = {"path": "/", "httponly": True, "samesite": "Strict", "secure": secure}
    for trait, value in traits.items():
        cookie[READER][trait] = value
    return cookie[READER].OutputString()


ROUTES = [
    Route("/ctrs/image/{patient}/{pair}/{visit:int}/{layer}/{slab:int}", send_slab),
    Route("/ctrs/viewer/{name}", send_part),
]
MIDDLEWARE = [Middleware(KnownReader)]
