"""Everything that can go wrong, in one place.

* CtrsError             shown to the clinician: what happened + what to do next
  x InputRejected       the files cannot be used (command line: exit code 3)
    + UnsafeArchive       a zip that is a bomb, leads outside its folder, or is encrypted
    + NoCtFound           no CT image among the files
    + SeveralScans        usable scans of more than one patient or day
    + NotAVolume          images, but no regular volume can be made of them
      - MissingSlices       gaps between slices
      - SlicesTooThick      too far apart for the model
    + NotHounsfield       the values are not CT numbers
    + NotAChest           no lungs where lungs should be
  x PairRejected        each scan is fine, the two do not belong together
    + SameScan            one scan given twice
    + WrongOrder          the follow-up was acquired before the baseline
    + DifferentPatients   the headers name two people
  x TooFewPatients      not enough patients, or deaths, for the statistic
  x WeightsUnusable     the model's files are missing, altered or of another version
  x StoreUnusable       the database is locked, newer than this program, or no database
  x NotInStore          what a row belongs to was never saved, or has been deleted

Anything else that escapes is a bug: it is logged and shown as a reference number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb
from typing import Any


class CtrsError(Exception):
    """An error that the app can explain to the person in front of it.

    Args:
        what: One sentence: what was found and what was expected, with numbers.
        next_step: One sentence, an imperative: what the user can do about it.

    Neither may hold anything that identifies a patient.
    """

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class InputRejected(CtrsError):
    """These files cannot be scored."""


class UnsafeArchive(InputRejected):
    """The archive is not safe to unpack."""


class NoCtFound(InputRejected):
    """No CT image among the files."""


class SeveralScans(InputRejected):
    """The files hold more than one scan, and no rule may choose between patients or days."""


class NotAVolume(InputRejected):
    """The images do not form one regular axial volume."""


class MissingSlices(NotAVolume):
    """The gaps between slices are not all the same."""


class SlicesTooThick(NotAVolume):
    """The spacing between slices is above what the model accepts."""


class NotHounsfield(InputRejected):
    """The values are not Hounsfield units."""


class NotAChest(InputRejected):
    """Both lungs are expected in the scan and were not found."""


class PairRejected(CtrsError):
    """Each scan is fine, but the two do not belong together."""


class SameScan(PairRejected):
    """One scan given as baseline and as follow-up."""


class WrongOrder(PairRejected):
    """The follow-up scan is older than the baseline scan."""


class DifferentPatients(PairRejected):
    """The headers of the two scans disagree on who was scanned."""


class TooFewPatients(CtrsError):
    """Not enough patients, or deaths, for the statistic that was asked for."""


class WeightsUnusable(CtrsError):
    """The model's weights are missing, altered, or made for another version."""


class StoreUnusable(CtrsError):
    """The database file cannot be used."""


class NotInStore(CtrsError):
    """The patient or scan pair that a row belongs to is not in the database."""


@contextmanager
def about(name: str) -> Iterator[None]:
    """Say in front of an error which of the two scans it is about."""
    try:
        yield
    except CtrsError as error:
        raise type(error)(f"{name}: {error.what}", error.next_step) from error


def places_of(error: BaseException) -> str:
    """Where an unexpected error happened, for the log.

    Not its message: that may quote the name or the path it stumbled over.
    """
    frames = extract_tb(error.__traceback__)
    return "\n".join(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)


def refusal_json(error: CtrsError) -> dict[str, Any]:
    """An input that cannot be used: no number, and what to do."""
    return {
        "error": error_json(error),
        "assessable": False,
        "survival_12m": None,
        "reasons": [error.what],
    }


def error_json(error: CtrsError) -> dict[str, str]:
    """What happened, and what to do."""
    return {"what": error.what, "next_step": error.next_step}
