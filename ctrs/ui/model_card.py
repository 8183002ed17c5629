"""The model's card and the zones, made readable; every number is read, none is typed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from ctrs import places
from ctrs.model.weights import Card
from ctrs.types import Zone
from ctrs.ui import messages, resources
from ctrs.ui.messages import explained

_WORDS = {
    "n": "patients", "events": "deaths", "c_index": "C-index", "ctrs": "CTRS", "recist": "RECIST",
    "tvc": "tumour volume change", "oracle": "simulation's own truth",
    "auc_12m": "AUC at 12 months",
    "brier_12m": "Brier score at 12 months", "ici_12m": "calibration error at 12 months",
    "hr_per_10pp": "hazard ratio per +10 points", "hr": "unadjusted", "lo": "lower 95 %",
    "hi": "upper 95 %", "adjusted_hr": "adjusted", "adjusted_lo": "adjusted, lower 95 %",
    "adjusted_hi": "adjusted, upper 95 %", "delta_c": "gain in C-index", "est": "estimate",
    "ctrs_vs_recist": "CTRS over RECIST", "ctrs_vs_tvc": "CTRS over tumour volume change",
    "logrank_p": "log-rank p", "hr_high_vs_low": "hazard ratio, high over low risk",
    "survival_12m": "alive at 12 months", "randomisation_ssim": "likeness after randomisation",
    "deletion_vs_random": "deletion against random", "baseline_diameter": "baseline diameter",
    "alive": "share", "simulation": "against the simulation's truth",
    "interval_90_holds_truth": "share of 90 % intervals that hold it",
    "median_interval_width": "median width of the interval",
    "survival_12m_rank_correlation_with_truth": "rank correlation of the score with it",
    "tumour_volume_concordance_correlation": "agreement of tumour volume (concordance)",
    "log_tumour_volume_concordance_correlation": "the same of its logarithm",
    "automatic_tvc": "the network's own tumour volume change",
    "ctrs_vs_automatic_tvc": "CTRS over the network's own volume change",
    "share_of_oracle": "share of the truth's discrimination", "apart": "share apart",
    "median_error_points": "median error, points", "median_survival_12m": "median score",
    "stable_disease": "stable disease", "same for everybody": "the same for everybody",
    "difference_lo": "difference, lower 95 %", "difference_hi": "difference, upper 95 %",
}  # fmt: skip


def show_card() -> None:
    """What the weights are, how they were made, and what was measured on held-out patients."""
    with explained("The model's card"):
        facts = resources.card()
        st.table(_facts(facts), border="horizontal", hide_header=True)
        if facts.metrics:
            st.subheader("Measured on patients nothing was trained on, in any zone", anchor=False)
            st.caption("Simulated patients; time zero is the follow-up CT.")
            if "targets" in facts.metrics:
                st.table(target_table(facts.metrics), border="horizontal")
            with st.expander("All measurements"):
                st.table(metric_table(facts.metrics), border="horizontal")
            if report := resources.model_report():
                with st.expander("The whole report, with real scans"):
                    st.markdown(report)
        else:
            st.info("This card holds no measurements.")


def _facts(facts: Card) -> pd.DataFrame:
    rows = {
        "Version": facts.version,
        "Trained on": facts.trained_on,
        "Made by": facts.command,
        "Remarks": facts.remarks or "none",
        "Seed": str(facts.seed),
        "Commit": facts.commit,
        "Networks in the ensemble": str(facts.members),
        "Cut-off": f"{messages.percent(facts.cut_off)}: below it is high risk",
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value"])


def target_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """What a model worth having reaches, what this one does, and whether that is enough."""
    rows = metrics["targets"]
    return pd.DataFrame(
        {
            "Measured": [_number(row["value"]) for row in rows.values()],
            "Wanted": [_wanted(row) for row in rows.values()],
            "Reached": ["yes" if row["met"] else "NO" for row in rows.values()],
        },
        index=list(rows),
    )


def _wanted(row: Mapping[str, Any]) -> str:
    low, high = row["at_least"], row["at_most"]
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def metric_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Nested measurements as one row each, under words where there are any."""
    rows = dict(_flat(metrics, ()))
    return pd.DataFrame({"Value": rows.values()}, index=list(rows))


def _flat(metrics: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in metrics.items():
        if name == "targets":
            continue
        here = (*path, _WORDS.get(name, name.replace("_", " ")))
        if isinstance(value, Mapping):
            found += _flat(value, here)
        else:
            found.append((": ".join(here), _number(value)))
    return found


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_zones() -> None:
    """The three zones with the limits that the program uses."""
    config = resources.CONFIG
    pair, zone, chest, intake = config.pair, config.zone, config.chest, config.intake
    amber = [
        f"scans {pair.amber_days[0]} to {pair.green_days[0] - 1} or {pair.green_days[1] + 1} to"
        f" {pair.amber_days[1]} days apart, or nobody knows",
        f"slices more than {zone.amber_slice_spacing_mm:g} mm apart",
        f"an interval wider than {100 * zone.amber_interval_width:.0f} points",
        f"less usual than {zone.amber_ood_percentile:g} % of the training pairs",
        f"{zone.amber_fluid_rise_ml:.0f} ml more fluid around the lung while the tumour seems more"
        f" than {zone.amber_tumour_fall:.0%} smaller",
        f"the scan begins or ends inside the lungs (more than {chest.amber_cut_ratio:.0%} of the"
        " largest lung area in the last slice)",
        "the two scans were made very differently",
    ]
    red = [
        f"scans less than {pair.amber_days[0]} or more than {pair.amber_days[1]} days apart",
        f"networks more than {100 * zone.red_members_range:.0f} points apart",
        f"the scan ends in the middle of the lungs (more than {chest.red_cut_ratio:.0%})",
        f"slices missing, or more than {intake.max_slice_spacing_mm:g} mm apart",
        "no whole chest, no CT numbers, two patients, or one scan given twice",
    ]
    st.markdown(
        f"- **{messages.ZONES[Zone.GREEN]}**: none of what follows. The number is shown.\n"
        f"- **{messages.ZONES[Zone.AMBER]}**: {'; '.join(amber)}. The reason stands before the"
        " number, which is grey.\n"
        f"- **{messages.ZONES[Zone.RED]}**: {'; '.join(red)}. There is no number."
    )


def show_intake() -> None:
    """Every rule on scans, with its limit and its reason: the document that the project has."""
    with st.expander("What is accepted, refused or marked, and why: every rule on scans"):
        lines = (places.ROOT / "assets" / "intake.md").read_text(encoding="utf-8").splitlines()
        shown = [line for line in lines[1:] if not line.startswith("<!--")]
        # Below the page's own headings, and smaller.
        st.markdown("\n".join(line.replace("## ", "#### ") for line in shown))
