"""The same program on a processor with other vector instructions: does it compute the same bytes?

numpy picks its exp, log and sin by the processor's instruction set, and they differ in the last
bits. Without AVX this machine computes as an old one would.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def on_another_machine(code, *, like_this_one=False):
    """What ``code`` prints in a fresh process without numpy's vector instructions."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not like_this_one:
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(switchable())
        environment["OPENBLAS_CORETYPE"] = "Nehalem"
        environment["OMP_NUM_THREADS"] = "1"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout.strip()


def switchable():
    """The instruction sets this numpy would use here beyond its baseline."""
    return np.show_config(mode="dicts")["SIMD Extensions"]["found"]
