"""A `Volume` in, the picture of one axial slice out, hung as radiologists hang it.

The patient's left is on the right of the picture and the front is on top. A `Volume` already lies
that way (x grows to the patient's left, y to the back), so nothing is turned here.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ctrs.types import Array, PreparedScan, Volume

Picture: TypeAlias = npt.NDArray[np.uint8]

# Okabe & Ito's: told apart without seeing red or green.
LOWERED, RAISED = (230, 159, 0), (86, 180, 233)
FAINT = 0.08  # saliency below this share of the strongest is not drawn: it would veil the image


class Window(NamedTuple):
    """Which HU are shown, from black to white: ``centre`` ± half the ``width``."""

    centre: float
    width: float


WINDOWS = {
    "Lung": Window(-600, 1500),
    "Mediastinum": Window(40, 400),
    "Bone": Window(400, 1800),
    "Liver": Window(60, 160),
}


class Span(NamedTuple):
    """From the base of the lungs to their apex, mm above the centre of the lowest slice."""

    base_mm: float
    apex_mm: float


def render_slice(
    volume: Volume,
    index: int,
    window: Window,
    *,
    field_mm: tuple[float, float] | None = None,
    saliency: npt.NDArray[np.floating] | None = None,
    opacity: float = 0.5,
) -> Picture:
    """One axial slice as RGB, shape ``(rows, columns, 3)``, with square pixels.

    Args:
        index: Slice, 0 is the lowest.
        field_mm: Height and width of the picture; the slice is centred in it on black. Two scans
            drawn with one field are equally large. ``None``: as large as the slice.
        saliency: Signed, in [-1, 1], shape of ``volume.hu``: orange lowered the predicted
            survival, blue raised it.
        opacity: Of the strongest saliency, 0 to 1.
    """
    low = window.centre - window.width / 2
    grey = np.clip((volume.hu[index] - low) / window.width, 0, 1) * 255
    colours = np.repeat(grey[..., None], 3, axis=2)  # (rows, columns) -> (rows, columns, 3)
    if saliency is not None:
        colours = _overlay(colours, np.asarray(saliency[index], np.float32), opacity)
    picture = np.rint(colours).astype(np.uint8)
    return _to_scale(picture, volume.spacing[1:], field_mm)


def _overlay(colours: npt.NDArray[np.floating], values: Array, opacity: float) -> Array:
    strength = np.where(np.abs(values) < FAINT, 0, np.abs(values) * opacity)[..., None]
    tint = np.where(values[..., None] > 0, RAISED, LOWERED)
    return np.asarray(colours * (1 - strength) + tint * strength, np.float32)


def _to_scale(
    picture: Picture, spacing: tuple[float, float], field_mm: tuple[float, float] | None
) -> Picture:
    pixel_mm = min(spacing)
    high, wide = (
        round(n * mm / pixel_mm) for n, mm in zip(picture.shape[:2], spacing, strict=True)
    )
    scaled = np.asarray(Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR))
    if field_mm is None:
        return scaled
    rows, columns = (
        max(n, round(mm / pixel_mm)) for n, mm in zip((high, wide), field_mm, strict=True)
    )
    canvas = np.zeros((rows, columns, 3), np.uint8)
    top, left = (rows - high) // 2, (columns - wide) // 2
    canvas[top : top + high, left : left + wide] = scaled
    return canvas


def with_letters(picture: Picture) -> Picture:
    """The picture with R and L at the patient's right and left, white on a dark edge."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    size = max(12, picture.shape[1] // 18)
    font = ImageFont.load_default(size)
    middle, edge = picture.shape[0] // 2, size // 2
    common = {"font": font, "fill": "white", "stroke_width": 2, "stroke_fill": "black"}
    draw.text((edge, middle), "R", anchor="lm", **common)  # type: ignore[arg-type]
    draw.text((picture.shape[1] - edge, middle), "L", anchor="rm", **common)  # type: ignore[arg-type]
    return np.asarray(image)


# --- Which slice ----------------------------------------------------------------------------


def lung_span(prepared: PreparedScan) -> Span | None:
    """Where the lungs begin and end in the scan this was prepared from; ``None`` without lungs."""
    rows = np.flatnonzero(prepared.lungs.any(axis=(1, 2)))
    if rows.size == 0:
        return None
    start, step = prepared.origin[0], prepared.spacing[0]
    return Span(float(start + rows[0] * step), float(start + rows[-1] * step))


def slice_at(volume: Volume, span: Span, height: float) -> int:
    """The slice at a height in the lungs, 0 = base, 1 = apex; the nearest one the scan has."""
    mm = span.base_mm + height * (span.apex_mm - span.base_mm)
    return int(np.clip(round(mm / volume.spacing[0]), 0, len(volume.hu) - 1))


def height_of(volume: Volume, span: Span, index: int) -> float:
    """The inverse of `slice_at`."""
    length = max(span.apex_mm - span.base_mm, volume.spacing[0])
    return (index * volume.spacing[0] - span.base_mm) / length


def whole_scan(volume: Volume) -> Span:
    """Stands in for the lungs where none were found: from the lowest slice to the highest."""
    return Span(0.0, max((len(volume.hu) - 1) * volume.spacing[0], volume.spacing[0]))
