"""The real tables: read as they are, where they are."""

import os
from pathlib import Path

import pytest

from ctrs.errors import InputRejected
from ctrs.survival import concordance, kaplan_meier, survival_at
from ctrs.trial.population.describe import TARGETS
from ctrs.trial.population.tables import change_near, read_diameters, read_oak
from ctrs.types import Cohort

DATA = Path(os.environ.get("CTRS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="module")
def data():
    if not (DATA / "tables").exists():
        pytest.skip("needs the real tables: set CTRS_TEST_DATA")
    return DATA


def test_diameters_are_those_of_the_lung_cancer_studies(data):
    table = read_diameters(data)
    assert set(table["study"]) == {"Study1", "Study2", "Study3", "Study4"}
    assert table["patient"].nunique() == 1329
    assert not table.duplicated(["patient", "day"]).any()
    # First patient of the first sheet, as printed in it: 33, 33, 32, 37, 49 mm.
    one = table[table["patient"] == "Study1/3657015667902160896"]
    assert list(one["day"]) == [-2, 37, 84, 125, 163]
    assert list(one["diameter_mm"]) == [33, 33, 32, 37, 49]


def test_change_at_week_twelve(data):
    change = change_near(read_diameters(data), 70, 98)
    assert 1225 <= len(change) <= 1240  # the data's README counts 1,230
    one = change[change["patient"] == "Study1/3657015667902160896"].iloc[0]
    assert one["change"] == pytest.approx(32 / 33 - 1)


def test_oak_has_the_patients_and_classes_of_its_description(data):
    # The data's README: n = 202, 108 deaths, PD 38, PR 34, SD 130.
    oak = read_oak(data)
    assert (len(oak), int(oak["event"].sum())) == (202, 108)
    assert oak["recist"].value_counts().to_dict() == {"SD": 130, "PD": 38, "PR": 34}
    assert (oak["months"] > 0).all()


def test_targets_are_what_the_real_patients_give(data):
    oak = read_oak(data)
    for response in ("PD", "SD", "PR"):
        group = oak[oak["recist"] == response]
        assert TARGETS[f"mix_{response}"][0] == pytest.approx(len(group) / len(oak), abs=0.005)
        cohort = Cohort(response, group)
        alive = survival_at(kaplan_meier(cohort), cohort, 12.0).survival
        assert TARGETS[f"survival_12m_{response}"][0] == pytest.approx(alive, abs=0.006)
    better = {
        "c_diameter_change": -oak["sum_follow_up_mm"] / oak["sum_baseline_mm"],
        "c_recist": oak["recist"].map({"PD": 0.0, "SD": 1.0, "PR": 2.0}),
        "c_baseline_diameter": -oak["sum_baseline_mm"],
    }
    for name, values in better.items():
        found = concordance(Cohort("OAK", oak.assign(value=values)), "value")
        assert TARGETS[name][0] == pytest.approx(found, abs=0.006), name


def test_without_the_tables_says_where_to_look(tmp_path):
    with pytest.raises(InputRejected, match=r"journal.*xlsx is not in the data folder") as raised:
        read_diameters(tmp_path)
    assert "--data" in raised.value.next_step
