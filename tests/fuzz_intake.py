"""Damaged and forged files by the thousand: ``python -m tests.fuzz_intake --n 20000 [--seed S]``.

Each is a sound scan with some bytes changed: cut, flipped, repeated, exchanged, or a number of a
header replaced by an absurd one. Whatever comes, intake answers with a volume that makes sense or
with a `CtrsError`, within 10 seconds and 4 GiB. An input that breaks this is kept beside the words.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jpeg_ls
import numpy as np
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from ctrs.config import IntakeConfig
from ctrs.errors import CtrsError
from ctrs.ingest import read_scan
from tests.dicom_files import body_hu, ct_series, enhanced_ct, write

SECONDS = 10
MEMORY_BYTES = 4 * 1024**3
CONFIG = IntakeConfig()
SLICES = CONFIG.min_slices
_ABSURD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)

Bytes = bytearray


@dataclass
class Tally:
    """What came of the inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


# --- Sound scans ---------------------------------------------------------------------------------


def sound_scans(folder: Path) -> dict[str, Path]:
    """One scan of each kind that intake reads: a folder or a single file."""
    hu = body_hu(SLICES) + np.random.default_rng(1).normal(0, 9, (SLICES, 14, 18))
    scans = {"series": folder / "series", "jpeg-ls": folder / "jls", "deflated": folder / "defl"}
    write(ct_series(hu), scans["series"])
    write([_compressed(ds) for ds in ct_series(hu)], scans["jpeg-ls"])
    deflated = ct_series(hu)
    for ds in deflated:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write(deflated, scans["deflated"])
    scans["enhanced"] = write([enhanced_ct(hu)], folder / "enhanced")[0]
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((0.7, 0.8, 2.5))
    for suffix in ("nii", "nii.gz", "nrrd", "mha"):
        scans[suffix] = folder / f"scan.{suffix}"
        sitk.WriteImage(image, str(scans[suffix]))
    scans["zip"] = folder / "scan.zip"
    with zipfile.ZipFile(scans["zip"], "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(scans["series"].iterdir()):
            packed.write(path, path.name)
    return scans


def _compressed(ds):  # type: ignore[no-untyped-def]
    stored = np.frombuffer(ds.PixelData, np.uint16).reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([bytes(jpeg_ls.encode_array(stored))])
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    ds.PixelRepresentation = 0
    return ds


# --- Damage --------------------------------------------------------------------------------------


def _flip(content: Bytes, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 40))):
        content[chance.randrange(len(content))] = chance.randrange(256)


def _flip_in_header(content: Bytes, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3))):
        content[chance.randrange(min(1500, len(content)))] = chance.randrange(256)


def _cut(content: Bytes, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _remove(content: Bytes, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    del content[at : at + chance.choice((1, 2, 16, 300))]


def _repeat(content: Bytes, chance: random.Random) -> None:
    at, length = chance.randrange(len(content)), chance.choice((1, 8, 200))
    content[at:at] = content[at : at + length] * chance.choice((1, 2, 50))


def _exchange(content: Bytes, chance: random.Random) -> None:
    one, other, length = (chance.randrange(len(content)) for _ in range(3))
    length = length % 64 + 1
    content[one : one + length], content[other : other + length] = (
        content[other : other + length], content[one : one + length],
    )  # fmt: skip


def _absurd_number(content: Bytes, chance: random.Random) -> None:
    at, kind = chance.randrange(len(content)), chance.choice(("<H", "<I", ">H", ">I", "<f", "<d"))
    number = chance.choice(_ABSURD) if kind[1] in "HI" else chance.choice((np.inf, np.nan, -1e30))
    if kind[1] == "H":
        number &= 0xFFFF  # type: ignore[operator]
    packed = struct.pack(kind, number)
    content[at : at + len(packed)] = packed


def _absurd_text(content: Bytes, chance: random.Random) -> None:
    """Digits of one number in the file replaced: positions, spacings, sizes."""
    digits = [at for at, byte in enumerate(content[:4000]) if 48 <= byte < 58]
    if digits:
        content[chance.choice(digits)] = chance.choice(b"0123456789-+.eE/\\ \x00")


DAMAGE: tuple[Callable[[Bytes, random.Random], None], ...] = (
    _flip, _flip_in_header, _flip_in_header, _cut, _remove, _repeat, _exchange, _absurd_number,
    _absurd_text, _absurd_text,
)  # fmt: skip


def damaged(scan: Path, target: Path, chance: random.Random) -> Path:
    """A copy of a sound scan, one file of it damaged once or twice."""
    if scan.is_file():
        return _damage_file(scan, target / scan.name, chance)
    files = sorted(scan.iterdir())
    victim = chance.choice(files)
    for file in files:
        if file != victim:
            (target / file.name).hardlink_to(file)
    _damage_file(victim, target / victim.name, chance)
    return target


def _damage_file(source: Path, target: Path, chance: random.Random) -> Path:
    content = Bytes(source.read_bytes())
    packed = source.name.endswith(".gz") and chance.random() < 0.7  # else hardly any gets through
    if packed:
        content = Bytes(gzip.decompress(content))
    for _ in range(chance.choice((1, 1, 2))):
        if content:
            chance.choice(DAMAGE)(content, chance)
    target.write_bytes(gzip.compress(content, 1) if packed else content)
    return target


# --- Trial ---------------------------------------------------------------------------------------


class Hang(BaseException):
    """Not an `Exception`: intake must not be able to swallow it."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer(path: Path) -> str:
    """What intake makes of a path; anything but an answer escapes."""
    try:
        _, volume = read_scan(path, CONFIG)
    except CtrsError as refusal:
        if not (refusal.what and str(path) not in refusal.what):
            raise AssertionError(f"no words for a clinician: {refusal.what!r}") from None
        return type(refusal).__name__
    assert (volume.hu.ndim, volume.hu.dtype) == (3, np.float32)
    assert np.isfinite(volume.hu).all()
    assert -1024 <= volume.hu.min() <= volume.hu.max() <= 32767
    assert min(volume.spacing) > 0
    assert volume.spacing[0] <= CONFIG.max_slice_spacing_mm
    assert len(volume.hu) >= CONFIG.min_slices
    return "volume"


def fuzz(n: int, seed: int, keep: Path | None = None) -> Tally:
    """Try ``n`` damaged inputs; the same seed gives the same ones."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="ctrs-fuzz-") as scratch:
        scans = sound_scans(Path(scratch))
        for kind, scan in scans.items():
            assert answer(scan) == "volume", kind
        for number in range(n):
            chance = random.Random(f"{seed}/{number}")
            kind = chance.choice(sorted(scans))
            with tempfile.TemporaryDirectory(dir=scratch) as target:
                path = damaged(scans[kind], Path(target), chance)
                start = time.perf_counter()
                try:
                    with at_most(SECONDS):
                        outcome = answer(path)
                except (Exception, Hang) as fault:  # everything else is a finding
                    outcome = "FAULT"
                    tally.faults.append(f"{kind} {number}: {type(fault).__name__}: {fault}")
                    if keep is not None:
                        _keep(path, keep / f"{kind}-{number}")
                tally.outcomes[outcome] += 1
                tally.slowest = max(tally.slowest, time.perf_counter() - start)
    return tally


def _keep(path: Path, target: Path) -> None:
    files = [path] if path.is_file() else sorted(path.iterdir())
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        (target / file.name).write_bytes(file.read_bytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder for inputs that break intake")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    start = time.perf_counter()
    tally = fuzz(options.n, options.seed, options.keep)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.n} inputs in {time.perf_counter() - start:.0f} s, the slowest "
          f"{tally.slowest:.2f} s, at most {used:.0f} MiB")  # fmt: skip
    for outcome, count in tally.outcomes.most_common():
        print(f"{count:7}  {outcome}")
    print("\n".join(tally.faults[:50]))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
