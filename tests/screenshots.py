"""Take the screenshots of the README: ``python -m tests.screenshots``.

Starts the app with a fresh demo, opens every page as a visitor would, and writes
``assets/screenshots/<page>.png``.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.server import CHROMIUM, CHROMIUM_FLAGS, ROOT, running_app

IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
OUT = ROOT / "assets" / "screenshots"
PAGES = {
    "home": "",
    "board": "Board",
    "upload": "Upload",
    "patient": "Patient?patient=DEMO-1",
    "stable_disease": "Stable_disease",
    "cohort": "Cohort",
    "comparison": "Comparison",
    "model": "Model",
}


def settle(page):
    """Wait until the script has ended and the figures have drawn themselves."""
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=180_000
    )
    page.wait_for_timeout(2500)
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=180_000
    )


def take(url, out, names=tuple(PAGES), *, width=1360, dark=False, suffix=""):
    """One full-page picture of each page."""
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        scheme = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        for name in names:
            page.goto(f"{url}/{PAGES[name]}")
            settle(page)
            height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
            page.set_viewport_size({"width": width, "height": min(int(height) + 20, 4000)})
            page.wait_for_timeout(1500)
            page.screenshot(path=out / f"{name}{suffix}.png")
            page.set_viewport_size({"width": width, "height": 1000})
        browser.close()


def main():
    with tempfile.TemporaryDirectory() as home, running_app(Path(home)) as url:
        take(url, OUT)


if __name__ == "__main__":
    main()
