"""An array as slabs of slices, each compressed once: what a browser fetches piece by piece."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

AnyArray: TypeAlias = npt.NDArray[Any]

_SLAB_BYTES: Final = 2 * 1024**2  # uncompressed; small, so that the first picture is soon there
_LEVEL: Final = 1  # higher levels take three times as long and save a tenth


def slices_a_slab(shape: tuple[int, ...], itemsize: int) -> int:
    """How many slices of an array ``(z, y, x)`` go into one slab; at least one."""
    return max(1, min(shape[0], round(_SLAB_BYTES / (shape[1] * shape[2] * itemsize))))


def slab_name(number: int) -> str:
    """Under which name `pack` keeps slab ``number``."""
    return f"slab-{number}"


def pack(array: AnyArray) -> dict[str, AnyArray]:
    """A 3-D array as gzip'd slabs, 0 holding the lowest slices, with what `unpack` needs.

    The bytes inside are little-endian, row by row. They are sent as they are, with
    ``Content-Encoding: gzip``: the browser inflates them, and nobody compresses twice.
    """
    step = slices_a_slab(array.shape, array.itemsize)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    starts = range(0, len(array), step)
    with ThreadPoolExecutor(2) as pool:  # zlib lets other threads run
        packed = list(pool.map(lambda start: _squeeze(little[start : start + step]), starts))
    slabs = {slab_name(n): np.frombuffer(data, np.uint8) for n, data in enumerate(packed)}
    kind = np.frombuffer(little.dtype.str.encode(), np.uint8)
    return slabs | {"shape": np.array(array.shape, np.int64), "kind": kind}


def _squeeze(part: AnyArray) -> bytes:
    return gzip.compress(np.ascontiguousarray(part).tobytes(), _LEVEL, mtime=0)


def unpack(arrays: Mapping[str, AnyArray]) -> AnyArray:
    """The array that was given to `pack`.

    Raises:
        KeyError, OSError, ValueError: A slab is missing, damaged or of another array.
    """
    shape = tuple(int(n) for n in arrays["shape"])
    kind = np.dtype(arrays["kind"].tobytes().decode())
    step = slices_a_slab(shape, kind.itemsize)
    array = np.empty(shape, kind)

    def fill(number: int) -> None:
        data = gzip.decompress(arrays[slab_name(number)].tobytes())
        part = array[number * step : (number + 1) * step]
        part[:] = np.frombuffer(data, kind).reshape(part.shape)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, range(-(-len(array) // step))))
    return array
