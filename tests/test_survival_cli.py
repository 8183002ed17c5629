"""`ctrs survival`: the contract's keys, R's numbers, and words for what cannot be used."""

import json

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung
from scipy.stats import chi2, norm

from ctrs import cli
from tests.survival_data import VETERAN, simulated_follow_up

VETERAN_COLUMNS = ["--time", "time", "--event", "status"]


@pytest.fixture
def run(capsys):
    """Run ``survival`` with ``--json``: exit code, the one document, what went to stderr."""

    def run(*arguments):
        code = cli.main(["survival", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out, parse_constant=no_json), err

    return run


def no_json(constant):
    raise ValueError(f"{constant} is no JSON")


@pytest.fixture
def table(tmp_path):
    """Write a table: a text as it is, columns as CSV. Gives the path."""

    def table(content, name="table.csv"):
        path = tmp_path / name
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            pd.DataFrame(content).to_csv(path, index=False)
        return path

    return table


@pytest.fixture
def lung(table):
    """Coded as R does: status 2 = died."""
    raw = load_lung()
    return table(raw.assign(status=raw["status"] + 1), "lung.csv")


def columns(path):
    return path, "--time", "time", "--event", "status"


# --- The four statistics --------------------------------------------------------------------


def test_km_of_lung(run, lung):
    code, found, _ = run("km", *columns(lung), "--group", "sex", "--at", "365,2000",
                         "--unit", "days")  # fmt: skip
    assert code == 0
    assert set(found) >= {"groups", "excluded_before_landmark"}
    men = found["groups"]["1"]
    assert set(men) == {"n", "events", "median", "median_lo", "median_hi", "survival_at"}
    assert [men[k] for k in ("n", "events", "median", "median_lo", "median_hi")] == [
        138, 112, 270, 210, 306
    ]  # fmt: skip
    year = men["survival_at"]["365"]
    assert [year[k] for k in ("s", "lo", "hi")] == pytest.approx(
        [0.336088, 0.252729, 0.421302], abs=1e-6
    )
    assert year["at_risk"] == 35
    # Everybody of the men is not known to be dead: nothing is known at 2000.
    assert men["survival_at"]["2000"] == {"s": None, "lo": None, "hi": None, "at_risk": 0}
    assert found["groups"]["2"]["median"] == 426
    assert found["excluded_before_landmark"] == 0
    assert found["unit"] == "days"


def test_km_with_rs_default_interval_and_follow_up(run, lung):
    code, found, _ = run("km", *columns(lung), "--interval", "log", "--unit", "days")
    assert code == 0
    assert list(found["groups"]) == ["all"]
    assert found["follow_up"] == {"median": 588, "median_lo": 511, "median_hi": 1010}


def test_landmark_of_lung(run, lung):
    arguments = *columns(lung), "--landmark", 84, "--unit", "days", "--group", "sex"
    _, curves, _ = run("km", *arguments)
    assert curves["excluded_before_landmark"] == 25
    assert curves["left_out"]["died_before_landmark"] == 25
    assert [group["median"] for group in curves["groups"].values()] == [219, 360]
    _, test, _ = run("logrank", *arguments)
    assert test["chi2"] == pytest.approx(7.665208223, abs=1e-6)


def test_logrank_of_veteran(run):
    code, found, _ = run("logrank", VETERAN, *VETERAN_COLUMNS, "--group", "celltype")
    assert code == 0
    assert (found["df"], found["chi2"]) == (3, pytest.approx(25.4037003458, abs=1e-8))
    assert found["p"] == pytest.approx(1.2712459e-05, rel=1e-6)
    pairs = {tuple(pair["groups"]): pair for pair in found["pairs"]}
    assert pairs["adeno", "large"]["p_adjusted"] == pytest.approx(1.577e-4, abs=1e-7)
    _, stratified, _ = run(
        "logrank", VETERAN, *VETERAN_COLUMNS, "--group", "trt", "--strata", "celltype"
    )
    assert stratified["chi2"] == pytest.approx(0.7017433468, abs=1e-8)


def test_cox_of_lung(run, lung):
    code, found, _ = run("cox", *columns(lung), "--covariates", "age,sex,ph.ecog")
    assert code == 0
    assert (found["n"], found["events"]) == (227, 164)
    sex = found["rows"]["sex"]
    assert [sex[k] for k in ("coef", "hr", "lo", "hi", "p")] == pytest.approx(
        [-0.552612396, 0.57544456, 0.41421302, 0.79943513, 9.8605137e-04], abs=1e-7
    )
    assert {name: round(test["chi2"], 3) for name, test in found["ph"].items()} == {
        "age": 0.188, "sex": 2.305, "ph.ecog": 2.054, "global": 4.464
    }  # fmt: skip
    assert found["concordance"] == pytest.approx(0.63714, abs=1e-5)
    assert found["univariable"]["ph.ecog"]["rows"]["ph.ecog"]["hr"] == pytest.approx(1.609532)
    assert "note" not in found


def test_cox_per_ten_points_and_with_words(run, lung):
    _, found, _ = run("cox", *columns(lung), "--covariates", "pat.karno", "--per", 10)
    row = found["rows"]["pat.karno"]
    assert [row["hr"], row["lo"], row["hi"]] == pytest.approx(
        [0.819959, 0.736643, 0.912697], abs=1e-5
    )
    _, found, _ = run(
        "cox", VETERAN, *VETERAN_COLUMNS, "--covariates", "trt,celltype,karno,diagtime,age,prior"
    )
    # Against adeno, the first in the alphabet: 1 / 3.3071 and the same test as in R.
    assert found["rows"]["celltype: squamous"]["hr"] == pytest.approx(1 / 3.3071, abs=1e-4)
    assert found["ph"]["celltype"]["chi2"] == pytest.approx(15.2274, abs=1e-4)
    assert found["note"] == "The hazard ratio changes over time: celltype, karno, global."


def test_concordance_of_a_model_and_of_a_score(run, lung):
    arguments = *columns(lung), "--at", "730", "--unit", "days"
    _, found, _ = run("concordance", *arguments, "--covariates", "age,sex,ph.ecog")
    assert found["harrell"] == pytest.approx(0.63714, abs=1e-5)
    assert found["uno"] == pytest.approx(0.627596, abs=1e-5)
    _, score, _ = run("concordance", *columns(lung), "--covariates", "pat.karno")
    _, upside_down, _ = run("concordance", *columns(lung), "--covariates", "ph.ecog")
    assert score["harrell"] > 0.55 > 0.45 > upside_down["harrell"]
    assert score["n"] == 225
    assert score["until"] == 1022


def test_without_json_a_person_reads_the_same_numbers(lung, capsys):
    assert cli.main(["survival", "km", *map(str, columns(lung)), "--group", "sex"]) == 0
    out, err = capsys.readouterr()
    assert "median: 270" in out
    assert "followed for 1022 months" in err  # days, and nobody said so


# --- Tables as they come --------------------------------------------------------------------


def test_codes_separators_and_gaps_of_real_tables(run, table):
    words = "OS_MONTHS;OS_STATUS;Arm\n5.0;1:DECEASED;A\n7;0:LIVING;A\n2.5;1:DECEASED;NA\n"
    words += ";0:LIVING;A\n9;;B\n4;0:LIVING;B\n"
    arguments = "--time", "OS_MONTHS", "--event", "OS_STATUS", "--group", "Arm", "--at", "6"
    code, found, _ = run("km", table("\ufeff" + words), *arguments)
    assert code == 0
    assert {n: (g["n"], g["events"]) for n, g in found["groups"].items()} == {
        "A": (2, 1), "B": (1, 0)
    }  # fmt: skip
    assert found["left_out"] == {
        "died_before_landmark": 0, "lost_before_landmark": 0, "no_time_or_event": 2, "no_group": 1
    }  # fmt: skip
    assert found["groups"]["A"]["survival_at"]["6"]["s"] == pytest.approx(0.5)
    assert found["groups"]["B"]["median"] is None


@pytest.mark.parametrize("codes", [("True", "False"), ("dead", "alive"), ("1.0", "0"), ("2", "1")])
def test_a_death_is_known_by_many_names(run, table, codes):
    died, lost = codes
    path = table({"t": [3, 5, 8], "e": [died, lost, died]})
    _, found, _ = run("km", path, "--time", "t", "--event", "e")
    assert found["groups"]["all"]["events"] == 2


def test_a_comma_is_a_decimal_one_where_it_parts_no_cells(run, table):
    words = "t;e;x\n1,5;1;0,25\n2,75;0;0,5\n4;1;1,5\n"
    arguments = "--time", "t", "--event", "e"
    code, found, _ = run("km", table(words), *arguments, "--at", "2")
    assert code == 0
    assert found["groups"]["all"]["survival_at"]["2"] == {
        "s": pytest.approx(2 / 3), "lo": pytest.approx(0.0541, abs=1e-4),
        "hi": pytest.approx(0.9452, abs=1e-4), "at_risk": 2,
    }  # fmt: skip
    _, found, _ = run("concordance", table(words), *arguments, "--covariates", "x")
    assert found["harrell"] == 1  # 0.25 dies before 0.5 and 1.5; as text they'd have no order
    code, found, _ = run("km", table('t,e\n"1,5",1\n2,0\n'), *arguments)
    assert "1 of 2 times in “t” are no numbers" in found["error"]["what"]


def test_any_column_can_be_called_months_or_event(run, lung, table):
    raw = pd.read_csv(lung)
    path = table(raw.rename(columns={"sex": "event", "age": "months", "ph.ecog": "_group"}))
    covariates = "months,event,_group"
    _, found, _ = run("cox", *columns(path), "--covariates", covariates)
    assert found["rows"]["event"]["hr"] == pytest.approx(0.575445, abs=1e-6)
    assert list(found["rows"]) == list(found["univariable"]) == covariates.split(",")
    assert list(found["ph"]) == [*covariates.split(","), "global"]
    _, found, _ = run("logrank", *columns(path), "--group", "event")
    assert found["chi2"] == pytest.approx(10.32674195489, abs=1e-8)
    _, found, _ = run("logrank", *columns(path), "--group", "event", "--strata", "_group")
    _, plain, _ = run("logrank", *columns(lung), "--group", "sex", "--strata", "ph.ecog")
    assert found["chi2"] == plain["chi2"]
    words = table(raw.assign(event=raw["sex"].map({1: "a: m", 2: "b: f"})))
    _, found, _ = run("cox", *columns(words), "--covariates", "event")
    assert list(found["rows"]) == ["event: b: f"]


def test_groups_with_long_numbers_stay_apart(run, table):
    path = table({"t": [3, 5, 8], "e": [1, 0, 1], "g": [1000001, 1000002, 0.5]})
    _, found, _ = run("km", path, "--time", "t", "--event", "e", "--group", "g")
    assert list(found["groups"]) == ["0.5", "1000001", "1000002"]


def test_times_are_called_what_was_typed(run, table):
    path = table({"t": [300, 365.24215, 2e6], "e": [1, 1, 0], "x": [1, 2, 3]})
    arguments = path, "--time", "t", "--event", "e", "--at", "365.2421, 365.2422,1000000"
    _, found, _ = run("km", *arguments)
    points = found["groups"]["all"]["survival_at"]
    assert {name: point["s"] for name, point in points.items()} == pytest.approx(
        {"365.2421": 2 / 3, "365.2422": 1 / 3, "1000000": 1 / 3}
    )
    _, found, _ = run("concordance", *arguments, "--covariates", "x")
    assert found["auc"] == {"365.2421": 1, "365.2422": 1, "1000000": 1}


def test_before_the_first_death_the_interval_is_one_as_in_r(run, table):
    # summary(survfit(Surv(c(2, 3, 5), c(0, 1, 1)) ~ 1), times = c(1, 2)): 1 (1 to 1)
    path = table({"t": [2, 3, 5], "e": [0, 1, 1]})
    _, found, _ = run("km", path, "--time", "t", "--event", "e", "--at", "1,2")
    points = found["groups"]["all"]["survival_at"]
    assert points["1"] == {"s": 1, "lo": 1, "hi": 1, "at_risk": 3}
    assert points["2"] == {"s": 1, "lo": 1, "hi": 1, "at_risk": 3}


def test_zero_one_and_nobody(run, table):
    at_zero = table({"t": [0, 0, 4], "e": [1, 0, 1]})
    _, found, _ = run("km", at_zero, "--time", "t", "--event", "e", "--at", "0,4")
    points = found["groups"]["all"]["survival_at"]
    assert (points["0"]["s"], points["4"]["s"]) == (pytest.approx(2 / 3), 0)
    one = table({"t": [3.5], "e": [0]})
    _, found, _ = run("km", one, "--time", "t", "--event", "e", "--at", "3,4")
    assert found["groups"]["all"]["survival_at"]["3"]["s"] == 1
    assert found["groups"]["all"]["survival_at"]["4"]["s"] is None
    code, found, _ = run("km", one, "--time", "t", "--event", "e", "--landmark", 4)
    assert code == 3
    assert "1 were lost before the landmark" in found["error"]["what"]


@pytest.mark.parametrize(
    ("died", "chi_square", "p"),
    [([1, 1, 1, 1, 1, 1], 0.254237, 0.614107), ([1, 0, 1, 1, 0, 1], 0.384615, 0.535143)],
)
def test_small_groups_have_the_p_of_r_and_a_note(run, table, died, chi_square, p):
    # The toy cases that lifelines was held against R with.
    path = table({"t": [10, 20, 30, 10, 20, 50], "e": died, "g": [1, 1, 1, 2, 2, 2]})
    _, found, _ = run("logrank", path, "--time", "t", "--event", "e", "--group", "g")
    assert (found["chi2"], found["p"]) == pytest.approx((chi_square, p), abs=1e-6)
    assert "fewer than 10" in found["note"]


def test_each_pair_of_small_groups_has_a_p(run, table):
    path = table({"t": [10, 20, 30, 10, 20, 50, 3, 5], "e": [1, 0, 1, 1, 0, 1, 1, 1],
                  "g": ["a", "a", "a", "b", "b", "b", "c", "c"]})  # fmt: skip
    _, found, _ = run("logrank", path, "--time", "t", "--event", "e", "--group", "g")
    pairs = {tuple(pair["groups"]): pair for pair in found["pairs"]}
    assert pairs["a", "b"]["p"] == pytest.approx(0.535143, abs=1e-6)
    # Benjamini-Hochberg by hand: the largest of three stays, the smallest is at most 3 times.
    assert pairs["a", "b"]["p_adjusted"] == pytest.approx(0.535143, abs=1e-6)
    assert all(pair["p"] <= pair["p_adjusted"] <= 3 * pair["p"] for pair in pairs.values())


def test_a_small_model_has_the_p_of_its_row_and_a_note(run, table):
    months, event, points, _ = simulated_follow_up(2, 9)
    few = table({"t": months, "e": event.astype(int), "x": points})
    _, found, _ = run("cox", few, "--time", "t", "--event", "e", "--covariates", "x")
    row = found["rows"]["x"]
    assert row["p"] == pytest.approx(2 * norm.sf(abs(row["coef"] / row["se"])))  # Wald
    assert found["ph"]["global"]["p"] == pytest.approx(chi2.sf(found["ph"]["global"]["chi2"], 1))
    assert "fewer than 10" in found["note"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "The file is empty"),
        ("time,status\n", "nothing below it"),
        ("time,status\n1,1\n2\n", "1 of 2 rows"),
        ("time,other\n1,1\n", "no column “status”"),
        ("time,status\n1,1\n-2,0\n", "1 of 2 times in “time” are below 0"),
        ("time,status\nSECRET-7,1\n2,0\n", "1 of 2 times in “time” are no numbers"),
        ("time,status\ninf,1\n2,0\n", "1 of 2 times in “time” are no numbers"),
        ("time,status\n1,SECRET-7\n2,0\n", "1 of 2 events in “status”"),
        ("time,status\n1,3\n2,0\n", "1 of 2 events in “status”"),
        ("time,status\n,1\n2,\n", "None of 2 rows is left"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\x00", "no table of text"),
    ],
)
def test_what_cannot_be_used_is_explained_without_quoting_it(run, table, content, what):
    for statistic in (["km"], ["cox", "--covariates", "time"]):
        code, found, err = run(*statistic, *columns(table(content)))
        assert code == 3
        assert what in found["error"]["what"]
        assert found["error"]["next_step"]
        assert "SECRET" not in json.dumps(found) + err


def test_statistics_without_an_answer_are_explained(run, table):
    alive = table({"time": [3, 4, 6], "status": [0, 0, 0], "g": ["a", "a", "b"], "x": [1, 2, 3]})
    for statistic in (
        ["logrank", "--group", "g"], ["cox", "--covariates", "x"],
        ["concordance", "--covariates", "x"], ["concordance", "--covariates", "g"],
        ["concordance", "--covariates", "x,g"], ["km", "--group", "nowhere"],
    ):  # fmt: skip
        code, found, _ = run(*statistic, *columns(alive))
        assert code == 3, statistic
        assert found["error"]["next_step"]
    code, found, _ = run("km", alive.with_name("nothing.csv"), "--time", "t", "--event", "e")
    assert code == 3
    assert found["error"]["what"] == "There is no file “nothing.csv”."


def test_a_time_past_follow_up_has_no_auc_and_leaves_the_rest(run, lung):
    arguments = "concordance", *columns(lung), "--covariates", "pat.karno"
    _, known, _ = run(*arguments, "--at", "365")
    code, found, _ = run(*arguments, "--at", "365,5000")
    assert code == 0
    assert found["auc"] == {"365": known["auc"]["365"], "5000": None}
    assert "AUC at 5000" in found["note"]
    assert "0 are followed past it" in found["note"]
    assert "note" not in known
    _, whole, _ = run(*arguments)
    assert {k: found[k] for k in ("harrell", "uno", "until")} == {
        k: whole[k] for k in ("harrell", "uno", "until")
    }


def test_a_time_before_the_first_death_leaves_harrells_c(run, lung):
    code, found, _ = run("concordance", *columns(lung), "--covariates", "pat.karno", "--at", 2)
    assert code == 0
    assert (found["uno"], found["auc"]) == (None, {"2": None})
    assert found["harrell"] > 0.55
    assert "Uno's C: 225 patients with 0 deaths" in found["note"]


@pytest.mark.parametrize(
    ("statistic", "idle"),
    [
        ("km", {"--covariates": "nowhere", "--strata": "nowhere", "--per": "10"}),
        ("logrank", {"--covariates": "nowhere", "--at": "12", "--per": "10"}),
        ("cox", {"--group": "nowhere", "--at": "12", "--interval": "log"}),
        ("concordance", {"--group": "nowhere", "--strata": "nowhere", "--per": "10"}),
    ],
)
def test_an_option_of_another_statistic_is_named_and_ignored(run, lung, statistic, idle):
    needed = {"logrank": ["--group", "sex"], "km": []}.get(statistic, ["--covariates", "age"])
    _, without, silence = run(statistic, *columns(lung), *needed, "--unit", "days")
    given = [word for pair in idle.items() for word in pair]
    code, found, said = run(statistic, *columns(lung), *needed, "--unit", "days", *given)
    assert (code, found, silence) == (0, without, "")
    for option in idle:
        assert f"{option} does not apply to {statistic} and is ignored." in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["km", "x.csv", "--time", "t"],
        ["logrank", "x.csv", "--time", "t", "--event", "e"],
        ["cox", "x.csv", "--time", "t", "--event", "e", "--covariates", " , "],
        ["cox", "x.csv", "--time", "t", "--event", "e", "--covariates", "a", "--per", "0"],
        ["km", "x.csv", "--time", "t", "--event", "e", "--at", "12,soon"],
        ["km", "x.csv", "--time", "t", "--event", "e", "--landmark", "-3"],
        ["km", "x.csv", "--time", "t", "--event", "e", "--unit", "weeks"],
        ["median", "x.csv"],
        [],
    ],
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["survival", *arguments])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_large_table_takes_seconds(run, table):
    months, event, points, _ = simulated_follow_up(3, 20_000)
    path = table({"time": months, "status": event.astype(int), "x": np.round(points),
                  "g": np.where(points > 55, "high", "low")})  # fmt: skip
    for statistic in (["km", "--group", "g", "--at", "12"], ["logrank", "--group", "g"],
                      ["cox", "--covariates", "x", "--per", "10"]):  # fmt: skip
        code, found, _ = run(*statistic, *columns(path))
        assert code == 0
    assert found["rows"]["x"]["hr"] == pytest.approx(0.74, abs=0.02)
