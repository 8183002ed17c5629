"""A store and a cache with one pair of scans, ready for the viewer without any network running."""

from dataclasses import replace

from conftest import FixedModel, make_score

from ctrs import places
from ctrs.assess import Workshop, prepare_cached
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.linked import draw_link
from ctrs.model.weights import read_card
from ctrs.overlays import draw_saliency, outline
from ctrs.store import ScanFacts, Store
from ctrs.types import ScanPair
from ctrs.volume_cache import VolumeCache

PATIENT = "P-SEEN-0001"


def make_home(home, baseline, follow_up, model=FixedModel):
    """Fill the folder that `tests.server.running_app` is given; returns the pair."""
    pair = ScanPair(baseline, follow_up, 84)
    with Store(home / "ctrs.duckdb") as store:
        tools = Workshop(
            config=Config(),
            model_version=read_card(places.weights()).version,
            model=model,
            store=store,
            cache=DiskCache(home / "cache", 8 * 1024**3),
        )
        for volume in (baseline, follow_up):
            VolumeCache(tools.cache).put(volume)
            store.save_scan(volume.sha256, ScanFacts.of(volume))
            outline(volume.sha256, prepare_cached(volume, tools)[0], tools, model)
        store.save_pair(pair.key, PATIENT, baseline.sha256, follow_up.sha256, 84, ())
        score = replace(make_score(0.62), model_version=tools.model_version)
        store.save_score(pair.key, score, {"total": 3.2})
        prepared = prepare_cached(baseline, tools)[0], prepare_cached(follow_up, tools)[0]
        draw_link((baseline.sha256, follow_up.sha256), prepared, tools)
        draw_saliency(pair, pair.key, tools, model)
    return pair
