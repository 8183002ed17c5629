"""The viewer without the app: what keys and mouse do to two small scans, in mm and voxels."""

import itertools
import shutil

import numpy as np
import pytest

from tests.server import frontend_page

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
]

# Two scans on grids of their own; no two voxels of a scan have the same value. Order x, y, z.
SIZES = (40, 32, 12), (36, 40, 15)
SPACINGS = np.array([[1.5, 2.0, 5.0], [1.75, 1.6, 4.0]])
# Turned a little, stretched and moved: a place of the baseline becomes one of the follow-up.
LINK = np.array([[1.02, 0.03, 0.0, 1.3], [-0.03, 0.98, 0.01, -2.2], [0.01, 0.0, 1.05, 3.1],
                 [0, 0, 0, 1]])  # fmt: skip
MAP_SIZE, MAP_SPACING, MAP_ORIGIN = (20, 16, 10), (3.0, 4.0, 6.0), (0.75, 1.0, 0.5)
LESIONS = [
    {"name": "L1", "at": [[34.0, 30.0, 27.0], [33.0, 26.0, 31.5]], "ml": [4.2, 3.1]},
    {"name": "L2", "at": [None, [12.0, 40.0, 44.0]], "ml": [None, 0.8]},
    {"name": "L3", "at": [[50.0, 12.0, 41.0], None], "ml": [1.4, None]},
]
START = """async (given) => {
  const { Viewer } = await import('/viewer.js');
  if (!window.styled) {
    const css = await (await fetch('/style.css')).text();
    const style = document.createElement('style');
    style.textContent = css;
    document.body.replaceChildren(style);
    window.styled = true;
  }
  window.asked = [];
  window.statuses = given.status ?? {};
  window.fetch = async (url) => {
    const [visit, layer, slab] = String(url).split('/').slice(-3);
    window.asked.push([visit, layer, Number(slab)].join('/'));
    const status = window.statuses[layer + visit] ?? window.statuses[`${layer}${visit}/${slab}`];
    if (status) return new Response(null, { status });
    const source = given.data.scans[visit][layer];
    const [x, y, z] = source.size;
    const first = Number(slab) * source.slices;
    const count = Math.min(source.slices, z - first) * x * y;
    const kind = { ct: Int16Array, saliency: Int8Array }[layer] ?? Uint8Array;
    const at = (n) => layer === 'ct'
      ? ((n * 4001) % 21601) - 8000 + 11 * visit
      : inBox(n, source.size, given.boxes[layer]) ? given.values[layer] : 0;
    return new Response(kind.from({ length: count }, (_, n) => at(n + first * x * y)));
  };
  const inBox = (n, [x, y], [low, high]) => {
    const voxel = [n % x, Math.floor(n / x) % y, Math.floor(n / x / y)];
    return voxel.every((v, a) => v >= low[a] && v < high[a]);
  };
  window.told = [];
  window.viewer?.close();
  window.viewer = new Viewer(document.body, given.data, (...words) => window.told.push(words));
}"""
FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
# Voxels (x, y, z) from and to; in mm the tumour reaches from 29.25 to 41.25 across.
BOXES = {"tumour": [[10, 5, 3], [14, 9, 6]], "lungs": [[2, 2, 1], [18, 14, 9]],
         "saliency": [[4, 3, 6], [6, 5, 8]], "lesions": [[10, 5, 3], [14, 9, 6]]}  # fmt: skip
VALUES = {"tumour": 255, "lungs": 255, "saliency": -127, "lesions": 1}
count = itertools.count()


def source(visit, layer, fresh=""):
    lies = {"size": MAP_SIZE, "spacing": MAP_SPACING, "origin": MAP_ORIGIN, "slices": 10}
    if layer == "ct":
        lies = {"size": SIZES[visit], "spacing": SPACINGS[visit].tolist(), "origin": (0, 0, 0),
                "slices": 4}  # fmt: skip
    return lies | {"id": f"{layer}-{visit}{fresh}", "url": f"/image/{visit}/{layer}/{{slab}}"}


def scan(visit, fresh):
    layers = ("ct", "tumour", "lesions", "lungs", "saliency")
    return {"label": ("Baseline CT", "Follow-up CT")[visit], "position": [-30.0, -20.0, -100.0],
            "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "names": ["", "L1"],
            **{layer: source(visit, layer, fresh) for layer in layers}}  # fmt: skip


class Seen:
    """The viewer on a page."""

    def __init__(self, page, fresh="", status=None, **more):
        self.page = page
        self.data = {
            "pair": f"pair-{next(count)}", "scans": [scan(0, fresh), scan(1, fresh)],
            "link": {"matrix": LINK.ravel().tolist(), "offset": [0, 0, 0], "sure": True, "how": ""},
            "lesions": LESIONS, "strongest": [[10.0, 14.0, 38.0], None], "measurements": [],
            "goto": None, "view": "", "waiting": "",
        } | more  # fmt: skip
        given = {"data": self.data, "boxes": BOXES, "values": VALUES, "status": status or {}}
        page.evaluate(START, given)
        page.mouse.move(0, 0)
        self.draw()

    def draw(self):
        self.page.evaluate(FRAMES)
        self.page.evaluate(FRAMES)

    def full(self):
        self.page.wait_for_selector("[data-testid=viewer][data-full]")
        self.draw()
        return self

    def press(self, keys, pane=0):
        self.page.locator(".stage").nth(pane).focus()
        for key in keys.split():
            self.page.keyboard.press(key)
        self.draw()

    def state(self):
        return self.page.evaluate("() => ({ ...viewer.state })")

    def places(self):
        return np.array(self.state()["at"])

    def put(self, visit, place):
        self.page.evaluate("([visit, place]) => viewer.point(visit, place)", [visit, list(place)])
        self.draw()

    def slices(self):
        return [int(one.get_attribute("data-slice")) for one in self.page.locator(".pane").all()]

    def texts(self, kind):
        return self.page.locator(f".stage .{kind}").all_inner_texts()

    def hu(self):
        return [int(text.split()[0].replace("−", "-")) for text in self.texts("value")]

    def hu_or_none(self, visit):
        return self.hu()[visit] if all(self.texts("value")) else None

    def scale(self):
        """Pixels of the screen a mm."""
        return self.page.evaluate("() => viewer.panes[0].view.scale / viewer.panes[0].unit")

    def on_screen(self, visit, place):
        """Where on the page a place of a scan is drawn."""
        return self.page.evaluate(
            """async ([visit, place]) => {
                const { toScreen } = await import('/geometry.js');
                const pane = viewer.panes[visit];
                const [x, y] = toScreen(pane.view, place);
                const box = pane.context.canvas.getBoundingClientRect();
                return [box.left + x / pane.unit, box.top + y / pane.unit];
            }""",
            [visit, list(place)],
        )

    def drag(self, start, end, button="left"):
        self.page.mouse.move(*start)
        self.page.mouse.down(button=button)
        self.page.mouse.move(*end, steps=3)
        self.page.mouse.up(button=button)
        self.draw()

    def told(self):
        return self.page.evaluate("() => window.told")

    def said(self):
        return self.page.locator(".unseen").inner_text()

    def pixels(self, visit, places):
        """Colours on the canvas at places of the scan, (r, g, b)."""
        return self.page.evaluate(
            """async ([visit, places]) => {
                const { toScreen } = await import('/geometry.js');
                const { view, context } = viewer.panes[visit];
                const { data } = context.getImageData(0, 0, view.width, view.height);
                return places.map((place) => {
                    const [x, y] = toScreen(view, place).map(Math.round);
                    return [...data.slice(4 * (x + view.width * y), 4 * (x + view.width * y) + 3)];
                });
            }""",
            [visit, [list(place) for place in places]],
        )


@pytest.fixture(scope="module")
def page():
    with frontend_page() as page:
        yield page


@pytest.fixture
def seen(page):
    return Seen(page).full()


def across(place, offset=(0, 0, 0)):
    return (LINK @ [*place, 1])[:3] + offset


def back(place, offset=(0, 0, 0)):
    return np.linalg.solve(LINK, [*np.subtract(place, offset), 1])[:3]


def voxel_hu(visit, place):
    """The value of the nearest voxel, made of its number in the scan; see `START`."""
    x, y, z = np.rint(np.array(place) / SPACINGS[visit]).astype(int)
    n_x, n_y, _ = SIZES[visit]
    return int((x + n_x * (y + n_y * z)) * 4001 % 21601 - 8000 + 11 * visit)


# --- Two scans, one place ---------------------------------------------------------------------


def test_the_other_scan_shows_the_linked_place_exactly_and_the_nearest_of_its_slices(seen):
    for plane, w in (("a", 2), ("c", 1), ("s", 0)):
        seen.press(plane)
        seen.put(0, (21.0, 26.0, 20.0))
        for key, pane in (
            ("ArrowUp", 0),
            ("ArrowDown", 1),
            ("ArrowDown", 1),
            ("PageDown", 0),
            ("l", 1),
        ):
            seen.press(key, pane)
            places = seen.places()
            expected = across(places[0]) if pane == 0 else back(places[1])
            np.testing.assert_allclose(places[1 - pane], expected, atol=1e-9)
            for visit, slice_ in enumerate(seen.slices()):
                off = places[visit][w] - slice_ * SPACINGS[visit][w]
                assert abs(off) <= SPACINGS[visit][w] / 2 + 1e-9
            moved = places[pane][w] / SPACINGS[pane][w]
            assert key == "l" or moved == pytest.approx(round(moved), abs=1e-9)


def test_what_lies_in_the_middle_of_both_panes_is_the_same_place(seen):
    seen.press("+ + Shift+ArrowRight Shift+ArrowDown Shift+ArrowDown")
    first, second = seen.page.evaluate("() => viewer.panes.map((pane) => pane.view.centre)")
    np.testing.assert_allclose(second, across(first), atol=1e-9)
    scales = seen.page.evaluate("() => viewer.panes.map((pane) => pane.view.scale)")
    assert scales[0] == scales[1]


@pytest.mark.parametrize("plane", "acs")
def test_both_scans_fit_whole_into_their_panes(seen, plane):
    seen.press(plane)
    for visit in (0, 1):
        box = seen.page.locator(".stage canvas").nth(visit).bounding_box()
        ends = np.array([-0.5 * SPACINGS[visit], (np.array(SIZES[visit]) - 0.5) * SPACINGS[visit]])
        for x, y in (seen.on_screen(visit, end) for end in ends):
            assert -1 <= x - box["x"] <= box["width"] + 1
            assert -1 <= y - box["y"] <= box["height"] + 1


def test_unlinked_each_scan_goes_by_itself_and_linked_again_it_comes_back(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    before = seen.places()
    seen.press("u ArrowUp ArrowUp")
    np.testing.assert_allclose(seen.places(), [before[0] + [0, 0, 10], before[1]])
    seen.press("Home", pane=1)
    assert seen.slices() == [6, 0]
    seen.press("u")
    np.testing.assert_allclose(seen.places()[1], across(before[0] + [0, 0, 10]))


def test_linked_by_hand_the_offset_is_what_was_seen_and_is_handed_on(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    seen.press("u")
    seen.put(1, (30.0, 20.0, 41.0))
    seen.press("U")
    offset = np.subtract((30.0, 20.0, 41.0), across((21.0, 26.0, 20.0)))
    assert seen.told()[-1][0] == "offset"
    np.testing.assert_allclose(seen.told()[-1][1], offset, atol=0.0501)
    seen.put(0, (24.0, 30.0, 30.0))
    np.testing.assert_allclose(seen.places()[1], across((24.0, 30.0, 30.0), offset), atol=1e-9)
    seen.put(1, (24.0, 30.0, 30.0))
    np.testing.assert_allclose(seen.places()[0], back((24.0, 30.0, 30.0), offset), atol=1e-9)


def test_an_offset_that_python_remembers_is_used_from_the_start(page):
    link = {
        "matrix": LINK.ravel().tolist(),
        "offset": [3, -4, 5],
        "sure": False,
        "how": "By lungs.",
    }
    seen = Seen(page, link=link).full()
    seen.put(0, (21.0, 26.0, 20.0))
    np.testing.assert_allclose(seen.places()[1], across((21.0, 26.0, 20.0), (3, -4, 5)))
    notes = page.locator(".notes").inner_text()
    assert "Moved by hand" in notes
    assert "Look whether" not in notes  # it was looked at


def test_an_unsure_link_asks_for_a_look(page):
    Seen(
        page, link={"matrix": LINK.ravel().tolist(), "offset": [0, 0, 0], "sure": False, "how": "?"}
    )
    assert "Look whether both scans show the same place" in page.locator(".notes").inner_text()


# --- Where one is -----------------------------------------------------------------------------


def test_the_hu_are_those_of_the_voxel_under_the_pointer_in_both_scans(seen):
    for place in ((21.2, 26.4, 20.0), (40.0, 50.3, 20.0)):
        seen.put(0, (30.0, 30.0, 20.0))
        seen.page.mouse.move(*seen.on_screen(0, place))
        seen.draw()
        under = seen.state()["pointer"]
        np.testing.assert_allclose(under[0], place, atol=0.5 / seen.scale())
        np.testing.assert_allclose(under[1], across(under[0]), atol=1e-9)
        assert seen.hu() == [voxel_hu(0, under[0]), voxel_hu(1, under[1])]
    seen.page.mouse.move(0, 0)
    seen.draw()
    assert seen.hu() == [voxel_hu(visit, place) for visit, place in enumerate(seen.places())]


@pytest.mark.parametrize(
    ("plane", "w", "down"),
    [("a", 2, -1), ("c", 1, 1), ("s", 0, 1)],
    ids=["axial", "coronal", "sagittal"],
)
def test_slices_by_keys(seen, plane, w, down):
    """Down the keys leads to the feet, to the back and to the patient's left."""
    seen.press(plane)
    seen.put(0, np.array([11, 12, 6]) * SPACINGS[0])
    start = seen.slices()[0]
    for key, steps in (("ArrowDown", 1), ("ArrowUp", -1), ("ArrowUp", -1), ("ArrowDown", 1)):
        before = seen.slices()[0]
        seen.press(key)
        assert seen.slices()[0] == before + steps * down
    assert seen.slices()[0] == start
    last = SIZES[0][w] - 1
    seen.press("Home")
    assert seen.slices()[0] == 0
    seen.press("PageUp" if down < 0 else "PageDown")
    assert seen.slices()[0] == min(10, last)
    seen.press("End ArrowUp" if down < 0 else "End ArrowDown")
    assert seen.slices()[0] == last
    assert seen.texts("where")[0].startswith(f"slice {last + 1} of {SIZES[0][w]} ·")


def test_the_crosshair_goes_by_voxels_and_the_picture_by_millimetres(seen):
    for plane, right, down in (("a", (1.5, 0, 0), (0, 2.0, 0)), ("c", (1.5, 0, 0), (0, 0, -5.0)),
                               ("s", (0, 2.0, 0), (0, 0, -5.0))):  # fmt: skip
        seen.press(plane)
        seen.put(0, (21.0, 26.0, 30.0))
        start = seen.places()[0]
        for keys, moved in (
            ("l", right),
            ("k", down),
            ("j i", -np.add(right, down)),
            ("L j", np.multiply(right, 9)),
        ):
            seen.press(keys)
            np.testing.assert_allclose(seen.places()[0], start + moved)
            start = seen.places()[0]
    seen.press("s Shift+ArrowLeft Shift+ArrowDown")
    # The picture goes to the left: its middle to the right, 20 mm; down: the middle to the head.
    assert seen.state()["pan"] == [0, 20, 20]


def test_the_place_is_said_in_millimetres_of_the_patient(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    assert seen.texts("where")[0].startswith("slice 5 of 12 · I 80.0 mm")  # -100 + 20
    seen.press("s")
    assert "R 9.0 mm" in seen.texts("where")[0]  # -30 + 21
    assert "slice 15 of 40" in seen.texts("where")[0]
    canvas = seen.page.locator(".stage canvas").first
    assert canvas.get_attribute("aria-label") == "Baseline CT, sagittal, slice 15 of 40, R 9.0 mm"


def test_beyond_the_scans_end_nothing_is_shown_as_a_slice(seen):
    seen.put(0, (21.0, 26.0, 55.0))  # 5 * 11 is the last slice; the follow-up lies at 61 of 56 mm
    assert seen.slices() == [11, -1]
    assert seen.texts("where")[1].startswith("beyond the scan")
    assert seen.texts("value")[1] == ""


# --- The mouse --------------------------------------------------------------------------------


def test_the_wheel_goes_by_slices_and_with_ctrl_zooms(seen):
    seen.put(0, (21.0, 26.0, 30.0))
    seen.page.mouse.move(*seen.on_screen(0, (30, 30, 30)))
    for turned, steps in ((100, -1), (-100, 1), (30, 0), (30, -1), (300, -3)):
        before = seen.slices()[0]
        seen.page.mouse.wheel(0, turned)
        seen.draw()
        assert seen.slices()[0] == before + steps, turned
    seen.page.keyboard.down("Control")
    seen.page.mouse.wheel(0, -100)
    seen.page.keyboard.up("Control")
    seen.draw()
    assert seen.state()["zoom"] == pytest.approx(1.1)


def test_the_wheel_over_the_follow_up_goes_by_its_own_slices(seen):
    seen.put(1, (21.0, 26.0, 28.0))
    seen.page.mouse.move(*seen.on_screen(1, (30, 30, 28)))
    seen.page.mouse.wheel(0, 100)
    seen.draw()
    assert seen.places()[1][2] == pytest.approx(24.0)


def test_the_right_button_windows_and_the_middle_one_moves(seen):
    middle = seen.on_screen(0, (30, 30, 20))
    seen.drag(middle, (middle[0] + 25, middle[1] - 15), "right")
    assert seen.state()["window"] == {"centre": 40 - 2 * 15, "width": 400 + 4 * 25}
    scale = seen.scale()
    seen.drag(middle, (middle[0] + 30, middle[1] + 12), "middle")
    np.testing.assert_allclose(seen.state()["pan"], [-30 / scale, -12 / scale, 0], atol=1e-6)


def test_a_click_puts_the_crosshair_where_it_was_made(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    seen.page.mouse.click(*seen.on_screen(0, (12.0, 44.0, 20.0)))
    seen.draw()
    np.testing.assert_allclose(seen.places()[0], (12, 44, 20), atol=0.5 / seen.scale())
    np.testing.assert_allclose(seen.places()[1], across(seen.places()[0]), atol=1e-9)


# --- How it looks -----------------------------------------------------------------------------


def test_windows_and_zoom_by_keys(seen):
    centres = []
    for key in "1234":
        seen.press(key)
        centres.append((seen.state()["window"]["centre"], seen.state()["window"]["width"]))
    assert centres == [(-600, 1500), (40, 400), (400, 1800), (60, 160)]
    seen.press("2 ] ] [ .")
    assert seen.state()["window"] == {"centre": -10, "width": 450}  # brighter: the centre sinks
    seen.press("[ " * 12 + ",")
    assert seen.state()["window"] == {"centre": 40, "width": 1}
    seen.press("+ = -")
    assert seen.state()["zoom"] == pytest.approx(1.2)
    seen.press("+ " * 20)
    assert seen.state()["zoom"] == 10
    seen.press("0")
    assert (seen.state()["zoom"], seen.state()["pan"]) == (1, [0, 0, 0])


def test_a_voxel_is_drawn_where_it_lies_with_the_grey_of_the_window(page):
    """At four times the size the middle of a voxel has its own grey, in every plane."""
    seen = Seen(page, lesions=[]).full()
    seen.press("x o < < < < < < < <")
    for plane in "acs":
        place = np.array([17, 9, 6]) * SPACINGS[0]
        seen.press(plane)
        seen.put(0, place)
        hu = voxel_hu(0, place)
        pan = (place - (np.array(SIZES[0]) - 1) / 2 * SPACINGS[0]).tolist()
        near = {"window": {"centre": hu - 800, "width": 8000}, "zoom": 4, "pan": pan}
        page.evaluate("near => viewer.set(near)", near)
        seen.draw()
        ((red, green, blue),) = seen.pixels(0, [place])
        assert red == green == blue
        # Neighbours differ by 1,843 HU or more: half a voxel away it would be 29 more or less.
        assert red == pytest.approx(255 * (800 / 8000 + 0.5), abs=8)


def test_the_bar_is_as_long_as_it_says_whatever_the_zoom(seen):
    """Between its upright ends, near the lower edge; a bar longer than the picture is none."""
    seen.press("x o < < < < < < < <")
    white = """() => {
        const { context, unit } = viewer.panes[0];
        const { width, height } = context.canvas;
        const row = context.getImageData(0, Math.round(height - 12 * unit), width, 1).data;
        const on = [...Array(width).keys()].filter((x) => row[4 * x] > 128);
        return [(on[0]) / unit, (on.at(-1) + 1) / unit, width / unit];
    }"""
    seen.page.evaluate("() => viewer.set({ window: { centre: 30000, width: 1 } })")  # all black
    for zoom, mm in ((0.5, 50), (1, 20), (2.5, 10), (4.1, 5), (9, 2)):
        seen.page.evaluate("zoom => viewer.set({ zoom })", zoom)
        seen.draw()
        left, right, width = seen.page.evaluate(white)
        # Two pixels of the line's own thickness, one at each end.
        assert right - left - 2 == pytest.approx(mm * seen.scale(), abs=2), zoom
        assert right < 0.6 * width


def test_what_is_drawn_over_the_image_is_seen_on_white(page):
    """In a window in which all is white: each thing has a dark rim, and none is lost."""
    line = [[12.0, 44.0, 25.0], [30.0, 52.0, 25.0]]
    seen = Seen(page, measurements=[drawn_line([line])]).full()
    page.evaluate("() => viewer.set({ window: { centre: -30000, width: 1 }, opacity: 0 })")
    seen.put(0, (54.0, 12.0, 25.0))
    dark = """([left, top, right, bottom]) => {
        const box = [left, top, right - left, bottom - top];
        const { data } = viewer.panes[0].context.getImageData(...box);
        return data.filter((value, n) => n % 4 === 0 && value < 100).length;
    }"""
    unit = page.evaluate("() => viewer.panes[0].unit")
    low = page.evaluate("() => viewer.panes[0].context.canvas.height")
    box = page.locator(".stage canvas").first.bounding_box()

    def around(place, size=10):
        x, y = np.subtract(seen.on_screen(0, place), (box["x"], box["y"])) * unit
        return [round(x - size), round(y - size), round(x + size), round(y + size)]

    blank = around((50.0, 44.0, 25.0))
    assert page.evaluate(dark, blank) == 0
    spots = {
        "bar": [12, round(low - 16 * unit), 60, round(low - 8 * unit)],
        "tumour": around((0.75 + 13.5 * 3, 30.0, 25.0)),
        "lungs": around((0.75 + 13.5 * 3, 1.0 + 1.5 * 4, 25.0)),
        "line": around(((12 + 30) / 2, 48.0, 25.0)),
        "crosshair": around((54.0, 25.0, 25.0)),
    }
    for name, spot in spots.items():
        assert page.evaluate(dark, spot) >= 10, name
    shadows = "all => all.map((one) => getComputedStyle(one).textShadow)"
    assert "none" not in page.locator(".letter, .where, .value").evaluate_all(shadows)
    seen.press("v")  # a chosen line is white itself
    assert page.evaluate(dark, spots["line"]) >= 10


def test_outlines_lie_on_the_tumours_edge_and_go_with_a_key(seen):
    seen.press("x < < < < < < < < 3")
    seen.put(0, (60.0, 60.0, 25.0))
    # Half way between the last voxel of the tumour and the next one.
    right, left = 0.75 + 13.5 * 3, 0.75 + 9.5 * 3
    spots = [(right, 27.0, 25.0), (left, 27.0, 25.0)]
    for red, green, blue in seen.pixels(0, spots):
        assert red > blue + 40, (red, green, blue)
        assert green > blue + 40
    beside = [((4 + x) / seen.scale(), y / seen.scale()) for x in range(30) for y in range(-30, 30)]
    name = [(right + x, 19.0 + y, 25.0) for x, y in beside]
    assert sum(red > blue + 60 for red, _, blue in seen.pixels(0, name)) > 10  # “L1”
    (inside,) = seen.pixels(0, [(35.0, 27.0, 25.0)])
    assert max(inside) - min(inside) <= 2
    seen.press("f")
    (filled,) = seen.pixels(0, [(35.0, 27.0, 25.0)])
    assert filled[0] > filled[2] + 30
    seen.press("f o")
    for red, green, blue in seen.pixels(0, spots):
        assert max(red, green, blue) - min(red, green, blue) <= 2


def test_saliency_lies_at_its_place_and_its_strength_is_a_key(seen):
    seen.press("x o 3")
    seen.put(0, (60.0, 60.0, 40.0))
    place, beside = (0.75 + 4.5 * 3, 1 + 3.5 * 4, 40.0), (0.75 + 9 * 3, 1 + 3.5 * 4, 40.0)
    strong, grey = seen.pixels(0, [place, beside])
    assert strong[0] > strong[2] + 40  # orange: it lowered
    assert max(grey) - min(grey) <= 2
    seen.press("< < <")
    (faint,) = seen.pixels(0, [place])
    assert 10 < faint[0] - faint[2] < 0.7 * (strong[0] - strong[2])
    assert seen.state()["opacity"] == pytest.approx(0.3)


def test_the_strip_shows_where_lesions_and_saliency_are(seen):
    rows = """() => {
        const { canvas } = viewer.panes[0].strip;
        const data = viewer.panes[0].strip.getImageData(0, 0, canvas.width, canvas.height).data;
        return [2, 8].map((row) => Array.from({ length: canvas.width }, (_, x) => {
            const n = 4 * (row * canvas.width + x);
            return data[n] - data[n + 2];
        }));
    }"""
    for plane, w in (("a", 2), ("s", 0)):
        seen.press(plane)
        length = SIZES[0][w] * SPACINGS[0][w]
        for row, layer in zip(seen.page.evaluate(rows), ("tumour", "saliency"), strict=True):
            marked = np.flatnonzero(np.array(row) > 30)
            low, high = (
                MAP_ORIGIN[w] + (BOXES[layer][n][w] - 0.5) * MAP_SPACING[w] for n in (0, 1)
            )
            expected = (np.array([low, high]) + SPACINGS[0][w] / 2) / length * 400
            np.testing.assert_allclose([marked[0], marked[-1]], expected, atol=2)
    seen.press("< < < < < < <")  # no colours in the scan, none in the strip
    assert max(seen.page.evaluate(rows)[1]) < 30


def test_the_view_survives_a_change_of_page_and_a_link_brings_it_elsewhere(seen):
    seen.press("s 3 f + + + Shift+ArrowUp Shift+ArrowRight u")
    seen.put(0, (22.5, 26.0, 30.0))
    seen.put(1, (21.0, 8.0, 16.0))
    before = seen.state()
    seen.page.evaluate("() => (window.data = viewer.data)")
    seen.page.evaluate(
        """async () => {
            const { Viewer } = await import('/viewer.js');
            viewer.close();
            window.viewer = new Viewer(document.body, window.data, () => {});
        }"""
    )
    seen.draw()
    assert seen.state() == before | {"pointer": None}
    seen.press("y")
    view = seen.page.locator(".link").input_value().split("view=")[1]
    other = Seen(seen.page, view=view).full().state()
    for name in ("plane", "window", "fill", "linked", "contours", "crosshair"):
        assert other[name] == before[name], name
    np.testing.assert_allclose(other["at"], before["at"], atol=0.05)
    np.testing.assert_allclose(other["pan"], before["pan"], atol=0.05)
    assert other["zoom"] == pytest.approx(before["zoom"], abs=0.005)


# --- Lesions ----------------------------------------------------------------------------------


def test_it_opens_at_the_largest_lesion_in_both_scans(seen):
    np.testing.assert_allclose(seen.places(), LESIONS[0]["at"])


def test_keys_go_from_lesion_to_lesion_each_scan_to_its_own(seen):
    seen.press("n")
    np.testing.assert_allclose(seen.places(), LESIONS[0]["at"])
    assert "4.2 ml, then 3.1 ml" in seen.said()
    seen.press("n")  # only in the follow-up
    np.testing.assert_allclose(seen.places(), [back(LESIONS[1]["at"][1]), LESIONS[1]["at"][1]])
    assert "L2, not seen, then 0.8 ml" in seen.said()
    seen.press("n")  # only at baseline
    np.testing.assert_allclose(seen.places(), [LESIONS[2]["at"][0], across(LESIONS[2]["at"][0])])
    seen.press("n p")  # round, and back
    np.testing.assert_allclose(seen.places()[0], LESIONS[2]["at"][0])
    words = seen.page.locator(".lesions button").all_inner_texts()
    assert words[:2] == ["L1: 4.2 ml → 3.1 ml", "L2: not seen → 0.8 ml · at follow-up only"]
    pressed = seen.page.locator(".lesions [aria-pressed=true]").all_inner_texts()
    assert pressed == ["L3: 1.4 ml → not seen · no longer seen"]


def test_the_strongest_colour_is_a_button_for_the_scan_that_has_one(seen):
    buttons = seen.page.locator(".lesions").get_by_role("button", name="Strongest")
    assert buttons.all_inner_texts() == ["Strongest colour, baseline"]
    buttons.click()
    np.testing.assert_allclose(seen.places()[0], (10, 14, 38))


@pytest.mark.parametrize("linked", [True, False])
def test_where_one_is_led_is_in_the_picture_however_large_it_is(seen, linked):
    far = """async () => {
        const { toScreen } = await import('/geometry.js');
        return viewer.panes.map(({ view }, visit) => {
            const [x, y] = toScreen(view, viewer.state.at[visit]);
            return Math.max(Math.abs(x / view.width - 0.5), Math.abs(y / view.height - 0.5));
        });
    }"""
    seen.press("" if linked else "u")
    seen.page.evaluate("() => { viewer.set({ zoom: 6 }); }")
    led = [
        (0, lambda: seen.press("n n n")),  # L3, only at baseline
        (1, lambda: seen.press("p")),  # L2, only at follow-up
        (0, lambda: seen.page.get_by_role("button", name="Strongest").click()),
    ]
    for visit, lead in led:
        seen.page.evaluate("() => viewer.set({ pan: [400, -300, 200] })")
        lead()
        seen.draw()
        # Linked, the other scan has it in the middle as well.
        assert seen.page.evaluate(far)[visit] < 0.01
        if linked:
            assert max(seen.page.evaluate(far)) < 0.01
    pan = seen.state()["pan"]
    seen.press("l l")  # what is seen already moves nothing
    seen.page.evaluate("() => viewer.lead(0, viewer.state.at[0])")
    assert seen.state()["pan"] == pan


def test_python_leads_to_a_place_once(seen):
    for n, expected in ((1, (20.0, 20.0, 12.0)), (1, (50.0, 50.0, 16.0)), (2, (20.0, 20.0, 12.0))):
        goto = {"n": n, "visit": 1, "at": [20.0, 20.0, 12.0]}
        seen.page.evaluate("(goto) => viewer.update({ ...viewer.data, goto }, () => {})", goto)
        np.testing.assert_allclose(seen.places()[1], expected)
        seen.put(1, (50.0, 50.0, 16.0))


# --- Measuring --------------------------------------------------------------------------------


def drawn_line(lines, **more):
    return {
        "key": "k1",
        "lesion": "L1",
        "visit": 0,
        "plane": "axial",
        "lines": lines,
        "by": "",
    } | more


def last_drawn(seen):
    name, sent = seen.told()[-1]
    assert name == "drawn"
    return sent[-1]


def test_a_length_by_mouse_is_as_long_as_it_was_drawn_to_half_a_voxel(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    seen.press("Escape")
    seen.page.get_by_role("button", name="Length").click()
    start, end = (12.0, 20.0, 20.0), (42.0, 44.0, 20.0)
    seen.drag(seen.on_screen(0, start), seen.on_screen(0, end))
    sent = last_drawn(seen)
    np.testing.assert_allclose(sent["lines"][0], [start, end], atol=0.5 / seen.scale() + 1e-6)
    assert (sent["visit"], sent["plane"], sent["lesion"]) == (0, "axial", "M1")
    assert "38.4 mm" in seen.said()  # the root of 30² + 24²


def test_two_diameters_by_keys_are_at_right_angles_and_go_with_the_lesion(seen):
    seen.press("n s", pane=1)  # L1, in the follow-up
    first = seen.places()[1]
    seen.press("d l l l l k k d", pane=1)  # 4 * 1.6 mm and 2 * 4 mm
    assert seen.told() == []
    seen.press("j j d i i i d", pane=1)
    sent = last_drawn(seen)
    assert (sent["visit"], sent["plane"], sent["lesion"]) == (1, "sagittal", "L1")
    long, short = np.array(sent["lines"])
    np.testing.assert_allclose(long, [first, np.add(first, [0, 6.4, -8.0])])
    np.testing.assert_allclose(short[0], np.add(first, [0, 3.2, -8.0]))
    # Of 3 voxels up, 12 mm, what lies across (6.4, -8): 12 * 6.4 / the root of 6.4² + 8².
    assert np.dot(long[1] - long[0], short[1] - short[0]) == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(short[1] - short[0]) == pytest.approx(12 * 6.4 / np.hypot(6.4, 8))


def test_an_end_can_be_pulled_and_the_same_measurement_is_handed_on(page):
    lines = [[[12.0, 20.0, 20.0], [42.0, 20.0, 20.0]], [[27.0, 12.0, 20.0], [27.0, 28.0, 20.0]]]
    seen = Seen(page, measurements=[drawn_line(lines)]).full()
    seen.put(0, (21.0, 26.0, 20.0))
    seen.drag(seen.on_screen(0, lines[0][1]), seen.on_screen(0, (42.0, 35.0, 20.0)))
    sent = last_drawn(seen)
    assert sent["key"] == "k1"
    np.testing.assert_allclose(
        sent["lines"][0], [lines[0][0], (42, 35, 20)], atol=0.5 / seen.scale()
    )
    first, second = (np.subtract(*line) for line in sent["lines"])
    assert np.dot(first, second) == pytest.approx(0, abs=1e-6)  # the second one turned with it
    assert seen.state()["chosen"] == "k1"


def test_an_end_stays_in_its_slice_and_a_second_diameter_at_right_angles(page):
    lines = [[[12.0, 20.0, 20.0], [42.0, 20.0, 20.0]], [[27.0, 12.0, 20.0], [27.0, 28.0, 20.0]]]
    seen = Seen(page, measurements=[drawn_line(lines)]).full()
    seen.put(0, (21.0, 26.0, 21.5))  # the same slice, not its middle
    seen.drag(seen.on_screen(0, lines[1][1]), seen.on_screen(0, (36.0, 40.0, 20.0)))
    expected = [lines[0], [[27.0, 12.0, 20.0], [27.0, 40.0, 20.0]]]
    np.testing.assert_allclose(last_drawn(seen)["lines"], expected, atol=0.6 / seen.scale())
    assert {end[2] for line in last_drawn(seen)["lines"] for end in line} == {20.0}


def test_a_length_beside_the_edge_can_be_read_to_its_end(page):
    """As many pink pixels as of the same line in the middle."""
    middle = [[12.0, 20.0, 20.0], [32.0, 20.0, 20.0]]
    edge = [[38.0, 20.0, 20.0], [58.0, 20.0, 20.0]]
    pink = """() => {
        const { context } = viewer.panes[0];
        const { width, height } = context.canvas;
        const { data } = context.getImageData(0, 0, width, height);
        let count = 0;
        for (let n = 0; n < data.length; n += 4) {
            if (data[n] > 200 && data[n + 1] < 180 && data[n + 2] > 150) count += 1;
        }
        return count;
    }"""
    counts = []
    for line in (middle, edge):
        seen = Seen(page, measurements=[drawn_line([line])]).full()
        seen.press("x o < < < < < < <")
        page.evaluate("() => viewer.set({ window: { centre: 30000, width: 1 } })")
        seen.put(0, (21.0, 50.0, 20.0))
        counts.append(page.evaluate(pink))
    assert counts[0] > 300
    assert counts[1] == pytest.approx(counts[0], rel=0.03)


def test_a_measurement_is_seen_in_its_own_plane_and_slice(page):
    line = [[12.0, 20.0, 20.0], [42.0, 20.0, 20.0]]
    seen = Seen(page, measurements=[drawn_line([line])]).full()
    seen.press("x o 3 < < < < < < <")

    def is_pink():
        ((red, green, blue),) = seen.pixels(0, [(24.0, 20.0, 20.0)])
        return red > green + 40 and blue > green + 40

    seen.put(0, (50.0, 20.0, 21.0))
    assert is_pink()
    seen.press("c")
    assert not is_pink()
    seen.press("a ArrowUp")
    assert not is_pink()


def by_mouse(seen, tool, start, end, visit=0):
    seen.page.get_by_role("button", name=tool, exact=True).click()
    seen.drag(seen.on_screen(visit, start), seen.on_screen(visit, end))


def answer(seen):
    """What python says once it has kept what it was given last."""
    kept = """() => {
        const measurements = [...viewer.data.measurements, ...structuredClone(told.at(-1)[1])];
        viewer.update({ ...viewer.data, measurements }, viewer.tell);
    }"""
    seen.page.evaluate(kept)
    seen.draw()


def test_lines_drawn_one_after_the_other_are_lesions_of_their_own(seen):
    """Whether or not python has answered in between; each message holds what it may not have."""
    seen.put(0, (21.0, 26.0, 20.0))
    for start in (8.0, 24.0, 40.0):
        by_mouse(seen, "Length", (start, 8.0, 20.0), (start + 8, 8.0, 20.0))
        seen.put(0, (54.0, 58.0, 20.0))
    sent = seen.told()[-1][1]
    assert [one["lesion"] for one in sent] == ["M1", "M2", "M3"]
    assert len({one["key"] for one in sent}) == 3
    answer(seen)
    by_mouse(seen, "Length", (8.0, 50.0, 20.0), (20.0, 50.0, 20.0))
    sent = seen.told()[-1][1]
    assert [one["lesion"] for one in sent] == ["M4"]


def test_a_line_drawn_beside_one_just_drawn_does_not_take_its_place(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Length", (20.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    answer(seen)
    by_mouse(seen, "Length", (20.0, 36.0, 20.0), (30.0, 38.0, 20.0))
    assert seen.page.evaluate("() => viewer.measuring.all.map((one) => one.lesion)") == ["M1", "M2"]


def test_a_line_at_the_same_place_of_the_other_scan_is_the_same_lesion(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Length", (20.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    answer(seen)
    there = across((25.0, 30.0, 20.0))
    by_mouse(seen, "Length", np.add(there, (-6, 3, 0)), np.add(there, (6, 3, 0)), visit=1)
    assert (last_drawn(seen)["lesion"], last_drawn(seen)["visit"]) == ("M1", 1)
    answer(seen)
    by_mouse(seen, "Length", np.add(there, (-6, -6, 0)), np.add(there, (6, -6, 0)), visit=1)
    assert last_drawn(seen)["lesion"] == "M2"  # M1 has been measured in both


def test_far_from_the_chosen_lesion_a_line_is_another_one(seen):
    seen.press("n")  # L1, in the middle
    at = seen.places()[0]
    by_mouse(seen, "Length", np.add(at, (24, 24, 0)), np.add(at, (16, 24, 0)))
    assert last_drawn(seen)["lesion"] == "M1"
    by_mouse(seen, "Length", np.add(at, (-6, 3, 0)), np.add(at, (6, 3, 0)))
    assert last_drawn(seen)["lesion"] == "L1"


def test_a_first_diameter_is_kept_as_a_length_if_the_second_never_comes(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Two diameters", (20.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    assert seen.told() == []
    seen.page.get_by_role("button", name="Point", exact=True).click()
    assert len(last_drawn(seen)["lines"]) == 1
    by_mouse(seen, "Two diameters", (8.0, 50.0, 20.0), (18.0, 50.0, 20.0))
    seen.press("ArrowUp")  # in another slice it is no second diameter
    seen.drag(seen.on_screen(0, (13.0, 46.0, 25.0)), seen.on_screen(0, (13.0, 56.0, 25.0)))
    lines = [one["lines"] for one in seen.told()[-1][1]]
    assert [len(one) for one in lines] == [1, 1]
    assert lines[1][0][0][2] == 20.0


def test_an_end_of_a_first_diameter_can_be_pulled_before_the_second_is_drawn(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Two diameters", (10.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    seen.drag(seen.on_screen(0, (30.0, 30.0, 20.0)), seen.on_screen(0, (36.0, 30.0, 20.0)))
    assert seen.told() == []
    seen.drag(seen.on_screen(0, (20.0, 26.0, 20.0)), seen.on_screen(0, (21.0, 36.0, 20.0)))
    expected = [[(10, 30, 20), (36, 30, 20)], [(20, 26, 20), (20, 36, 20)]]
    np.testing.assert_allclose(last_drawn(seen)["lines"], expected, atol=1.1 / seen.scale())


def test_python_is_told_again_of_what_it_did_not_hear_but_not_for_ever(seen):
    """Another message, as of a link by hand, can take the place of a line that was just drawn."""
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Length", (20.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    first = seen.told()[-1]
    for times in (2, 3, 4, 4, 4):
        seen.page.evaluate("() => viewer.update({ ...viewer.data }, viewer.tell)")
        assert seen.told() == [first] * times
    assert seen.page.evaluate("() => viewer.measuring.of(0).length") == 1  # still to be seen
    by_mouse(seen, "Length", (20.0, 40.0, 20.0), (30.0, 40.0, 20.0))
    answer(seen)
    count = len(seen.told())
    seen.page.evaluate("() => viewer.update({ ...viewer.data }, viewer.tell)")
    assert len(seen.told()) == count


def test_what_was_deleted_before_python_answered_is_not_handed_on_again(seen):
    seen.put(0, (21.0, 26.0, 20.0))
    by_mouse(seen, "Length", (20.0, 30.0, 20.0), (30.0, 30.0, 20.0))
    gone = last_drawn(seen)["key"]
    seen.press("Delete")
    assert seen.told()[-1] == ["forgotten", gone]
    by_mouse(seen, "Length", (20.0, 40.0, 20.0), (30.0, 40.0, 20.0))
    assert [one["lesion"] for one in seen.told()[-1][1]] == ["M1"]
    assert last_drawn(seen)["key"] != gone


def test_what_python_kept_takes_the_place_of_what_was_drawn(seen):
    seen.press("m l l m")
    kept = drawn_line(last_drawn(seen)["lines"], key=last_drawn(seen)["key"], by="anna")
    update = "(kept) => viewer.update({ ...viewer.data, measurements: [kept] }, () => {})"
    seen.page.evaluate(update, kept)
    assert seen.page.evaluate("() => viewer.measuring.of(0).map((one) => one.by)") == ["anna"]


def test_an_end_in_another_slice_or_plane_cannot_be_pulled(page):
    seen = Seen(page, measurements=[drawn_line([[[12.0, 20.0, 20.0], [42.0, 20.0, 20.0]]])]).full()
    for keys in ("ArrowUp", "ArrowDown c"):
        seen.put(0, (21.0, 20.0, 20.0))
        seen.press(keys)
        spot = seen.on_screen(0, (42.0, 20.0, 20.0))
        seen.drag(spot, (spot[0] + 30, spot[1] + 30))
        assert seen.told() == []


def test_a_measurement_is_chosen_drawn_anew_and_deleted_by_keys(page):
    other = drawn_line([[[20.0, 20.0, 12.0], [30.0, 20.0, 12.0]]], key="k2", visit=1)
    first = drawn_line([[[12.0, 20.0, 20.0], [12.0, 20.0, 40.0]]], plane="sagittal")
    seen = Seen(page, measurements=[first, other]).full()
    seen.press("Delete")
    assert seen.told() == []
    assert "Choose a measurement first" in seen.said()
    seen.press("v")
    assert (seen.state()["chosen"], seen.state()["plane"]) == ("k1", "sagittal")
    np.testing.assert_allclose(seen.places()[0], (12, 20, 20))
    seen.press("m l l m")
    sent = last_drawn(seen)
    assert (sent["key"], sent["lesion"]) == ("k1", "L1")
    seen.press("v")
    np.testing.assert_allclose(seen.places()[1], (20, 20, 12))
    seen.press("Delete")
    assert seen.told()[-1] == ["forgotten", "k2"]
    assert seen.state()["chosen"] == ""


def test_a_press_without_a_drag_is_no_line_and_escape_drops_one(seen):
    seen.page.get_by_role("button", name="Length").click()
    seen.page.mouse.click(*seen.on_screen(0, (30.0, 30.0, 27.0)))
    seen.press("m l l Escape")
    assert seen.told() == []
    assert seen.page.evaluate("() => viewer.measuring.draft") is None
    assert seen.state()["tool"] == "point"


def test_a_new_line_takes_the_next_free_name(page):
    kept = [drawn_line([[[1, 1, 1], [9, 1, 1]]], key=name, lesion=name) for name in ("M1", "M3")]
    seen = Seen(page, measurements=kept).full()
    seen.press("m l l m")
    assert last_drawn(seen)["lesion"] == "M2"


# --- What may fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "tries"),
    [
        (403, "no longer valid. Reload", 1),
        (404, "no longer kept. Upload", 1),
        (500, "did not arrive", 3),
    ],
)
def test_what_did_not_arrive_is_said_with_what_to_do_and_can_be_tried_again(
    page, status, words, tries
):
    seen = Seen(page, fresh=f"-{status}", status={"ct1": status})
    alert = page.locator(".pane").nth(1).get_by_role("alert")
    alert.wait_for(timeout=20_000)
    assert words in alert.inner_text()
    assert page.locator(".pane").nth(0).get_by_role("alert").is_hidden()
    assert seen.texts("value")[1] == ""
    page.wait_for_function("() => viewer.panes[1].volume.running === 0", timeout=20_000)
    asked = page.evaluate("() => window.asked")
    assert asked.count("1/ct/0") == tries
    page.evaluate("() => (window.statuses = {})")
    alert.get_by_role("button", name="Try again").click()
    seen.full()
    alert.wait_for(state="hidden")


def test_a_part_that_failed_is_neither_shown_nor_are_the_others_fetched_again(page):
    seen = Seen(page, fresh="-part", status={"ct1/3": 500})  # its last three slices
    page.locator(".pane").nth(1).get_by_role("alert").wait_for(timeout=20_000)
    ready = []
    for z in (52.0, 20.0):
        seen.put(1, (33.0, 26.0, z))
        ready.append((page.locator(".pane").nth(1).get_attribute("data-ready"), seen.hu_or_none(1)))
    assert ready == [("0", None), ("1", voxel_hu(1, (33.0, 26.0, 20.0)))]
    page.evaluate("() => (window.statuses = {})")
    page.get_by_role("button", name="Try again").click()
    seen.full()
    asked = page.evaluate("() => window.asked")
    assert [asked.count(f"1/ct/{slab}") for slab in range(4)] == [1, 1, 1, 4]


def test_the_slabs_around_what_is_seen_come_first_and_each_once(page):
    lesions = [{"name": "L1", "at": [[20.0, 20.0, 50.0], [20.0, 20.0, 4.0]], "ml": [1.0, 1.0]}]
    Seen(page, fresh="-order", lesions=lesions).full()
    page.wait_for_function(
        "() => viewer.panes.every((p) => Object.values(p.maps).every((m) => m.complete))"
    )
    asked = page.evaluate("() => window.asked")
    assert len(asked) == len(set(asked))
    for visit, first in ((0, 2), (1, 0)):
        own = [one for one in asked if one.startswith(f"{visit}/ct/")]
        assert own[0] == f"{visit}/ct/{first}"
        assert len(own) == (3, 4)[visit]
        assert asked.index(own[0]) < asked.index(f"{visit}/tumour/0")


def test_the_cheat_sheet_has_a_line_for_every_key_and_closes(seen):
    seen.press("?")
    dialog = seen.page.get_by_role("dialog", name="Keys")
    assert dialog.is_visible()
    assert dialog.locator("dt").count() == dialog.locator("dd").count() > 20
    dialog.get_by_role("button", name="Close").click()
    assert dialog.is_hidden()


def test_keys_with_ctrl_belong_to_the_browser_and_others_stay_here(seen):
    heard = """(key) => new Promise((go) => {
        const hear = () => go(true);
        document.addEventListener('keydown', hear, { once: true });
        const event = new KeyboardEvent('keydown', { ...key, bubbles: true, cancelable: true });
        document.querySelector('.stage').dispatchEvent(event);
        document.removeEventListener('keydown', hear);
        go(false);
    })"""
    before = seen.state()
    assert seen.page.evaluate(heard, {"key": "c", "ctrlKey": True}) is True
    assert seen.page.evaluate(heard, {"key": "Tab"}) is True
    assert seen.state() == before
    assert seen.page.evaluate(heard, {"key": "c"}) is False
    assert seen.state()["plane"] == "coronal"
