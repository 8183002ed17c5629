"""Every page, as the script streamlit would run: what does the clinician read?"""

import io
import json
from datetime import date
from pathlib import Path

import pytest
from conftest import add_patient, chest_hu, chest_volume, make_score
from dicom_files import ct_series
from reading import open_page, read

from ctrs import ui
from ctrs.assess import prepare_cached
from ctrs.model.weights import read_card
from ctrs.store import ScanFacts
from ctrs.ui import messages, resources
from ctrs.ui.staging import stage
from ctrs.volume_cache import VolumeCache

ROOT = Path(__file__).parents[1]
WHO = {"patient_id": "HOSPITAL-4711", "birth_date": "19470311", "sex": "M"}


# --- All pages ------------------------------------------------------------------------------


def test_every_page_file_is_in_the_menu():
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pages").glob("*.py")}
    assert files | {"app.py"} == set(ui.PAGES)


@pytest.mark.parametrize("page", ui.PAGES)
def test_a_page_opens_on_an_empty_store_and_shows_the_notice(app, page):
    text = open_page(app, page)
    assert ui.NOTICE in text.replace("**", "")
    assert len(app.title) == 1
    assert not app.error


@pytest.mark.parametrize("page", ui.PAGES)
def test_a_page_opens_on_a_filled_store(filled, app, page):
    text = open_page(app, page)
    assert ui.NOTICE in text.replace("**", "")
    assert not app.error


@pytest.mark.parametrize("page", list(ui.PAGES)[1:5])
def test_an_unexpected_error_shows_a_reference_and_no_traceback(app, monkeypatch, caplog, page):
    def broken():
        raise ZeroDivisionError("division by MUELLER^ANNA")

    monkeypatch.setattr(resources, "store", broken)
    if page == "pages/2_Upload.py":
        app.switch_page(page).run()
        upload(app, "baseline", chest())
        upload(app, "follow_up", chest(later=84))
        app.run().button(key="score").click().run()
        text = read(app)
    else:
        text = open_page(app, page, "DEMO-AGREES")
    assert "reference `" in text
    assert "ZeroDivisionError" not in text
    assert "MUELLER" not in text + caplog.text
    assert "ZeroDivisionError, reference" in caplog.text
    assert not app.exception
    assert ui.NOTICE in text.replace("**", "")


def test_the_first_page_that_is_opened_builds_the_demo_once(app, shelf, monkeypatch, tmp_path):
    built = []

    def build(tools, cohort, scans, progress):
        progress(0.5, "Scoring demo patient 3 of 6")
        built.append(tools.model_version)

    cohort = tmp_path / "cohort.csv"
    cohort.touch()
    monkeypatch.setenv("CTRS_DEMO", "on")
    monkeypatch.setattr("ctrs.places.demo_cohort", lambda: cohort)
    monkeypatch.setattr(resources, "build_demo", build)
    monkeypatch.setattr(resources, "demo_is_built", lambda store, version: bool(built))
    open_page(app, "pages/8_Model.py")
    open_page(app, "pages/1_Board.py")
    assert built == ["fixed"]


def test_a_demo_that_cannot_be_built_does_not_hide_the_notice(app, monkeypatch, tmp_path):
    cohort = tmp_path / "cohort.csv"
    cohort.touch()
    monkeypatch.setenv("CTRS_DEMO", "on")
    monkeypatch.setattr("ctrs.places.demo_cohort", lambda: cohort)
    monkeypatch.setattr(resources, "build_demo", lambda *_: 1 / 0)
    monkeypatch.setattr(resources, "demo_is_built", lambda store, version: False)
    text = open_page(app, "pages/1_Board.py")
    assert ui.NOTICE in text.replace("**", "")
    assert "The demo patients could not be made" in text
    assert "ZeroDivisionError" not in text


def test_missing_weights_are_explained_on_the_pages_that_need_them(app, monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "card", lambda: read_card(tmp_path))
    assert "weights are missing" in open_page(app, "pages/1_Board.py")
    open_page(app, "app.py")
    assert not app.error


# --- Board ----------------------------------------------------------------------------------


def test_the_board_begins_with_who_disagrees_and_ends_with_who_agrees(filled, app):
    open_page(app, "pages/1_Board.py")
    opened = [link.proto.label.strip("*") for link in app.main.get("page_link")]
    demo = [name for name in opened if name.startswith("DEMO-")]
    assert demo[0] == "DEMO-DISAGREES"
    assert demo[-1] == "DEMO-AGREES"
    assert sorted(demo[1:-1]) == ["DEMO-AMBER", "DEMO-RED", "DEMO-REFUSED"]


def test_the_board_gives_every_number_with_its_interval_and_every_refusal_with_a_way_on(
    filled, app
):
    text = open_page(app, "pages/1_Board.py")
    assert "38 % (27–50)" in text
    assert "RECIST stable, CTRS high risk" in text
    assert "−4 % (inside noise)" in text
    assert "2 of 99 gaps between slices are not 3.00 mm" in text
    assert "Next: Send the series again." in text
    assert "The scans are 200 days apart" in text


def test_the_board_can_be_narrowed_to_what_cannot_be_assessed(filled, app):
    open_page(app, "pages/1_Board.py")
    app.segmented_control(key="board_show").set_value("Not assessable").run()
    opened = {link.proto.label.strip("*") for link in app.main.get("page_link")}
    assert {name for name in opened if name.startswith("DEMO-")} == {"DEMO-RED", "DEMO-REFUSED"}


# --- Patient --------------------------------------------------------------------------------


def test_a_patient_is_opened_by_the_address_alone(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-DISAGREES")
    assert app.header[0].value.replace("\u00a0", " ") == "38 % (27–50)"
    assert "About **38 of 100** similar patients (27 to 50) are alive 12 months" in text
    assert "High risk" in text
    assert "12 weeks (84 days) apart" in text
    assert "**They disagree:** RECIST stable, CTRS high risk" in text
    assert "simulated" in text


def test_an_amber_number_comes_after_its_reason_and_is_grey(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-AMBER")
    assert "The slices are 6.0 mm apart." in app.warning[0].value.replace("\\", "")
    assert app.header[0].value.startswith(":gray[")
    assert "with caution" in app.header[0].value
    assert "not compared with other patients unless asked" in text
    app.toggle(key="place_amber").set_value(True).run()
    assert "The patient need not follow that curve" in read(app)


def test_a_red_patient_has_reasons_and_no_number(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-RED")
    assert "Not assessable" in text
    assert "The scans are 200 days apart" in text
    assert not app.header
    assert "% (" not in text


def test_a_refused_patient_says_what_to_do(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-REFUSED")
    assert "2 of 99 gaps" in text
    assert "Send the series again." in text


def test_an_unknown_patient_is_not_repeated_and_leads_to_the_list(filled, app):
    text = open_page(app, "pages/3_Patient.py", "MUELLER^ANNA")
    assert "MUELLER" not in text
    assert "There is no patient under this pseudonym" in text
    app.selectbox(key="picked_patient").set_value("DEMO-AGREES").run()
    assert app.header[0].value.replace("\u00a0", " ") == "72 % (61–84)"


def test_unknown_pd_l1_is_said(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-AGREES")
    assert "PD-L1 unknown" in text


def test_scans_that_had_to_make_room_say_how_to_get_them_back(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-AGREES")
    assert "no longer kept" in text
    assert "Upload both scans again" in text


def keep_scans(store, name):
    """Put real voxels behind a patient of the board."""
    volumes = chest_volume(), chest_volume(tumour_mm=10.0, seed=4)
    for volume in volumes:
        VolumeCache(resources.cache()).put(volume)
        prepare_cached(volume, resources.workshop())
        store.save_scan(volume.sha256, ScanFacts.of(volume))
    shas = [volume.sha256 for volume in volumes]
    store.delete_patient(name)
    add_patient(store, name, make_score(0.62))
    pair = store.pairs_of(name)[0]
    store.save_pair(pair.pair_key, name, *shas, 84, [])


def test_the_viewer_gets_both_scans_and_saliency_only_when_asked(filled, app):
    keep_scans(filled, "DEMO-AGREES")
    open_page(app, "pages/3_Patient.py", "DEMO-AGREES")
    scans = told(app)["scans"]
    assert [scan["ct"]["size"] for scan in scans] == [[90, 70, 56], [90, 70, 56]]
    assert [scan["saliency"] for scan in scans] == [None, None]
    app.toggle(key="saliency").set_value(True).run()
    assert not app.exception
    assert all(scan["saliency"]["url"] for scan in told(app)["scans"])


def test_the_viewer_is_told_of_lesions_and_a_fact_leads_to_its_place(filled, app):
    keep_scans(filled, "DEMO-AGREES")
    text = open_page(app, "pages/3_Patient.py", "DEMO-AGREES")
    assert "Tumour volume" in text
    (lesion,) = told(app)["lesions"]
    # 4 x 4 x 6 voxels of 27 mm3.
    assert (lesion["name"], lesion["ml"]) == ("L1", [2.59, 2.59])
    assert told(app)["goto"] is None
    app.button(key="show_Tumour volume").click().run()
    assert told(app)["goto"]["at"] == lesion["at"][1]
    assert told(app)["goto"]["visit"] == 1


def told(app):
    """What the page hands to the viewer in the browser."""
    (viewer,) = app.get("bidi_component")
    return json.loads(viewer.proto.json)


# --- Upload ---------------------------------------------------------------------------------


def chest(later=0, **how):
    day = date(2024, 1, 8) if not later else date.fromordinal(date(2024, 1, 8).toordinal() + later)
    hu = chest_hu(tumour_mm=10.0, seed=4) if later else chest_hu()
    how = {"name": f"chest/{later}", "acquired_on": day, "step_mm": 4.0,
           "pixel_spacing": (4.0, 3.6), **WHO, **how}  # fmt: skip
    series = ct_series(hu, **how)
    for ds in series:
        ds.PatientName = "MUELLER^ANNA"
    return series


def as_files(series):
    for number, ds in enumerate(series):
        file = io.BytesIO()
        ds.save_as(file, enforce_file_format=True)
        yield f"study/{number:03d}.dcm", file.getvalue(), "application/dicom"


def upload(app, key, series):
    (uploader,) = [u for u in app.file_uploader if u.key and u.key.startswith(f"{key}_")]
    uploader.set_value(list(as_files(series)))


def score(app, baseline, follow_up):
    app.switch_page("pages/2_Upload.py").run()
    upload(app, "baseline", baseline)
    upload(app, "follow_up", follow_up)
    app.run()
    app.button(key="score").click().run()
    assert not app.exception
    return read(app)


def without_the_app(tmp_path, *scans):
    """The number for the same files, by the way the command line takes."""
    from dicom_files import write

    from ctrs.assess import assess

    folders = [tmp_path / str(number) for number in range(len(scans))]
    for folder, series in zip(folders, scans, strict=True):
        write(series, folder)
    return assess(*folders, resources.workshop()).score


def test_an_uploaded_pair_shows_the_number_that_the_core_computes(app, shelf, tmp_path):
    expected = without_the_app(tmp_path, chest(), chest(later=84))
    text = score(app, chest(), chest(later=84))
    lower, upper = (round(100 * bound) for bound in expected.interval_90)
    assert f"{100 * expected.survival_12m:.0f} % ({lower}–{upper})" in text
    (name,) = shelf.worklist("upload")["patient"]
    assert name.startswith("P-")
    assert "mm between slices" in text
    text = open_page(app, "pages/3_Patient.py", name)
    assert f"{100 * expected.survival_12m:.0f} % ({lower}–{upper})" in text
    assert told(app)["scans"][1]["label"] == "Follow-up CT"


def test_identity_in_the_files_is_nowhere_on_the_page_or_in_the_store(app, shelf, tmp_path):
    pages = score(app, chest(), chest(later=84))
    (name,) = shelf.worklist("upload")["patient"]
    pages += open_page(app, "pages/1_Board.py")
    pages += open_page(app, "pages/3_Patient.py", name)
    tables = shelf.worklist().to_string() + shelf.audit_trail(50).to_string()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    for secret in ("MUELLER", "HOSPITAL-4711", "4711", "19470311"):
        assert secret not in pages
        assert secret not in tables
        assert secret.encode() not in kept


def test_a_missing_slice_is_explained_with_the_scan_it_is_in(app, shelf):
    broken = chest(later=84)
    del broken[20]
    text = score(app, chest(), broken)
    assert "Follow-up CT: 1 of 54 gaps" in text
    assert "What to do:" in text
    assert shelf.worklist().empty
    app.button(key="keep_refused").click().run()
    (kept,) = shelf.worklist("upload").to_dict("records")
    assert "1 of 54 gaps" in kept["refusal_what"]


def test_what_was_mended_is_said(app):
    series = chest()
    text = score(app, [*series, series[31]], chest(later=84))
    assert "What was mended: Baseline CT: identical copies of slices dropped: 1." in text
    assert "mended" not in score(app, series, chest(later=84))


def test_swapped_scans_are_refused(app):
    text = score(app, chest(later=84), chest())
    assert "84 days older" in text


def test_what_is_typed_in_is_kept_beside_the_score(app, shelf):
    app.switch_page("pages/2_Upload.py").run()
    app.selectbox(key="pd_l1").set_value(">=50%")
    app.number_input(key="age").set_value(71)
    app.number_input(key="sum_baseline").set_value(60.0)
    app.number_input(key="sum_follow_up").set_value(40.0)
    upload(app, "baseline", chest())
    upload(app, "follow_up", chest(later=84))
    app.run().button(key="score").click().run()
    (row,) = shelf.worklist("upload").to_dict("records")
    patient = shelf.patient(row["patient"])
    assert (patient.pd_l1, patient.age, patient.sex) == (">=50%", 71, "unknown")
    assert row["recist"] == "PR"  # 40 / 60 = 0.67, at most 0.7
    assert row["volume_change"] == pytest.approx(-0.3)  # 21 of 30 ml are left


def test_days_typed_in_count(app):
    app.switch_page("pages/2_Upload.py").run()
    app.number_input(key="days").set_value(200)
    upload(app, "baseline", chest())
    upload(app, "follow_up", chest(later=84))
    app.run().button(key="score").click().run()
    text = read(app)
    assert "The scans are 200 days apart" in text
    assert not app.header


def two_kernels(later=0):
    """A soft reconstruction, which the rule chooses, and a sharp one of the same scan."""
    hard = chest(later=later, name=f"chest/{later}/sharp", kernel="B70f")
    return [*chest(later=later), *hard]


def test_the_reader_may_choose_the_series_and_the_choice_is_kept_with_the_result(app, shelf):
    app.switch_page("pages/2_Upload.py").run()
    upload(app, "baseline", two_kernels())
    upload(app, "follow_up", two_kernels(later=84))
    app.run().toggle(key="by_hand").set_value(True).run()
    assert list(app.table[0].value.loc["Kernel"]) == ["soft B30f", "soft B30f", "same"]
    app.selectbox(key="series of Follow-up CT").set_value(1).run()
    assert list(app.table[0].value.loc["Kernel"]) == ["soft B30f", "sharp B70f", "differs"]
    app.button(key="score").click().run()
    assert not app.exception
    text = read(app)
    assert "a soft kernel and the follow-up scan a sharp one" in text
    assert "named by the user" in app.table[-1].value.loc[:, "Why"].str.cat()
    (name,) = shelf.worklist("upload")["patient"]
    (pair,) = shelf.pairs_of(name)
    assert pair.chosen_by_hand == ("follow-up",)
    text = open_page(app, "pages/3_Patient.py", name)
    assert "series chosen by hand: follow-up" in text


@pytest.mark.parametrize("kernels", [("", "B30f"), ("B30f", ""), ("", "")])
def test_what_is_not_given_is_not_called_the_same(app, kernels):
    first, second = kernels
    text = score(app, chest(kernel=first), chest(later=84, kernel=second))
    (protocols,) = [t.value for t in app.table if "Compared" in t.value.columns]
    assert protocols.loc["Kernel", "Compared"] == "not known"
    assert protocols.loc["Distance between slices", "Compared"] == "same"
    assert "Both scans are needed before the next pair can be scored." in text


def test_files_without_a_series_are_told_so(app):
    app.switch_page("pages/2_Upload.py").run()
    assert "Both scans are needed before the pair can be scored." in read(app)
    upload(app, "baseline", chest())
    (uploader,) = [u for u in app.file_uploader if u.key and u.key.startswith("follow_up_")]
    uploader.set_value([("study/a.dcm", b"", "application/dicom")])
    app.run().button(key="score").click().run()
    assert not app.exception
    assert "There is no series of images in them." in read(app)


def states(app):
    """What is said of each series, by kernel: of the baseline, and of the follow-up."""
    tables = [t.value for t in app.table if "Why" in t.value.columns]
    return [dict(zip(table["Kernel"], table[""], strict=True)) for table in tables]


def test_where_scoring_was_refused_no_series_is_said_to_be_used(app):
    score(app, chest(later=84, kernel="B70f"), two_kernels())  # swapped
    assert states(app) == [
        {"B70f": "Chosen, not scored"},
        # The sharp one, which is like the other scan's, and not the soft one, which is better.
        {"B70f": "Chosen, not scored", "B30f": "Could be used"},
    ]
    upload(app, "baseline", two_kernels(later=84))
    app.run().toggle(key="by_hand").set_value(True).run()
    app.selectbox(key="series of Baseline CT").set_value(1).run()
    app.button(key="score").click().run()
    assert "84 days older" in read(app)
    assert states(app) == [
        {"B70f": "Chosen, not scored", "B30f": "Could be used"},
        {"B70f": "Could be used", "B30f": "Chosen, not scored"},
    ]


def test_where_nothing_could_be_chosen_no_series_is_said_to_be(app):
    gap = chest(name="chest/gap", kernel="B70f")
    del gap[20]
    assert "scans of 2 days" in score(app, [*chest(), *gap, *chest(later=84, kernel="")], chest())
    assert states(app)[0] == {
        "B30f": "Could be used", "": "Could be used", "B70f": "Cannot be used"
    }  # fmt: skip


def test_where_the_rule_chooses_nothing_is_said_of_a_hand(app, shelf):
    score(app, two_kernels(), two_kernels(later=84))
    (name,) = shelf.worklist("upload")["patient"]
    assert shelf.pairs_of(name)[0].chosen_by_hand == ()
    assert "by hand" not in open_page(app, "pages/3_Patient.py", name)


def test_both_protocols_stand_side_by_side_beside_the_score(app, shelf):
    score(app, chest(), chest(later=84, kernel="B70f"))
    (table,) = [t.value for t in app.table if "Compared" in t.value.columns]
    assert list(table.loc["Kernel"]) == ["soft B30f", "sharp B70f", "differs"]
    assert list(table.loc["Distance between slices"]) == ["4 mm", "4 mm", "same"]
    assert list(table.loc["Slice thickness"]) == ["9 mm", "9 mm", "same"]


def test_scans_of_several_days_can_be_told_apart_by_the_reader(app, shelf):
    both = [*chest(), *chest(later=84)]
    assert "scans of 2 days" in score(app, both, both)
    upload(app, "baseline", both)
    upload(app, "follow_up", both)
    app.run().toggle(key="by_hand").set_value(True).run()
    days = next(box.options for box in app.selectbox if box.key.startswith("series of"))
    (second,) = [n for n, label in enumerate(days) if "2024-04-01" in label]
    (first,) = [n for n, label in enumerate(days) if "2024-01-08" in label]
    app.selectbox(key="series of Baseline CT").set_value(first - 1)
    app.selectbox(key="series of Follow-up CT").set_value(second - 1)
    app.run().button(key="score").click().run()
    (name,) = shelf.worklist("upload")["patient"]
    assert shelf.pairs_of(name)[0].interval_days == 84


def one_upload(app, *scans, start=None):
    app.switch_page("pages/2_Upload.py").run()
    upload(app, "baseline", [ds for scan in scans for ds in scan])
    app.run().toggle(key="both_in_one").set_value(True).run()
    if start:
        app.date_input(key="treatment_start").set_value(start).run()
    return read(app)


def test_baseline_and_follow_up_are_proposed_from_one_upload(app, shelf):
    text = one_upload(app, chest(later=84), chest(later=196), chest())
    assert "Baseline: 2024-01-08, the first scan; follow-up: 2024-04-01, 84 days later" in text
    app.button(key="score").click().run()
    assert not app.exception
    (name,) = shelf.worklist("upload")["patient"]
    (pair,) = shelf.pairs_of(name)
    assert (pair.interval_days, pair.chosen_by_hand) == (84, ("baseline", "follow-up"))


def test_the_start_of_treatment_moves_the_proposal_and_the_reader_may_have_another(app, shelf):
    scans = chest(later=84), chest(later=196), chest()
    text = one_upload(app, *scans, start=date(2024, 4, 3))
    assert "Baseline: 2024-04-01, the last scan up to the start of treatment, 2 days" in text
    assert "follow-up: 2024-07-22, 112 days later" in text
    labels = app.selectbox(key="series of Baseline CT").options
    (first,) = [n for n, label in enumerate(labels) if "2024-01-08" in label]
    app.selectbox(key="series of Baseline CT").set_value(first - 1).run()
    app.button(key="score").click().run()  # 196 days: the reader's choice, and no proposal
    assert "The scans are 196 days apart" in read(app)


def test_where_no_pair_can_be_proposed_the_page_says_what_is_needed(app):
    assert "of one patient on two days are needed. Choose" in one_upload(app, chest())
    text = one_upload(app, chest(), chest(later=84), start=date(2023, 12, 1))
    assert "one of them up to the start of treatment" in text
    assert "Baseline: 2024" not in text


class File(io.BytesIO):
    def __init__(self, name, content):
        super().__init__(content)
        self.name = name


def test_names_from_a_browser_cannot_leave_the_folder_or_replace_each_other(tmp_path):
    folder = tmp_path / "in" / "scan"
    folder.mkdir(parents=True)
    names = ["../../a.dcm", "x/a.dcm", "C:\\b\\a.dcm", "/etc/passwd", "..", "", "a\0.dcm"]
    stage([File(name, str(n).encode()) for n, name in enumerate(names)], folder)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(folder in path.parents for path in written)
    assert sorted(path.read_bytes() for path in written) == [b"%d" % n for n in range(7)]


# --- Model ----------------------------------------------------------------------------------


def test_the_model_page_reads_the_card_and_the_limits(app):
    text = open_page(app, "pages/8_Model.py")
    assert "600 simulated patients" in text
    assert "C-index: CTRS" in text
    assert "0.712" in text
    assert "42 to 62 or 106 to 140 days apart" in text
    assert "| gaps | off the median by more than 1% and 0.1 mm | **refused** |" in text
    assert "<!--" not in text


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (-0.004, "0\u00a0% (inside noise)"),
        (-0.12, "−12\u00a0% (inside noise)"),
        (0.137, "+14\u00a0%"),
        (None, "not measured"),
    ],
)
def test_volume_change_in_words(fraction, words):
    assert messages.volume_change(fraction) == words
