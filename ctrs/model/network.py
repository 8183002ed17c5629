"""The two networks. `Perceiver` sees one scan; `Foreseer` compares two. Shapes beside the lines.

Pooled over a whole thorax, features hardly feel a lesion. So the first network says, voxel by
voxel, what is where, `ctrs.model.measure` makes a few numbers of that, and the second network
makes survival of those. Tumours of the liver are few and faint: a part of the first network looks
at nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.upsample import SubpixelUpsample
from torch import Tensor, nn
from torch.nn import functional

from ctrs.box import Corner, cut_box
from ctrs.config import PrepareConfig
from ctrs.model.measure import INPUTS, WORSE
from ctrs.types import KINDS, STRUCTURES, Array

WIDTHS = (32, 64, 128, 192)
EMBEDDED = WIDTHS[2]
LIVER_WIDTHS = (16, 32, 64, 96)
RARE = 4.0  # logits start here below zero: few voxels are tumour or fluid
# The soft tissues spread out, and the liver, in which tumours differ by 30 to 45 HU.
WINDOWS_HU = ((-160.0, 240.0), (0.0, 160.0))
# Discrete times in months after the follow-up scan; 12 must be one of them.
EDGES_MONTHS = (3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 24.0, 30.0, 36.0)
# In standard deviations. By a straight line in place of these corners the predictions for 1,000
# patients unknown to the first network (each by networks trained on 800 others) went with their
# true log hazard by r = 0.847, with them by 0.854.
CORNERS = (-3.0, -1.5, -0.5, 0.5, 1.5, 3.0)
FIRST_RISE = 0.02  # of the hazard's logit from corner to corner, before training
_KINDS = [STRUCTURES.index(kind) for kind in KINDS]
_LIVER = STRUCTURES.index("liver_tumour")


class Perception(NamedTuple):
    """What the first network sees in scans.

    Attributes:
        embedding: (B, 128), the mean of its features at an eighth of the resolution.
        fine: (B, 1, Z, Y, X), logits of tumour, the first of `ctrs.types.STRUCTURES`.
        coarse: (B, S - 1, Z/2, Y/2, X/2), logits of the others, whose edges matter less; of
            `ctrs.types.KINDS` on condition that there is a tumour.
    """

    embedding: Tensor
    fine: Tensor
    coarse: Tensor

    def probabilities(self) -> Tensor:
        """Of every structure in every voxel of the image: (B, S, Z, Y, X)."""
        tumour = torch.sigmoid(self.fine.float())
        maps = torch.cat([tumour, _up(torch.sigmoid(self.coarse.float()), tumour)], dim=1)
        maps[:, _KINDS] *= tumour
        return maps


class Perceiver(nn.Module):
    """A residual U-Net with an early stride: image in [0, 1] → a map for each structure.

    Most of its work is done at low resolution: whether a bulge is tumour depends on the anatomy
    around it, its edge on little.
    """

    liver: LiverReader | None  # a trained one, or none

    def __init__(self, reads_liver: bool = False) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        windows = 1 + len(WINDOWS_HU)
        self.stem = nn.Sequential(_convolution(windows, a, stride=2), _convolution(a, a))  # 1/2
        self.down1 = nn.Sequential(_convolution(a, b, stride=2), _Residual(b))  # 1/4
        self.down2 = nn.Sequential(_convolution(b, c, stride=2), _Residual(c), _Residual(c))  # 1/8
        self.down3 = nn.Sequential(_convolution(c, d, stride=2), _Residual(d), _Residual(d))  # 1/16
        self.up3 = _Merge(d, c)
        self.up2 = _Merge(c, b)
        self.up1 = _Merge(b, a)
        self.fine = SubpixelUpsample(3, a, 1, scale_factor=2)
        self.coarse = nn.Conv3d(a, len(STRUCTURES) - 1, 1)
        self.liver = LiverReader() if reads_liver else None

    def forward(self, image: Tensor) -> Perception:
        x1 = self.stem(windowed(image))  # (B, 1, Z, Y, X) -> (B, 32, Z/2, Y/2, X/2)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        embedding = x3.mean(dim=(2, 3, 4))
        x3 = self.up3(self.down3(x3), x3)
        x1 = self.up1(self.up2(x3, x2), x1)
        return Perception(embedding, self.fine(x1) - RARE, self.coarse(x1) - RARE)


class LiverReader(nn.Module):
    """The liver alone, at full resolution: a box of the image → a map of its tumours.

    They are 30 to 45 HU darker than the liver, without a sharp edge, and one patient in six has
    any. What learns to see everything at half the resolution learns little of them.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = LIVER_WIDTHS
        self.stem = _convolution(1 + len(WINDOWS_HU), a)  # 1/1
        self.down1 = nn.Sequential(_convolution(a, b, stride=2), _Residual(b))  # 1/2
        self.down2 = nn.Sequential(_convolution(b, c, stride=2), _Residual(c), _Residual(c))  # 1/4
        self.down3 = nn.Sequential(_convolution(c, d, stride=2), _Residual(d), _Residual(d))  # 1/8
        self.up2 = _Merge(d, c)
        self.up1 = _Merge(c, b)
        self.out = nn.Conv3d(b, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, higher = tumour: (B, 1, Z, Y, X) -> (B, 1, Z/2, Y/2, X/2)."""
        x1 = self.down1(self.stem(windowed(image)))
        x2 = self.down2(x1)
        x2 = self.up2(self.down3(x2), x2)
        return self.out(self.up1(x2, x1)) - RARE  # type: ignore[no-any-return]

    def tumours(self, image: Tensor) -> Tensor:
        """Probabilities in every voxel of the box: (B, 1, Z, Y, X)."""
        return _up(torch.sigmoid(self(image).float()), image)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.path = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)  # type: ignore[no-any-return]


class _Merge(nn.Module):
    """Deep features brought to the resolution of shallow ones and joined with them."""

    def __init__(self, deep: int, shallow: int) -> None:
        super().__init__()
        self.narrow = nn.Conv3d(deep, shallow, 1)
        self.join = _Residual(shallow)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        return self.join(shallow + _up(self.narrow(deep), shallow))  # type: ignore[no-any-return]


def with_liver(maps: Tensor, found: Array, corner: Corner) -> Tensor:
    """The maps of a scan with the tumours of the liver as both parts of the first network see them.

    Their geometric mean: what only one of them sees is little. The reader alone took the dome of a
    real liver, bright by its blood, for 150 ml of tumour, and the rest of the network did not. No
    gradient goes through it.

    Args:
        maps: (1, S, Z, Y, X), probabilities of `STRUCTURES`.
        found: (z, y, x), those of `LiverReader` in a box of the same voxels.
        corner: First voxel of the box; it may leave the scan.
    """
    z, y, x = maps.shape[2:]
    back = (-corner[0], -corner[1], -corner[2])
    read, there = (cut_box(part, back, (z, y, x), 0) for part in (np.ones_like(found), found))
    own = maps[0, _LIVER]
    liver = torch.where(torch.from_numpy(read) > 0, (own * torch.from_numpy(there)).sqrt(), own)
    maps = maps.clone()
    maps[0, _LIVER] = liver
    maps[0, 0] = torch.maximum(maps[0, 0], liver)
    return maps


def place(net: nn.Module, device: torch.device) -> None:
    """Move a network to a device, its weights laid out as 3-D convolutions like them best."""
    net.to(device)
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _convolution(inside: int, outside: int, stride: int = 1) -> Convolution:
    return Convolution(3, inside, outside, strides=stride, norm="INSTANCE", act="RELU")


def _up(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


def windowed(image: Tensor) -> Tensor:
    """The whole range, then each of `WINDOWS_HU`: (B, 1, …) -> (B, 3, …), in [0, 1]."""
    bottom, top = PrepareConfig().window_hu
    views = [image]
    for edges in WINDOWS_HU:
        low, high = ((hu - bottom) / (top - bottom) for hu in edges)
        views.append(((image - low) / (high - low)).clamp(0, 1))
    return torch.cat(views, dim=1)


# --- From two scans to a survival curve -----------------------------------------------------


class Foreseer(nn.Module):
    """Logistic hazards from what was measured in a pair.

    Each input bends the hazard by itself, along a line with a corner at each of `CORNERS`, and a
    few hidden units see all inputs together. More tumour at the follow-up never raises the
    predicted survival, the rest being equal: the inputs of `WORSE` enter with weights of one sign
    only. All inputs are standardised and held between the outermost corners, so that a pair unlike
    all training pairs is not extrapolated.

    Source of the loss: Gensheimer & Narasimhan, PeerJ 7 (2019) e6257.
    """

    centre: Tensor
    scale: Tensor
    worse: Tensor
    corners: Tensor

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        n = len(INPUTS)
        self.register_buffer("centre", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        worse = torch.tensor([name in WORSE for name in INPUTS] + [False])  # the days may do both
        self.register_buffer("worse", worse, persistent=False)
        self.register_buffer("corners", torch.tensor(CORNERS), persistent=False)
        self.rises = nn.Parameter(torch.full((len(CORNERS) - 1, n + 1), FIRST_RISE))
        self.inner = nn.Linear(n + 1, hidden)
        self.outer = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(0.1)
        self.baseline = nn.Parameter(torch.full((len(EDGES_MONTHS),), -2.0))

    def forward(self, inputs: Tensor, days: Tensor) -> Tensor:
        """Hazard logits per interval: (B, 21), (B,) -> (B, 9); higher = dies sooner."""
        x = (inputs - self.centre) / self.scale
        x = torch.cat([x, (days[:, None] - 84.0) / 28.0], dim=1).clamp(CORNERS[0], CORNERS[-1])
        low, high = self.corners[:-1, None], self.corners[1:, None]
        climbed = ((x[:, None] - low) / (high - low)).clamp(0, 1)  # (B, 5, 22)
        alone = (climbed * self._one_sign(self.rises)).sum(dim=(1, 2))[:, None]
        bent = torch.tanh(functional.linear(x, self._one_sign(self.inner.weight), self.inner.bias))
        bent = functional.linear(self.drop(bent), self.outer.weight.abs(), self.outer.bias)
        return alone + bent + self.baseline

    def _one_sign(self, weight: Tensor) -> Tensor:
        return torch.where(self.worse, weight.abs(), weight)


def survival(logits: Tensor) -> Tensor:
    """P(alive) at each of `EDGES_MONTHS`: (B, 9) -> (B, 9), never rising."""
    return torch.exp(functional.logsigmoid(-logits).cumsum(1))


def logistic_hazard_loss(logits: Tensor, months: Tensor, event: Tensor) -> Tensor:
    """Mean negative log likelihood of censored survival times in discrete intervals.

    Args:
        months: (B,) from the follow-up scan; a death counts in the interval it falls into.
        event: (B,) 1 = died. A censored patient counts for the intervals lived through whole.
    """
    edges = torch.tensor(EDGES_MONTHS)
    lived = (months[:, None] >= edges).to(logits.dtype)  # (B, 9)
    starts = torch.cat([torch.zeros(1), edges[:-1]])
    died = ((months[:, None] >= starts) & (months[:, None] < edges)).to(logits.dtype)
    died = died * event[:, None]
    return _negative_log_likelihood(logits, lived, died)


def expected_hazard_loss(logits: Tensor, curve: Tensor) -> Tensor:
    """The same loss on the average over all lives that a known curve allows, none censored.

    Args:
        curve: (B, 9), true P(alive) at each of `EDGES_MONTHS`, never rising.
    """
    before = torch.cat([torch.ones(len(curve), 1), curve[:, :-1]], dim=1)
    return _negative_log_likelihood(logits, curve, before - curve)


def _negative_log_likelihood(logits: Tensor, lived: Tensor, died: Tensor) -> Tensor:
    log_likelihood = lived * functional.logsigmoid(-logits) + died * functional.logsigmoid(logits)
    return -log_likelihood.sum(1).mean()
