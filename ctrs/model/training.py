"""The steps of one network's training: learning rate, checkpoint, figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ctrs.errors import InputRejected
from ctrs.model.figures import draw_loss


class Pace(Protocol):
    """How a network is trained, whatever it is shown.

    Attributes:
        learning_rate: At its highest, from warm-up to zero.
        save_every: Steps from one checkpoint to the next.
    """

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def save_every(self) -> int: ...


class Training:
    """Learns loss by loss, and goes on from its checkpoint where one lies.

    Attributes:
        losses: Of the steps that are done.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        net: nn.Module,
        pace: Pace,
        progress: Callable[[str], None],
    ) -> None:
        """Begin, or go on.

        Args:
            name: Of checkpoint and figure in ``folder``.
            net: On its device already; a checkpoint replaces its weights.

        Raises:
            InputRejected: The checkpoint is of another number of steps, or of another network.
        """
        self._name, self._net, self._steps = name, net, pace.steps
        self._file, self._figure = folder / f"{name}.pt", folder / f"{name}.png"
        self._save_every, self._progress = pace.save_every, progress
        self._optimiser = torch.optim.AdamW(net.parameters(), pace.learning_rate, weight_decay=1e-4)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, pace.learning_rate, total_steps=self._steps + 1, pct_start=0.1
        )
        self._recent: list[Tensor] = []  # stay on the device: to look at each would make it wait
        self.losses = self._resume()

    @property
    def finished(self) -> bool:
        return len(self.losses) >= self._steps

    def learn(self, loss: Tensor) -> None:
        """One step; now and then what was learnt is kept.

        Raises:
            FloatingPointError: A loss or its slope is no number any more: nothing is kept.
        """
        self._optimiser.zero_grad()
        loss.backward()
        size = nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        self._recent.append(torch.stack([loss.detach(), size.detach()]))
        done = len(self.losses) + len(self._recent)
        if done % self._save_every == 0 or done == self._steps:
            self._keep()

    def _keep(self) -> None:
        self.losses += _finite(self._recent)
        self._recent.clear()
        mean = np.mean(self.losses[-100:])
        self._progress(f"{self._name} {len(self.losses)}/{self._steps}: loss {mean:.3f}")
        self._save()
        if self.finished:
            draw_loss(self.losses, self._figure)

    def _save(self) -> None:
        """With what is needed to go on, or without where all steps are done."""
        state = {"steps": self._steps, "losses": self.losses, "net": self._net.state_dict()}
        if not self.finished:
            state |= {
                "optimiser": self._optimiser.state_dict(),
                "schedule": self._schedule.state_dict(),
            }
        partly = self._file.with_suffix(".part")
        torch.save(state, partly)
        partly.replace(self._file)

    def _resume(self) -> list[float]:
        """The losses of the steps that are done."""
        if not self._file.exists():
            return []
        state = torch.load(self._file, weights_only=True, map_location="cpu")
        known = state.get("steps")
        if known != self._steps:
            raise InputRejected(
                f"A training of {known or 'an older kind'} steps lies there; {self._steps} are"
                " asked for.",
                "Choose an empty folder, or the number of steps that it was begun with.",
            )
        try:
            self._net.load_state_dict(state["net"])
        except RuntimeError as error:
            raise InputRejected(
                "A training of another network lies there: one that begins elsewhere, or of another"
                " version of the program.",
                "Choose an empty folder, or train with the same options as before.",
            ) from error
        if "optimiser" in state:
            self._optimiser.load_state_dict(state["optimiser"])
            self._schedule.load_state_dict(state["schedule"])
        return list(state["losses"])


def _finite(steps: list[Tensor]) -> list[float]:
    """The losses of some steps, whose gradients had a size, too."""
    found = torch.stack(steps).cpu().numpy()
    if not np.isfinite(found).all():
        raise FloatingPointError("A network's loss or its slope is no number any more.")
    return [float(loss) for loss in found[:, 0]]
