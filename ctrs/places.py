"""Where things lie on this machine; each may be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CACHE_BYTES = 6 * 1024**3  # about 40 pairs with their voxels


def weights() -> Path:
    return _place("CTRS_WEIGHTS", "assets/model")


def store() -> Path:
    return _place("CTRS_STORE", "data/ctrs.duckdb")


def cache() -> Path:
    return _place("CTRS_CACHE", "data/cache")


def pseudonym_key(of: Path | None = None) -> Path:
    """Beside the store, never in it: the store alone leads back to nobody.

    Args:
        of: The store whose pseudonyms these are; ``None``: the usual one.
    """
    return (of or store()).with_name("pseudonym.key")


def trial() -> Path:
    """Patients of the simulated trial that nothing was trained on, and what was seen of them."""
    return ROOT / "data" / "trial"


def demo_cohort() -> Path:
    return ROOT / "data" / "demo" / "cohort.csv"


def demo_scans() -> Path:
    return _place("CTRS_DEMO_SCANS", "data/demo/scans")


def test_data() -> Path:
    """Real scans and tables, for tests, fits and reports; never part of the project."""
    return _place("CTRS_TEST_DATA", "../shared/data")


def _place(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / default)
