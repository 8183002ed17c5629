"""NIfTI, NRRD and MetaImage volumes in HU, through SimpleITK."""

from __future__ import annotations

import gzip
import re
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
from ctrs.ingest.geometry import check_extent, stored_as, to_patient_axes
from ctrs.ingest.neighbours import check_neighbours
from ctrs.ingest.values import AIR_HU, check_hounsfield
from ctrs.types import SeriesHeader, Triple, Volume

# By name, and never by what the content claims: each reader trusts its headers differently.
_READERS = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}

# What each axis (z, y, x) of a `Volume` may be called in `Volume.stored_as`.
_PATIENT_AXES = ("IS", "AP", "RL")
_MIN_BYTES_PER_VOXEL = 2  # CT numbers do not fit in 8 bits
# Where the header of an NRRD or MetaImage names another file that holds the voxels.
_DATA_FILE = re.compile(rb"^[ \t]*(?:data ?file|ElementDataFile)\s*[:=]\s*(.*?)\s*$", re.I | re.M)
_HEADER_BYTES = 64 * 1024
_HARMLESS_BYTES = 256 * 1024**2  # so much memory may be taken by any file
_CHUNK = 1024 * 1024
_EXPORT_AGAIN = "Export the volume again from the program that wrote it."


@dataclass(frozen=True)
class _Grid:
    """What the header of an image file says, in SimpleITK's order (x, y, z)."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]


def is_image_file(path: Path) -> bool:
    """Whether the name says that SimpleITK can read it as one volume."""
    return _reader(path) is not None


def _reader(path: Path) -> str | None:
    name = path.name.lower()
    return next((io for suffix, io in _READERS.items() if name.endswith(suffix)), None)


def read_volume(path: Path, config: IntakeConfig) -> Volume:
    """One image file as a `Volume`; the header is empty.

    Voxels without a value (NaN) become air, except in NIfTI, where the reader has made them 0
    before anybody can see them. The patient's axes come from the file: NIfTI
    counts x and y the other way round, which SimpleITK takes care of.

    Raises:
        InputRejected: Damaged, too large, or it refers to voxels outside its own folder.
        NotAVolume: Not three-dimensional, too short, too oblique, or a slice does not fit in.
        SlicesTooThick: Spacing above ``config.max_slice_spacing_mm``.
        NotHounsfield: The values cannot be CT numbers: a mask, for example.
    """
    try:
        data = _data_file(path)
        with _unzipped(path, config) as plain:
            image = _read(plain, {path, data} if plain == path else {plain}, config)
        stored = sitk.GetArrayViewFromImage(image)
    except (RuntimeError, ValueError, MemoryError, OSError, EOFError, zlib.error):
        # ITK's own words hold paths of this machine.
        raise InputRejected(
            "The image file is damaged, or not what its name says.", _EXPORT_AGAIN
        ) from None
    x, y, z = image.GetSpacing()
    voxels, spacing, origin, direction = to_patient_axes(
        stored, (z, y, x), _triple(image.GetOrigin()), image.GetDirection(), config
    )
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
    return Volume(voxels, spacing, origin, direction, SeriesHeader(), repairs, doubts, turned)


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
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_reader(path) or "")
    reader.SetFileName(str(path))
    try:
        _data_file(path)
        reader.ReadImageInformation()
        axes = stored_as(reader.GetDirection())
        z, y, x = (next(i for i, end in enumerate(axes) if end in ends) for ends in _PATIENT_AXES)
    except (InputRejected, RuntimeError, ValueError, OSError):
        return (0, 0, 0), (0.0, 0.0, 0.0)
    size, mm = reader.GetSize(), reader.GetSpacing()
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


def _read(path: Path, files: set[Path], config: IntakeConfig) -> sitk.Image:
    """Read the header, refuse what it announces beyond its files, and only then the voxels."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_reader(path) or "")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _check_grid(_Grid(reader.GetSize(), reader.GetSpacing()), config)
    if reader.GetNumberOfComponents() != 1:
        raise NotHounsfield(
            f"Each voxel has {reader.GetNumberOfComponents()} values; 1 is expected of CT.",
            "Choose the CT volume itself, not a colour image.",
        )
    if sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent() < _MIN_BYTES_PER_VOXEL:
        raise NotHounsfield(
            "The voxels have 8 bits; Hounsfield units need at least 12. This is a mask or a "
            "picture.",
            "Choose the CT volume itself.",
        )
    _check_density(prod(reader.GetSize()), files, config)
    if reader.GetImageIO() == "NiftiImageIO":
        _check_nifti(reader, path)
    image: sitk.Image = reader.Execute()
    return image


def _check_nifti(reader: sitk.ImageFileReader, path: Path) -> None:
    """Refuse a NIfTI that is cut short, or that leaves open which side is left."""
    if reader.GetMetaData("qform_code") == reader.GetMetaData("sform_code") == "0":
        raise NotAVolume(
            "The file does not say how the patient lies in it (qform and sform codes are 0).",
            "Convert the DICOM series again, with a program that keeps the orientation.",
        )
    bits = int(reader.GetMetaData("bitpix"))
    expected = float(reader.GetMetaData("vox_offset")) + prod(reader.GetSize()) * bits // 8
    if path.stat().st_size < expected:
        raise ValueError("cut short")


def _check_grid(grid: _Grid, config: IntakeConfig) -> None:
    if len(grid.size) != 3 or min(grid.size) < 1:
        raise NotAVolume(
            f"The file holds {' × '.join(map(str, grid.size))} values; three dimensions are "
            "expected.",
            "Choose a file with one CT volume.",
        )
    steps = np.array(grid.spacing)
    if not np.isfinite(steps).all() or steps.min() <= 0:
        raise NotAVolume("The file gives no usable voxel size.", _EXPORT_AGAIN)
    voxels = prod(grid.size)
    if max(grid.size) > config.max_files or 4 * voxels > config.max_volume_bytes:
        raise InputRejected(
            f"The file announces {' × '.join(map(str, grid.size))} voxels: more than any CT.",
            _EXPORT_AGAIN,
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
    if kind == "NiftiImageIO":
        return path
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if kind == "NrrdImageIO":
        head = re.split(rb"\r?\n\r?\n", head)[0]  # voxels follow the first blank line
    names = [match[1].decode("utf-8", "replace") for match in _DATA_FILE.finditer(head)]
    hidden = len(head) == _HEADER_BYTES or (kind == "MetaImageIO" and not names)
    if (hidden and not names) or not all(_is_beside(name, path) for name in names[:1]):
        raise InputRejected(
            "The header names voxels that are not one plain file beside it.",
            "Choose the header together with its data file, or a single-file volume.",
        )
    return path.parent / names[0] if names and names[0].upper() != "LOCAL" else path


def _is_beside(name: str, header: Path) -> bool:
    """Whether the voxels are in the header's own file or in a plain one of the same folder."""
    target = header.parent / name
    plain = name == target.name and target.is_file() and not target.is_symlink()
    return name.upper() == "LOCAL" or plain


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
