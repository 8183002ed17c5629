"""The whole app in memory, with a model whose answer is known and a store of one's own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ctrs import cli
from ctrs.disk_cache import DiskCache
from ctrs.model.weights import Card
from ctrs.store import Store, StoredPair
from ctrs.types import (
    STRUCTURES,
    Biomarker,
    Finding,
    Outcome,
    Patient,
    PredictedCurve,
    Prediction,
    Recist,
    Response,
    ResponseScore,
    RiskGroup,
    Volume,
    Zone,
)
from ctrs.ui import resources

APP = str(Path(__file__).parents[1] / "app.py")
MONTHS = (0.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0)


class FixedModel:
    """The brighter the follow-up is in the mean, the longer the patient lives."""

    version = "fixed"
    cut_off = 0.5
    device = "cpu"

    def __call__(self, baseline, follow_up, interval_days):
        return Prediction(
            curve=curve(0.2 + 0.5 * float(follow_up.image.mean())),
            members=(0.3, 0.35),
            ood_percentile=40.0,
            biomarkers=biomarkers(30.0, 21.0),
        )

    def attribute(self, baseline, follow_up, interval_days):
        maps = np.zeros((2, *baseline.image.shape), np.float32)
        maps[0, 50:54, 40:44, 30:36] = -1.0
        maps[1, 50:54, 40:44, 80:86] = 0.5
        return maps[0], maps[1]

    def maps(self, scan):
        """A tumour of 4 x 4 x 6 voxels (2.6 ml), and fluid below it."""
        found = {name: np.zeros(scan.image.shape, np.float32) for name in STRUCTURES}
        found["tumour"][50:54, 40:44, 80:86] = 1.0
        found["effusion"][30:34, 60:70, 80:90] = 1.0
        return found


def curve(survival_12m, below=0.11, above=0.12):
    """Falls by one rate throughout, and is ``survival_12m`` at 12 months."""
    shape = [survival_12m ** (month / 12) for month in MONTHS]
    doubt = [min(month, 12) / 12 for month in MONTHS]
    lower = [max(0.0, s - below * d) for s, d in zip(shape, doubt, strict=True)]
    upper = [min(1.0, s + above * d) for s, d in zip(shape, doubt, strict=True)]
    return PredictedCurve(MONTHS, tuple(shape), tuple(lower), tuple(upper))


def biomarkers(before, after):
    return {
        "tumour_volume": Biomarker(before, after, "ml"),
        "pleural_effusion": Biomarker(0.0, 12.5, "ml"),
        "lung_volume": Biomarker(4210.0, 4055.0, "ml"),
        "emphysema": Biomarker(0.031, 0.034, "share of lung"),
    }


def make_score(survival_12m, zone=Zone.GREEN, reasons=()):
    low, high = round(survival_12m - 0.11, 4), round(survival_12m + 0.12, 4)
    green = ResponseScore(
        zone=zone,
        reasons=tuple(reasons),
        survival_12m=survival_12m,
        interval_90=(low, high),
        curve=curve(survival_12m),
        risk_group=RiskGroup.LOW if survival_12m >= 0.5 else RiskGroup.HIGH,
        members=(survival_12m - 0.02, survival_12m + 0.02),
        cut_off=0.5,
        ood_percentile=37.0,
        biomarkers=biomarkers(31.5, 30.2),
        model_version="fixed",
        device="cpu",
    )
    if zone is not Zone.RED:
        return green
    return replace(green, survival_12m=None, interval_90=None, curve=None, risk_group=None,
                   members=(), ood_percentile=None, biomarkers={})  # fmt: skip


def add_patient(store, name, score, recist=Recist.SD, change=-0.04, cohort="demo board", **known):
    store.save_patient(Patient(patient=name, cohort=cohort, **known))
    pair = StoredPair(f"pair-{name}", name, *(name.lower() + end for end in "01"), 84)
    findings = [Finding(score.zone, reason) for reason in score.reasons]
    store.save_pair(pair.pair_key, name, pair.baseline_sha256, pair.follow_up_sha256, 84, findings)
    store.save_score(pair.pair_key, score, {"total": 3.2})
    store.save_response(pair.pair_key, Response(recist, 61.0, 58.5, 0, change))


def fill_board(store):
    """Who disagrees, who agrees, who needs caution, who has no number, who was refused."""
    known = {"age": 67, "sex": "female", "histology": "squamous", "line": "first"}
    add_patient(store, "DEMO-AGREES", make_score(0.72), note="Stable, small tumour", **known)
    add_patient(store, "DEMO-DISAGREES", make_score(0.38), pd_l1="1-49%", **known)
    amber = make_score(0.41, Zone.AMBER, ["The slices are 6.0 mm apart."])
    add_patient(store, "DEMO-AMBER", amber, Recist.PD, 0.45, **known)
    red = make_score(0.4, Zone.RED, ["The scans are 200 days apart; 42 to 140 days are needed."])
    add_patient(store, "DEMO-RED", red, **known)
    store.save_patient(Patient(patient="DEMO-REFUSED", cohort="demo board"))
    store.save_refusal(
        "DEMO-REFUSED", "Follow-up CT: 2 of 99 gaps between slices are not 3.00 mm.",
        "Send the series again.",
    )  # fmt: skip


def fill_cohort(store, n=60):
    """A cohort in which the score works; every seventh is unknown, every ninth amber."""
    rng = np.random.default_rng(11)
    rows = []
    for number in range(n):
        survival = float(np.clip(rng.beta(2.2, 2.0), 0.13, 0.87))
        zone = Zone.AMBER if number % 9 == 0 else Zone.GREEN
        months = float(np.clip(rng.exponential(4 + 30 * survival), 0.2, 30))
        name = f"SIM-{number:03d}"
        rows.append((
            Patient(
                patient=name, cohort="demo", age=int(rng.integers(40, 85)),
                sex=str(rng.choice(["female", "male"])),
                histology=str(rng.choice(["adenocarcinoma", "squamous"])),
                pd_l1="unknown" if number % 7 == 0 else str(rng.choice(["<1%", ">=50%"])),
                line=str(rng.choice(["first", "later"])),
            ),
            StoredPair(f"pair-{name}", name, f"{name}-0", f"{name}-1", 80 + number % 9),
            make_score(survival, zone, ["Thick slices."] if zone is Zone.AMBER else []),
            Response(Recist(str(rng.choice(["PR", "SD", "PD"]))), 50.0, 45.0, 0, -0.2),
            Outcome(months, bool(months < 30 and rng.random() < 0.8)),
        ))  # fmt: skip
    store.bulk_load(
        patients=[row[0] for row in rows],
        pairs=[row[1] for row in rows],
        scores=[(row[1].pair_key, row[2]) for row in rows],
        responses=[(row[1].pair_key, row[3]) for row in rows],
        outcomes=[(row[0].patient, row[4]) for row in rows],
    )


def chest_hu(tumour_mm=14.0, seed=3):
    """A chest that is nowhere symmetric: two unequal lungs, a spine, a tumour on the left.

    Shape (56, 70, 90); meant for 4 mm slices with pixels of 4.0 x 3.6 mm.
    """
    z, y, x = np.indices((56, 70, 90)).astype(np.float32)
    mm = z * 4 - 112, (y - 35) * 4.0, (x - 45) * 3.6  # from the middle of the scan
    hu = np.full(z.shape, -1000.0, np.float32)
    hu[(mm[1] / 115) ** 2 + (mm[2] / 145) ** 2 < 1] = 40.0
    right = ((mm[0] + 4) / 92) ** 2 + ((mm[1] + 5) / 78) ** 2 + ((mm[2] + 62) / 50) ** 2 < 1
    left = ((mm[0] - 2) / 84) ** 2 + ((mm[1] + 2) / 72) ** 2 + ((mm[2] - 60) / 42) ** 2 < 1
    noise = np.random.default_rng(seed).normal(0, 25, z.shape)
    hu[right | left] = -830.0
    hu[(mm[1] - 80) ** 2 + mm[2] ** 2 < 22**2] = 350.0
    hu[mm[0] ** 2 + mm[1] ** 2 + (mm[2] - 62) ** 2 < tumour_mm**2] = 45.0
    return np.rint(hu + noise).astype(np.float32).clip(-1024, 2000)


def chest_volume(**how):
    return Volume(chest_hu(**how), (4.0, 4.0, 3.6), (-162.0, -140.0, -310.0))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty store and cache, the fixed model, no demo; what the app would find on this machine
    is out of reach."""
    monkeypatch.setenv("CTRS_DEMO", "off")
    monkeypatch.setenv("CTRS_STORE", str(tmp_path / "ctrs.duckdb"))
    store, cache = Store(), DiskCache(tmp_path / "cache", 10**9)
    card = Card(
        version="fixed", trained_on="600 simulated patients", sites=["north"],
        command="python -m ctrs train", seed=7, commit="0123abc", members=2, cut_off=0.5,
        typical_survival=0.58, calibration={"intercept": 0, "slope": 1},
        interval_parts={"calibration": 0.3, "unseen": 0.4}, ood_distances=[0.0] * 101,
        prepare_version="1", checksums={},
        metrics={"c_index": {"ctrs": 0.7123, "recist": 0.644}, "n": 400},
    )  # fmt: skip
    monkeypatch.setattr(resources, "store", lambda: store)
    monkeypatch.setattr(resources, "cache", lambda: cache)
    monkeypatch.setattr(resources, "card", lambda: card)
    monkeypatch.setattr(resources, "model", FixedModel)
    yield store
    store.close()


@pytest.fixture
def app(shelf):
    """The whole app on an empty store."""
    return AppTest.from_file(APP, default_timeout=30).run()


@pytest.fixture
def filled(shelf):
    """The same store with a board and a cohort."""
    fill_board(shelf)
    fill_cohort(shelf)
    return shelf


def no_json(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture
def run(capsys):
    """Run a command with ``--json``: exit code, the one document, what went to stderr."""

    def run(*arguments):
        code = cli.main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out, parse_constant=no_json), err

    return run
