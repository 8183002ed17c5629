"""Archives and folders that want to harm: bombs, ways out, links, damage."""

import os
import stat
import zipfile
from dataclasses import replace

import pytest

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, UnsafeArchive
from ctrs.ingest import take_inventory
from ctrs.ingest.archive import Unpacked, find_files, is_zip, unpack

CONFIG = IntakeConfig()


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def unpacked(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_plain_archive_is_unpacked_with_its_folders(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("s1/1.dcm", b"one"), ("s2/1.dcm", b"two")])
    assert unpack(archive, tmp_path / "out", CONFIG) == []
    assert unpacked(tmp_path / "out") == ["s1/1.dcm", "s2/1.dcm"]
    assert (tmp_path / "out/s2/1.dcm").read_bytes() == b"two"


@pytest.mark.parametrize(
    "name",
    [
        "../evil.dcm",
        "a/../../evil.dcm",
        "/etc/evil.dcm",
        "C:/evil.dcm",
        "a\\..\\evil.dcm",
        "/",
        "\\\\server\\evil.dcm",
        "C:\\evil.dcm",
    ],
)
def test_entry_that_leads_outside_is_refused_before_anything_is_written(tmp_path, name):
    archive = make_zip(tmp_path / "a.zip", [("good.dcm", b"good"), (name, b"evil")])
    with pytest.raises(UnsafeArchive, match=r"outside its folder|absolute path"):
        unpack(archive, tmp_path / "out", CONFIG)
    assert unpacked(tmp_path) == ["a.zip"]


def test_separators_of_windows_are_separators(tmp_path):
    entries = [("dir\\", b""), ("dir\\s1\\1.dcm", b"one"), ("dir\\s2\\1.dcm", b"two")]
    assert unpack(make_zip(tmp_path / "a.zip", entries), tmp_path / "out", CONFIG) == []
    assert unpacked(tmp_path / "out") == ["dir/s1/1.dcm", "dir/s2/1.dcm"]


def test_link_inside_an_archive_is_refused(tmp_path):
    link = zipfile.ZipInfo("slices")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "a.zip", [(link, "/etc")])
    with pytest.raises(UnsafeArchive, match="link"):
        unpack(archive, tmp_path / "out", CONFIG)


def test_encrypted_entry_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("1.dcm", b"x" * 50)])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # flag bit 0 in the local header …
    content[content.index(b"PK\x01\x02") + 8] |= 1  # … and in the central directory
    archive.write_bytes(content)
    with pytest.raises(UnsafeArchive, match="encrypted"):
        unpack(archive, tmp_path / "out", CONFIG)


def test_too_many_entries_are_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [(f"{i}.dcm", b"") for i in range(6)])
    with pytest.raises(UnsafeArchive, match="6 entries; at most 5"):
        unpack(archive, tmp_path / "out", replace(CONFIG, max_files=5))


def test_bomb_is_stopped_by_its_ratio(tmp_path):
    # 30 MiB of zeros deflate to about 30 kB: 1000:1, and 200:1 is the limit.
    archive = make_zip(tmp_path / "a.zip", [("zeros.dcm", bytes(30 * 1024**2))])
    with pytest.raises(UnsafeArchive, match="bomb"):
        unpack(archive, tmp_path / "out", CONFIG)
    assert sum(p.stat().st_size for p in (tmp_path / "out").iterdir()) <= 9 * 1024**2


def test_bytes_of_all_entries_count_together(tmp_path):
    entries = [(f"{i}.dcm", os.urandom(40_000)) for i in range(5)]
    archive = make_zip(tmp_path / "a.zip", entries)
    unpack(archive, tmp_path / "enough", replace(CONFIG, max_unpacked_bytes=200_000))
    with pytest.raises(UnsafeArchive, match="bomb"):
        unpack(archive, tmp_path / "out", replace(CONFIG, max_unpacked_bytes=199_999))


def test_size_that_the_archive_claims_is_not_believed(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("zeros.dcm", bytes(30 * 1024**2))])
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # uncompressed size in the central directory
    content[at : at + 4] = (10).to_bytes(4, "little")
    archive.write_bytes(content)
    # Python stops at the claimed size and then finds the checksum wrong: the entry is damaged.
    damaged = unpack(archive, tmp_path / "out", CONFIG)
    assert [d.path for d in damaged] == ["zeros.dcm"]
    assert unpacked(tmp_path / "out") == []


def test_two_entries_of_one_name_do_not_replace_each_other(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = make_zip(tmp_path / "a.zip", [("1.dcm", b"first"), ("1.dcm", b"second")])
    with pytest.raises(InputRejected, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out", CONFIG)
    assert (tmp_path / "out/1.dcm").read_bytes() == b"first"


def test_damaged_entry_is_named_and_the_others_are_kept(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as stored:
        stored.writestr("bad.dcm", b"BROKENBROKEN")
        stored.writestr("good.dcm", b"fine")
    archive.write_bytes(archive.read_bytes().replace(b"BROKENBROKEN", b"BROKENbroken"))
    damaged = unpack(archive, tmp_path / "out", CONFIG)
    assert [(d.path, d.reason) for d in damaged] == [("bad.dcm", "damaged inside the archive")]
    assert unpacked(tmp_path / "out") == ["good.dcm"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x00" * 500])
def test_what_is_no_archive_is_refused_in_words(tmp_path, content):
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(InputRejected, match="no zip archive"):
        unpack(archive, tmp_path / "out", CONFIG)


def test_archive_cut_short_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("1.dcm", os.urandom(5000))])
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(InputRejected, match="damaged"):
        unpack(archive, tmp_path / "out", CONFIG)


def test_zip_is_known_by_name_or_by_content(tmp_path):
    make_zip(tmp_path / "study", [("1.dcm", b"x")])
    (tmp_path / "1.dcm").write_bytes(bytes(128) + b"DICM")
    assert is_zip(tmp_path / "study")
    assert not is_zip(tmp_path / "1.dcm")


def test_table_of_contents_for_millions_is_refused_before_it_is_read(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("1.dcm", b"one")])
    content = bytearray(archive.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 12 : end + 16] = (50_000_000).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(UnsafeArchive, match="table of contents of 50,000,000 bytes"):
        unpack(archive, tmp_path / "out", CONFIG)


@pytest.mark.parametrize(("folders", "refused"), [(32, False), (33, True)])
def test_entry_in_the_depth_is_refused_before_anything_is_written(tmp_path, folders, refused):
    archive = make_zip(tmp_path / "a.zip", [("1.dcm", b"one"), ("a/" * folders + "2.dcm", b"two")])
    if not refused:
        assert unpack(archive, tmp_path / "out", CONFIG) == []
        assert len(unpacked(tmp_path / "out")) == 2
        return
    with pytest.raises(UnsafeArchive, match="33 folders deep; at most 32"):
        unpack(archive, tmp_path / "out", CONFIG)
    assert unpacked(tmp_path) == ["a.zip"]


def test_what_damaged_and_refused_archives_wrote_counts_for_the_next(tmp_path):
    """Of the damaged one 1 MiB is on the disk before it is noticed, of the bomb half of that."""
    mib, sofar = 1024**2, Unpacked()
    config = replace(CONFIG, max_unpacked_bytes=2 * mib)
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(damaged, "w") as stored:
        stored.writestr("1.dcm", bytes(3 * mib // 2) + b"BROKENBROKEN")
    damaged.write_bytes(damaged.read_bytes().replace(b"BROKENBROKEN", b"BROKENbroken"))
    assert len(unpack(damaged, tmp_path / "a", config, sofar)) == 1
    assert (sofar.entries, sofar.n_bytes) == (1, mib)
    entries = [("2.dcm", os.urandom(mib // 2)), ("3.dcm", bytes(16 * mib))]
    with pytest.raises(UnsafeArchive, match="bomb"):
        unpack(make_zip(tmp_path / "bomb.zip", entries), tmp_path / "b", config, sofar)
    assert (sofar.entries, sofar.n_bytes) == (3, 3 * mib // 2)
    small = make_zip(tmp_path / "small.zip", [("4.dcm", os.urandom(mib // 2 + 1))])
    with pytest.raises(UnsafeArchive, match="bomb"):
        unpack(small, tmp_path / "c", config, sofar)
    with pytest.raises(UnsafeArchive, match="1 entries; at most 0"):
        unpack(small, tmp_path / "d", replace(config, max_files=4), sofar)
    assert unpack(small, tmp_path / "e", config) == []


def test_inner_archive_that_is_refused_is_taken_off_the_disk(tmp_path):
    bomb = make_zip(tmp_path / "b.zip", [("1.dcm", b"one"), ("2.dcm", bytes(30 * 1024**2))])
    inner = [(f"{i}.zip", bomb.read_bytes()) for i in range(3)]
    outer = make_zip(tmp_path / "o.zip", inner)
    scratch = tmp_path / "scratch"
    found = take_inventory(outer, CONFIG, scratch)
    assert [file.path for file in found.rejected_files] == ["0.zip", "1.zip", "2.zip"]
    assert unpacked(scratch) == ["archive/0.zip", "archive/1.zip", "archive/2.zip"]


# --- Folders --------------------------------------------------------------------------------


def test_files_are_found_in_all_folders_and_sorted(tmp_path):
    for name in ("b/2.dcm", "a/x/1.dcm", "c.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    files, rejected = find_files(tmp_path, CONFIG)
    assert [f.relative_to(tmp_path).as_posix() for f in files] == ["a/x/1.dcm", "b/2.dcm", "c.dcm"]
    assert rejected == []


def test_links_empty_files_and_pipes_are_passed_over_with_a_reason(tmp_path):
    secret, folder = tmp_path / "secret.dcm", tmp_path / "scan"
    secret.write_bytes(b"secret")
    folder.mkdir()
    (folder / "link.dcm").symlink_to(secret)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "empty.dcm").touch()
    os.mkfifo(folder / "pipe")
    files, rejected = find_files(folder, CONFIG)
    assert files == []
    assert {r.path: r.reason for r in rejected} == {
        "link.dcm": "a link; links are not followed",
        "loop": "a link; links are not followed",
        "empty.dcm": "empty",
        "pipe": "not a regular file",
    }


def test_folder_with_too_many_files_is_refused(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.dcm").write_bytes(b"x")
    with pytest.raises(InputRejected, match="more than 3 files"):
        find_files(tmp_path, replace(CONFIG, max_files=3))


def test_names_are_shown_without_control_characters(tmp_path):
    (tmp_path / "a\n\x1b[31mb.dcm").touch()
    _, rejected = find_files(tmp_path, CONFIG)
    assert rejected[0].path == "a [31mb.dcm"


def test_folder_deeper_than_a_path_can_say_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "1.dcm").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for _ in range(25):  # of 200 characters: 5,000, and the system allows 4,096
        os.mkdir("a" * 200)
        os.chdir("a" * 200)
    files, rejected = find_files(tmp_path, CONFIG)
    assert [file.name for file in files] == ["1.dcm"]
    assert [file.reason for file in rejected] == ["cannot be opened"]
