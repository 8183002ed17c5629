"""Scans side by side for the eye: three planes in two windows, and the tumour's outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from ctrs.lungs import BODY_HU
from ctrs.types import Array, Floats, Mask, Triple, Volume

LUNG, MEDIASTINUM = (-600.0, 1500.0), (40.0, 400.0)  # centre, width; HU
SIDE_INCHES, DPI = 1.55, 100
ZOOM_MM = 90.0  # side of the small copy with the outline
LUNG_AROUND = 0.35  # share of lung in the small copy from which it has the lung window
FOUND_AGAIN_MM = 50.0  # a tumour moves that far with breath and posture, and no farther
SPLINTER = 0.1  # of the largest part nearby
ORANGE, ORANGE_RGB = "#E69F00", (230, 159, 0)
COLOURS = 64  # of a written figure; more costs bytes and shows nothing


@dataclass(frozen=True)
class Plane:
    """One slice as it is hung: head or front on top, the patient's left on the right.

    Attributes:
        spacing: mm between rows and columns.
        outline: The tumour, same shape; ``None`` where nobody knows.
    """

    hu: Array
    spacing: tuple[float, float]
    outline: Mask | None


@dataclass(frozen=True)
class Views:
    """What is shown of one scan: axial, coronal and sagittal through one place."""

    label: str
    axial: Plane
    coronal: Plane
    sagittal: Plane
    centre: tuple[float, float]  # row and column of the place in the axial plane

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        return self.axial, self.coronal, self.sagittal


def cut_views(volume: Volume, centre: Triple, label: str, tumour: Mask | None = None) -> Views:
    """Cut a scan through ``centre``, voxel indices ``(z, y, x)``."""
    z, y, x = (
        int(np.clip(round(c), 0, n - 1)) for c, n in zip(centre, volume.hu.shape, strict=True)
    )
    mm_z, mm_y, mm_x = volume.spacing
    upright = np.s_[::-1]  # z grows to the head, rows grow downwards

    def plane(cut: tuple[slice | int, ...], spacing: tuple[float, float]) -> Plane:
        outline = None if tumour is None else tumour[cut].copy()
        return Plane(volume.hu[cut].copy(), spacing, outline)

    everything = slice(None)
    return Views(
        label,
        axial=plane((z,), (mm_y, mm_x)),
        coronal=plane((upright, y), (mm_z, mm_x)),
        sagittal=plane((upright, everything, x), (mm_z, mm_y)),
        centre=(float(y), float(x)),
    )


# --- Where to cut ---------------------------------------------------------------------------


def largest_tumour(tumour: Mask) -> Triple | None:
    """Centre of the largest connected tumour, voxel indices; ``None`` without one."""
    centres, sizes = _parts(tumour)
    return _triple(centres[np.argmax(sizes)]) if len(sizes) else None


def same_place(tumour: Mask, volume: Volume, place_mm: Triple) -> Triple:
    """The tumour nearest a place of the other visit, or that place where none is near.

    A part that is much smaller than another one nearby is a splinter of it, and passed over.

    Args:
        place_mm: ``(z, y, x)`` mm, in the frame of ``volume.origin``.

    Returns:
        Voxel indices.
    """
    here = (np.array(place_mm) - volume.origin[::-1]) / volume.spacing
    centres, sizes = _parts(tumour)
    away = np.sqrt((((centres - here) * volume.spacing) ** 2).sum(axis=1))
    near = away < FOUND_AGAIN_MM
    if not near.any():
        return _triple(here)
    whole = near & (sizes >= SPLINTER * sizes[near].max())
    return _triple(centres[np.argmin(np.where(whole, away, np.inf))])


def _parts(tumour: Mask) -> tuple[Floats, Floats]:
    """Centres ``(n, 3)`` and voxels ``(n,)`` of the connected parts."""
    labels, n = ndimage.label(tumour)
    index = np.arange(1, n + 1)
    centres = np.array(ndimage.center_of_mass(tumour, labels, index), float).reshape(-1, 3)
    return centres, np.array(ndimage.sum_labels(tumour, labels, index), float)


def _triple(point: Floats) -> Triple:
    z, y, x = (float(coordinate) for coordinate in point)
    return z, y, x


def in_mm(volume: Volume, index: Triple) -> Triple:
    """Voxel indices to mm in the frame of ``volume.origin``, ``(z, y, x)``."""
    z, y, x = (
        start + i * mm
        for start, i, mm in zip(volume.origin[::-1], index, volume.spacing, strict=True)
    )
    return z, y, x


# --- Drawing --------------------------------------------------------------------------------


def contact_sheet(rows: Sequence[Views]) -> Figure:
    """One row a scan: three planes for lung, three for mediastinum, the outline enlarged.

    The pictures carry no ornament, so that the eye meets what it would in a viewer.
    """
    figure = Figure(figsize=(7 * SIDE_INCHES, len(rows) * (SIDE_INCHES + 0.14)), facecolor="black")
    axes = figure.subplots(len(rows), 7, squeeze=False)
    figure.subplots_adjust(0.002, 0.002, 0.998, 1 - 0.14 / figure.get_figheight(), 0.02, 0.11)
    for line, views in zip(axes, rows, strict=True):
        for axis, plane in zip(line[:3], views.planes, strict=True):
            _show(axis, plane, LUNG)
        for axis, plane in zip(line[3:6], views.planes, strict=True):
            _show(axis, plane, MEDIASTINUM)
        _show_outline(line[6], views)
        top = line[0].get_position(original=True).y1  # of the cell, however high the picture
        figure.text(0.003, top + 0.03 / figure.get_figheight(), views.label, color="white",
                    fontsize=6.5)  # fmt: skip
    return figure


def _show(axis: Axes, plane: Plane, window: tuple[float, float]) -> None:
    centre, width = window
    axis.imshow(
        plane.hu,
        cmap="gray",
        vmin=centre - width / 2,
        vmax=centre + width / 2,
        aspect=plane.spacing[0] / plane.spacing[1],
        interpolation="bilinear",
    )
    axis.axis("off")


def _show_outline(axis: Axes, views: Views) -> None:
    """The tumour enlarged in the window of its surroundings, with a thin contour."""
    plane = views.axial
    (row, column), (mm_y, mm_x) = views.centre, plane.spacing
    half_y, half_x = ZOOM_MM / 2 / mm_y, ZOOM_MM / 2 / mm_x
    y, x = max(round(row - half_y), 0), max(round(column - half_x), 0)
    around = plane.hu[y : y + round(2 * half_y), x : x + round(2 * half_x)]
    in_lung = float((around < BODY_HU).mean()) > LUNG_AROUND
    _show(axis, plane, LUNG if in_lung else MEDIASTINUM)
    if plane.outline is not None and plane.outline.any() and not plane.outline.all():
        axis.contour(plane.outline.astype(float), levels=[0.5], colors=ORANGE, linewidths=0.7)
    axis.set_xlim(column - half_x, column + half_x)
    axis.set_ylim(row + half_y, row - half_y)


def _greys_and_orange() -> list[int]:
    """48 greys from black to white, and the contour's colour in 8 strengths; RGB after RGB."""
    greys = [round(level * 255 / 47) for level in range(48)]
    strengths = [(k + 1) / 8 for k in range(8)]
    oranges = [round(part * k) for k in strengths for part in ORANGE_RGB]
    return [part for grey in greys for part in (grey, grey, grey)] + oranges


GREYS_AND_ORANGE = _greys_and_orange()


def save_small(
    figure: Figure, path: Path, dpi: int = DPI, palette: Sequence[int] | None = None
) -> None:
    """Write a PNG with a palette, by default the picture's own: a third of full colour's bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=dpi, facecolor=figure.get_facecolor())
    picture = Image.open(buffer).convert("RGB")
    if palette is None:
        small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    else:
        wanted = Image.new("P", (1, 1))
        wanted.putpalette(palette)
        small = picture.quantize(palette=wanted, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
