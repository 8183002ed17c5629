"""NIfTI, NRRD and MetaImage volumes in HU: what their headers announce is checked first."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, NotAVolume, NotHounsfield
from ctrs.ingest import meta_image, nifti, nrrd
from ctrs.ingest.geometry import (
    FARTHEST_MM,
    check_extent,
    check_pixels,
    check_place,
    stored_as,
    to_patient_axes,
)
from ctrs.ingest.neighbours import check_neighbours, without_blank_ends
from ctrs.ingest.values import AIR_HU, check_hounsfield
from ctrs.types import SeriesHeader, Triple, Volume

# By name, and never by what the content claims: each reader trusts its headers differently.
_NIFTI, _NRRD, _META = "NiftiImageIO", "NrrdImageIO", "MetaImageIO"
_READERS = {
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    ".nrrd": _NRRD,
    ".nhdr": _NRRD,
    ".mha": _META,
    ".mhd": _META,
}

# What each axis (z, y, x) of a `Volume` may be called in `Volume.stored_as`.
_PATIENT_AXES = ("IS", "AP", "RL")
_MIN_BYTES_PER_VOXEL = 2  # CT numbers do not fit in 8 bits
_HARMLESS_BYTES = 256 * 1024**2  # so much memory may be taken by any file
_CHUNK = 1024 * 1024
# What libraries raise over damaged files.
_DAMAGED = (
    RuntimeError, ValueError, KeyError, OverflowError, MemoryError, OSError, EOFError, zlib.error,
)  # fmt: skip
_EXPORT_AGAIN = "Export the volume again from the program that wrote it."


@dataclass(frozen=True)
class _Grid:
    """What the header of an image file says, in SimpleITK's order (x, y, z)."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    channels: int  # values of each voxel
    value_bytes: int


def is_image_file(path: Path) -> bool:
    """Whether the name says that it is one volume."""
    return _reader(path) is not None


def _reader(path: Path) -> str | None:
    name = path.name.lower()
    return next((io for suffix, io in _READERS.items() if name.endswith(suffix)), None)


def read_volume(path: Path, config: IntakeConfig) -> Volume:
    """One image file as a `Volume`; the header is empty.

    Voxels without a value (NaN) become air. The patient's axes come from the file: NIfTI
    counts x and y the other way round, which SimpleITK takes care of.

    Raises:
        InputRejected: Damaged, too large, or it refers to voxels outside its own folder.
        NotAVolume: Not three-dimensional, too short, too oblique, no voxel size or orientation
            or two that contradict each other, no size of a body, or a slice does not fit in.
        SlicesTooThick: Spacing above ``config.max_slice_spacing_mm``.
        NotHounsfield: The values cannot be CT numbers: a mask, for example.
    """
    try:
        with _unzipped(path, config) as plain:
            image = _read(plain, config)
        stored = sitk.GetArrayViewFromImage(image)
    except _DAMAGED:
        # ITK's own words hold paths of this machine.
        raise InputRejected(
            "The image file is damaged, or not what its name says.", _EXPORT_AGAIN
        ) from None
    x, y, z = image.GetSpacing()
    voxels, spacing, origin, direction = to_patient_axes(
        stored, (z, y, x), _triple(image.GetOrigin()), image.GetDirection(), config
    )
    check_place(origin)
    check_pixels(voxels.shape[1:], spacing[1:], config)
    check_extent(voxels.shape[0], spacing[0], config)
    voxels = np.require(voxels, requirements=("O", "W"))  # not a view into ITK's memory
    unknown = ~np.isfinite(voxels)
    voxels[unknown] = AIR_HU
    np.maximum(voxels, AIR_HU, out=voxels)
    check_hounsfield(voxels)
    heights = origin[2] + spacing[0] * np.arange(len(voxels), dtype=np.float64)
    doubts = check_neighbours(voxels, heights)
    repairs = (f"{unknown.sum():,} voxels without a value set to air",) if unknown.any() else ()
    turned = stored_as(image.GetDirection())
    return without_blank_ends(
        Volume(voxels, spacing, origin, direction, SeriesHeader(), repairs, doubts, turned),
        config,
    )


def name_of(path: Path) -> str:
    """What a file is called that has no UID: by its bytes, for file names may name a patient."""
    digest = sha256()
    with suppress(InputRejected, OSError):  # whoever reads it says what is wrong
        for part in {path: None, _data_file(path): None}:
            with part.open("rb") as file:
                digest.update(file_digest(file, "sha256").digest())
    return f"file-{digest.hexdigest()[:16]}"


def extent(path: Path) -> tuple[tuple[int, int, int], Triple]:
    """Shape and spacing, ``(z, y, x)`` of the patient, by the header alone; zeros if unknown."""
    try:
        grid = _grid_of(path)
        axes = stored_as(grid.direction)
        z, y, x = (next(i for i, end in enumerate(axes) if end in ends) for ends in _PATIENT_AXES)
    except (InputRejected, *_DAMAGED):
        return (0, 0, 0), (0.0, 0.0, 0.0)
    size, mm = grid.size, grid.spacing
    if not np.isfinite(mm).all():
        mm = (0.0, 0.0, 0.0)
    return (size[z], size[y], size[x]), (mm[z], mm[y], mm[x])


@contextmanager
def _unzipped(path: Path, config: IntakeConfig) -> Iterator[Path]:
    """The file itself, or a plain copy of a .nii.gz with its checksum verified.

    The NIfTI reader fills what is missing or damaged with zeros, which are water here, and says
    so nowhere.
    """
    if not path.name.lower().endswith(".nii.gz"):
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".nii") as plain:
        written = 0
        limit = min(
            config.max_unpacked_bytes, int(path.stat().st_size * config.max_compression_ratio)
        )
        with gzip.open(path) as packed:
            while chunk := packed.read(_CHUNK):
                written += len(chunk)
                if written > limit:
                    raise InputRejected(
                        "The file unpacks to far more than a CT (a gzip bomb).", _EXPORT_AGAIN
                    )
                plain.write(chunk)
        plain.flush()
        yield Path(plain.name)


def _triple(values: tuple[float, ...]) -> Triple:
    x, y, z = values
    return x, y, z


def _read(path: Path, config: IntakeConfig) -> sitk.Image:
    """Read the header, refuse what it announces beyond its files, and only then the voxels."""
    data, kind = _data_file(path), _reader(path)
    grid = _grid_of(path)
    _check_grid(grid, config)
    _check_density(prod(grid.size), {path, data}, config)
    if kind == _META:
        return meta_image.read_voxels(meta_image.read_header(path, data), data)
    if kind == _NRRD:
        nrrd.check_header(path, grid.spacing)
        return _executed(path)
    return _read_nifti(path, grid)


def _read_nifti(path: Path, grid: _Grid) -> sitk.Image:
    """A NIfTI whose header leaves nothing open, with NaN where the file has no value."""
    header = nifti.read_header(path)
    nifti.check_header(header)
    if path.stat().st_size < header.start + prod(grid.size) * header.bits // 8:
        raise ValueError("cut short")
    x, y, z = grid.size
    unknown = nifti.without_value(header, path, (z, y, x))
    image = _executed(path)
    if unknown is None:
        return image
    values = sitk.GetArrayFromImage(image)
    values[unknown] = np.nan
    marked = sitk.GetImageFromArray(values)
    marked.CopyInformation(image)
    return marked


def _reader_of(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_reader(path) or "")
    reader.SetFileName(str(path))
    return reader


def _executed(path: Path) -> sitk.Image:
    image: sitk.Image = _reader_of(path).Execute()
    return image


def _grid_of(path: Path) -> _Grid:
    data = _data_file(path)
    if _reader(path) == _META:
        told = meta_image.read_header(path, data)
        return _Grid(
            told.size, told.spacing, told.direction, told.channels, told.voxel_type.itemsize
        )
    reader = _reader_of(path)
    reader.ReadImageInformation()
    return _Grid(
        reader.GetSize(),
        reader.GetSpacing(),
        reader.GetDirection(),
        reader.GetNumberOfComponents(),
        sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent(),
    )


def _check_grid(grid: _Grid, config: IntakeConfig) -> None:
    if len(grid.size) != 3 or min(grid.size) < 1:
        raise NotAVolume(
            f"The file holds {' × '.join(map(str, grid.size))} values; three dimensions are "
            "expected.",
            "Choose a file with one CT volume.",
        )
    steps = np.array(grid.spacing)
    if not np.isfinite(steps).all() or steps.min() <= 0 or steps.max() > FARTHEST_MM:
        raise NotAVolume("The file gives no usable voxel size.", _EXPORT_AGAIN)
    voxels = prod(grid.size)
    if max(grid.size) > config.max_files or 4 * voxels > config.max_volume_bytes:
        raise InputRejected(
            f"The file announces {' × '.join(map(str, grid.size))} voxels: more than any CT.",
            _EXPORT_AGAIN,
        )
    if grid.channels != 1:
        raise NotHounsfield(
            f"Each voxel has {grid.channels} values; 1 is expected of CT.",
            "Choose the CT volume itself, not a colour image.",
        )
    if grid.value_bytes < _MIN_BYTES_PER_VOXEL:
        raise NotHounsfield(
            "The voxels have 8 bits; Hounsfield units need at least 12. This is a mask or a "
            "picture.",
            "Choose the CT volume itself.",
        )


def _check_density(voxels: int, files: set[Path], config: IntakeConfig) -> None:
    """Refuse small files that announce many voxels, before room is made for them."""
    on_disk = sum(file.stat().st_size for file in files)
    if 4 * voxels > _HARMLESS_BYTES and 2 * voxels > config.max_compression_ratio * on_disk:
        raise NotHounsfield(
            f"The file announces {voxels:,} voxels in {on_disk:,} bytes: no CT can be packed so "
            "tightly. This is a mask, or the file is damaged.",
            _EXPORT_AGAIN,
        )


def _data_file(path: Path) -> Path:
    """The file that holds the voxels: the header's own, or one beside it.

    Anything further away is refused: a header could name any file of this machine.
    """
    kind = _reader(path)
    if kind == _NIFTI:
        return path
    name = meta_image.data_name(path) if kind == _META else nrrd.data_name(path)
    if name is None or name.upper() == "LOCAL":
        return path
    if not _is_beside(name, path):
        raise InputRejected(
            "The header names voxels that are not one plain file beside it.",
            "Choose the header together with its data file, or a single-file volume.",
        )
    return path.parent / name


def _is_beside(name: str, header: Path) -> bool:
    """Whether the voxels are in a plain file of the header's own folder."""
    target = header.parent / name
    return name == target.name and target.is_file() and not target.is_symlink()


def write_nifti(values: npt.NDArray[np.generic], volume: Volume, path: Path) -> None:
    """Write values of a scan as NIfTI, voxel by voxel on the grid of the scan's own files.

    Slices of DICOM are counted along rows x columns. Those of a tilted gantry make no grid:
    their values are written upright, as the scan was read.

    Args:
        values: Of the shape of ``volume.hu``.
        path: Ends in ``.nii.gz`` or ``.nii``.
    """
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    own = sitk.DICOMOrient(image, volume.stored_as)
    sitk.WriteImage(own, str(path), useCompression=True)
