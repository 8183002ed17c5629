"""What this machine offers, for a report of a problem; nothing about any patient."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from typing import Any

import SimpleITK as sitk
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

from ctrs import __version__, places
from ctrs.errors import CtrsError
from ctrs.model.weights import check_files, read_card
from ctrs.store import Store

PACKAGES = ("streamlit", "torch", "monai", "pydicom", "SimpleITK", "plotly", "lifelines", "duckdb")
SYNTAXES = {
    "uncompressed": uid.ExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG-LS": uid.JPEGLSLossless,
    "JPEG 2000": uid.JPEG2000Lossless,
}


def examine() -> dict[str, Any]:
    """Versions, device, decoders, browser, store and weights of this machine."""
    import torch  # only here: every other command may do without it

    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "decoders": {name: _decodes(syntax) for name, syntax in SYNTAXES.items()}
        | {"JPEG lossless": "GDCMImageIO" in sitk.ImageFileReader().GetRegisteredImageIOs()},
        "browser": shutil.which("chromium"),
        "store": _store(),
        "weights": _weights(),
    }


def _decodes(syntax: uid.UID) -> bool:
    return not syntax.is_compressed or bool(get_decoder(syntax).is_available)


def _store() -> dict[str, Any]:
    path = places.store()
    if not path.exists():
        return {"path": str(path), "state": "not made yet"}
    try:
        with Store(path) as store:
            return {"path": str(path), "state": "usable", "cohorts": store.cohorts()}
    except CtrsError as error:
        return {"path": str(path), "state": error.what}


def _weights() -> dict[str, Any]:
    folder = places.weights()
    try:
        card = read_card(folder)
        check_files(folder, card)
    except CtrsError as error:
        return {"path": str(folder), "state": error.what}
    return {
        "path": str(folder),
        "state": "usable",
        "version": card.version,
        "sha256": card.checksums,
    }
