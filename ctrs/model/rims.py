"""Hazy rims: whether a tumour that looks larger has an edge as immune cells make it.

On a grid of 3 mm most rims are one or two voxels wide, less than an edge is blurred by, and no map
shows them surely. So the edges of all tumours of a scan are laid upon each other, as rays that
begin where they leave the tumour, and what is left of the tumour there is learnt from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from ctrs.types import Array, Mask

TUMOUR, DENSE_HU = 0.3, -400.0  # chance and density from which a voxel belongs to a tumour
CLEAR_HU = -550.0  # less dense than a vessel or the chest wall
LEAST_VOXELS, LEAST_RAYS = 8, 12
PLACES = np.arange(0, 5.01, 0.5)  # voxels beyond the edge
PROFILE = 3 * len(PLACES) + 1
C = 5.0  # inverse strength of the penalty
LEAST_CASES = 20  # with a rim, and without
_FROM, _STEP = -1.5, 0.25  # of the samples along a ray, in voxels from the outermost dense voxel
_SAMPLES = np.arange(_FROM, 7.01, _STEP)
_INSIDE = 4  # the samples before are not looked at for the edge
_MARGIN = 10  # voxels around all tumours
_FAR, _CLEAR, _IN_LUNG = 8, 4, 3  # of PLACES: from there lung alone, no vessel, lung
_HELD = 4.0  # standard deviations


def profile(hu: Array, tumour: Array, lungs: Mask) -> npt.NDArray[np.float64]:
    """How the density falls beyond the edges of the tumours in the lungs: (34,).

    Args:
        hu, tumour, lungs: Densities, chances of tumour, and where the lungs are, all (Z, Y, X).

    Returns:
        HU above the lung around, at each of `PLACES`: medians, means and lower quartiles over all
        rays that meet nothing but lung; then the logarithm of their number. NaN where there are
        too few.
    """
    dense = (tumour > TUMOUR) & (hu > DENSE_HU)
    if dense.sum() < LEAST_VOXELS:
        return np.full(PROFILE, np.nan)
    (found,) = ndimage.find_objects(dense.astype(np.int8))
    box = tuple(slice(max(s.start - _MARGIN, 0), s.stop + _MARGIN) for s in found)
    rays = _clean_rays(hu[box], dense[box], lungs[box])
    if len(rays) < LEAST_RAYS:
        return np.full(PROFILE, np.nan)
    above = rays - np.median(rays[:, _FAR:])
    parts = (np.median(above, 0), above.mean(0), np.quantile(above, 0.25, axis=0))
    return np.concatenate([*parts, [np.log(len(rays))]])


def _clean_rays(hu: Array, dense: Mask, lungs: Mask) -> npt.NDArray[np.float64]:
    """Densities along each ray from where it leaves the tumour: (N, 11)."""
    points = _points(dense)  # (3, N, samples)
    flat = points.reshape(3, -1)
    along = ndimage.map_coordinates(hu, flat, order=1, mode="nearest").reshape(points.shape[1:])
    lung = ndimage.map_coordinates(lungs.astype(np.float32), flat, order=0).reshape(along.shape)
    below = along[:, _INSIDE:] < DENSE_HU
    first = below.argmax(1) + _INSIDE
    leaves = below.any(1) & (first > _INSIDE)
    rows = np.arange(len(along))
    last_dense, first_thin = along[rows, first - 1], along[rows, first]
    share = (last_dense - DENSE_HU) / np.maximum(last_dense - first_thin, 1e-3)
    edge = _SAMPLES[first - 1] + _STEP * np.clip(share, 0, 1)
    at = (edge[:, None] + PLACES - _FROM) / _STEP
    leaves &= at[:, -1] < len(_SAMPLES) - 1
    at = np.clip(at, 0, len(_SAMPLES) - 1.01)
    low = at.astype(int)
    weight = at - low
    values = (
        np.take_along_axis(along, low, 1) * (1 - weight)
        + np.take_along_axis(along, low + 1, 1) * weight
    )
    in_lung = np.take_along_axis(lung, np.rint(at).astype(int), 1)[:, _IN_LUNG:].min(1) > 0
    clear = values[:, _CLEAR:].max(1) < CLEAR_HU
    return np.asarray(values[leaves & in_lung & clear], np.float64)


def _points(dense: Mask) -> npt.NDArray[np.float32]:
    """Samples outward from each voxel of the surface: (3, N, samples)."""
    surface = np.argwhere(dense & ~ndimage.binary_erosion(dense)).astype(np.float32)
    soft = dense.astype(np.float32)
    here = tuple(surface.astype(int).T)
    slopes = [
        ndimage.gaussian_filter(soft, 1.5, order=[int(axis == k) for axis in range(3)])[here]
        for k in range(3)
    ]
    outward = -np.stack(slopes, 1)
    steep = np.linalg.norm(outward, axis=1, keepdims=True)
    sure = steep[:, 0] > 0.02
    start, way = surface[sure], outward[sure] / steep[sure]
    return np.asarray((start[:, :, None] + way[:, :, None] * _SAMPLES).transpose(1, 0, 2))


class Rims(nn.Module):
    """A logistic regression: how likely the tumours of a follow-up have hazy rims.

    Untrained it sees none anywhere.
    """

    centre: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(2 * PROFILE))
        self.register_buffer("scale", torch.ones(2 * PROFILE))
        self.register_buffer("weight", torch.zeros(2 * PROFILE))
        self.register_buffer("bias", torch.tensor(-30.0))

    @staticmethod
    def of(profiles: Tensor, hazy: Tensor, own: Tensor) -> Rims:
        """Learnt from pairs whose tumours have grown.

        Args:
            profiles: (N, 2, 34).
            hazy: (N,) bool, whether there are rims at the follow-up.
            own: (N,) bool, which of the pairs were not chosen for their rims: among them the
                chances add up to what there is.
        """
        rims = Rims()
        if min(int(hazy.sum()), int((~hazy).sum())) < LEAST_CASES or not hazy[own].any():
            return rims
        traits = _traits(profiles)
        rims.centre.copy_(traits.nanmean(0))
        spread = (traits - rims.centre).square().nanmean(0).sqrt()
        rims.scale.copy_(spread.clamp_min(1e-3))
        rims._fit(rims._standard(traits).double(), hazy.double())
        share = float(hazy[own].double().mean())
        rims.bias += _shift(rims._logits(profiles[own]).double(), share)
        return rims

    def _fit(self, traits: Tensor, hazy: Tensor) -> None:
        free = torch.zeros(traits.shape[1] + 1, dtype=torch.double, requires_grad=True)
        optimiser = torch.optim.LBFGS([free], max_iter=500, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            logits = traits @ free[1:] + free[0]
            value = functional.binary_cross_entropy_with_logits(logits, hazy, reduction="sum")
            value = value + free[1:].square().sum() / (2 * C)
            value.backward()
            return value

        optimiser.step(loss)
        self.bias.copy_(free.detach()[0])
        self.weight.copy_(free.detach()[1:])

    def forward(self, profiles: Tensor) -> Tensor:
        """(N, 2, 34), baseline and follow-up -> (N,), 0 to 1; 0 where nothing can be seen."""
        seen = ~profiles[:, 1].isnan().any(1)
        return torch.sigmoid(self._logits(profiles)) * seen

    def _logits(self, profiles: Tensor) -> Tensor:
        return self._standard(_traits(profiles)) @ self.weight + self.bias

    def _standard(self, traits: Tensor) -> Tensor:
        z = (traits - self.centre) / self.scale
        return z.nan_to_num(0.0).clamp(-_HELD, _HELD)


def _traits(profiles: Tensor) -> Tensor:
    """The follow-up, and what is other than at the baseline: (N, 68)."""
    before, after = profiles.unbind(1)
    return torch.cat([after, after - before], dim=1)


def _shift(logits: Tensor, share: float) -> float:
    """What has to be added for the chances to be ``share`` on the average."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(torch.sigmoid(logits + middle).mean()) < share:
            low = middle
        else:
            high = middle
    return low
