"""Pseudonyms: the same for the same patient and key, and no way back without the key."""

import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctrs.errors import StoreUnusable
from ctrs.pseudonym import load_key, pseudonym

KEY = bytes(range(32))


def test_it_is_hmac_sha256_in_crockfords_base_32():
    # printf 'HOSP-0042' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
    # begins 0fef39d51e; by five bits 00001 11111 10111 10011 10011 10101 01000 11110, that is
    # 1 31 23 19 19 21 8 30, of which those above 9 are letters: Z Q K K N, Y.
    assert pseudonym("HOSP-0042", KEY) == "P-1ZQK-KN8Y"


def test_it_looks_like_a_pseudonym_without_letters_that_are_confused():
    found = {pseudonym(f"{number}", KEY) for number in range(2000)}
    assert all(re.fullmatch("P-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", one) for one in found)
    assert len(found) == 2000


def test_every_letter_occurs_at_every_place():
    found = [pseudonym(f"{number}", KEY).replace("-", "")[1:] for number in range(2000)]
    # 2,000 draws of 32 letters miss a given one with a chance of (31/32)^2000 = 3e-28.
    assert [len({one[place] for one in found}) for place in range(8)] == [32] * 8


def test_padding_does_not_make_another_patient():
    assert pseudonym(" 4711  ", KEY) == pseudonym("4711", KEY)


def test_another_patient_or_another_key_is_another_pseudonym():
    assert pseudonym("4711", KEY) != pseudonym("4712", KEY)
    assert pseudonym("4711", KEY) != pseudonym("4711", KEY[::-1])


def test_letters_of_any_language_have_a_pseudonym():
    assert pseudonym("Ärztin-7", KEY) != pseudonym("Arztin-7", KEY)


@pytest.mark.parametrize("patient_id", ["", "   "])
def test_nobody_has_no_pseudonym(patient_id):
    with pytest.raises(ValueError, match="sha256 of the baseline"):
        pseudonym(patient_id, KEY)


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="31 bytes, 32"):
        pseudonym("4711", KEY[:31])


def test_the_key_is_drawn_once_and_kept_for_its_owner_alone(tmp_path):
    path = tmp_path / "secret" / "key"
    key = load_key(path)
    assert len(key) == 32
    assert load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_two_keys_differ(tmp_path):
    assert load_key(tmp_path / "a") != load_key(tmp_path / "b")


def test_a_truncated_key_is_not_replaced(tmp_path):
    (tmp_path / "key").write_bytes(b"half")
    with pytest.raises(StoreUnusable, match="4 bytes; 32") as caught:
        load_key(tmp_path / "key")
    assert "backup" in caught.value.next_step
    assert (tmp_path / "key").read_bytes() == b"half"


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnusable, match="key file key") as caught:
        load_key(tmp_path / "file" / "key")
    assert str(tmp_path) not in caught.value.what


def test_programs_that_start_at_once_get_the_same_key(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from ctrs.pseudonym import load_key;"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()));"
        "print(load_key(Path(sys.argv[1])).hex())"
    )
    start = time.time() + 1.5
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "key"), str(start)],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    keys = {process.communicate(timeout=60)[0].strip() for process in running}
    assert keys == {(tmp_path / "key").read_bytes().hex()}
