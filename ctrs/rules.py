"""Every rule that refuses a scan, forbids a number or calls for caution: one table.

The limits are those that the code uses; this only puts them into words. ``python -m ctrs.rules``
prints the table as it stands in ``assets/intake.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ctrs.config import Config
from ctrs.ingest.neighbours import FEW_MEANS, MAX_DISORDER, MAX_STEP, MAX_STRANGENESS, STEP_MM
from ctrs.ingest.values import (
    AIREST_HU,
    MAX_AT_TOP,
    MAX_GREYS,
    MIN_MUSCLE,
    MUSCLE_HU,
    PEAK_HU,
    UNCUT_HU,
)
from ctrs.pair import DATES_AGREE_DAYS, MAX_SHARED, MAX_SPACING_RATIO


class Consequence(StrEnum):
    REFUSED = "refused"  # no score is tried
    RED = "red"  # not assessable: a reason, and no number
    AMBER = "amber"  # a number, with the reason in front of it


@dataclass(frozen=True)
class Rule:
    """When what follows, and why the limit is where it is."""

    subject: str
    when: str
    consequence: Consequence
    why: str


def rules(config: Config) -> tuple[Rule, ...]:
    """All of them, in the order in which a pair of scans meets them."""
    return (*_files(config), *_values(), *_pair(config), *_chest(config), *_answer(config))


def as_markdown(table: tuple[Rule, ...]) -> str:
    head = ["| what | when | then | why there |", "|---|---|---|---|"]
    rows = [f"| {r.subject} | {r.when} | **{r.consequence}** | {r.why} |" for r in table]
    return "\n".join([*head, *rows]) + "\n"


def _files(config: Config) -> tuple[Rule, ...]:
    intake = config.intake
    refused = Consequence.REFUSED
    return (
        Rule("files", f"more than {intake.max_files:,}, or as many images, or "
             f"{intake.max_unpacked_bytes / 2**30:.0f} GiB unpacked", refused,
             "a thin-slice study with all reconstructions has 1,000 to 5,000"),
        Rule("packing", f"more than {intake.max_compression_ratio:.0f} to 1", refused,
             "CT rarely passes 10 to 1; a bomb reaches 1000"),
        Rule("depth", f"a path in an archive through more than {intake.max_folder_depth} folders",
             refused, "exports have one each for disk, patient, study and series"),
        Rule("damage", "an image that ends before its pixels do, or cannot be decoded", refused,
             "its slice is lost"),
        Rule("damage", "files that cannot be read beside the slices and named as they are",
             Consequence.AMBER, "they may be slices from an end of the scan, where no gap shows"),
        Rule("matrix", f"more than {intake.max_matrix} rows or columns", refused,
             "clinical CT has 512 or 1024"),
        Rule("several scans", "series, usable or damaged, of more than one patient by ID, sex or "
             "birth date, of days further apart than one, or of several examinations that do not "
             "all say whose and of which day they are", refused,
             "no rule may choose a patient or a day; a person has to"),
        Rule("kind", "not CT, a screenshot, a localizer, colour, a material map, a projection "
             "(MIP, MinIP)", refused, "their values are no Hounsfield units of a slice"),
        Rule("slices", f"fewer than {intake.min_slices}", refused,
             "fewer cannot cover a chest"),
        Rule("slice distance", f"above {intake.max_slice_spacing_mm:g} mm", refused,
             "the model's grid is 3 mm"),
        Rule("pixels", f"under {intake.min_voxel_mm:g} or above {intake.max_pixel_mm:g} mm, slices "
             f"under {intake.min_voxel_mm:g} mm apart, or an image wider than "
             f"{intake.max_field_mm / 1000:g} m", refused,
             "a 1024 matrix over a child has 0.2 mm; the widest bores measure 0.9 m"),
        Rule("volume files", "no voxel size or orientation, two that contradict each other, an "
             "NRRD or MetaImage in other units than mm, damaged or too few voxels", refused,
             "what is missing would be made up: 1 mm, or a patient turned over"),
        Rule("gaps", f"off the median by more than {intake.spacing_tolerance:.0%} and 0.1 mm",
             refused, "positions are rounded to 0.1 mm at worst; a gap is a lost slice"),
        Rule("direction", f"more than {intake.max_obliquity_deg:g}° off axial, "
             "slices shifted sideways by a pixel, mixed directions, matrices or pixel sizes",
             refused, "read as a grid, all of these shear the chest unseen"),
        Rule("one series", "two patients, two days, two scales, alternating acquisitions, or two "
             "different images at one place; acquisitions that are volumes by themselves are taken "
             "apart", refused, "two scans under one UID"),
        Rule("one series", "more than one frame of reference", Consequence.AMBER,
             "positions may be measured from different places; 18 real series have one, or none"),
    )  # fmt: skip


def _values() -> tuple[Rule, ...]:
    refused = Consequence.REFUSED
    return (
        Rule("air", f"the thousandth darkest voxel above {AIREST_HU:.0f} HU", refused,
             "-1023 to -1021 in 8 real series"),
        Rule("soft tissue", f"its peak outside {PEAK_HU[0]:.0f} to {PEAK_HU[1]:.0f} HU, or less "
             f"than {MIN_MUSCLE:.0%} of it in {MUSCLE_HU[0]:.0f} to {MUSCLE_HU[1]:.0f} HU", refused,
             "peaks at -105 to 85 and shares of 35 to 60 % in 8 real series: shows wrong "
             "intercepts, normalised and inverted values"),
        Rule("grey values", f"{MAX_GREYS} or fewer, more than 3 HU apart", refused,
             "an 8-bit picture"),
        Rule("window", f"more than {MAX_AT_TOP:.1%} of the voxels have the largest value, and that "
             f"is below {UNCUT_HU:.0f} HU", refused,
             "0.02 % at most in 9 real series, and at 3071; 0.7 % and more of them lie above 400"),
        Rule("copies", "a slice with the pixels of another, up to one value throughout if that is "
             f"its neighbour, or exact means of both neighbours in up to {FEW_MEANS:.0%} of the "
             "slices or in one part of the scan", refused, "a gap that was filled"),
        Rule("blank", "slices of one value inside the scan; at its ends they are taken off",
             refused, "slices that were lost"),
        Rule("strangers", f"a slice {MAX_STRANGENESS:g} times as far from its neighbours' mean as "
             "they are from each other", refused,
             "at most 0.83 in 8 real series: damaged, blank, out of place, on another scale"),
        Rule("order", f"a slice {MAX_DISORDER:g} times as far from the next as from the next but "
             "one, and further than those around", refused, "at most 0.88 in 9 real series and 21 "
             "simulated scans, up to 10 mm; two slices exchanged 1.3 or more, a jump of 20 mm by a "
             "breath up to 1.23"),
        Rule("steps", f"two neighbours {MAX_STEP:g} times as far from each other as those around, "
             f"and further than slices {STEP_MM:g} mm apart usually are, or another part of the "
             "scan continues one of them", refused, "parts exchanged or turned over, of another "
             "scan or scale"),
        Rule("steps", f"two neighbours {MAX_STEP:g} times as far from each other as those around",
             Consequence.AMBER, "at most 1.7 in the same scans, 2.3 in one narrow field; a breath, "
             "or lost slices"),
        Rule("interpolated", f"more than {FEW_MEANS:.0%} exact means, all over the scan",
             Consequence.AMBER, "made from thicker slices"),
        Rule("doubtful values", "no rescale slope or no intercept in the files, lossy compression, "
             "averaged slices, text burned in", Consequence.AMBER, "the values may not be exact"),
    )  # fmt: skip


def _pair(config: Config) -> tuple[Rule, ...]:
    pair, refused, amber = config.pair, Consequence.REFUSED, Consequence.AMBER
    green, wide = pair.green_days, pair.amber_days
    return (
        Rule("one scan twice", f"equal voxels, one series, or more than {MAX_SHARED:.0%} of the "
             "slices with equal pixels, whatever was added to them", refused,
             "no two measured slices agree in their noise"),
        Rule("one examination", "one Study Instance UID", amber,
             "some research exports write one for all scans of a patient; else it is one scan, in "
             "two kernels, say"),
        Rule("one breath", "the aligned chest walls correlate by "
             f"{pair.same_likeness:g} or more, {pair.same_likeness_dated:g} where the files have "
             "two dates", amber, "two kernels of one breath 0.9996, one scan in other noise or "
             "scale 0.9996 to 1.0000; 24 simulated pairs 0.57 to 0.96"),
        Rule("two patients", "ID, sex or birth date differ; placeholders like ANONYMOUS or 0, and "
             "capitals, count for nothing", refused, "by the files' own word"),
        Rule("two patients", "an ID is missing on a side, and the aligned chest walls correlate by "
             "less "
             f"than {pair.different_likeness:g}, in whole scans whose lungs overlap by "
             f"{pair.different_overlap:.0%} or more", refused,
             "18 such pairs of two real people 0.28 to 0.48; one real person 0.86 to 1.00, with "
             "most of a lung under fluid 0.51 to 0.76; 24 simulated ones 0.57 to 0.96"),
        Rule("two patients", "one ID on both sides, and they correlate by less than "
             f"{pair.different_likeness:g}", amber, "26 of 28 pairs of two real people, none of 21 "
             "of one; with a name it is no proof, for disease changes chests"),
        Rule("two patients", "an ID is missing on a side, and they correlate by less than "
             f"{pair.min_likeness:g}", amber,
             "28 pairs of two real people 0.28 to 0.61, 2 of 24 simulated ones below; where a scan "
             "is cut off, or the lungs do not fit, it stays a remark"),
        Rule("order", "follow-up before baseline", refused, "swapped scans turn the answer round"),
        Rule("interval", f"outside {wide[0]} to {wide[1]} days", Consequence.RED,
             "6 to 20 weeks; the model was trained on about 12"),
        Rule("interval", f"outside {green[0]} to {green[1]} days, or unknown", amber,
             f"about 12 weeks; unknown counts as {pair.assumed_days} days"),
        Rule("dates", f"further than {DATES_AGREE_DAYS} days from the interval typed in", amber,
             "one of the two is wrong"),
        Rule("reconstruction", "soft kernel against sharp, slice distances further apart than "
             f"{MAX_SPACING_RATIO:g} to 1, contrast medium in one only", amber,
             "what changes may be the reconstruction"),
    )  # fmt: skip


def _chest(config: Config) -> tuple[Rule, ...]:
    chest, red, amber = config.chest, Consequence.RED, Consequence.AMBER
    return (
        Rule("lungs", f"under {chest.min_lung_ml:.0f} ml, or {chest.min_lung_height_mm:.0f} mm "
             "high", Consequence.REFUSED, "pixels decide, not the body part in the tags"),
        Rule("large lungs", f"above {chest.max_lung_ml / 1000:g} l, or "
             f"{chest.max_lung_width_mm:g} mm from right to left", Consequence.REFUSED,
             "the pixel size is wrong; 2.7 to 4.4 l and 237 to 264 mm in six real series"),
        Rule("large lungs", f"above {chest.amber_lung_ml / 1000:g} l or "
             f"{chest.amber_lung_width_mm:g} mm", amber,
             "the same six with pixels 1.5 times as large have 360 to 396 mm"),
        Rule("coverage", f"an end slice with more than {chest.red_cut_ratio:.0%} of the largest "
             "lung area", red, "the scan ends in the middle of the lungs"),
        Rule("coverage", f"more than {chest.amber_cut_ratio:.0%} of it", amber,
             "a tip of the lungs is missing"),
        Rule("one-sided", f"under {chest.min_smaller_side:.0%} of the lung on one side", amber,
             "removed, collapsed or under fluid"),
        Rule("upside down", "lungs hollow above and solid below, by more than "
             f"{-chest.min_upright:g} of their hull", red,
             "0.14 to 0.54 the right way in real chests, 0.11 and more in 112 simulated ones"),
        Rule("back to front", "more bone before than behind the lungs, by more than "
             f"{-chest.min_spine_behind:g}", red,
             "0.04 to 0.20 the right way in real chests, 0.02 and more in 112 simulated ones"),
        Rule("slice distance", f"above {config.zone.amber_slice_spacing_mm:g} mm", amber,
             "small lesions are missed"),
    )  # fmt: skip


def _answer(config: Config) -> tuple[Rule, ...]:
    zone, amber = config.zone, Consequence.AMBER
    return (
        Rule("networks", f"more than {100 * zone.red_members_range:.0f} points apart",
             Consequence.RED, "they do not know"),
        Rule("interval", f"wider than {100 * zone.amber_interval_width:.0f} points", amber,
             "it says hardly anything; of the simulated test patients half have more than 62 "
             "points, one of 605 more than 72"),
        Rule("unusual", f"above the {zone.amber_ood_percentile:.0f}th percentile of the training "
             "pairs", amber, "the model has seen few like it"),
        Rule("fluid", f"{zone.amber_fluid_rise_ml:.0f} ml more fluid around the lung, and the "
             f"tumour more than {zone.amber_tumour_fall:.0%} smaller", amber,
             "fluid hides tumour: in 12 of 36 such pairs among 1,000 simulated ones the tumour's "
             "change was read too low by 40 % or more"),
    )  # fmt: skip


if __name__ == "__main__":
    print(as_markdown(rules(Config())), end="")
