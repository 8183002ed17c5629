"""How long a page of statistics takes after a filter: ``python -m tests.benchmarks.bench_cohort``.

1,830 patients, the size of the published cohort, and 100,000. Every page runs as streamlit would
run it, and seconds are the processor's; the floor is the same app's home page, run before. The
Cohort page is measured with each of its questions asked. A limit is that of the page for this size.
"""

import os
import time
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

from ctrs.demo.cohort import read_cohort
from ctrs.places import demo_cohort
from ctrs.store import Store
from ctrs.types import Outcome

LIMITS = {1830: 1.0, 100_000: 2.5}  # patients: seconds
REPEATS = 5
APP = str(Path(__file__).parents[2] / "app.py")


def crowd(store, n):
    """The demo cohort again and again under new names, each life a little different."""
    random = np.random.default_rng(5)
    rows = read_cohort(demo_cohort())
    drawn = [rows[i] for i in random.integers(0, len(rows), n)]
    patients, pairs, scores, responses, outcomes = [], [], [], [], []
    for number, (patient, pair, score, response, outcome) in enumerate(drawn):
        name, key = f"BENCH-{number}", f"bench-{number}"
        patients.append(type(patient)(**vars(patient) | {"patient": name}))
        pairs.append(type(pair)(**vars(pair) | {"patient": name, "pair_key": key}))
        months = max(0.05, round(outcome.months + random.normal(0, 0.5), 2))
        scores.append((key, score))
        responses.append((key, response))
        outcomes.append((name, Outcome(months, outcome.event)))
    store.bulk_load(patients, pairs, scores, responses, outcomes)
    return scores[0][1].model_version


def seconds(run):
    """Of the processor: the machine may have other things to do."""
    started = time.process_time()
    run()
    return time.process_time() - started


def after_a_filter(app):
    """Median seconds of the same page under filters that it has not seen: nothing is in a cache."""
    took = []
    for low in range(41, 41 + REPEATS):
        app.slider(key="filter_age").set_value((low, 90))
        took.append(seconds(app.run))
    assert not app.exception
    return float(np.median(took))


def main(n, limit):
    os.environ["CTRS_DEMO"] = "off"
    from ctrs.ui import resources

    store = Store()
    version = crowd(store, n)
    print(f"{n:,} patients")
    resources.store = lambda: store
    resources.model_version = lambda: version
    app = AppTest.from_file(APP, default_timeout=600).run()
    floor = min(seconds(app.run) for _ in range(REPEATS))
    print(f"home page {floor:.2f} s")

    def report(what):
        took = after_a_filter(app)
        print(
            f"  {what:40}{took:5.2f} s = {took / limit:.2f} of the limit, {took / floor:.0f} x home"
        )

    print(f"after a filter, limit {limit} s")
    for page in ("4_Stable_disease", "6_Comparison", "5_Cohort"):
        app.switch_page(f"pages/{page}.py").run()
        if page != "5_Cohort":
            report(page)
    for question in app.segmented_control(key="question").options:
        app.segmented_control(key="question").set_value(question).run()
        report(f"5_Cohort: {question}")


if __name__ == "__main__":
    for size, most in LIMITS.items():
        main(size, most)
