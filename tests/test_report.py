"""The JSON documents have the keys that others rely on, and the sentences their numbers."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ctrs import places
from ctrs.assess import Assessment
from ctrs.config import ZoneConfig
from ctrs.errors import NotAChest, refusal_json
from ctrs.report import assessment_json, inventory_json, score_json, score_text
from ctrs.score import judge
from ctrs.types import (
    Finding,
    Inventory,
    RejectedFile,
    ScanPair,
    Series,
    SeriesHeader,
    Volume,
    Zone,
)
from tests.scoring_fixtures import FixedModel, prediction

HEADER = SeriesHeader(
    series_uid="1.2.3",
    study_uid="1.2",
    description="Thorax",
    acquired_on=date(2024, 1, 8),
    kernel="B30f",
    contrast="yes",
    patient_id="SECRET-1",
)
SERIES = Series(HEADER, (Path("a"), Path("b")), True, ("best",), 1, (2, 3, 4), (5.0, 0.8, 0.7))
GREEN = judge(prediction(), [], FixedModel(), ZoneConfig())
AMBER = judge(prediction(), [Finding(Zone.AMBER, "Slices are thick.")], FixedModel(), ZoneConfig())
RED = judge(prediction(members=(0.1, 0.9)), [], FixedModel(), ZoneConfig())


def test_inventory_document():
    inventory = Inventory(3, (SERIES,), (RejectedFile("x.txt", "no image"),), SERIES)
    assert json.loads(json.dumps(inventory_json(inventory))) == {
        "files": 3,
        "series": [
            {
                "series_uid": "1.2.3",
                "study_uid": "1.2",
                "modality": "CT",
                "description": "Thorax",
                "n_files": 2,
                "accepted": True,
                "reasons": ["best"],
                "rank": 1,
                "shape": [2, 3, 4],
                "spacing_mm": [5.0, 0.8, 0.7],
                "kernel": "B30f",
                "contrast": "yes",
                "acquired_on": "2024-01-08",
                "status": "used",
            }
        ],
        "doubt": "",
        "rejected_files": [{"path": "x.txt", "reason": "no image"}],
        "chosen": "1.2.3",
    }


def test_empty_inventory_chooses_nothing():
    assert inventory_json(Inventory(0, (), (), None))["chosen"] is None


def assessment(score):
    hu = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    pair = ScanPair(Volume(hu, (5.0, 0.8, 0.7), header=HEADER), Volume(hu + 1, (5.0, 0.8, 0.7)), 84)
    inventory = Inventory(3, (SERIES,), (), SERIES)
    return Assessment(pair, (inventory, inventory), score, False, {"read": 1.5, "total": 1.7})


def test_assessment_document():
    document = json.loads(json.dumps(assessment_json(assessment(GREEN))))
    assert document["assessable"] is True
    assert document["zone"] == "green"
    assert document["survival_12m"] == 0.62
    assert document["interval_90"] == [0.55, 0.70]
    assert document["risk_group"] == "Low risk"
    assert document["members"] == [0.60, 0.64]
    assert document["curve"] == {
        "months": [0.0, 6.0, 12.0, 24.0],
        "survival": [1.0, 0.80, 0.62, 0.31],
        "lower": [1.0, 0.74, 0.55, 0.22],
        "upper": [1.0, 0.86, 0.70, 0.42],
    }
    assert document["biomarkers"]["tumour_volume"] == {
        "baseline": 10.0, "follow_up": 7.5, "change": -2.5, "unit": "ml",
    }  # fmt: skip
    assert document["seconds"] == {
        "read": 1.5, "check": 0.0, "prepare": 0.0, "load": 0.0, "infer": 0.0,
        "explain": 0.0, "total": 1.7,
    }  # fmt: skip
    assert document["inputs"]["baseline"]["series_uid"] == "1.2.3"
    assert document["inputs"]["baseline"]["acquired_on"] == "2024-01-08"
    assert document["inputs"]["follow_up"]["acquired_on"] is None
    assert len(document["inputs"]["follow_up"]["sha256"]) == 64
    assert "Research use only" in document["notice"]
    assert "SECRET" not in json.dumps(document)


def test_red_document_has_null_for_every_number():
    document = json.loads(json.dumps(score_json(RED)))
    assert document["assessable"] is False
    for key in ("survival_12m", "interval_90", "risk_group", "ood_percentile"):
        assert document[key] is None
    assert document["curve"] == {"months": [], "survival": [], "lower": [], "upper": []}
    assert document["members"] == []
    assert document["biomarkers"] == {}


def test_refusal_document():
    document = refusal_json(NotAChest("377 ml of lung were found.", "Choose the chest CT."))
    assert document["error"] == {
        "what": "377 ml of lung were found.", "next_step": "Choose the chest CT.",
    }  # fmt: skip
    assert document["survival_12m"] is None
    assert document["assessable"] is False


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (
            GREEN,
            "Predicted survival 12 months after the follow-up CT: 62% (90 % interval 55% to 70%),"
            " low risk.",
        ),
        (
            AMBER,
            "Predicted survival 12 months after the follow-up CT: 62% (90 % interval 55% to 70%),"
            " low risk. With caution: Slices are thick.",
        ),
        (
            RED,
            "Not assessable. The 2 networks disagree: 10% to 90% (up to 40 points apart is"
            " accepted).",
        ),
    ],
)
def test_sentence(score, text):
    assert score_text(score) == text


# --- Places ---------------------------------------------------------------------------------


def test_places_are_moved_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CTRS_STORE", str(tmp_path / "a" / "b.duckdb"))
    monkeypatch.setenv("CTRS_CACHE", "")  # empty counts as not set
    assert places.store() == tmp_path / "a" / "b.duckdb"
    assert places.pseudonym_key() == tmp_path / "a" / "pseudonym.key"
    assert places.cache() == places.ROOT / "data" / "cache"
    assert (places.ROOT / "ctrs" / "places.py").exists()
