"""Two folders in, a score out; a second time from the store; and nobody's name in what is kept."""

import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pydicom
import pytest

from ctrs import assess as assess_module
from ctrs.align import align
from ctrs.assess import Workshop, assess, prepare_cached, prepare_pair, remember
from ctrs.config import ChestConfig, Config, ZoneConfig
from ctrs.disk_cache import DiskCache
from ctrs.errors import DifferentPatients, MissingSlices, NoCtFound, NotAChest, SameScan
from ctrs.store import ScanFacts, Store
from ctrs.types import Recist, Response, Zone
from ctrs.volume_cache import VolumeCache
from tests.phantoms import abdomen, chest, write_chest, write_pair
from tests.scoring_fixtures import FixedModel, forbidden, prediction

SPACING = (5.0, 3.2, 3.0)
SECRETS = {"patient_id": "SECRET-77123", "birth_date": "19480315"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("SECRET-folder"), **SECRETS)


@pytest.fixture
def workshop(tmp_path):
    with Store(tmp_path / "ctrs.duckdb") as store:
        cache = DiskCache(tmp_path / "cache", 2**30)
        yield Workshop(
            config=Config(), model_version="fixed-1", model=FixedModel, store=store, cache=cache
        )


def bare(model=FixedModel, **changes):
    return replace(
        Workshop(config=Config(), model_version="fixed-1", model=model), **changes
    )  # fmt: skip


def assessed(scans, workshop, **more):
    result = assess(*scans, workshop, **more)
    remember(result, "P-1", workshop)
    return result


# --- From files to a score ----------------------------------------------------------------------


def test_two_folders_become_the_score_of_the_model(scans):
    stages = []
    model = FixedModel()
    result = assess(*scans, bare(lambda: model), progress=stages.append)
    assert result.score.zone is Zone.GREEN
    assert result.score.survival_12m == 0.62
    assert not result.cached
    # 8 January to 1 April 2024, a leap year: 23 + 29 + 31 + 1 = 84 days.
    assert result.pair.interval_days == 84
    assert model.asked == [84]
    assert stages == ["read", "check", "prepare", "load", "infer"]
    assert set(result.seconds) == {*stages, "total"}
    assert result.seconds["total"] >= max(result.seconds[stage] for stage in stages)


def test_inventories_and_volumes_are_in_the_order_given(scans):
    result = assess(*scans, bare())
    names = [inventory.chosen.header.description for inventory in result.inventories]
    assert names == ["Thorax before", "Thorax after"]
    pair = result.pair
    assert pair.baseline.header.acquired_on < pair.follow_up.header.acquired_on
    np.testing.assert_allclose(pair.baseline.hu, chest(SPACING, noise_seed=1).hu, atol=0.51)


def test_interval_given_by_hand_overrides_the_dates(scans):
    model = FixedModel()
    result = assess(*scans, bare(lambda: model), interval_days=70)
    assert model.asked == [70]
    assert result.score.zone is Zone.AMBER
    assert "70 days apart; by the dates in their files they are 84" in result.score.reasons[0]


def test_red_pair_is_scored_without_a_network(scans):
    model = FixedModel()
    result = assess(*scans, bare(lambda: model), interval_days=400)
    assert result.score.zone is Zone.RED
    assert result.score.survival_12m is None
    assert model.asked == []


# --- Errors ---------------------------------------------------------------------------------------


def test_error_says_which_scan_is_empty(scans, tmp_path):
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "letter.txt").write_text("no image")
    with pytest.raises(NoCtFound) as error:
        assess(nothing, scans[1], bare())
    assert error.value.what.startswith("Baseline CT: ")
    with pytest.raises(NoCtFound) as error:
        assess(scans[0], nothing, bare())
    assert error.value.what.startswith("Follow-up CT: ")


def test_error_says_which_scan_has_gaps(scans, tmp_path):
    shutil.copytree(scans[1], tmp_path / "after")
    (tmp_path / "after" / "030.dcm").unlink()
    with pytest.raises(MissingSlices) as error:
        assess(scans[0], tmp_path / "after", bare())
    assert error.value.what.startswith("Follow-up CT: ")


def test_error_says_which_scan_is_no_chest(scans, tmp_path):
    belly = write_chest(
        replace(abdomen(), spacing=(3.0, 3.0, 3.0)), tmp_path / "belly", date(2024, 4, 1), **SECRETS
    )
    with pytest.raises(NotAChest) as error:
        assess(scans[0], belly, bare(forbidden))
    assert error.value.what.startswith("Follow-up CT: This is not a whole chest")
    assert "SECRET" not in error.value.what + error.value.next_step


def test_one_scan_given_twice_is_refused(scans, tmp_path):
    shutil.copytree(scans[0], tmp_path / "copy")
    with pytest.raises(SameScan):
        assess(scans[0], tmp_path / "copy", bare(forbidden))


# --- The second time ------------------------------------------------------------------------------


def test_pair_scored_before_comes_from_the_store_without_a_network(scans, workshop):
    first = assessed(scans, workshop)
    second = assess(*scans, replace(workshop, model=forbidden))
    assert second.cached
    assert second.score == first.score
    assert "infer" not in second.seconds


def test_same_content_in_other_files_is_known(scans, workshop, tmp_path):
    assessed(scans, workshop)
    other = tmp_path / "other"
    other.mkdir()
    for number, file in enumerate(sorted(scans[0].iterdir(), reverse=True)):
        shutil.copy(file, other / f"IM{number}")  # other names, other order
    assert assess(other, scans[1], replace(workshop, model=forbidden)).cached


@pytest.mark.parametrize("days", [70, 85])
def test_other_interval_is_another_score(scans, workshop, days):
    assessed(scans, workshop)
    model = FixedModel(answer=prediction(survival_12m=0.58))
    other = assess(*scans, replace(workshop, model=lambda: model), interval_days=days)
    assert not other.cached
    assert other.score.survival_12m == 0.58


def renamed(folder, patient_id):
    for file in folder.iterdir():
        slice_ = pydicom.dcmread(file)
        slice_.PatientID = patient_id
        slice_.save_as(file)
    return folder


def test_a_score_that_was_kept_does_not_answer_where_the_patient_is_unknown(
    scans, workshop, tmp_path, monkeypatch
):
    """The same voxels, first with one ID and then without: by the bodies alone they are two."""
    alike = replace(align(*[prepare_cached(chest(SPACING), workshop)[0]] * 2), likeness=0.4)
    monkeypatch.setattr("ctrs.align.align", lambda *_: alike)
    first = assessed(scans, workshop)
    assert first.score.survival_12m is not None
    assert "bear one patient ID, but look like two people" in first.score.reasons[0]
    assert first.pair.findings[-1].reason == first.score.reasons[0]  # so that the key holds it
    nameless = [renamed(shutil.copytree(s, tmp_path / s.name), "ANON") for s in scans]
    with pytest.raises(DifferentPatients, match="do not say whose they are"):
        assess(*nameless, replace(workshop, model=forbidden))
    assert assess(*scans, replace(workshop, model=forbidden)).cached


def test_a_score_that_was_kept_does_not_answer_for_a_pair_that_a_new_rule_forbids(scans, workshop):
    kept = assessed(scans, workshop)
    stricter = replace(
        workshop, config=replace(Config(), zone=ZoneConfig(amber_slice_spacing_mm=4))
    )
    again = assess(*scans, stricter)
    assert (again.cached, again.score.zone, again.pair.key) == (False, Zone.AMBER, kept.pair.key)
    red = ChestConfig(amber_cut_ratio=-1.0, red_cut_ratio=-1.0)
    again = assess(*scans, replace(workshop, config=replace(Config(), chest=red)))
    assert (again.cached, again.score.zone, again.score.survival_12m) == (False, Zone.RED, None)
    none = ChestConfig(min_lung_ml=99_999.0)
    with pytest.raises(NotAChest):
        assess(*scans, replace(workshop, config=replace(Config(), chest=none), model=forbidden))


def test_other_order_is_another_score(scans, workshop):
    result = assessed(scans, workshop)
    pair = result.pair
    assert pair.key != replace(pair, baseline=pair.follow_up, follow_up=pair.baseline).key


def test_other_weights_are_another_score(scans, workshop):
    assessed(scans, workshop)
    assert not assess(*scans, replace(workshop, model_version="fixed-2")).cached


def test_score_that_was_found_keeps_its_provenance(scans, workshop):
    first = assessed(scans, workshop)
    before = workshop.store.provenance(first.pair.key, "fixed-1")
    assessed(scans, workshop)
    assert workshop.store.provenance(first.pair.key, "fixed-1") == before
    assert set(before.seconds) == {"read", "check", "prepare", "load", "infer", "total"}


def test_what_is_kept_can_be_shown_again(scans, workshop):
    pair = assessed(scans, workshop).pair
    (stored,) = workshop.store.pairs_of("P-1")
    assert (stored.baseline_sha256, stored.follow_up_sha256, stored.interval_days) == (
        pair.baseline.sha256,
        pair.follow_up.sha256,
        84,
    )
    assert workshop.store.scan(pair.follow_up.sha256) == ScanFacts.of(pair.follow_up)
    again = VolumeCache(workshop.cache).get(pair.baseline.sha256)
    np.testing.assert_array_equal(again.hu, pair.baseline.hu)


def test_scoring_again_keeps_a_reading_and_notes_both_times(scans, workshop):
    first = assess(*scans, workshop)
    remember(first, "P-ANNA", workshop)
    key, store = first.pair.key, workshop.store
    assert store.response(key).recist is Recist.NE
    # The model measured 10.0 and 7.5 ml.
    assert store.response(key).volume_change == pytest.approx(-0.25)
    reading = Response(Recist.SD, 54.0, 52.0, 0, 0.1)
    store.save_response(key, reading)
    remember(assess(*scans, workshop), "P-ANNA", workshop)
    assert store.response(key) == reading
    assert list(store.audit_trail(9)["action"]) == ["score", "score"]


def test_without_a_store_nothing_is_kept(scans):
    workshop = bare()
    assessed(scans, workshop)
    assert not assess(*scans, workshop).cached


# --- Prepared scans -------------------------------------------------------------------------------


def test_prepared_scan_from_the_cache_is_the_same(workshop, monkeypatch):
    volume = chest(SPACING)
    first, chest_first = prepare_cached(volume, workshop)
    monkeypatch.setattr(assess_module, "prepare", forbidden)
    second, chest_second = prepare_cached(volume, workshop)
    np.testing.assert_array_equal(second.image, first.image)
    np.testing.assert_array_equal(second.lungs, first.lungs)
    assert second.lungs.dtype == bool
    assert (second.origin, second.spacing) == (first.origin, first.spacing)
    assert chest_second == chest_first


def test_other_configuration_is_prepared_anew(workshop, monkeypatch):
    volume = chest(SPACING)
    prepare_cached(volume, workshop)
    monkeypatch.setattr(assess_module, "prepare", forbidden)
    other = replace(Config(), chest=ChestConfig(lung_below_hu=-450.0))
    with pytest.raises(TypeError):  # `forbidden` was called, with arguments
        prepare_cached(volume, replace(workshop, config=other))


def test_pair_is_prepared_in_its_order(scans, workshop):
    pair = assess(*scans, workshop).pair
    (before, _), (after, _) = prepare_pair(pair, workshop)
    np.testing.assert_array_equal(before.image, prepare_cached(pair.baseline, workshop)[0].image)
    assert (before.image != after.image).any()


# --- Identity ---------------------------------------------------------------------------------


def test_nobodys_name_is_in_what_is_kept(scans, workshop, tmp_path):
    result = assessed(scans, workshop)
    header = result.pair.baseline.header
    assert header.patient_id == SECRETS["patient_id"]  # it was there to be kept
    workshop.store.close()
    secrets = [*SECRETS.values(), "SECRET", header.series_uid, header.study_uid, "2024-01-08"]
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(kept) >= 5  # the store, two prepared scans, two volumes
    for file in kept:
        content = file.read_bytes()
        for secret in secrets:
            assert secret not in file.name
            assert secret.encode() not in content, f"{secret} in {file.name}"
