"""Seconds from process start to the JSON of a score, first and again, beside floors of the run.

Run with ``python -m tests.benchmarks.bench_score``. The floors are what nobody can go below on this
machine: starting Python with torch and MONAI, and reading the same files with SimpleITK.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data")) / "ct"
PAIR = [DATA / "lungdx" / "Lung_Dx-A0002" / name for name in ("CT_series2", "CT_series3")]
ROUNDS = 3

FLOOR_IMPORT = "import torch, monai.networks.blocks"
FLOOR_READ = """
import SimpleITK as sitk, sys
for folder in sys.argv[1:]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    sitk.GetArrayFromImage(reader.Execute())
"""


def timed(command, home):
    environment = os.environ | {
        "CTRS_STORE": str(home / "ctrs.duckdb"),
        "CTRS_CACHE": str(home / "cache"),
    }
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    return seconds, done.stdout


def score_command():
    command = [sys.executable, "-m", "ctrs", "score", "--json", "--interval-days", "84"]
    return [*command, "--baseline", str(PAIR[0]), "--follow-up", str(PAIR[1])]


def main():
    rows = {"first": [], "inference": [], "again": [], "torch floor": [], "reading floor": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            seconds, out = timed(score_command(), home)
            rows["first"].append(seconds)
            rows["inference"].append(json.loads(out)["seconds"]["infer"])
            seconds, out = timed(score_command(), home)
            assert json.loads(out)["cached"]
            rows["again"].append(seconds)
            rows["torch floor"].append(timed([sys.executable, "-c", FLOOR_IMPORT], home)[0])
            read = [sys.executable, "-c", FLOOR_READ, *map(str, PAIR)]
            rows["reading floor"].append(timed(read, home)[0])
    best = {name: median(values) for name, values in rows.items()}
    for name, seconds in best.items():
        print(f"{name:>14}: {seconds:6.2f} s (median of {ROUNDS})")
    print(f"first over torch floor: {best['first'] / best['torch floor']:.1f}")
    print(f"again over reading floor: {best['again'] / best['reading floor']:.1f}")


if __name__ == "__main__":
    main()
