"""An address opens for whom and as long as it was made for, and for nothing else."""

import pytest

from ctrs.signed import Signer

NOW = 1_790_000_000.0
PATH = "ctrs/image/P-1/k1/0/ct"
SIGNER = Signer(b"secret")


def allowed(path=PATH, reader="anna", now=NOW, signer=SIGNER, **changed):
    query = SIGNER.sign(PATH, "anna", NOW) | changed
    return signer.allows(path, reader, query["until"], query["sign"], now)


def test_it_opens_for_its_reader():
    assert allowed()
    assert allowed(now=NOW + 8 * 3600)


@pytest.mark.parametrize(
    "other",
    [
        {"path": "ctrs/image/P-2/k1/0/ct"},  # somebody else's scan
        {"path": "ctrs/image/P-1/k1/1/ct"},
        {"reader": "berta"},  # the address was sent on
        {"reader": ""},  # a browser without cookies
        {"now": NOW + 16 * 3600 + 1},  # the day is over
        {"until": str(2 * 10**9)},  # a longer life, by hand
        {"until": "never"},
        {"until": "9" * 400},
        {"until": "²"},
        {"sign": ""},
        {"sign": "ä"},
        {"signer": Signer(b"the server was started anew")},
    ],
    ids=str,
)
def test_it_opens_for_nobody_else(other):
    assert not allowed(**other)


def test_the_address_stays_the_same_for_hours_so_that_the_browser_keeps_what_it_fetched():
    window = 8 * 3600
    start = NOW - NOW % window
    assert SIGNER.sign(PATH, "anna", start) == SIGNER.sign(PATH, "anna", start + window - 1)
    assert SIGNER.sign(PATH, "anna", start) != SIGNER.sign(PATH, "anna", start + window)


def test_parts_cannot_be_moved_into_each_other():
    moved = SIGNER.sign("a", "bc", NOW)
    assert not SIGNER.allows("ab", "c", moved["until"], moved["sign"], NOW)
