"""A short run of the fuzzer, and inputs that hypothesis thinks of."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from ctrs.config import IntakeConfig
from ctrs.errors import CtrsError
from ctrs.ingest.dicom import read_header
from ctrs.ingest.series import stack
from tests.dicom_files import ct_series
from tests.fuzz_intake import fuzz

QUIET = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NUMBERS = ("SliceThickness", "RescaleSlope", "RescaleIntercept")
LISTS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
INTEGERS = ("Rows", "Columns", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_answered_with_a_volume_or_with_words():
    tally = fuzz(120, seed=3)
    assert tally.faults == []
    assert sum(tally.outcomes.values()) == 120
    assert len(tally.outcomes) >= 4  # several kinds of refusal, and volumes


def judged(path):
    """One slice is never enough, so there is always a refusal, and it is one in words."""
    with pytest.raises(CtrsError) as refusal:
        stack([read_header(path, IntakeConfig())], IntakeConfig())
    assert refusal.value.what
    assert str(path) not in refusal.value.what


@QUIET
@given(content=st.binary(max_size=600))
def test_any_bytes_behind_a_preamble_are_answered_in_words(tmp_path, content):
    path = tmp_path / "any.dcm"
    path.write_bytes(bytes(128) + b"DICM" + content)
    judged(path)
    path.write_bytes(content)
    judged(path)


@QUIET
@given(
    numbers=st.dictionaries(st.sampled_from(NUMBERS), st.floats(-1e300, 1e300)),
    lists=st.dictionaries(
        st.sampled_from(sorted(LISTS)), st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=7)
    ),
    integers=st.dictionaries(st.sampled_from(INTEGERS), st.integers(0, 65535)),
    text=st.text(max_size=20),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_values_in_a_header_are_answered_in_words(tmp_path, numbers, lists, integers, text):
    ds = ct_series()[0]
    for keyword, value in numbers.items():
        setattr(ds, keyword, f"{value:.9g}")
    for keyword, values in lists.items():
        setattr(ds, keyword, [f"{value:.9g}" for value in values])
    for keyword, value in integers.items():
        setattr(ds, keyword, value)
    ds.SeriesDescription = ds.ConvolutionKernel = text
    path = tmp_path / "odd.dcm"
    path.write_bytes(_written(ds))
    judged(path)


def _written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()
