"""The viewer's arithmetic, run where it runs: in Chromium, one file of JavaScript at a time."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.server import frontend_page

pytest.importorskip("playwright.sync_api")

FRONTEND = Path(__file__).parents[1] / "ctrs" / "ui" / "frontend"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium"),
]


@pytest.mark.skipif(not shutil.which("tsc"), reason="needs TypeScript's tsc on the path")
def test_the_types_in_the_comments_hold():
    """``npm install --global typescript@5.9.3`` brings the checker; nothing is compiled."""
    command = ["tsc", "--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022",
               "--module", "es2022", "--moduleResolution", "bundler",
               "--lib", "es2023,dom,dom.iterable", "main.js"]  # fmt: skip
    run = subprocess.run(command, cwd=FRONTEND, capture_output=True, text=True)
    assert run.stdout == ""
    assert run.returncode == 0


@pytest.fixture(scope="module")
def page():
    with frontend_page() as page:
        yield page


@pytest.fixture
def js(page):
    """Run a function body; ``m`` holds the named modules, ``given`` what is handed over."""

    def run(modules, body, given=None):
        imports = ", ".join(f"import('/{name}.js')" for name in modules.split())
        return page.evaluate(
            f"""async (given) => {{
                const m = Object.assign({{}}, ...(await Promise.all([{imports}])));
                {body}
            }}""",
            given,
        )

    return run


# A scan in which every voxel, direction and spacing is told from every other.
SIZE, SPACING = (7, 5, 4), (0.5, 0.75, 3.0)  # x, y, z
VOXELS = (np.arange(np.prod(SIZE)).reshape(SIZE[::-1]) * 7 % 301 - 150).astype(np.int16)
SOURCE = {"id": "s", "url": "", "size": SIZE, "spacing": SPACING, "origin": (0, 0, 0), "slices": 4}
VOLUME = """
    const volume = new m.Volume(given.source, (n) => new Int16Array(n));
    volume.data.set(given.voxels);
    volume.have.fill(1);
    const table = new Uint32Array(65536).map((_, n) => n);  // the value itself, plus 32768
"""


def given(**more):
    return {"source": SOURCE, "voxels": VOXELS.ravel().tolist(), **more}


def reslice(js, plane, slice_, missing=None):
    body = VOLUME + """
        if (given.missing !== null) volume.have[given.missing] = 0;
        const plane = m.PLANES[given.plane];
        const raster = m.rasterOf(volume, plane);
        const pixels = new Uint32Array(raster.width * raster.height);
        m.reslice(volume, plane, given.slice, raster, table, pixels);
        return { raster, pixels: [...pixels] };
    """  # fmt: skip
    asked = given(plane=plane, slice=slice_, missing=missing)
    found = js("volume reslice geometry", body, asked)
    shape = found["raster"]["height"], found["raster"]["width"]
    return found["raster"], np.array(found["pixels"]).reshape(shape) - 32768


def test_an_axial_slice_is_the_voxels_front_on_top_and_the_patients_left_on_the_right(js):
    raster, pixels = reslice(js, "axial", 2)
    np.testing.assert_array_equal(pixels, VOXELS[2])
    assert (raster["du"], raster["dv"]) == (0.5, 0.75)


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_between_thick_slices_is_interpolated_and_the_head_is_on_top(js, plane):
    raster, pixels = reslice(js, plane, 3)
    plain = (VOXELS[:, 3, :] if plane == "coronal" else VOXELS[:, :, 3]).astype(float)
    # 9 mm from the first slice to the last; as fine as in the slice: 0.5 or 0.75 mm.
    rows = {"coronal": 19, "sagittal": 13}[plane]
    assert (raster["height"], raster["v0"]) == (rows, 9.0)
    z = np.linspace(3, 0, rows)  # from the head down
    low = np.minimum(np.floor(z + 1e-9).astype(int), 3)
    part = (z - low)[:, None]
    expected = plain[low] * (1 - part) + plain[np.minimum(low + 1, 3)] * part
    assert np.abs(pixels - expected).max() <= 0.5 + 1e-6
    np.testing.assert_array_equal(pixels[0], plain[3])
    np.testing.assert_array_equal(pixels[-1], plain[0])


def test_sagittal_slices_are_their_own_there_and_back_and_when_more_arrives(js):
    """Neighbours are fetched together: each must show its own voxels, and none of before."""
    wide = np.random.default_rng(8).integers(-900, 900, (4, 5, 19)).astype(np.int16)  # z, y, x
    source = SOURCE | {"size": (19, 5, 4), "spacing": (1, 1, 1)}
    body = VOLUME + """
        const plane = m.PLANES.sagittal;
        const raster = m.rasterOf(volume, plane);
        const show = (slice) => {
            const pixels = new Uint32Array(raster.width * raster.height);
            m.reslice(volume, plane, slice, raster, table, pixels);
            return [...pixels];
        };
        const steps = [3, 7, 8, 18, 16, 2].map(show);
        volume.data.fill(123);
        volume.states.fill("there");  // another slab: what was put aside is old
        return { steps, after: show(2) };
    """  # fmt: skip
    found = js("volume reslice geometry", body, {"source": source, "voxels": wide.ravel().tolist()})
    for x, pixels in zip([3, 7, 8, 18, 16, 2], found["steps"], strict=True):
        shown = np.array(pixels).reshape(4, 5) - 32768
        np.testing.assert_array_equal(shown, wide[::-1, :, x])
    assert set(found["after"]) == {123 + 32768}


def test_what_has_not_arrived_is_not_shown_as_air(js):
    _, pixels = reslice(js, "coronal", 3, missing=0)
    absent = js("reslice", "return m.ABSENT") - 32768
    assert (pixels[-1] == absent).all()
    assert (pixels[0] != absent).all()


def test_a_window_maps_its_ends_to_black_and_white(js):
    body = """
        const window = { centre: 40, width: 400 };
        const table = m.table(window);
        return [-161, -160, 40, 140, 240, 241, -32768, 32767].map((hu) => {
            const pixel = table[hu + 32768];
            return [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >>> 24];
        });
    """
    greys = js("windows", body)
    # (140 + 160) / 400 * 255 = 191.25
    assert [g[0] for g in greys] == [0, 0, 128, 191, 255, 255, 0, 255]
    assert all(len(set(g[:3])) == 1 and g[3] == 255 for g in greys)


def test_there_are_the_four_windows_on_the_number_keys(js):
    names = js("windows", "return m.PRESETS.map(([name]) => name)")
    assert names == ["Lung", "Mediastinum", "Bone", "Liver"]


def test_a_place_and_its_pixel_lead_to_each_other_in_every_plane(js):
    body = """
        return Object.values(m.PLANES).map((plane) => {
            const view = { plane, scale: 1.7, centre: [10, -20, 35], width: 600, height: 500 };
            const place = [31.5, -44.25, 70];
            const screen = m.toScreen(view, place);
            return { screen, back: m.toPlace(view, screen, place) };
        });
    """
    axial, coronal, sagittal = js("geometry", body)
    assert axial["screen"] == pytest.approx([300 + 21.5 * 1.7, 250 - 24.25 * 1.7])
    # Up is the head: 35 mm above the middle.
    assert coronal["screen"] == pytest.approx([300 + 21.5 * 1.7, 250 - 35 * 1.7])
    assert sagittal["screen"] == pytest.approx([300 - 24.25 * 1.7, 250 - 35 * 1.7])
    for found in (axial, coronal, sagittal):
        assert found["back"] == pytest.approx([31.5, -44.25, 70])


def test_letters_stand_where_radiologists_expect_them(js):
    letters = js("geometry", "return Object.values(m.PLANES).map((p) => p.letters.join(''))")
    assert letters == ["RLAP", "RLSI", "APSI"]  # left, right, top, bottom


def test_the_link_leads_there_and_back(js):
    rng = np.random.default_rng(2)
    matrix = np.eye(4)
    matrix[:3] += rng.normal(0, 0.1, (3, 4))
    matrix[:3, 3] = [12.0, -7.5, 30.0]
    there, back = js(
        "geometry",
        "const p = m.apply(given, [100, -50, 25]); return [p, m.apply(m.inverse(given), p)];",
        matrix.ravel().tolist(),
    )
    assert there == pytest.approx((matrix @ [100, -50, 25, 1])[:3].tolist())
    assert back == pytest.approx([100, -50, 25])


def test_a_position_is_said_in_the_patients_frame(js):
    turned = [0, -1, 0, 1, 0, 0, 0, 0, 1]  # the grid's x is the patient's y
    words = js(
        "geometry",
        "return [0, 1, 2].map((a) => m.inPatient([5, -80, -300], given, [20, 30, 40], a))",
        turned,
    )
    # x: 5 - 30 = -25 is right; y: -80 + 20 = -60 is in front; z: -300 + 40.
    assert words == ["R 25.0 mm", "A 60.0 mm", "I 260.0 mm"]


def test_a_contour_has_the_length_and_the_place_of_a_circle(js):
    body = """
        const [n, r] = [80, 25];
        const values = new Float32Array(n * n);
        for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
            values[y * n + x] = r - Math.hypot(x - 45, y - 30);
        }
        const s = m.contour(values, n, n, 0);
        let length = 0, worst = 0;
        for (let i = 0; i < s.length; i += 4) {
            length += Math.hypot(s[i + 2] - s[i], s[i + 3] - s[i + 1]);
            worst = Math.max(worst, Math.abs(Math.hypot(s[i] - 45, s[i + 1] - 30) - r));
        }
        return { length, worst };
    """
    found = js("contour", body)
    assert found["length"] == pytest.approx(2 * np.pi * 25, rel=0.005)
    assert found["worst"] < 0.02


@pytest.mark.parametrize("middle", [0.9, 0.1])
def test_every_end_of_a_contour_meets_another(js, middle):
    """Noise has all sixteen kinds of cells, saddles among them; lines end only at the edge."""
    body = """
        const n = 30;
        let seed = 7;
        const next = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const values = new Float32Array(n * n).map(() => next() + given / 10);
        const s = m.contour(values, n, n, 0.5);
        const ends = {};
        for (let i = 0; i < s.length; i += 2) {
            const key = s[i].toFixed(4) + ' ' + s[i + 1].toFixed(4);
            ends[key] = (ends[key] ?? 0) + 1;
        }
        return Object.entries(ends).filter(([key, count]) => {
            const edge = key.split(' ').map(Number).some((v) => v === 0 || v === n - 1);
            return count !== (edge ? 1 : 2);
        });
    """
    assert js("contour", body, middle) == []


def test_a_map_is_cut_at_its_own_place_and_interpolated(js):
    body = VOLUME + """
        volume.states.fill("there");
        const cut = m.cut(volume, m.PLANES.axial, 4.5);  // between slices 1 and 2, 3 mm apart
        return { values: [...cut.values], beyond: m.cut(volume, m.PLANES.axial, 12) };
    """  # fmt: skip
    found = js("volume layer geometry", body, given())
    expected = (VOXELS[1].astype(float) + VOXELS[2]) / 2
    np.testing.assert_allclose(np.array(found["values"]).reshape(5, 7), expected)
    assert found["beyond"] is None


def test_a_map_is_cut_anew_for_another_place_plane_or_map(js):
    body = VOLUME + """
        volume.states.fill("there");
        const values = (plane, mm) => [...m.cut(volume, m.PLANES[plane], mm).values];
        return [values("axial", 6), values("axial", 3), values("axial", 3), values("sagittal", 3)];
    """  # fmt: skip
    first, second, same, across = js("volume layer geometry", body, given())
    assert first == VOXELS[2].ravel().tolist()
    assert second == same == VOXELS[1].ravel().tolist()
    assert across == VOXELS[:, :, 6].ravel().tolist()  # 3 mm: the seventh voxel of 0.5 mm


def test_a_lesion_is_known_from_either_slice_that_a_cut_lies_between(js):
    body = VOLUME + """
        const at = { below: 1, above: 2 };
        volume.data.fill(0);
        volume.data[3 + 7 * (2 + 5 * 2)] = 4;  // column 3, row 2 of the upper slice
        return [[3, 2], [2, 3]].map((spot) => m.labelAt(volume, m.PLANES.axial, at, ...spot));
    """  # fmt: skip
    assert js("volume layer geometry", body, given()) == [4, 0]


@pytest.mark.parametrize("flip", [False, True])
def test_only_the_part_with_colours_is_stretched_with_a_rim_to_fade_out(js, flip):
    body = """
        const [width, height] = [9, 7];
        const values = new Float32Array(width * height);
        values[1 * width + 3] = -127;  // row 1, column 3
        values[3 * width + 5] = 127;
        const pixels = new Uint32Array(width * height);
        const box = m.colourIn({ values, width, height }, given, m.tint, pixels);
        const empty = m.colourIn({ values: values.fill(1), width, height }, given, m.tint, pixels);
        const corner = new Float32Array(width * height).fill(0);
        corner[0] = 127;
        const edge = m.colourIn({ values: corner, width, height }, false, m.tint, pixels);
        return { box, empty, edge };
    """
    found = js("overlay", body, flip)
    # Columns 3 to 5; rows 1 to 3 of 7, from below 3 to 5; one more on each side.
    assert found == {"box": [2, 2 if flip else 0, 5, 5], "empty": None, "edge": [0, 0, 2, 2]}


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_the_strip_adds_up_what_lies_in_each_slice(js, plane, axis):
    body = VOLUME + "return [...m.profile(volume, m.PLANES[given.plane])];"
    found = js("volume layer geometry", body, given(plane=plane))
    others = tuple(a for a in range(3) if a != axis)
    amounts = np.abs(VOXELS.astype(float)).sum(axis=others)
    assert found == pytest.approx((amounts / amounts.max()).tolist(), rel=1e-5)


def test_colours_say_which_way_the_answer_moved_and_faint_ones_are_not_drawn(js):
    body = """
        return [-127, 127, 64, 5].map((v) => {
            const p = m.tint(v);
            return [p & 255, (p >> 8) & 255, (p >> 16) & 255, p >>> 24];
        });
    """
    lowered, raised, half, faint = js("overlay", body)
    assert lowered == [230, 159, 0, 255]
    assert raised == [86, 180, 233, 255]
    assert half[3] == pytest.approx(128, abs=1)
    assert faint[3] == 0


def test_the_second_diameter_is_at_right_angles_to_the_first(js):
    body = """
        const first = [[10, 5, 20], [14, 5, 23]];  // coronal: y is through
        const second = m.atRightAngles(first, [11, 5, 25], [30, 5, 19], 1);
        return { second, lengths: [first, second].map(m.lengthOf) };
    """
    found = js("measure", body)
    start, end = found["second"]
    along = np.array([4, 0, 3])
    assert np.dot(along, np.subtract(end, start)) == pytest.approx(0, abs=1e-9)
    assert start == [11, 5, 25]
    # Of the drag (19, -6), what lies along (-3, 4) / 5: (-57 - 24) / 5.
    assert found["lengths"] == pytest.approx([5.0, 16.2])


def test_a_link_brings_back_what_was_seen(js):
    body = """
        const state = { plane: "sagittal", at: [[1.25, -2, 300.04], [4, 5, 6]], zoom: 2.5,
            pan: [-12.5, 0, 7.25],
            window: { centre: -600, width: 1500 }, opacity: 0.35, contours: true, fill: false,
            crosshair: false, linked: true };
        return m.decode(m.encode(state));
    """
    found = js("address", body)
    assert found["plane"] == "sagittal"
    assert found["at"][0] == pytest.approx([1.25, -2, 300.04], abs=0.051)
    assert found["at"][1] == [4, 5, 6]
    assert found["pan"] == pytest.approx([-12.5, 0, 7.25], abs=0.051)
    assert found["window"] == {"centre": -600, "width": 1500}
    assert (found["zoom"], found["opacity"]) == (2.5, 0.35)
    flags = {key: found[key] for key in ("contours", "fill", "crosshair", "linked")}
    assert flags == {"contours": True, "fill": False, "crosshair": False, "linked": True}


def test_a_link_from_elsewhere_leads_to_no_zoom_or_opacity_that_keys_would_not(js):
    far = js("address", "return m.decode('axial_1_2_3_4_5_6_0_0_0_7_8_99_7_1111')")
    near = js("address", "return m.decode('axial_1_2_3_4_5_6_0_0_0_7_8_0.01_-1_1111')")
    assert (far["zoom"], far["opacity"], near["zoom"], near["opacity"]) == (10, 1, 0.5, 0)


@pytest.mark.parametrize(
    "word",
    ["", "axial", "oblique_1_2_3_4_5_6_0_0_0_7_8_1_1_1111",
     "valueOf_1_2_3_4_5_6_0_0_0_7_8_1_1_1111",  # which every object of JavaScript has
     "axial_1_2_3_4_5_6_0_0_0_7_0_1_1_1111", "axial_1_2_3_4_5_6_0_0_0_7_8_0_1_1111",
     "axial_x_2_3_4_5_6_0_0_0_7_8_1_1_1111", "axial_1_2_3_4_5_6_0_0_0_7_8_1_1_<b>",
     "axial_1_2_3_4_5_6_0_0_0_7_8_1_1_11111", "axial_1_2_3_4_5_6_0_0_0_7_8_1_1_1111_1"],
)  # fmt: skip
def test_a_word_that_nobody_encoded_is_ignored(js, word):
    assert js("address", "return m.decode(given)", word) is None


def test_every_key_is_on_the_cheat_sheet_once(js):
    lessons = js("keys", "return m.LESSONS.map(({keys, shown, words}) => ({keys, shown, words}))")
    keys = [key for lesson in lessons for key in lesson["keys"]]
    assert len(keys) == len(set(keys))
    assert all(lesson["words"] for lesson in lessons if lesson["shown"])
    # Capitals are said with their small letters.
    assert [lesson["keys"][0] for lesson in lessons if not lesson["shown"]] == ["I"]


def test_a_slab_that_fails_is_asked_for_again_and_then_said(js):
    body = """
        let asked = 0;
        window.fetch = async () => {
            asked += 1;
            if (asked <= given.bad) throw new TypeError("no network");
            return new Response(new Int16Array(7 * 5 * 4));
        };
        const volume = new m.Volume(given.source, (n) => new Int16Array(n));
        const settled = new Promise((done) => volume.watchers.add(done));
        volume.load();
        await settled;
        const first = { failed: volume.failed, complete: volume.complete, asked };
        if (!volume.failed) return [first];
        const again = new Promise((done) => volume.watchers.add(done));
        volume.retry();
        await again;
        return [first, { failed: volume.failed, complete: volume.complete, asked }];
    """
    (fine,) = js("volume", body, given(bad=2))
    assert fine == {"failed": False, "complete": True, "asked": 3}
    first, second = js("volume", body, given(bad=3))
    assert first == {"failed": True, "complete": False, "asked": 3}
    assert second == {"failed": False, "complete": True, "asked": 4}


def test_a_slab_of_another_length_is_not_taken(js):
    body = """
        window.fetch = async () => new Response(new Int16Array(3));
        const volume = new m.Volume(given.source, (n) => new Int16Array(n));
        const settled = new Promise((done) => volume.watchers.add(done));
        volume.load();
        await settled;
        return volume.failed;
    """
    assert js("volume", body, given()) is True


def test_the_oldest_voxels_that_nobody_looks_at_make_room(js):
    body = """
        window.fetch = async () => new Response(null, { status: 404 });
        const source = (id) => ({ ...given.source, id, size: [1000, 1000, 200], slices: 200 });
        const make = (n) => new Uint8Array(n);  // 200 MB each; 700 MB are kept
        m.kept.clear();
        m.volumeOf(source("seen"), make).watchers.add(() => 0);
        for (const id of ["a", "b", "c", "a", "d"]) m.volumeOf(source(id), make);
        const ids = [...m.kept.keys()];
        m.kept.clear();
        return ids;
    """
    # Watched, "seen" stays; of the others the three that were asked for last fit.
    assert js("volume", body, given()) == ["seen", "c", "a", "d"]


def test_a_new_address_is_tried_where_the_old_one_had_ended(js):
    body = """
        const asked = [];
        window.fetch = async (url) => {
            asked.push(url.pathname);
            const old = url.pathname.startsWith("/old");
            return old ? new Response(null, { status: 403 }) : new Response(new Int16Array(140));
        };
        const make = (n) => new Int16Array(n);
        const settled = (volume) => new Promise((done) => volume.watchers.add(done));
        const volume = m.volumeOf({ ...given.source, id: "moved", url: "/old/{slab}" }, make);
        volume.load();
        await settled(volume);
        const before = volume.failed;
        const same = m.volumeOf({ ...given.source, id: "moved", url: "/new/{slab}" }, make);
        await settled(same);
        return { before, complete: same.complete, same: same === volume, asked };
    """
    found = js("volume", body, given())
    assert found == {"before": True, "complete": True, "same": True, "asked": ["/old/0", "/new/0"]}


def test_a_mounted_viewer_stays_for_its_pair_and_goes_with_another_or_at_the_end(js):
    body = """
        const box = document.createElement("div");
        document.body.append(box);
        window.fetch = async () => new Response(null, { status: 404 });
        const scan = { label: "CT", ct: { ...given.source, id: "mounted" }, position: [0, 0, 0],
            direction: [1, 0, 0, 0, 1, 0, 0, 0, 1], names: [] };
        const data = { pair: "one", scans: [scan, scan], lesions: [], strongest: [null, null],
            link: { matrix: given.matrix, offset: [0, 0, 0], sure: true, how: "" },
            measurements: [], goto: null, view: "", waiting: "" };
        const show = (pair) => {
            const told = { parentElement: box, data: { ...data, pair }, setTriggerValue() {} };
            const end = m.default(told);
            return [end, box.querySelector(".viewer"), box.childElementCount];
        };
        const [, first] = show("one");
        const [, again, count] = show("one");
        const [end, other, left] = show("two");
        const watched = m.kept.get("mounted").watchers.size;
        end();
        return { kept: first === again, count, changed: other !== first, left, watched,
            after: box.childElementCount, still: m.kept.get("mounted").watchers.size };
    """
    found = js("main volume", body, given(matrix=np.eye(4).ravel().tolist()))
    assert found == {"kept": True, "count": 1, "changed": True, "left": 1, "watched": 1,
                     "after": 0, "still": 0}  # fmt: skip
