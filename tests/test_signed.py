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
        {"until": "9" * 5000},  # more digits than python reads
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


@pytest.mark.parametrize(("signed", "asked"), [(("a", "bc"), ("ab", "c")),
                                               (("a:b", "c"), ("a", "b:c"))])  # fmt: skip
def test_parts_cannot_be_moved_into_each_other(signed, asked):
    moved = SIGNER.sign(*signed, NOW)
    assert not SIGNER.allows(*asked, moved["until"], moved["sign"], NOW)


def test_without_a_cookie_nothing_opens_not_even_what_was_signed_without_one():
    signed = SIGNER.sign(PATH, "", NOW)
    assert not SIGNER.allows(PATH, "", signed["until"], signed["sign"], NOW)


def test_it_ends_on_the_second_it_says():
    signed = SIGNER.sign(PATH, "anna", NOW)
    until = int(signed["until"])
    for now, opens in ((until - 1, True), (until, False)):
        assert SIGNER.allows(PATH, "anna", signed["until"], signed["sign"], now) is opens
