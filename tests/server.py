"""What a browser opens in tests: the app with a store of its own, or the viewer's files alone."""

import functools
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
# Without these Chromium looks for its maker's servers at every start.
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@contextmanager
def running_app(home, **environment):
    """Start the app with its files under ``home``; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {
        "CTRS_STORE": str(home / "ctrs.duckdb"),
        "CTRS_CACHE": str(home / "cache"),
        "CTRS_DEMO_SCANS": str(home / "scans"),
    }
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}",
               "--server.address=127.0.0.1", "--server.headless=true"]  # fmt: skip
    log = (home / "server.log").open("w")
    server = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | places | environment, stdout=log, stderr=log
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_healthy(server, address, home / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)
        log.close()


def _wait_until_healthy(server, address, log):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, f"streamlit ended early:\n{log.read_text()}"
        try:
            with urlopen(f"{address}/_stcore/health") as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app was not healthy after 90 s:\n{log.read_text()}")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def frontend_page():
    """A page of Chromium from which the viewer's own files can be imported, without the app."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(_Quiet, directory=ROOT / "ctrs" / "ui" / "frontend")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            page.goto(f"http://127.0.0.1:{server.server_port}/nouns.js")
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
