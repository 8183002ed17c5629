"""The follow-up laid onto the baseline: lungs on lungs first, then picture on picture.

An affine transform: a patient breathes more or less deeply, and lies a little differently. What it
cannot follow (a heart that beats, an arm, a lung that filled with fluid) a deformable one would
hide, and with it the change that is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ctrs.config import PairConfig
from ctrs.errors import DifferentPatients
from ctrs.ingest.identity import known_id
from ctrs.link import link_by_lungs
from ctrs.types import Array, Finding, Floats, Mask, PreparedScan, ScanPair, Volume, Zone

# Distances beyond this say nothing of where the lungs' surface belongs.
_FAR_MM = 30.0
_GRID = 2  # every second voxel of the model's grid: 6 mm
_SAMPLED = 0.1
_SEED = 1  # of the samples' places: the same pair is always aligned the same way
_LUNG_STEPS, _PICTURE_STEPS = 60, 40
_ROOM_MM = 24.0  # around the lungs: ribs, spine and mediastinum take part, arms and table do not
_WALL_MM = 10.0  # a thin chest wall
_NOBODYS = "The scans do not say whose they are (a placeholder for a patient ID says nothing)"
_SURE = 0.90  # the lungs' overlap from which the transform may be relied on


@dataclass(frozen=True)
class Alignment:
    """Where each place of the baseline lies in the follow-up.

    Attributes:
        affine: (4, 4): ``(x, y, z, 1)`` in mm from the centre of the baseline's first voxel
            becomes the place in the follow-up, from the centre of its own first voxel.
        quality: Dice overlap of the lungs once they lie on each other, 0 to 1; higher is better.
        likeness: Correlation of the two pictures around the lungs (chest wall, spine,
            mediastinum), -1 to 1; two people are less alike than one person twice.
        sure: Whether the transform may be relied on without a look.
        how: How it came about, in words.
    """

    affine: Floats
    quality: float
    likeness: float
    sure: bool
    how: str


def align(baseline: PreparedScan, follow_up: PreparedScan) -> Alignment:
    """The best affine transform from the baseline to the follow-up, by lungs and pictures.

    Where it fits worse than the boxes around the lungs do, those are laid onto each other.
    """
    link = link_by_lungs(baseline, follow_up)
    if not (baseline.lungs.any() and follow_up.lungs.any()):
        return Alignment(link.matrix, 0.0, 0.0, False, link.how)
    boxes = _transform(link.matrix)
    room = _within(baseline, _ROOM_MM) & _scanned(baseline)
    lungs = _register(_distance(baseline), _distance(follow_up), boxes, None, _LUNG_STEPS)
    pictures = _register(
        _image(baseline.image, baseline), _image(follow_up.image, follow_up), lungs,
        (room, _scanned(follow_up)), _PICTURE_STEPS,
    )  # fmt: skip
    candidates = [(pictures, "lungs and pictures"), (lungs, "the lungs"), (boxes, "boxes")]
    fits = [_fit(transform, baseline, follow_up, room) for transform, _ in candidates]
    # The picture decides between those whose lungs fit about as well as any.
    best_overlap = max(overlap for overlap, _ in fits)
    index = max(
        (i for i, (overlap, _) in enumerate(fits) if overlap > best_overlap - 0.03),
        key=lambda i: fits[i][1],
    )
    quality, likeness = fits[index]
    how = (
        f"Aligned by {candidates[index][1]}; the lungs overlap by {quality:.0%} "
        f"({_SURE:.0%} is needed to rely on it)."
    )
    matrix = _matrix(candidates[index][0])
    return Alignment(matrix, quality, likeness, quality >= _SURE, how)


def check_likeness(
    pair: ScanPair, prepared: tuple[PreparedScan, PreparedScan], config: PairConfig, *, whole: bool
) -> list[Finding]:
    """A remark where the bodies are unlike, or so alike that they may be one scan.

    A refusal where no tag says that both are of one patient, and they are very unlike although
    both scans show the whole lungs with the chest wall beside them, and the lungs lie on each
    other well: what is cut off, or under fluid, makes one person unlike himself, too. Where both
    bear one ID it stays a remark, and it takes more: disease changes chests.

    Args:
        whole: Whether both scans go from the apex of the lungs to their base.

    Raises:
        DifferentPatients: Surely two bodies.
    """
    named = [bool(known_id(volume.header)) for volume in (pair.baseline, pair.follow_up)]
    found = align(*prepared)
    if found.likeness >= (config.different_likeness if all(named) else config.min_likeness):
        return _check_one_breath(pair, found, config)
    if all(named):
        return [_unlike("Both scans bear one patient ID, but", found, config.different_likeness)]
    whose = "Only one of the scans says whose it is" if any(named) else _NOBODYS
    seen = whole and all(
        _walls_shown(volume, scan)
        for volume, scan in zip((pair.baseline, pair.follow_up), prepared, strict=True)
    )
    fits = found.quality >= config.different_overlap
    if seen and fits and found.likeness < config.different_likeness:
        raise DifferentPatients(
            f"{whose}, and they show two bodies: the chest walls correlate by "
            f"{found.likeness:.2f} after alignment; at least {config.different_likeness:.2f} is "
            "expected of one patient.",
            "Check that both scans are of the same patient; files that name the patient settle it.",
        )
    return [_unlike(f"{whose}, and they", found, config.min_likeness)]


def _unlike(but_they: str, found: Alignment, usual: float) -> Finding:
    return Finding(
        Zone.AMBER,
        f"{but_they} look like two people: the chest walls correlate by {found.likeness:.2f} after "
        f"alignment, at least {usual:.2f} is usual for one person. Make sure that both are of one "
        "patient.",
    )


def _check_one_breath(pair: ScanPair, found: Alignment, config: PairConfig) -> list[Finding]:
    """A remark where both scans seem to show one breath: a copy, or another reconstruction."""
    days = [volume.header.acquired_on for volume in (pair.baseline, pair.follow_up)]
    two_days = None not in days and days[0] != days[1]
    limit = config.same_likeness_dated if two_days else config.same_likeness
    if found.likeness < limit:
        return []
    return [
        Finding(
            Zone.AMBER,
            "Both scans look like one, in two reconstructions or in copies: the chest walls "
            f"correlate by {found.likeness:.2f} after alignment, two scans by less than "
            f"{limit:g}. Make sure that they are of two days.",
        )
    ]


def _walls_shown(volume: Volume, scan: PreparedScan) -> bool:
    """Whether the picture goes on for `_WALL_MM` in front, behind and beside the lungs."""
    rows = np.flatnonzero(scan.lungs.any(axis=(0, 2))), np.flatnonzero(scan.lungs.any(axis=(0, 1)))
    for axis, found in enumerate(rows, 1):
        if not found.size:
            return False
        low, high = (scan.origin[axis] + at * scan.spacing[axis] for at in (found[0], found[-1]))
        end = (volume.hu.shape[axis] - 1) * volume.spacing[axis]
        if low < _WALL_MM or high > end - _WALL_MM:
            return False
    return True


def _image(values: Array | Mask, scan: PreparedScan) -> sitk.Image:
    """Values on the scan's grid as an image whose places are mm from the scan's first voxel."""
    image: sitk.Image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(scan.spacing[::-1])
    image.SetOrigin(scan.origin[::-1])
    return image


def _distance(scan: PreparedScan) -> sitk.Image:
    """Distance to the lungs' surface in mm, negative inside, cut off at `_FAR_MM`."""
    lungs = sitk.Cast(_image(scan.lungs, scan), sitk.sitkUInt8)
    distance = sitk.SignedMaurerDistanceMap(lungs, squaredDistance=False, useImageSpacing=True)
    clamped: sitk.Image = sitk.Clamp(distance, sitk.sitkFloat32, -_FAR_MM, _FAR_MM)
    return clamped


def _within(scan: PreparedScan, mm: float) -> sitk.Image:
    near: sitk.Image = sitk.Cast(_distance(scan) < mm, sitk.sitkUInt8)
    return near


def _scanned(scan: PreparedScan) -> sitk.Image:
    """Where the scan has slices. Around them the model's box holds air, whose edge moves with the
    scanner's table: taken for the body's, it would stretch one scan to end where the other does."""
    slices = scan.image.any(axis=(1, 2), keepdims=True)
    there: sitk.Image = sitk.Cast(
        _image(np.broadcast_to(slices, scan.image.shape), scan), sitk.sitkUInt8
    )
    return there


def _register(
    fixed: sitk.Image,
    moving: sitk.Image,
    start: sitk.AffineTransform,
    rooms: tuple[sitk.Image, sitk.Image] | None,
    steps: int,
) -> sitk.AffineTransform:
    """``rooms``: what counts of ``fixed`` and of ``moving``, for pictures; surfaces need none."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares() if rooms is None else method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=3.0, minStep=0.02, numberOfIterations=steps, relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )  # fmt: skip
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([_GRID])
    method.SetSmoothingSigmasPerLevel([1.0])
    if rooms is not None:
        method.SetMetricFixedMask(rooms[0])
        method.SetMetricMovingMask(rooms[1])
    transform = sitk.AffineTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return transform


def _transform(matrix: Floats) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def _matrix(transform: sitk.AffineTransform) -> Floats:
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - linear @ centre
    return matrix


def _fit(
    transform: sitk.Transform, baseline: PreparedScan, follow_up: PreparedScan, room: sitk.Image
) -> tuple[float, float]:
    """Overlap of the lungs, and correlation of the pictures around them."""
    onto = _image(baseline.image, baseline)
    moved = sitk.Resample(
        _image(follow_up.lungs, follow_up), onto, transform, sitk.sitkNearestNeighbor, 0.0
    )
    picture = sitk.Resample(
        _image(follow_up.image, follow_up), onto, transform, sitk.sitkLinear, 0.0
    )
    lungs: Mask = sitk.GetArrayViewFromImage(moved) > 0
    shared = 2 * np.count_nonzero(lungs & baseline.lungs)
    seen = sitk.Resample(_scanned(follow_up), onto, transform, sitk.sitkNearestNeighbor, 0.0)
    both = sitk.GetArrayViewFromImage(room & seen) > 0
    around = both & ~lungs & ~baseline.lungs
    one, other = baseline.image[around], sitk.GetArrayViewFromImage(picture)[around]
    likeness = float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0
    total = int(np.count_nonzero(lungs)) + int(np.count_nonzero(baseline.lungs))
    return float(shared) / max(total, 1), likeness
