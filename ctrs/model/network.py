"""The two networks. `Perceiver` sees one scan; `Foreseer` compares two. Shapes beside the lines.

Pooled over a whole thorax, features hardly feel a lesion. So the first network says where tumour
and fluid are, and the second looks at its features *there*, in the lungs and in the chest wall.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.blocks.convolutions import Convolution
from monai.networks.blocks.upsample import SubpixelUpsample
from torch import Tensor, nn
from torch.nn import functional

from ctrs.config import PrepareConfig

WIDTHS = (24, 48, 96)
RARE = 4.0  # logits start here below zero: few voxels are tumour or fluid
MEDIASTINUM_HU = (-160.0, 240.0)
EMPHYSEMA_HU = -950.0
MUSCLE_HU = (0.0, 130.0)
# Discrete times in months after the follow-up scan; 12 must be one of them.
EDGES_MONTHS = (3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 24.0, 30.0, 36.0)
HU_LOW, HU_HIGH = PrepareConfig().window_hu


class Perception(NamedTuple):
    """What the first network sees in scans: ``features`` (B, C, Z/2, …), ``logits`` (B, 2, Z, …).

    The two maps are tumour and pleural effusion.
    """

    features: Tensor
    logits: Tensor


class Perceiver(nn.Module):
    """A small residual U-Net with an early stride: image in [0, 1] → maps of tumour and fluid."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.stem = nn.Sequential(_convolution(2, a, stride=2), _Residual(a))  # 1/2
        self.down1 = nn.Sequential(_convolution(a, b, stride=2), _Residual(b))  # 1/4
        self.down2 = nn.Sequential(_convolution(b, c, stride=2), _Residual(c), _Residual(c))  # 1/8
        self.up1 = _convolution(c + b, b)
        self.up2 = nn.Sequential(_convolution(b + a, a), _Residual(a))
        self.maps = SubpixelUpsample(3, a, 2, scale_factor=2)

    def forward(self, image: Tensor) -> Perception:
        x0 = self.stem(two_windows(image))  # (B, 1, Z, Y, X) -> (B, 24, Z/2, Y/2, X/2)
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        x1 = self.up1(torch.cat([_double(x2), x1], dim=1))
        x0 = self.up2(torch.cat([_double(x1), x0], dim=1))
        return Perception(x0, self.maps(x0) - RARE)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.path = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)  # type: ignore[no-any-return]


def place(net: nn.Module, device: torch.device) -> None:
    """Move a network to a device, its weights laid out as 3-D convolutions like them best."""
    net.to(device)
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _convolution(inside: int, outside: int, stride: int = 1) -> Convolution:
    return Convolution(3, inside, outside, strides=stride, norm="INSTANCE", act="RELU")


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def two_windows(image: Tensor) -> Tensor:
    """The whole range, and the soft tissues spread out: (B, 1, …) -> (B, 2, …), in [0, 1]."""
    low, high = ((hu - HU_LOW) / (HU_HIGH - HU_LOW) for hu in MEDIASTINUM_HU)
    return torch.cat([image, ((image - low) / (high - low)).clamp(0, 1)], dim=1)


# --- From maps to a few numbers a scan ------------------------------------------------------

MEASURES = ("tumour_ml", "largest_share", "effusion_ml", "lung_ml", "lung_hu", "emphysema_share",
            "muscle_mm", "tumour_hu", "tumour_dark_share", "halo_share")  # fmt: skip


def measure(
    image: Tensor, lungs: Tensor, tumour: Tensor, effusion: Tensor, voxel_ml: float
) -> Tensor:
    """Plain measurements of scans, from the image and the maps.

    Args:
        image, lungs, tumour, effusion: (B, 1, Z, Y, X); maps as shares in [0, 1].

    Returns:
        (B, 10) in the order of `MEASURES`; volumes in ml, densities in HU, shares in [0, 1],
        muscle as its mean thickness in mm at the sides of the lungs.
    """
    hu = image * (HU_HIGH - HU_LOW) + HU_LOW

    def total(share: Tensor) -> Tensor:
        return share.sum(dim=(1, 2, 3, 4))

    def mean(values: Tensor, share: Tensor) -> Tensor:
        return total(values * share) / total(share).clamp_min(1.0)

    aerated = lungs * (1 - tumour) * (1 - effusion)
    muscle = ((hu > MUSCLE_HU[0]) & (hu < MUSCLE_HU[1])).to(hu.dtype)
    beside, rows = _beside(lungs)
    edge_mm = 10 * voxel_ml ** (1 / 3)
    near = functional.max_pool3d(tumour, 5, stride=1, padding=2)
    rim = near * (1 - tumour) * lungs
    densest = functional.avg_pool3d(tumour, 9, stride=4).flatten(1).amax(1)
    return torch.stack(
        [
            total(tumour) * voxel_ml,
            densest,
            total(effusion) * voxel_ml,
            total(lungs) * voxel_ml,
            mean(hu, aerated),
            mean((hu < EMPHYSEMA_HU).to(hu.dtype), aerated),
            total(muscle * beside) / (2 * rows).clamp_min(1.0) * edge_mm,
            mean(hu, tumour),
            mean((hu < 22).to(hu.dtype), tumour),
            mean(((hu > -750) & (hu < -300)).to(hu.dtype), rim),
        ],
        dim=1,
    )


def _beside(lungs: Tensor) -> tuple[Tensor, Tensor]:
    """What lies outside the lungs to the left and right, in the rows that hold lung.

    The chest wall, without the heart and the vessels that lie between the lungs.

    Returns:
        (B, 1, Z, Y, X) of 0 and 1; and how many rows hold lung, (B,).
    """
    left, right = lungs.cumsum(-1) == 0, lungs.flip(-1).cumsum(-1).flip(-1) == 0
    held = lungs.amax(-1, keepdim=True) > 0
    return ((left | right) & held).to(lungs.dtype), held.flatten(1).sum(1).to(lungs.dtype)


def pool(features: Tensor, lungs: Tensor, tumour: Tensor) -> Tensor:
    """Mean of the deep features over the tumour and over the lungs: (B, 2 C)."""
    halved = [functional.avg_pool3d(share, 2) for share in (tumour, lungs)]
    pooled = [
        (features * share).sum(dim=(2, 3, 4)) / share.sum(dim=(2, 3, 4)).clamp_min(1e-3)
        for share in halved
    ]
    return torch.cat(pooled, dim=1)


def describe_pair(baseline: Tensor, follow_up: Tensor) -> Tensor:
    """Measures of both scans → the scale on which they act: (B, 10), (B, 10) -> (B, 20).

    Volumes become logarithms, so that their difference is growth in per cent.
    """

    def scaled(m: Tensor) -> Tensor:
        tumour, largest, effusion, lung, lung_hu, emphysema, muscle, hu, dark, halo = m.unbind(1)
        return torch.stack(
            [
                torch.log(tumour + 0.3),
                largest,
                torch.log1p(effusion / 100),
                torch.log(lung.clamp_min(100) / 4000),
                lung_hu / 100,
                emphysema * 5,
                muscle / 5,
                hu / 50,
                dark * 2,
                halo * 2,
            ],
            dim=1,
        )

    before, after = scaled(baseline), scaled(follow_up)
    return torch.cat([(before + after) / 2, after - before], dim=1)


# --- From two scans to a survival curve -----------------------------------------------------


class Foreseer(nn.Module):
    """Logistic hazards from a pair: measurements act directly, deep features through a bottleneck.

    Inputs are standardised and held within three standard deviations, so that a pair unlike all
    training pairs is not extrapolated.

    Source of the loss: Gensheimer & Narasimhan, PeerJ 7 (2019) e6257.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, measures: int = 2 * len(MEASURES), deep: int = 4 * WIDTHS[0]) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(measures + deep))
        self.register_buffer("scale", torch.ones(measures + deep))
        self.measures = measures
        self.deep = nn.Sequential(nn.Dropout(0.5), nn.Linear(deep, 4), nn.Tanh())
        self.hidden = nn.Sequential(
            nn.Linear(measures + 5, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1)
        )
        self.direct = nn.Linear(measures, 1)
        self.baseline = nn.Parameter(torch.full((len(EDGES_MONTHS),), -2.0))

    def forward(self, inputs: Tensor, days: Tensor) -> Tensor:
        """Hazard logits per interval: (B, 116), (B,) -> (B, 9); higher = dies sooner."""
        x = ((inputs - self.centre) / self.scale).clamp(-3, 3)
        plain, deep = x[:, : self.measures], self.deep(x[:, self.measures :])
        weeks = (days[:, None] - 84.0) / 28.0
        risk = self.direct(plain) + self.hidden(torch.cat([plain, deep, weeks], dim=1))
        return risk + self.baseline  # type: ignore[no-any-return]


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
    log_likelihood = lived * functional.logsigmoid(-logits) + died * functional.logsigmoid(logits)
    return -log_likelihood.sum(1).mean()
