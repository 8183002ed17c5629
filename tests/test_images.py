"""Image bytes: only for the reader they were signed for, only of a patient that is there."""

import asyncio
import gzip
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import FixedModel, chest_volume
from starlette.applications import Starlette

from ctrs.assess import prepare_cached
from ctrs.overlays import outline
from ctrs.store import ScanFacts, StoredPair
from ctrs.ui import images, resources
from ctrs.ui.images import MIDDLEWARE, READER, ROUTES, address
from ctrs.volume_cache import VolumeCache

SERVER = Starlette(routes=ROUTES, middleware=MIDDLEWARE)


def get(url, cookie="anna", **headers):
    """Status, headers and body, as an ASGI server would send them."""
    parts = urlsplit(f"/{url.lstrip('/')}")
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    if cookie:
        sent.append((b"cookie", f"{READER}={cookie}".encode()))
    scope = {"type": "http", "method": "GET", "path": parts.path, "raw_path": parts.path.encode(),
             "query_string": parts.query.encode(), "headers": sent, "root_path": "",
             "scheme": "http", "server": ("local", 80), "client": ("local", 1),
             "http_version": "1.1"}  # fmt: skip
    told = []

    async def receive():
        await asyncio.Event().wait()  # a reader who stays

    async def send(message):
        told.append(message)

    asyncio.run(SERVER(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in told[1:])
    found = [(name.decode(), value.decode()) for name, value in told[0]["headers"]]
    return SimpleNamespace(status=told[0]["status"], headers=dict(found), body=body)


@pytest.fixture
def pair(shelf, monkeypatch):
    """A patient with two scans on disk, seen by the reader "anna"."""
    monkeypatch.setattr(images.st, "context", SimpleNamespace(cookies={READER: "anna"}))
    volumes = chest_volume(), chest_volume(tumour_mm=10.0, seed=4)
    cache = VolumeCache(resources.cache())
    for volume in volumes:
        cache.put(volume)
        shelf.save_scan(volume.sha256, ScanFacts.of(volume))
    shelf.save_pair("k1", "P-ANNA", volumes[0].sha256, volumes[1].sha256, 84, ())
    return StoredPair("k1", "P-ANNA", volumes[0].sha256, volumes[1].sha256, 84), volumes


def test_a_slab_is_the_scan_itself_compressed_once_and_kept_by_the_browser(pair):
    stored, volumes = pair
    for visit in (0, 1):
        answer = get(address(stored, visit, "ct").replace("{slab}", "0"))
        assert answer.status == 200
        voxels = np.frombuffer(gzip.decompress(answer.body), "<i2")
        np.testing.assert_array_equal(voxels, volumes[visit].hu.ravel().astype(int))
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" in answer.headers["cache-control"]
        assert "private" in answer.headers["cache-control"]
        assert "vary" not in answer.headers


def test_layers_are_served_once_they_are_made(pair):
    stored, volumes = pair
    url = address(stored, 1, "tumour").replace("{slab}", "0")
    assert get(url).status == 404
    tools = resources.workshop()
    outline(volumes[1].sha256, prepare_cached(volumes[1], tools)[0], tools, FixedModel)
    assert get(url).status == 200
    assert get(address(stored, 1, "saliency").replace("{slab}", "0")).status == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.split("?")[0],
        lambda url: url.replace("/0/ct", "/1/ct"),
        lambda url: url.replace("P-ANNA", "P-BERTA"),
        lambda url: url.replace("/ct/", "/tumour/"),
        lambda url: url.replace("sign=", "sign=0"),
        lambda url: url.replace("until=1", "until=2"),
    ],
)
def test_an_address_that_was_changed_opens_nothing(pair, change):
    answer = get(change(address(pair[0], 0, "ct").replace("{slab}", "0")))
    assert answer.status == 403
    assert answer.body == b""


@pytest.mark.parametrize("cookie", ["berta", None])
def test_an_address_that_was_sent_on_opens_nothing(pair, cookie):
    assert get(address(pair[0], 0, "ct").replace("{slab}", "0"), cookie).status == 403


def test_it_ends_with_the_day(pair, monkeypatch):
    url = address(pair[0], 0, "ct").replace("{slab}", "0")
    now = images.time.time()
    monkeypatch.setattr(images.time, "time", lambda: now + 17 * 3600)
    assert get(url).status == 403


def test_a_deleted_patients_address_leads_nowhere(pair, shelf):
    url = address(pair[0], 0, "ct").replace("{slab}", "0")
    shelf.delete_patient("P-ANNA")
    assert get(url).status == 404


def test_a_scan_that_had_to_make_room_and_a_slab_that_is_none_are_not_found(pair):
    stored, volumes = pair
    assert get(address(stored, 0, "ct").replace("{slab}", "7")).status == 404
    VolumeCache(resources.cache()).delete(volumes[0].sha256)
    assert get(address(stored, 0, "ct").replace("{slab}", "0")).status == 404


def test_a_new_browser_gets_a_cookie_with_its_page_and_only_then():
    fresh = get("ctrs/viewer/main.js", None, accept="text/html,*/*")
    cookie = fresh.headers["set-cookie"]
    assert cookie.startswith(f"{READER}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "set-cookie" not in get("ctrs/viewer/main.js", None, accept="*/*").headers
    assert "set-cookie" not in get("ctrs/viewer/main.js", "anna", accept="text/html").headers


def test_the_viewers_parts_are_served_and_nothing_else():
    answer = get("ctrs/viewer/main.js")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    for name in ("images.py", "..%2Fimages.py", "nothing.js", ".js"):
        assert get(f"ctrs/viewer/{name}").status == 404
