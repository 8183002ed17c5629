"""Every number that changes a result, typed, named with its unit, and sourced."""

from __future__ import annotations

from dataclasses import dataclass

from ctrs.types import Triple


@dataclass(frozen=True, kw_only=True)
class IntakeConfig:
    """What is accepted from a folder or archive."""

    # A thin-slice study with all its reconstructions has 1,000 to 5,000 files.
    max_files: int = 20_000
    max_unpacked_bytes: int = 8 * 1024**3
    # As float32 in memory: 0.5 mm slices of a tall man in 512 x 512 take 0.9 GiB.
    max_volume_bytes: int = 3 * 1024**3
    # Deflate reaches about 1000:1 on zeros; CT rarely passes 10:1.
    max_compression_ratio: float = 200.0
    # Of a path in an archive: exports have a folder each for disk, patient, study and series, and
    # far down each step takes longer than the one before.
    max_folder_depth: int = 32
    max_matrix: int = 2048  # rows or columns; clinical CT has 512 or 1024
    min_slices: int = 16  # fewer cannot cover a chest at an accepted spacing
    max_slice_spacing_mm: float = 10.0
    # Pixels and slices. A 1024 matrix over a child's 200 mm has 0.2, the finest scanners 0.15.
    min_voxel_mm: float = 0.1
    # 512 pixels over 0.9 m, the widest bore, have 1.8; coarse copies up to 6. It is the field that
    # tells a wrong size: no wider than a scanner.
    max_pixel_mm: float = 10.0
    max_field_mm: float = 1000.0  # a row or column of pixels; reconstructions reach 0.9 m
    # Relative; highdicom's default for "regularly spaced".
    spacing_tolerance: float = 0.01
    # Degrees between the slice normal and the patient's long axis before it is not axial.
    max_obliquity_deg: float = 20.0


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """When two scans are a pair. The width of the windows is ours: the paper gives none."""

    green_days: tuple[int, int] = (63, 105)  # about 12 weeks
    amber_days: tuple[int, int] = (42, 140)  # 6 to 20 weeks; outside: not assessable
    assumed_days: int = 84  # used, with a remark, where the interval is unknown
    # Correlation around the aligned lungs. Five real people against each other have 0.28 to 0.61,
    # against themselves (turned, cropped, in other breath and noise) 0.86 to 1.00; 24 simulated
    # patients before and on treatment 0.57 to 0.96, two of them below 0.62.
    min_likeness: float = 0.62
    # Below, in whole scans whose lungs overlap by so much, they are two bodies for sure: two real
    # people have at most 0.48 there, one 0.51 or more, even with most of a lung under fluid.
    different_likeness: float = 0.50
    different_overlap: float = 0.75
    # From here on both scans are taken for one breath: two kernels of one have 0.9996, copies with
    # another noise or scale 0.9996 to 1.0000; 24 simulated pairs at most 0.96. Where the dates in
    # the files are two it takes more.
    same_likeness: float = 0.99
    same_likeness_dated: float = 0.999

    def days(self, between: float | None) -> float:
        """Days between the scans of a pair, the assumed ones where nobody knows them."""
        return self.assumed_days if between is None else between


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """The model's grid: the thorax around the lungs, the same for training and inference."""

    spacing_mm: Triple = (3.0, 3.0, 3.0)  # (z, y, x)
    # 312 x 264 x 360 mm: holds the lungs of a tall man with the chest wall; multiples of 8.
    shape: tuple[int, int, int] = (104, 88, 120)
    window_hu: tuple[float, float] = (-1000.0, 400.0)
    version: str = "1"  # raise it when the same scan would be prepared differently


@dataclass(frozen=True, kw_only=True)
class ChestConfig:
    """When a scan counts as a chest, by the lungs found in it."""

    lung_below_hu: float = -400.0  # aerated lung; consolidations and tumours are denser
    min_lung_ml: float = 900.0  # both lungs; a small adult breathing out has about 1,500
    min_lung_height_mm: float = 120.0
    # A wrong pixel size passes for a large body. Lungs of 59 patients with COPD have 5.3 +- 1.2 l
    # in CT (PMC3292389), six real series here 2.7 to 4.4, 1,210 simulated scans up to 8.0.
    amber_lung_ml: float = 9000.0
    max_lung_ml: float = 12000.0
    # Both lungs, right to left. 303 adults have 25 to 30 cm on average by sex and age (Obikili and
    # Okoye 2006); six real series here 237 to 264 mm, with pixels 1.5 times too large 360 to 396.
    amber_lung_width_mm: float = 350.0
    max_lung_width_mm: float = 400.0
    # Lung area in an end slice over the largest area; above it a part is cut off.
    amber_cut_ratio: float = 0.25
    red_cut_ratio: float = 0.60
    # The left lung has about 45 % of the volume; below this a whole lung is missing.
    min_smaller_side: float = 0.10
    # Five real chests have 0.14 (its base cut off) to 0.54, and as much below 0 when turned over.
    min_upright: float = -0.10
    # Five real chests have 0.04 to 0.20, and as much below 0 when turned back to front.
    min_spine_behind: float = -0.015


@dataclass(frozen=True, kw_only=True)
class ZoneConfig:
    """When an answer is given with caution or not at all. Limits from our own reasoning."""

    amber_slice_spacing_mm: float = 5.0
    # Of the 605 simulated patients of the demo cohort half have more than 0.62, a twentieth more
    # than 0.69, one more than 0.72. That is the widest that an answer near one half has while the
    # networks agree; beyond, they do not.
    amber_interval_width: float = 0.72
    amber_ood_percentile: float = 95.0
    red_members_range: float = 0.40
    # Fluid hides tumour. Of 1,000 simulated patients, unknown to the first network, 36 had so much
    # more fluid and a tumour read so much smaller: of 12 of them the change was read too low by
    # 40 % or more.
    amber_fluid_rise_ml: float = 100.0
    amber_tumour_fall: float = 0.30  # of the baseline


@dataclass(frozen=True, kw_only=True)
class Config:
    intake: IntakeConfig = IntakeConfig()
    pair: PairConfig = PairConfig()
    prepare: PrepareConfig = PrepareConfig()
    chest: ChestConfig = ChestConfig()
    zone: ZoneConfig = ZoneConfig()
