"""A simulated trial whose scans take no time to look at, and weights trained on it in seconds."""

import numpy as np

from ctrs.model.foresee import ForeseeConfig
from ctrs.model.perceive import PerceiveConfig
from ctrs.model.train import TrainConfig, train
from ctrs.trial.bank import simulate_trial
from ctrs.trial.prepared import RESCANS, write_prepared
from ctrs.types import STRUCTURES

TINY = TrainConfig(
    perceive=PerceiveConfig(steps=3, save_every=1), foresee=ForeseeConfig(members=2, epochs=3),
    seed=5,
)  # fmt: skip
# In place of the whole 104 x 88 x 120: a step takes a hundredth of the time. No smaller: where a
# sixteenth of it is two slices, PyTorch's bfloat16 gives gradients of any size on a CPU.
GRID = (40, 32, 40)
N_PATIENTS, TRAINED, RESCANNED = 40, 22, 4


def tiny_scans(seed):
    """Both visits of somebody: two unequal lungs, a tumour that grows, at times some fluid."""
    rng = np.random.default_rng(seed)
    visits = []
    for visit in (0, 1):
        image = np.full(GRID, 185, np.uint8)
        arrays = {name: np.zeros(GRID, np.uint8) for name in ("lungs", *STRUCTURES)}
        arrays["lungs"][2 : 13 + seed % 5, 4:17, 3:13] = 1
        arrays["lungs"][3:13, 5:18, 18:28] = 1
        z, y, x = rng.integers((4, 6, 5), (8, 12, 9))
        arrays["tumour"][z : z + 3 + visit, y : y + 3, x : x + 4] = 255
        if seed % 4 == 0:
            arrays["effusion"][2:6, 14:17, 18:28] = 200
        arrays["muscle"][:, 20:22, 4:28] = 255
        image[arrays["lungs"] > 0] = 28
        image[arrays["tumour"] + arrays["effusion"] > 0] = 190
        visits.append({"image": image + rng.integers(0, 9, GRID).astype(np.uint8), **arrays})
    return visits


def write_tiny_trial(folder):
    """Simulated patients and their lives, some of them scanned twice; returns the folder."""
    table = simulate_trial(folder, N_PATIENTS, 3, voxels=False)
    for scans in ("prepared", RESCANS):
        (folder / scans).mkdir()
    for number, patient in enumerate(table["patient"]):
        write_prepared(folder / "prepared" / f"{patient}.npz", tiny_scans(number))
    twice = table["patient"][table["split"] == "train"][:RESCANNED]
    for number, patient in enumerate(twice, start=100):
        write_prepared(folder / RESCANS / f"{patient}.npz", tiny_scans(number))
    return folder


def train_tiny(trial, out, config=TINY, **more):
    return train(
        trial, out, device="cpu", config=config, command="test", progress=[].append, **more
    )
