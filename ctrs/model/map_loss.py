"""How wrong maps of what is where are: what the first network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional

from ctrs.config import PrepareConfig
from ctrs.types import KINDS, STRUCTURES

# What a structure usually has where there is one, ml. The cross-entropy of its map is counted in
# this much, so that all maps weigh about the same. The same for every scan: a share of what is in
# the scan would punish a wrong voxel most where there is nothing, and teach to see too little.
USUAL_ML = {
    "tumour": 100.0, "effusion": 250.0, "halo": 15.0, "fibrosis": 1000.0, "atelectasis": 200.0,
    "muscle": 3000.0,
}  # fmt: skip
HARD_TO_SEE = 3.0  # how much more a voxel of tumour in liver or bone counts
HARD = ("liver_tumour", "bone_tumour")
IS_KIND = torch.tensor([name in KINDS for name in STRUCTURES[1:]])
IS_HARD = torch.tensor([name in HARD for name in STRUCTURES[1:]])
OTHERS = [name for name in STRUCTURES[1:] if name not in KINDS]
VOXEL_ML = float(np.prod(PrepareConfig().spacing_mm)) / 1000


class Sample(NamedTuple):
    """Scans with their truth.

    Attributes:
        image: (B, 1, Z, Y, X) in [0, 1].
        fine: (B, 1, Z, Y, X), share of tumour.
        learn: (B, 1, Z, Y, X), 1 where anything may be learnt.
        coarse, learn_coarse: (B, S - 1, Z/2, …), the same of the other structures.
    """

    image: Tensor
    fine: Tensor
    learn: Tensor
    coarse: Tensor
    learn_coarse: Tensor


def perceive_loss(fine: Tensor, coarse: Tensor, sample: Sample) -> Tensor:
    """How wrong the maps of scans are; see `ctrs.model.network.Perception` for the logits."""
    truth, learn = sample.coarse, sample.learn_coarse
    tumour = functional.avg_pool3d(sample.fine * sample.learn, 2)
    hard = functional.interpolate(truth[:, IS_HARD].amax(1, keepdim=True), size=fine.shape[2:])
    weight = 1 + HARD_TO_SEE * hard * sample.fine
    return (
        map_loss(fine, sample.fine, sample.learn, _usual_voxels(["tumour"], 1), weight)
        + map_loss(
            coarse[:, ~IS_KIND], truth[:, ~IS_KIND], learn[:, ~IS_KIND], _usual_voxels(OTHERS, 8)
        )
        + kind_loss(coarse[:, IS_KIND], truth[:, IS_KIND], learn[:, IS_KIND] * tumour)
    )


def _usual_voxels(names: Sequence[str], fine: int) -> Tensor:
    """`USUAL_ML` in voxels of so many fine ones."""
    return torch.tensor([USUAL_ML[name] for name in names]) / (VOXEL_ML * fine)


def map_loss(
    logits: Tensor, truth: Tensor, learn: Tensor, usual: Tensor, weight: Tensor | float = 1.0
) -> Tensor:
    """How wrong maps are, by Dice and cross-entropy: (B, S, …) each.

    Each map is a question of its own. Where nothing may be learnt the answer is fixed at "surely
    nothing", and so is the truth. Dice alone looks at the largest structure of a scan and gives no
    gradient to a map that has once become empty. Where a structure is absent there is no Dice: most
    structures are in few scans, and a push towards nothing in all the others would teach just that.

    Args:
        usual: (S,) voxels in which the cross-entropy is counted.
        weight: Of each voxel in the cross-entropy.
    """
    answer, truth = logits * learn - 12.0 * (1 - learn), truth * learn
    entropy = functional.binary_cross_entropy_with_logits(answer, truth, reduction="none")
    loss = ((weight * entropy).sum(dim=(2, 3, 4)) / usual.to(logits.device)).mean()
    present = (truth.amax(dim=(2, 3, 4)) > 0).to(logits.dtype)
    dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, reduction="none")
    each: Tensor = dice(answer, truth)[:, :, 0, 0, 0] * present
    return loss + each.sum() / present.sum().clamp_min(1)


def kind_loss(logits: Tensor, truth: Tensor, tumour: Tensor) -> Tensor:
    """How wrong the kinds of tumour are, asked only where there is tumour: (B, K, …) each.

    Args:
        truth: Share of a voxel that is tumour of this kind.
        tumour: Share that is tumour; 0 where the kind is not known.
    """
    kind = (truth / tumour.clamp_min(0.05)).clamp(0, 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, kind, reduction="none")
    usual = float(_usual_voxels(["tumour"], 8)) * logits.shape[0] * logits.shape[1]
    return (entropy * tumour).sum() / usual
