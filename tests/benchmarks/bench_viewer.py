"""How fast the viewer is, beside what the browser itself needs.

``python -m tests.benchmarks.bench_viewer [BASELINE FOLLOW-UP]``: a pair of 512 x 512 x 150 voxels,
or two series of real scans; Chromium with its default flags, on this machine. Outlines and
saliency are drawn in every frame.
"""

import gzip
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # conftest, as pytest sees it

from conftest import FixedModel, chest_hu
from playwright.sync_api import sync_playwright
from scipy import ndimage

from ctrs.config import IntakeConfig
from ctrs.ingest import read_scan
from ctrs.types import Volume
from tests.server import CHROMIUM, running_app
from tests.viewer_home import PATIENT, make_home

FLAGS = ["--no-sandbox", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
LOADS, STEPS, RERUNS = 5, 60, 20
VIEWER = "[data-testid=viewer]"

# From a key's event to the end of the frame that answers it, ms.
STEP = """async ([keys, count]) => {
  const find = (root) => root.querySelector('.stage')
    ?? [...root.querySelectorAll('*')].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
  const target = find(document);
  const times = [];
  for (let n = 0; n < count; n++) {
    const start = performance.now();
    target.dispatchEvent(new KeyboardEvent('keydown',
      { key: keys[n % keys.length], bubbles: true, composed: true }));
    await new Promise((done) => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = done;
      channel.port2.postMessage(0);
    }));
    times.push(performance.now() - start);
  }
  return times;
}"""


def thin_chest(seed):
    """The tests' chest on a fine grid, with noise; 512 x 512 x 150."""
    coarse = chest_hu(seed=seed)
    zoom = [n / m for n, m in zip((150, 512, 512), coarse.shape, strict=True)]
    hu = ndimage.zoom(coarse, zoom, order=1)
    hu += np.random.default_rng(seed).normal(0, 12, hu.shape).astype(np.float32)
    spacing = tuple(mm / z for mm, z in zip((4.0, 4.0, 3.6), zoom, strict=True))
    return Volume(np.rint(hu).clip(-1024, 3071).astype(np.float32), spacing)


def show(name, values, bar=""):
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{name:>44}: p50 {median(values):8.1f}  p95 {p95:8.1f}  n {len(values):3} {bar}")


def server_pid():
    """The app is a child of this process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"streamlit" in words:
            return int(stat.parent.name)
    raise AssertionError("no server")


def cpu_ms(pid):
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return 1000 * (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def patient(page, url):
    page.goto(f"{url}/Patient?patient={PATIENT}")
    page.wait_for_selector(f"{VIEWER}[data-full]", timeout=180_000)
    page.wait_for_timeout(800)


def watch(page):
    """Count the bytes of images that come over the network, and requests that leave the machine."""
    page.bytes, page.elsewhere = [], []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    urls = {}

    def sent(event):
        urls[event["requestId"]] = event["request"]["url"]

    session.on("Network.requestWillBeSent", sent)

    def finished(event):
        url = urls.get(event["requestId"], "")
        if "/ctrs/image/" in url:
            page.bytes.append(event["encodedDataLength"])

    session.on("Network.loadingFinished", finished)
    page.on("request", lambda r: page.elsewhere.append(r.url) if "127.0.0.1" not in r.url
            and not r.url.startswith(("data:", "blob:")) else None)  # fmt: skip


def loads(p, url):
    firsts, fulls = [], []
    for _ in range(LOADS):
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 1000})
        patient(page, url)
        firsts.append(float(page.locator(VIEWER).get_attribute("data-first")))
        fulls.append(float(page.locator(VIEWER).get_attribute("data-full")))
        browser.close()
    show("mount to first slice of both panes, ms", firsts, "(bar: p50 1000)")
    show("mount to both volumes complete, ms", fulls, "(bar: 5000)")


def steps(page, pid):
    before = cpu_ms(pid)
    count = 0
    frame = page.evaluate(STEP, [["F12"], STEPS])  # a key that does nothing
    show("floor: a frame in which nothing is drawn, ms", frame)
    for key, plane in (("a", "axial"), ("c", "coronal"), ("s", "sagittal")):
        page.evaluate(STEP, [[key, "n"], 2])
        took = page.evaluate(STEP, [["ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown"], STEPS])
        show(f"step to frame, {plane}, ms", took, "(bar: p50 20, p95 40)")
        print(f"{'ratio to the floor':>44}: {median(took) / median(frame):.2f}")
        count += STEPS
    page.evaluate(STEP, [["a"], 1])
    show("window to frame, ms", page.evaluate(STEP, [["]", "]", "["], STEPS]), "(bar: p95 40)")
    took_js = float(page.locator(VIEWER).get_attribute("data-took"))
    print(f"{'of the last frame, JavaScript, ms':>44}: {took_js:.1f}")
    print(f"{'server CPU a step, ms':>44}: {(cpu_ms(pid) - before) / count:.3f} (bar: 1)")


def again(page, url, pid):
    """Reruns, coming back, reloading: nothing is fetched a second time."""
    loaded = len(page.bytes)
    print(f"{'image bytes at first':>44}: {sum(page.bytes) / 1e6:.1f} MB in {loaded} parts")
    memory = rss_mb(pid)
    for _ in range(RERUNS):
        page.locator(".stage").first.focus()
        page.keyboard.press("U")  # linked anew: the fragment runs
        page.wait_for_timeout(150)
    page.wait_for_timeout(1500)
    print(f"{f'server memory after {RERUNS} reruns, MB':>44}: {rss_mb(pid) - memory:+.1f} (bar: 2)")
    print(f"{'image bytes on reruns':>44}: {sum(page.bytes[loaded:])} (bar: 0)")
    page.get_by_role("link", name="Board").first.click()
    page.wait_for_timeout(2000)
    page.go_back()
    page.wait_for_selector(f"{VIEWER}[data-full]", timeout=60_000)
    print(f"{'image bytes on coming back':>44}: {sum(page.bytes[loaded:])} (bar: 0)")
    page.reload()
    page.wait_for_selector(f"{VIEWER}[data-full]", timeout=60_000)
    page.wait_for_timeout(500)
    print(f"{'image bytes on a warm reload':>44}: {sum(page.bytes[loaded:])} (bar: 0)")


def sessions(p, url, pid):
    browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    patient(browser.new_page(), url)
    memory = rss_mb(pid)
    for _ in range(3):
        patient(browser.new_context().new_page(), url)
    print(f"{'server memory an extra session, MB':>44}: {(rss_mb(pid) - memory) / 3:+.1f} (bar: 5)")
    browser.close()


def exact(page, pair):
    """What the browser holds of both scans, against the scans."""
    sums = page.evaluate(
        """async (ids) => {
          const { kept } = await import(new URL('ctrs/viewer/volume.js', document.baseURI));
          return ids.map((id) => {
            const { data } = kept.get(id);
            let sum = 0, weighted = 0;
            data.forEach((hu, n) => { sum += hu; weighted += hu * (n % 8191); });
            return [data.length, sum, weighted];
          });
        }""",
        [pair.baseline.sha256, pair.follow_up.sha256],
    )
    for scan, found in zip((pair.baseline, pair.follow_up), sums, strict=True):
        voxels = np.rint(scan.hu).astype(np.int64).ravel()
        weights = np.arange(len(voxels)) % 8191
        expected = [len(voxels), int(voxels.sum()), int((voxels * weights).sum())]
        print(f"{'voxels in the browser':>44}: {'exact' if found == expected else 'WRONG'}")


def main(paths):
    if paths:
        volumes = [read_scan(Path(path), IntakeConfig())[1] for path in paths]
    else:
        volumes = [thin_chest(3), thin_chest(4)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        start = time.perf_counter()
        pair = make_home(home, *volumes, model=FixedModel)
        seconds = time.perf_counter() - start
        print(f"{'scans':>44}: {[v.hu.shape for v in volumes]}, ready in {seconds:.0f} s")
        raw = np.rint(volumes[0].hu[:8]).astype("<i2").tobytes()
        start = time.perf_counter()
        gzip.decompress(gzip.compress(raw, 1))
        ms = 1000 * (time.perf_counter() - start)
        print(f"{'floor: one slab packed and unpacked, ms':>44}: {ms:.0f}")
        with running_app(home, CTRS_DEMO="off") as url, sync_playwright() as p:
            pid = server_pid()
            loads(p, url)
            profile = p.chromium.launch_persistent_context(
                str(home / "profile"), executable_path=CHROMIUM, args=FLAGS,
                viewport={"width": 1360, "height": 1000},
            )  # fmt: skip
            page = profile.new_page()
            watch(page)
            patient(page, url)
            exact(page, pair)
            page.get_by_text("Show what moved the prediction").click()
            page.wait_for_selector(".swatch.lowered", timeout=60_000)
            page.wait_for_timeout(1500)
            steps(page, pid)
            again(page, url, pid)
            assert page.elsewhere == [], page.elsewhere
            print(f"{'requests that left the machine':>44}: 0 (asserted)")
            profile.close()
            sessions(p, url, pid)


if __name__ == "__main__":
    main(sys.argv[1:])
