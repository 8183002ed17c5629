"""How far a pair is from what the networks were trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ctrs.model.measure import MEASURES
from ctrs.model.network import EMBEDDED

TRAITS = len(MEASURES) + EMBEDDED
SHRINKAGE = 0.1  # towards independent traits: some hundred patients, a hundred traits


class Usual(nn.Module):
    """Distances of scans from the training scans, by what was measured and the embedding.

    The measures hold how the scan was made, too: its noise within and across slices, read off
    the voxels, because tags may lie. The distance is Mahalanobis', over the root of the number
    of traits: 1 is usual.
    """

    centre: Tensor
    scale: Tensor
    inverse: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(TRAITS))
        self.register_buffer("scale", torch.ones(TRAITS))
        self.register_buffer("inverse", torch.eye(TRAITS))

    @staticmethod
    def of(measures: Tensor, embeddings: Tensor) -> Usual:
        """Fitted to pairs: (N, 2, 15), (N, 2, 128)."""
        usual, traits = Usual(), _traits(measures, embeddings).flatten(0, 1)
        usual.centre.copy_(traits.mean(0))
        usual.scale.copy_(traits.std(0).clamp_min(1e-4))
        z = (traits - usual.centre) / usual.scale
        together = (1 - SHRINKAGE) * (z.T @ z) / len(z) + SHRINKAGE * torch.eye(TRAITS)
        usual.inverse.copy_(torch.linalg.inv(together.double()).float())
        return usual

    def distance(self, measures: Tensor, embeddings: Tensor) -> np.ndarray:
        """Of pairs, that of the less usual scan: (N, 2, 15), (N, 2, 128) -> (N,)."""
        z = (_traits(measures, embeddings) - self.centre) / self.scale
        squares = torch.einsum("nvi,ij,nvj->nv", z, self.inverse, z) / TRAITS
        return np.asarray(squares.clamp_min(0).sqrt().amax(1).double().numpy())


def _traits(measures: Tensor, embeddings: Tensor) -> Tensor:
    """Measures as logarithms where they may be large, beside the embedding: (…, 15 + 128)."""
    return torch.cat([torch.asinh(measures), embeddings], dim=-1)
