"""The outline of a tumour: a field cut at the level that gives exactly the wanted volume.

Lengths are in radii of the sphere of the same volume, so that a tumour keeps its pattern through
the visits. Every array is a window around the tumour, which may reach out of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ctrs.types import Array, Triple

Slices = tuple[slice, slice, slice]
Axes = tuple[Array, Array, Array]

REACH = 1.7  # radii along each half-axis; holds a tumour that a wall has flattened
BODY = 1.2  # radii; no bump beyond may make an island of its own
SPIKE_COUNT = (45, 75)
SPIKE_LENGTH = (0.5, 1.4)  # over `spicules`
SPIKE_WIDTH = 0.08  # half-width at the foot
SPIKE_FOOT = 0.55  # where a spike starts, so that it is never cut off from the body
SPIKE_STEEPNESS = 4.0  # keeps a spike thin wherever the body's level lies
NOISE_HALF = 3.2  # radii; beyond it the noise repeats its edge
ABS_NORMAL = 0.8  # mean of the absolute value of a normal variable
NOISE_SD = 0.408  # of quadratic B-splines on white noise: sqrt(11 / 20) to the third power


class Outline(NamedTuple):
    """Half-axes of the smooth body ``(z, long, short)`` and the direction of the long one."""

    half_axes: Triple
    cos: float
    sin: float


@dataclass(frozen=True)
class Window:
    """A box of voxels around a tumour, and the part of it that lies in the scan.

    Attributes:
        inside: In the scan's voxels.
        part: The same voxels, counted from the window's first.
        axes: Coordinates in radii from the tumour's centre, 1-D each, ``(z, y, x)``.
        padding: Voxels of the window before and after the scan, a pair for each axis.
    """

    inside: Slices
    part: Slices
    axes: Axes
    padding: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = self.axes
        return len(z), len(y), len(x)

    def view(self, values: np.ndarray) -> np.ndarray:
        """The window's part of a whole scan, its edge repeated where the window leaves it."""
        return np.pad(values[self.inside], self.padding, mode="edge")


def open_window(
    shape: tuple[int, ...], spacing: Triple, centre: np.ndarray, radius: float, reach: Triple
) -> Window | None:
    """The window ``reach`` radii around ``centre`` (voxels); ``None`` outside the scan."""
    inside, part, axes, padding = [], [], [], []
    for n, mm, c, r in zip(shape, spacing, centre, reach, strict=True):
        voxels = int(np.ceil(r * radius / mm)) + 2
        low, high = round(float(c)) - voxels, round(float(c)) + voxels + 1
        first, last = max(low, 0), min(high, n)
        if first >= last:
            return None
        inside.append(slice(first, last))
        part.append(slice(first - low, last - low))
        padding.append((first - low, high - last))
        axes.append(((np.arange(low, high) - float(c)) * (mm / radius)).astype(np.float32))
    return Window(
        (inside[0], inside[1], inside[2]),
        (part[0], part[1], part[2]),
        (axes[0], axes[1], axes[2]),
        tuple(padding),
    )


def draw_outline(elongation: float, node: bool, rng: np.random.Generator) -> Outline:
    """Half-axes with product 1; the longest axial one is ``elongation``.

    Of a node the shortest axial one is ``1 / elongation``: readers measure nodes across.
    """
    turn = float(rng.uniform(0, np.pi))
    jitter = float(np.clip(rng.normal(0, 0.08), -1, 1)) * min(1.0, 6 * (elongation - 1))
    rest = elongation**-0.5
    flat = rest * float(np.exp(np.clip(jitter, -1, 1.5 * np.log(max(elongation, 1.0)))))
    short = 1 / elongation if node else flat
    upright = 1 / (elongation * short)
    return Outline((upright, elongation, short), float(np.cos(turn)), float(np.sin(turn)))


def reach_of(outline: Outline, spicules: float) -> Triple:
    """How far the window has to reach, in radii, ``(z, y, x)``."""
    upright, long, short = outline.half_axes
    spikes = 1.05 + SPIKE_LENGTH[1] * spicules if spicules > 0 else 0.0
    in_plane = max(REACH * max(long, short), spikes)
    return max(REACH * upright, spikes), in_plane, in_plane


def body_distance(axes: Axes, outline: Outline) -> Array:
    """Distance from the centre in half-axes: 1 on the smooth ellipsoid."""
    upright, long, short = outline.half_axes
    z, y, x = np.ix_(*axes)
    along = (np.float32(outline.cos) * x + np.float32(outline.sin) * y) / np.float32(long)
    across = (np.float32(outline.cos) * y - np.float32(outline.sin) * x) / np.float32(short)
    in_plane = along * along + across * across
    return np.sqrt((z / np.float32(upright)) ** 2 + in_plane)


def shape_field(
    axes: Axes, outline: Outline, irregularity: float, spicules: float, rng: np.random.Generator
) -> Array:
    """Small inside, large outside; 1 near the surface."""
    field = body_distance(axes, outline)
    far = np.maximum(field - np.float32(BODY), 0)
    lobes = np.abs(smooth_noise(axes, 0.8, rng))  # round bumps with grooves between them
    lobes += np.float32(0.45) * smooth_noise(axes, 0.7, rng)
    lobes += np.float32(0.22) * smooth_noise(axes, 0.28, rng)
    lobes -= np.float32(ABS_NORMAL)
    field -= np.float32(0.75 * irregularity) * lobes
    field += np.float32(3) * far
    if spicules > 0:
        _add_spikes(field, axes, spicules, rng)
    return field


def _add_spikes(field: Array, axes: Axes, spicules: float, rng: np.random.Generator) -> None:
    """Thin needles from the body into the lung, each only in its own box."""
    for _ in range(int(rng.integers(*SPIKE_COUNT))):
        direction = rng.standard_normal(3)
        direction /= np.sqrt((direction * direction).sum())
        tip = 1 + spicules * float(rng.uniform(*SPIKE_LENGTH))
        foot = SPIKE_WIDTH * float(rng.uniform(0.7, 1.3))
        box = [_between(a, d, tip) for a, d in zip(axes, direction, strict=True)]
        z, y, x = np.ix_(*(a[s] for a, s in zip(axes, box, strict=True)))
        dz, dy, dx = (np.float32(d) for d in direction)
        along = z * dz + y * dy + x * dx
        aside = np.sqrt(np.maximum(z * z + y * y + x * x - along * along, 0))
        width = np.float32(foot) * (np.float32(tip) - along) / np.float32(tip - SPIKE_FOOT)
        spike = 1 + np.float32(SPIKE_STEEPNESS) * (aside - width)
        spike[(along < SPIKE_FOOT) | (along > tip)] = np.inf
        view = field[tuple(box)]
        np.minimum(view, spike, out=view)


def _between(axis: Array, direction: float, tip: float) -> slice:
    ends = sorted((direction * SPIKE_FOOT, direction * tip))
    low, high = np.searchsorted(axis, (ends[0] - 0.4, ends[1] + 0.4))
    return slice(int(low), int(high))


def smooth_noise(axes: Axes, scale: float, rng: np.random.Generator) -> Array:
    """A smooth random field with unit variance and this grain, fixed to the coordinates."""
    cells = int(2 * NOISE_HALF / scale) + 4
    field = rng.standard_normal((cells, cells, cells)).astype(np.float32)
    for axis in (2, 1, 0):  # the last step gathers whole planes, which is fast
        field = _spline(field, (axes[axis] + np.float32(NOISE_HALF)) / np.float32(scale), axis)
    field /= np.float32(NOISE_SD)
    return field


def _spline(lattice: Array, where: Array, axis: int) -> Array:
    """Quadratic B-spline through the lattice along one axis."""
    middle = np.rint(where)
    t = where - middle
    half = np.float32(0.5)
    weights = (half * (half - t) ** 2, np.float32(0.75) - t * t, half * (half + t) ** 2)
    out = None
    for step, weight in zip((-1, 0, 1), weights, strict=True):
        index = np.clip(middle.astype(int) + step, 0, lattice.shape[axis] - 1)
        shape = [1, 1, 1]
        shape[axis] = -1
        term = lattice.take(index, axis=axis)
        term *= weight.reshape(shape)
        out = term if out is None else np.add(out, term, out=out)
    return np.asarray(out, np.float32)


# --- Volume -------------------------------------------------------------------------------------


def voxel_range(field: Array) -> Array:
    """By how much the field changes across each voxel: the width of a soft cut through it."""
    width = np.full(field.shape, 1e-3, np.float32)
    for axis in range(field.ndim):
        if field.shape[axis] < 2:
            continue
        step = np.abs(np.diff(field, axis=axis))
        step *= np.float32(0.5)
        first, last = [slice(None)] * field.ndim, [slice(None)] * field.ndim
        first[axis], last[axis] = slice(1, None), slice(None, -1)
        width[tuple(first)] += step
        width[tuple(last)] += step
    return width


def cover(field: Array, width: Array, room: Array | None, voxels: float) -> tuple[Array, float]:
    """The share of each voxel below the level at which the shares add up to ``voxels``.

    Args:
        width: Of the soft edge, in units of the field; see `voxel_range`.
        room: The share of each voxel that may be covered; ``None`` = all of it.

    Returns:
        Shares 0 to 1, and the level. Without room enough, everything there is.
    """
    low, high = _bracket(field, width, room, voxels)
    reach = np.float32(0.5) * width
    near = (field + reach > low) & (field - reach < high)
    inner = ~near & (field < low)
    fixed = float(np.count_nonzero(inner) if room is None else room[inner].sum(dtype=np.float64))
    part = (field[near], width[near], None if room is None else room[near])
    for _ in range(32):
        level = 0.5 * (low + high)
        covered = fixed + float(_shares(*part, level).sum(dtype=np.float64))
        low, high = (level, high) if covered < voxels else (low, level)
    return _shares(field, width, room, high), high


def _bracket(field: Array, width: Array, room: Array | None, voxels: float) -> tuple[float, float]:
    """Levels that cover too little and enough, near each other where the guess is right."""
    blocked = 0.0 if room is None else float((1 - room).sum(dtype=np.float64))
    few = int(np.clip(0.6 * voxels, 1, field.size)) - 1
    many = int(np.clip(1.5 * (voxels + blocked) + 30, 1, field.size)) - 1
    found = np.partition(field.ravel(), (few, many))
    low, high = float(found[few]), float(found[many])
    if float(_shares(field, width, room, low).sum(dtype=np.float64)) >= voxels:
        low = float((field - width).min())
    if float(_shares(field, width, room, high).sum(dtype=np.float64)) < voxels:
        high = float((field + width).max())
    return low, high


def _shares(field: Array, width: Array, room: Array | None, level: float) -> Array:
    share = (np.float32(level) - field) / width
    share += np.float32(0.5)
    np.clip(share, 0, 1, out=share)
    return share if room is None else np.minimum(share, room, out=share)
