"""A recognisable name in every text element, and a search for it in all that stays."""

import json
import logging
import zipfile

import pydicom
import pytest

from ctrs import report
from ctrs.assess import Workshop, assess, remember
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.ingest import take_inventory
from ctrs.ingest.text import technical
from ctrs.store import Store
from ctrs.ui.upload import _tables
from tests.dicom_files import ct_series, name_everywhere, write
from tests.phantoms import write_pair
from tests.scoring_fixtures import FixedModel

NAME = "ZORRO"


@pytest.fixture
def scans(tmp_path):
    """A pair of scans, of somebody whose name is everywhere."""
    folders = write_pair(tmp_path / "in", patient_id=NAME)
    for folder in folders:
        first, *_ = sorted(folder.iterdir())
        ds = pydicom.dcmread(first)
        name_everywhere(ds, NAME)
        ds.save_as(first, enforce_file_format=True)
    return folders


def contents(folder):
    """Every file below a folder, and every member of an archive, by name."""
    for file in (path for path in folder.rglob("*") if path.is_file()):
        yield file.name, file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield from ((name, archive.read(name)) for name in archive.namelist())


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_the_name_is_in_no_store_cache_log_export_or_table(scans, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    kept = tmp_path / "kept"
    kept.mkdir()
    with Store(kept / "ctrs.duckdb") as store:
        workshop = Workshop(
            config=Config(), model_version="fixed-1", model=FixedModel, store=store,
            cache=DiskCache(kept / "cache", 2**30),
        )  # fmt: skip
        result = assess(*scans, workshop)
        remember(result, "P-1", workshop)
    assert result.pair.baseline.header.patient_id == NAME  # it was there to be kept
    found = list(contents(kept))
    assert len(found) > 5  # the store, two prepared scans, two volumes
    for name, content in found:
        assert NAME not in name
        assert NAME.encode() not in content, name
    said = [report.score_text(result.score), json.dumps(report.assessment_json(result)["reasons"])]
    said += [table.to_csv() for inventory in result.inventories for table in _tables(inventory)]
    said += [caplog.text, *capfd.readouterr()]
    assert NAME not in "".join(said)


# What decides over a file, and is told with the reason for its refusal.
DECIDING = (
    "Modality", "PhotometricInterpretation", "RescaleType", "ConvolutionKernel", "ImageType",
    "SOPClassUID", "StudyInstanceUID", "BodyPartExamined",
)  # fmt: skip


@pytest.mark.parametrize("keyword", DECIDING)
@pytest.mark.parametrize("text", [NAME, f"![{NAME}](http://a.b/{NAME})"])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_no_word_of_a_file_gets_into_what_is_said_of_it(tmp_path, keyword, text):
    """A name where a term is expected, or markup that would fetch a picture from elsewhere."""
    series = ct_series()
    for ds in series:
        setattr(ds, keyword, text)
    write(series, tmp_path / "in")
    assert_unsaid(tmp_path)


def test_the_name_of_an_unknown_transfer_syntax_is_not_said(tmp_path):
    for path in write(ct_series(), tmp_path / "in"):
        instead = NAME.encode().ljust(20, b"\0")
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", instead))
    assert "an unknown transfer syntax, which cannot be read" in assert_unsaid(tmp_path)


def assert_unsaid(tmp_path):
    found = take_inventory(tmp_path / "in", Config().intake, tmp_path)
    said = [*(s.reasons for s in found.series), *(r.reason for r in found.rejected_files)]
    said += [table.to_csv() for table in _tables(found)]
    assert len(said) > 1
    assert NAME not in str(said)
    return str(said)


def test_words_of_a_description_that_may_be_a_name_are_not_shown():
    shown = {
        "Thorax 1.25 mm B30f": "Thorax 1.25 mm B30f",
        "CT_CHEST ZORRO ANNA 5.0 Br40d": "CT CHEST … 5.0 Br40d",
        "12345678 lung": "… lung",
        "=HYPERLINK(1)": "… 1",
        "<script>x</script>": "…",
        "": "",
    }
    assert {text: technical(text) for text in shown} == shown
