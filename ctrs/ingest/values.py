"""Whether numbers are CT numbers, and what stands for "nothing was measured here"."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctrs.errors import NotHounsfield
from ctrs.types import Array, Mask

AIR_HU = np.float32(-1024.0)
# Lung and the air around the patient lie below this; water, fat and bone far above.
_AIR_BELOW_HU = -700.0
# An 8-bit picture has at most 256 grey values; from lung to bone a CT has over 1,000.
_MIN_RANGE_HU = 300.0
_MAX_HU = 32767.0  # dense metal on the extended scale; above is no 16-bit CT


def check_hounsfield(hu: Array) -> None:
    """Refuse values that cannot be a CT of the body in HU: a mask, a picture, another scale.

    Raises:
        NotHounsfield: No air among them, too narrow a range, or values no CT has.
    """
    # -1024 is what padding becomes, and padding proves nothing.
    low = float(np.min(hu, initial=np.inf, where=hu > AIR_HU))
    high = float(hu.max())
    if low <= _AIR_BELOW_HU and high - low >= _MIN_RANGE_HU and high <= _MAX_HU:
        return
    found = f"from {low:.0f} to {high:.0f}" if np.isfinite(low) else f"{high:.0f} everywhere"
    raise NotHounsfield(
        f"The values are {found}; a CT in Hounsfield units has air below "
        f"{_AIR_BELOW_HU:.0f} and a range of at least {_MIN_RANGE_HU:.0f}.",
        "Choose the original CT images, in Hounsfield units, not a mask or a screenshot.",
    )


def touching_border(mask: Mask) -> Mask:
    """The parts of a 2-D mask that touch its border.

    Padding surrounds the reconstructed circle. Inside, the same stored value is tissue: some
    scanners declare 0 as padding where 0 is also water.
    """
    parts, _ = ndimage.label(mask)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.asarray(np.isin(parts, np.unique(edge[edge > 0])))
