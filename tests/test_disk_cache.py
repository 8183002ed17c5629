"""The disk cache: what goes in comes out or is forgotten, and it never outgrows its bound."""

import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ctrs.disk_cache import DiskCache

PLENTY = 10**8


def ramp(n=60, dtype=np.int16):
    return np.arange(n).astype(dtype)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def size_of_one(folder, array):
    DiskCache(folder, PLENTY).put("probe", {"a": array})
    size = (folder / "probe.npz").stat().st_size
    (folder / "probe.npz").unlink()
    return size


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "cache", PLENTY)


@pytest.mark.parametrize(
    "array",
    [
        ramp().reshape(3, 4, 5),
        ramp().reshape(3, 4, 5)[:, ::2, ::-1],  # a view with gaps, backwards
        ramp(dtype=">i2").reshape(3, 20),  # bytes the other way round
        np.asfortranarray(ramp(dtype=np.float32).reshape(6, 10)),
        np.array(3.5),  # no axes
        np.zeros((0, 3), bool),  # nothing in it
        np.array([np.nan, -np.inf, -0.0]),
    ],
    ids=["plain", "view", "big-endian", "column-major", "scalar", "empty", "not-finite"],
)
def test_an_array_comes_out_as_it_went_in(cache, array):
    cache.put("key", {"array": array, "other": ramp(7)})
    found = cache.get("key")
    assert set(found) == {"array", "other"}
    assert found["array"].dtype == array.dtype
    assert found["array"].shape == array.shape
    np.testing.assert_array_equal(found["array"], array)
    np.testing.assert_array_equal(found["other"], ramp(7))


def test_an_unknown_key_is_none(cache):
    assert cache.get("key") is None


def test_a_part_is_read_without_the_rest(cache, tmp_path):
    cache.put("k", {"small": np.arange(3), "large": np.zeros(10**5)})
    (file,) = (tmp_path / "cache").iterdir()
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1  # in the large one
    file.write_bytes(damaged)
    np.testing.assert_array_equal(cache.part("k", ["small"])["small"], np.arange(3))
    assert cache.part("k", ["small", "other"]) is None
    assert cache.part("elsewhere", ["small"]) is None
    assert cache.part("k", ["large"]) is None
    assert list((tmp_path / "cache").iterdir()) == []  # damaged, and gone


def test_putting_again_replaces(cache):
    cache.put("key", {"a": ramp(5), "b": ramp(6)})
    cache.put("key", {"a": ramp(9)})
    assert {name: len(array) for name, array in cache.get("key").items()} == {"a": 9}


def test_a_deleted_key_is_gone_and_deleting_twice_is_fine(cache, tmp_path):
    cache.put("key", {"a": ramp()})
    cache.delete("key")
    cache.delete("key")
    assert cache.get("key") is None
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize("key", ["", "../x", "a/b", "A", "a b", "a\n", "ä", "a\\b", "x" * 201])
@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_key_cannot_leave_the_folder(cache, method, key):
    with pytest.raises(ValueError, match="cache key"):
        getattr(cache, method)(key)
    with pytest.raises(ValueError, match="cache key"):
        cache.put(key, {"a": ramp()})


@pytest.mark.parametrize("key", [".", "..", "a.b-c_d", "-", "0" * 64, "x" * 200])
def test_every_other_key_stays_in_the_folder(cache, tmp_path, key):
    cache.put(key, {"a": ramp()})
    assert len(cache.get(key)["a"]) == 60
    assert names(tmp_path / "cache") == [f"{key}.npz"]
    assert names(tmp_path) == ["cache"]


def test_python_objects_are_neither_written_nor_read(cache, tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        cache.put("key", {"a": np.array([{"x": 1}], dtype=object)})
    assert names(tmp_path / "cache") == []
    cache.put("key", {"a": ramp()})
    with np.load(tmp_path / "cache" / "key.npz") as stored:
        others = {name: stored[name] for name in stored.files if name != "a"}
    forged = np.array([{"x": 1}], dtype=object)
    np.savez(tmp_path / "cache" / "key.npz", a=forged, **others)
    assert cache.get("key") is None


def test_only_the_owner_can_read(cache, tmp_path):
    cache.put("key", {"a": ramp()})
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "cache" / "key.npz").stat().st_mode) == 0o600


def test_every_flipped_bit_is_found_or_harmless(cache, tmp_path):
    arrays = {"voxels": ramp(24).reshape(2, 3, 4), "spacing": np.array([3.0, 1.5, 0.7])}
    cache.put("key", arrays)
    path = tmp_path / "cache" / "key.npz"
    whole = path.read_bytes()
    misses = 0
    for place, bit in product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        found = cache.get("key")
        if found is None:
            misses += 1
            assert not path.exists(), f"byte {place}"
        else:  # a date or an attribute within the zip: nobody's voxels
            assert set(found) == set(arrays), f"byte {place}"
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array, f"byte {place}")
    # Voxels 48, spacing 24 and three headers of at least 118 bytes are all under a checksum.
    assert misses > 8 * (48 + 24 + 3 * 118)


def test_every_truncated_file_is_a_miss_and_goes(cache, tmp_path):
    cache.put("key", {"voxels": ramp(24)})
    path = tmp_path / "cache" / "key.npz"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.get("key") is None, f"{length} bytes"
        assert not path.exists(), f"{length} bytes"


def test_a_plain_npy_under_the_name_is_a_miss(cache, tmp_path):
    with (tmp_path / "cache" / "key.npz").open("wb") as file:
        np.save(file, ramp())
    assert cache.get("key") is None


def test_the_least_recently_used_goes_first(tmp_path):
    one = size_of_one(tmp_path, ramp())
    cache = DiskCache(tmp_path, 3 * one)
    for key in ("first", "second", "third"):
        cache.put(key, {"a": ramp()})
    assert cache.get("first") is not None  # now "second" has waited longest
    cache.put("fourth", {"a": ramp()})
    assert names(tmp_path) == ["first.npz", "fourth.npz", "third.npz"]


def test_as_many_go_as_must(tmp_path):
    one = size_of_one(tmp_path, ramp(1000))
    cache = DiskCache(tmp_path, 3 * one)
    for key in ("a", "b", "c"):
        cache.put(key, {"a": ramp(1000)})
    # Twice 2,000 bytes plus the same overhead: more than one slot, at most two.
    cache.put("wide", {"a": ramp(2000)})
    assert names(tmp_path) == ["c.npz", "wide.npz"]


def test_what_does_not_fit_at_all_throws_nothing_else_out(tmp_path):
    cache = DiskCache(tmp_path, 5000)
    cache.put("small", {"a": ramp()})
    cache.put("large", {"a": ramp(2501)})  # 5,002 bytes
    assert names(tmp_path) == ["small.npz"]


def test_what_no_longer_fits_does_not_leave_its_old_self_behind(tmp_path):
    cache = DiskCache(tmp_path, 5000)
    cache.put("key", {"a": ramp()})
    cache.put("key", {"a": ramp(2501)})
    assert cache.get("key") is None


def test_leftovers_of_a_crash_go_after_an_hour(tmp_path):
    cache = DiskCache(tmp_path, PLENTY)
    for name, age_s in {"old.part": 3700, "new.part": 3500}.items():
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, times=(time.time() - age_s,) * 2)
    cache.put("key", {"a": ramp()})
    assert names(tmp_path) == ["key.npz", "new.part"]


def test_a_full_disk_is_no_error(tmp_path, caplog, monkeypatch):
    def no_room(*_, **__):
        raise OSError(28, "No space left on device")

    cache = DiskCache(tmp_path, PLENTY)
    monkeypatch.setattr(np, "savez", no_room)
    cache.put("key", {"a": ramp()})
    assert names(tmp_path) == []
    assert "No space left" in caplog.text


def constant(number):
    """Told apart by its number: a mixture of two writers would not be constant."""
    return np.full((40 + number, 50), number, np.int16)


def use(cache, worker):
    for step in range(25):
        number = (worker * 7 + step) % 6
        cache.put(f"k{number}", {"a": constant(number)})
        found = cache.get(f"k{(number + 1) % 6}")
        if found is not None:
            np.testing.assert_array_equal(found["a"], constant((number + 1) % 6))


def test_threads_see_whole_entries_and_the_bound_holds(tmp_path):
    bound = 4 * size_of_one(tmp_path, constant(5))
    cache = DiskCache(tmp_path, bound)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda worker: use(cache, worker), range(8)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound
    assert all(path.suffix == ".npz" for path in tmp_path.iterdir())


def test_processes_share_a_folder(tmp_path):
    root = Path(__file__).parents[1]
    bound = 4 * size_of_one(tmp_path, constant(5))
    program = (
        "import sys; from pathlib import Path; from ctrs.disk_cache import DiskCache;"
        "from tests.test_disk_cache import use;"
        f"use(DiskCache(Path(sys.argv[1]), {bound}), int(sys.argv[2]))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(worker)], cwd=root)
        for worker in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound
