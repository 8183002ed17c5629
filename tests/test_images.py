"""Image bytes: only for the reader they were signed for, only of a patient that is there."""

import asyncio
import gzip
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from conftest import FixedModel, chest_volume
from starlette.applications import Starlette

from ctrs.assess import prepare_cached
from ctrs.overlays import draw_saliency, outline
from ctrs.store import ScanFacts, StoredPair
from ctrs.types import ScanPair
from ctrs.ui import images, resources
from ctrs.ui.images import MIDDLEWARE, READER, ROUTES, KnownReader, address
from ctrs.volume_cache import VolumeCache

SCHEME = "http"
SERVER = Starlette(routes=ROUTES, middleware=MIDDLEWARE)


def get(url, cookie="anna", **headers):
    """Status, headers and body, as an ASGI server would send them."""
    parts = urlsplit(f"/{url.lstrip('/')}")
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    if cookie:
        sent.append((b"cookie", f"{READER}={cookie}".encode()))
    path = {"path": unquote(parts.path), "raw_path": parts.path.encode()}
    scope = {"type": "http", "method": "GET", **path,
             "query_string": parts.query.encode(), "headers": sent, "root_path": "",
             "scheme": SCHEME, "server": ("local", 80), "client": ("local", 1),
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
        # As long as an address holds, 16 hours; by this browser alone; taken for nothing else.
        assert answer.headers["cache-control"] == "private, max-age=57600, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "vary" not in answer.headers


def test_layers_are_served_once_they_are_made(pair):
    stored, volumes = pair
    url = address(stored, 1, "tumour").replace("{slab}", "0")
    assert get(url).status == 404
    tools = resources.workshop()
    outline(volumes[1].sha256, prepare_cached(volumes[1], tools)[0], tools, FixedModel)
    assert get(url).status == 200
    assert get(address(stored, 1, "saliency").replace("{slab}", "0")).status == 404
    assert get(address(stored, 0, "tumour").replace("{slab}", "0")).status == 404  # not made yet


def test_each_scan_has_its_own_saliency(pair):
    stored, volumes = pair
    tools = resources.workshop()
    draw_saliency(ScanPair(*volumes, 84), "k1", tools, FixedModel)
    for visit, sign in ((0, -1), (1, 1)):  # what the fixed model says of the two
        answer = get(address(stored, visit, "saliency").replace("{slab}", "0"))
        values = np.frombuffer(gzip.decompress(answer.body), np.int8).astype(int)
        assert np.sign(values.sum()) == sign


@pytest.mark.parametrize(
    ("asked", "visit", "layer"),
    [
        ({"patient": "P-BERTA"}, 0, "ct"),  # who has no such pair
        ({"pair_key": "k9"}, 0, "ct"),
        ({}, 2, "ct"),
        ({}, 0, "nothing such"),
    ],
)
def test_an_address_made_for_what_is_not_there_leads_nowhere(pair, shelf, asked, visit, layer):
    other = replace(pair[0], **asked)
    assert get(address(other, visit, layer).replace("{slab}", "0")).status == 404


def test_a_name_with_other_letters_is_no_hindrance(pair, shelf):
    stored, _ = pair
    name = "P Änne & 1?"
    shelf.save_pair("k2", name, stored.baseline_sha256, stored.follow_up_sha256, 84, ())
    url = address(replace(stored, patient=name, pair_key="k2"), 0, "ct").replace("{slab}", "0")
    assert url.isascii()
    assert get(url).status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.split("?")[0],
        lambda url: url.replace("/0/ct", "/1/ct"),
        lambda url: url.replace("P-ANNA", "P-BERTA"),
        lambda url: url.replace("/k1/", "/k2/"),
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
    assert "Path=/" in cookie
    assert "Secure" not in cookie  # on this machine there is no https
    other = get("ctrs/viewer/main.js", None, accept="text/html").headers["set-cookie"]
    assert cookie.split(";")[0] != other.split(";")[0]
    assert "set-cookie" not in get("ctrs/viewer/main.js", None, accept="*/*").headers
    assert "set-cookie" not in get("ctrs/viewer/main.js", "anna", accept="text/html").headers


def test_behind_https_the_cookie_goes_over_https_only(monkeypatch):
    monkeypatch.setattr("test_images.SCHEME", "https")
    cookie = get("ctrs/viewer/main.js", None, accept="text/html").headers["set-cookie"]
    assert "Secure" in cookie


def test_what_is_no_page_passes_untouched():
    """Streamlit talks to its pages over a websocket."""
    passed = []

    async def inner(scope, receive, send):
        passed.append((scope, receive, send))

    scope, receive, send = {"type": "websocket", "scheme": "ws", "headers": []}, object(), object()
    asyncio.run(KnownReader(inner)(scope, receive, send))
    assert passed == [(scope, receive, send)]


def test_the_viewers_parts_are_served_and_nothing_else():
    answer = get("ctrs/viewer/main.js")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    for name in ("images.py", "..%2Fimages.py", "nothing.js", ".js"):
        assert get(f"ctrs/viewer/{name}").status == 404
