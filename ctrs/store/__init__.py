"""What is kept between two visits to the app: one DuckDB file. SQL lives only in this folder."""

from ctrs.store.database import require_database
from ctrs.store.records import CohortCounts, ImportedCounts, Provenance, ScanFacts, StoredPair
from ctrs.store.store import Store
from ctrs.store.survival import FACTORS, Members

__all__ = [
    "FACTORS",
    "CohortCounts",
    "ImportedCounts",
    "Members",
    "Provenance",
    "ScanFacts",
    "Store",
    "StoredPair",
    "require_database",
]
