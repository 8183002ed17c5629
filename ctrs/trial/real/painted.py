"""A bank of real chests with painted tumours: to paint them while training would take longer than
to learn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np

from ctrs.config import PrepareConfig
from ctrs.prepare import window
from ctrs.trial.prepared import WORKERS, as_bytes, write_prepared
from ctrs.trial.real.backgrounds import Background, paint_background

PAINTED = "painted"  # folders begin with it
PAINTER = 1  # raise it when the same chest would be painted differently


def paint_scans(
    backgrounds: Sequence[Background],
    folder: Path,
    n: int,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[str, list[str]]:
    """Write ``n`` varied and painted scans into a folder of ``folder``; what is there is kept.

    Each file has the arrays of a trial's (`ctrs.trial.bank`) for one visit alone.

    Returns:
        The folder, whose name goes with the chests and the seed, and the names of the scans in it.
    """
    content = sha256(f"{PAINTER} {seed}".encode())
    for background in backgrounds:
        content.update(background.hu.tobytes() + background.ignore.tobytes())
    scans = f"{PAINTED}-{content.hexdigest()[:8]}"
    (folder / scans).mkdir(parents=True, exist_ok=True)
    names = [f"{index:05d}" for index in range(n)]
    missing = [i for i, name in enumerate(names) if not (folder / scans / f"{name}.npz").exists()]
    if missing:
        given = (backgrounds, folder / scans, seed)
        with ProcessPoolExecutor(WORKERS, initializer=_give, initargs=given) as pool:
            for done, _ in enumerate(pool.map(_paint, missing, chunksize=8), start=1):
                if done % 100 == 0 or done == len(missing):
                    progress(f"paint {done}/{len(missing)}")
    return scans, names


_given: tuple[Sequence[Background], Path, int]  # in each worker


def _give(backgrounds: Sequence[Background], folder: Path, seed: int) -> None:
    global _given  # noqa: PLW0603: to send it with every scan would take longer than to paint
    _given = backgrounds, folder, seed


def _paint(index: int) -> None:
    backgrounds, folder, seed = _given
    rng = np.random.default_rng([seed, 29, index])
    varied = backgrounds[index % len(backgrounds)].varied(rng)
    hu, structures = paint_background(varied, rng)
    arrays = {
        "image": as_bytes(window(hu, PrepareConfig().window_hu)),
        "lungs": varied.lungs.astype(np.uint8),
        "ignore": varied.ignore.astype(np.uint8),
        **{name: as_bytes(share) for name, share in structures.items()},
    }
    write_prepared(folder / f"{index:05d}.npz", [arrays])
