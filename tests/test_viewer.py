"""The viewer in the real app: what is seen is what was scanned, and nobody else sees it."""

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import chest_hu

from ctrs.types import Volume
from tests.server import CHROMIUM, CHROMIUM_FLAGS, running_app
from tests.viewer_home import PATIENT, make_home

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
]
SHIFT = (3, 2, -4)  # voxels (z, y, x) that the follow-up lies elsewhere on its grid
SPACING = (4.0, 4.0, 3.6)


def chests():
    hu = chest_hu()
    moved = np.roll(chest_hu(seed=4), SHIFT, axis=(0, 1, 2))
    origin = (-162.0, -140.0, -310.0)
    return Volume(hu, SPACING, origin), Volume(moved, SPACING, origin)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Address of the app, and the two scans that lie in it."""
    home = tmp_path_factory.mktemp("viewer")
    pair = make_home(home, *chests())
    with running_app(home, CTRS_DEMO="off") as url:
        yield url, pair


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader(browser):
    """One person's browser for all tests: streamlit's own files come from its cache."""
    with browser.new_context(viewport={"width": 1300, "height": 1000}) as context:
        yield context


@pytest.fixture
def page(reader, seen):
    page = reader.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    open_patient(page, seen[0])
    yield page
    page.close()


def open_patient(page, url, view=""):
    page.goto(f"{url}/Patient?patient={PATIENT}{view}")
    page.wait_for_selector("[data-testid=viewer][data-full]", timeout=60_000)


@contextmanager
def a_new_frame(page):
    """Wait until what is done within was drawn."""
    viewer = page.locator("[data-testid=viewer]")
    frames = viewer.get_attribute("data-frames")
    yield
    expect(viewer).not_to_have_attribute("data-frames", frames)


def press(page, keys, pane=0):
    stage = page.locator(".stage").nth(pane)
    stage.focus()
    for key in keys.split():
        with a_new_frame(page):
            page.keyboard.press(key)


def slices(page):
    return [int(pane.get_attribute("data-slice")) for pane in page.locator(".pane").all()]


def shown_hu(page):
    texts = page.locator(".stage .value").all_inner_texts()
    return [int(re.match(r"(−?\d+) HU", text).group(1).replace("−", "-")) for text in texts]


def shown_mm(page):
    """Where the crosshair is along the slices, mm in the patient, left, back and head positive."""
    texts = page.locator(".stage .where").all_inner_texts()
    found = [re.search(r"· ([RLAPIS]) ([\d.]+) mm", text) for text in texts]
    return [(-1 if one[1] in "RAI" else 1) * float(one[2]) for one in found]


def images(page):
    return [url for url in page.asked if "/ctrs/image/" in url]


def tumour_voxel(scan, shift=(0, 0, 0)):
    """Where the phantom's tumour is: (28, 35, 62) by construction, moved with the scan."""
    return tuple(np.add((28, 35, 62), shift))


def test_the_hu_under_the_crosshair_are_the_scans_own_in_both_panes(page, seen):
    press(page, "u")  # each scan by itself: the crosshair stays on voxels
    for pane, scan in enumerate((seen[1].baseline, seen[1].follow_up)):
        press(page, "Home", pane)
        assert slices(page)[pane] == 0
        # To a corner: the crosshair is moved by whole voxels, and stops nowhere.
        press(page, "n", pane) if pane else None
        press(page, "Home ArrowUp ArrowUp", pane)
        z = slices(page)[pane]
        values = []
        for key in ("l", "l", "k", "j", "PageUp"):
            press(page, key, pane)
            values.append(shown_hu(page)[pane])
        plane = np.rint(scan.hu).astype(int)
        found = np.argwhere(plane[z] == values[1])
        matches = [
            (y, x) for y, x in found
            if x >= 1 and y + 1 < plane.shape[1]
            and plane[z, y, x - 1] == values[0]
            and plane[z, y + 1, x] == values[2]
            and plane[z, y + 1, x - 1] == values[3]
            and plane[slices(page)[pane], y + 1, x - 1] == values[4]
        ]  # fmt: skip
        assert len(matches) == 1, f"scan {pane}: {values} is at {matches}"


def test_the_patients_left_is_right_and_the_letters_say_so(page, seen):
    assert page.locator(".pane").first.locator(".letter").all_inner_texts() == ["R", "L", "A", "P"]
    press(page, "x o 1")
    for _ in range(3):
        press(page, "Home")
    for _ in range(2):
        press(page, "PageUp PageUp")
        if slices(page)[0] >= 28:
            break
    while slices(page)[0] > 28:
        press(page, "ArrowDown")
    while slices(page)[0] < 28:
        press(page, "ArrowUp")
    grey = page.locator(".stage canvas").first.evaluate(
        """(canvas) => [0.69, 0.31].map((x) => {
            const at = [Math.round(x * canvas.width) - 3, Math.round(canvas.height / 2) - 3, 6, 6];
            const data = canvas.getContext("2d").getImageData(...at).data;
            return data.filter((_, n) => n % 4 === 0).reduce((a, b) => a + b) / 36;
        })"""
    )
    # The tumour is in the left lung, 62 mm from the middle of a field of 324 mm.
    assert grey[0] > 200
    assert grey[1] < 120


@pytest.mark.parametrize(
    ("plane", "axis", "moved_mm"),
    [("a", 0, 4.0 * SHIFT[0]), ("c", 1, 4.0 * SHIFT[1]), ("s", 2, 3.6 * SHIFT[2])],
)
def test_both_scans_show_the_same_anatomy_to_half_a_slice(page, plane, axis, moved_mm):
    """Against the shift that the follow-up was made with; both scans begin at the same place."""
    slice_mm, first_mm = SPACING[axis], (-310.0, -140.0, -162.0)[axis]
    press(page, f"n {plane}")
    for keys, pane in (("ArrowUp", 0), ("ArrowUp ArrowUp", 1), ("PageDown", 0), ("ArrowDown", 1)):
        press(page, keys, pane)
        here, there = shown_mm(page)
        assert abs(there - here - moved_mm) <= slice_mm / 2
        for mm, slice_ in zip((here, there), slices(page), strict=True):
            assert abs(mm - first_mm - slice_ * slice_mm) <= slice_mm / 2 + 0.05  # as it is said


def test_unlinked_the_other_scan_stays(page):
    press(page, "Home PageUp PageUp")
    first, second = slices(page)
    press(page, "u ArrowUp")
    assert slices(page) == [first + 1, second]


def test_a_manual_offset_is_kept(page, seen):
    press(page, "u")
    press(page, "ArrowUp ArrowUp ArrowUp", 1)
    press(page, "U")
    before, mm = slices(page), shown_mm(page)
    expect(page.get_by_text("Moved by hand.")).to_be_visible(timeout=20_000)
    open_patient(page, seen[0])
    expect(page.get_by_text("Moved by hand.")).to_be_visible()
    press(page, "Home" + " ArrowUp" * before[0])
    assert slices(page) == before
    again = shown_mm(page)
    # Kept and said in tenths; the place itself may lie between two slices, and is not.
    assert again[1] - again[0] == pytest.approx(mm[1] - mm[0], abs=0.11)


def test_a_length_drawn_by_keyboard_is_kept_to_half_a_voxel_and_can_be_deleted(page, seen):
    press(page, "n")
    press(page, "m L L j m")  # 19 voxels of 3.6 mm
    row = page.get_by_test_id("stTable").filter(has_text="By")
    expect(row).to_contain_text("68.4 mm", timeout=20_000)
    open_patient(page, seen[0])
    row = page.get_by_test_id("stTable").filter(has_text="By")
    expect(row).to_contain_text("68.4 mm")
    press(page, "v Delete")
    expect(row).to_have_count(0, timeout=20_000)


def choose(page, label, name):
    """Take one of a list, opened anew where the page was just being redrawn and closed it."""
    for _ in range(6):
        page.get_by_label(label).click()
        try:
            page.get_by_role("option", name=name).click(timeout=2_000)
        except playwright.TimeoutError:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"{label} never stayed open")


def test_two_diameters_are_drawn_with_the_mouse_and_become_targets(page):
    press(page, "n")
    page.get_by_role("button", name="Two diameters").click()
    for visit, stage in enumerate(page.locator(".stage").all()):
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for start, end in (((-60, 0), (60 - 20 * visit, 0)), ((0, -30), (4, 30))):
            page.mouse.move(x + start[0], y + start[1])
            page.mouse.down()
            page.mouse.move(x + end[0], y + end[1], steps=3)
            page.mouse.up()
        table = page.get_by_test_id("stTable").filter(has_text="By")
        expect(table.get_by_text("×")).to_have_count(visit + 1, timeout=20_000)
    rows = table.locator("tbody tr")
    expect(rows).to_have_count(1)  # the same lesion in both scans
    choose(page, "Targets", rows.locator("th").inner_text())
    expect(page.get_by_text("Sum of the targets")).to_be_visible(timeout=20_000)
    page.keyboard.press("Escape")  # the open list hides the rest
    reading = page.get_by_text("RECIST:")
    expect(reading).to_contain_text("not evaluated")
    page.get_by_role("button", name="Use these sums").click()
    expect(reading).to_contain_text(re.compile(r"\d+ → \d+ mm"), timeout=20_000)  # far above it


def test_the_images_are_fetched_once_and_only_from_here(page, seen):
    url, _ = seen
    fetched = len(images(page))
    assert fetched > 0
    assert len(set(images(page))) == fetched
    page.get_by_role("link", name="Board").first.click()
    expect(page.get_by_role("heading", name="Board", level=1)).to_be_visible(timeout=20_000)
    page.go_back()
    page.wait_for_selector("[data-testid=viewer][data-full]", timeout=30_000)
    page.get_by_role("button", name="Show", exact=True).first.click()
    page.wait_for_timeout(1500)
    assert len(images(page)) == fetched
    assert [one for one in page.asked if not one.startswith((url, "data:", "blob:"))] == []


def test_an_address_that_was_sent_on_shows_nothing(page, browser, seen):
    stranger = browser.new_context()
    for url in images(page)[:2]:
        assert page.request.get(url).status == 200
        assert stranger.request.get(url).status == 403
    stranger.close()


def test_a_part_that_did_not_arrive_is_said_and_can_be_asked_for_again(browser, seen):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/1/ct/**", lambda route: route.abort())
    page.goto(f"{seen[0]}/Patient?patient={PATIENT}")
    alert = page.locator(".pane").nth(1).get_by_role("alert")
    expect(alert).to_contain_text("did not arrive", timeout=60_000)
    page.unroute("**/1/ct/**")
    alert.get_by_role("button").click()
    expect(alert).to_be_hidden(timeout=20_000)
    page.wait_for_selector("[data-testid=viewer][data-full]", timeout=30_000)
    context.close()


def test_a_link_brings_back_slice_plane_window_and_overlay(page, browser, seen):
    press(page, "n ArrowUp s 3 f")
    before = page.locator(".stage .where").all_inner_texts()
    page.keyboard.press("y")
    expect(page.locator(".link")).to_be_visible()
    link = page.locator(".link").input_value()
    assert link.startswith(seen[0])
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    other = context.new_page()
    other.goto(link)
    other.wait_for_selector("[data-testid=viewer][data-full]", timeout=60_000)
    assert other.locator(".stage .where").all_inner_texts() == before
    pressed = other.locator(".toolbar [aria-pressed=true]").all_inner_texts()
    assert {"Sagittal", "Bone", "Fill"} <= set(pressed)
    context.close()


def test_on_a_projector_the_scans_fill_the_screen_and_nobody_is_named(page):
    small = page.locator(".stage").first.bounding_box()
    press(page, "w")
    page.wait_for_function("document.fullscreenElement !== null")
    page.wait_for_timeout(300)
    assert page.locator(".stage").first.bounding_box()["height"] > small["height"]
    assert PATIENT not in page.locator("[data-testid=viewer]").inner_text()


def test_the_cheat_sheet_opens_on_a_question_mark_and_streamlits_keys_do_nothing(page):
    press(page, "c")
    page.keyboard.press("r")
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_a_lesion_leads_both_scans_to_its_place(page):
    press(page, "Home")
    lesion = page.get_by_role("button", name=re.compile("^L1"))
    with a_new_frame(page):
        lesion.click()
    first, second = slices(page)
    assert first > 10
    assert second > 10
    expect(lesion).to_have_attribute("aria-pressed", "true")


def test_the_server_has_nothing_to_complain_of(page, seen, tmp_path_factory):
    (log,) = tmp_path_factory.getbasetemp().glob("viewer[0-9]*/server.log")
    words = log.read_text()
    assert "You can now view" in words
    assert "runtime" not in words.lower()
    assert "warning" not in words.lower()


def test_axe_finds_nothing_serious(page):
    axe = pytest.importorskip("axe_playwright_python")
    page.add_script_tag(path=Path(axe.__file__).with_name("axe.min.js"))
    found = page.evaluate(
        "async () => (await axe.run({ include: ['[data-testid=stMain]'] })).violations"
    )
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in bad] == []
