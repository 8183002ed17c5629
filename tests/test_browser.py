"""The journeys that a clinician makes, in a real browser against the real server."""

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ctrs import places
from ctrs.assess import Workshop, assess
from ctrs.config import Config, IntakeConfig
from ctrs.demo.cohort import load_cohort
from ctrs.ingest import read_scan
from ctrs.model.ensemble import load_ensemble
from ctrs.store import Store
from ctrs.trial.dicom import write_series
from ctrs.ui.frame import NOTICE, PAGES
from tests.server import CHROMIUM, CHROMIUM_FLAGS, running_app

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data")) / "ct"
LUNG_DX = DATA / "lungdx" / "Lung_Dx-A0002"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    home = tmp_path_factory.mktemp("app")
    with Store(home / "ctrs.duckdb") as store:
        load_cohort(store, places.demo_cohort())
    with running_app(home, CTRS_DEMO="off") as address:
        yield address


@pytest.fixture
def page():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        browser.close()


@pytest.mark.parametrize("file", list(PAGES))
def test_every_address_opens_inside_the_frame_and_asks_nobody_else(page, url, file):
    address = "" if file == "app.py" else Path(file).stem.split("_", 1)[1]
    page.goto(f"{url}/{address}")
    expect(page.get_by_text(NOTICE.split(". ")[0]).first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    elsewhere = [asked for asked in page.asked if not asked.startswith((url, "data:", "blob:"))]
    assert elsewhere == []


def test_a_figure_is_saved_by_the_browser_alone_with_the_notice_in_it(page, url):
    page.goto(f"{url}/Stable_disease")
    page.wait_for_selector(IDLE, timeout=120_000)
    page.get_by_role("button", name="Take along").first.click(timeout=60_000)
    page.get_by_text("SVG", exact=True).first.click(timeout=60_000)
    page.keyboard.press("Escape")
    camera = page.locator(".modebar-btn").first
    camera.wait_for(timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        camera.click()
    assert download.value.suggested_filename == "ctrs-stable_survival.svg"
    picture = Path(download.value.path()).read_text()
    assert picture.startswith("<svg")
    assert "Not affiliated with the authors" in picture
    assert "SIM-" not in picture
    elsewhere = [asked for asked in page.asked if not asked.startswith((url, "data:", "blob:"))]
    assert elsewhere == []


@pytest.fixture
def real_pair(tmp_path):
    """Two real DICOM folders of one breath-hold; the follow-up is dated 84 days later."""
    if not LUNG_DX.exists():
        pytest.skip(f"no real scans in {DATA}")
    _, volume = read_scan(LUNG_DX / "CT_series3", IntakeConfig())
    day = volume.header.acquired_on + timedelta(days=84)
    later = replace(volume, header=replace(volume.header, acquired_on=day))
    write_series(later, tmp_path / "follow_up")
    return LUNG_DX / "CT_series2", tmp_path / "follow_up"


def test_from_two_real_folders_to_the_number_that_the_core_computes(page, url, real_pair):
    page.goto(f"{url}/Upload")
    inputs = page.locator("input[type=file]")
    expect(inputs).to_have_count(2, timeout=60_000)
    inputs.nth(0).set_input_files(real_pair[0])
    inputs.nth(1).set_input_files(real_pair[1])
    button = page.get_by_role("button", name="Score this pair")
    expect(button).to_be_enabled(timeout=60_000)
    button.click()
    expected = number_without_the_app(real_pair)
    expect(page.get_by_text(expected).first).to_be_visible(timeout=120_000)
    page.get_by_role("link", name="with both scans").click()
    expect(page.get_by_role("heading", name="Patient", exact=True)).to_be_visible(timeout=30_000)
    expect(page.get_by_text(expected).first).to_be_visible(timeout=60_000)


def number_without_the_app(pair):
    card = load_ensemble(places.weights())
    workshop = Workshop(config=Config(), model_version=card.version, model=lambda: card)
    score = assess(*pair, workshop).score
    low, high = score.interval_90
    return f"{100 * score.survival_12m:.0f} % ({100 * low:.0f}–{100 * high:.0f})"
