"""The only place that knows both streamlit and the domain: frame, caches, widgets, words."""

from ctrs import NOTICE
from ctrs.ui.board import board_rows, filtered_rows, show_board
from ctrs.ui.choosing import STABLE, choose_patients
from ctrs.ui.cohort import show_more, show_survival
from ctrs.ui.cohort_import import (
    ask_mapping,
    choose_table,
    offer_import,
    offer_removal,
    try_import,
)
from ctrs.ui.comparison import (
    same_patients,
    show_gains,
    show_reclassification,
    show_tumour_changes,
)
from ctrs.ui.frame import PAGES, frame
from ctrs.ui.images import MIDDLEWARE, ROUTES
from ctrs.ui.messages import explained
from ctrs.ui.model_card import show_card, show_intake, show_zones
from ctrs.ui.patient import (
    chosen_patient,
    offer_download,
    show_answer,
    show_caution,
    show_facts,
    show_header,
    show_reading,
    show_why_not,
)
from ctrs.ui.placement import choose_reference, show_icons, show_placement, show_strip
from ctrs.ui.series import choose_series
from ctrs.ui.stable_disease import show_stable_patients, show_stable_survival
from ctrs.ui.upload import ask_clinic, choose_scans, has_outcome, score_upload, show_outcome
from ctrs.ui.viewer import show_scans
from ctrs.ui.what_if import show_what_if

__all__ = [
    "MIDDLEWARE",
    "NOTICE",
    "PAGES",
    "ROUTES",
    "STABLE",
    "ask_clinic",
    "ask_mapping",
    "board_rows",
    "choose_patients",
    "choose_reference",
    "choose_scans",
    "choose_series",
    "choose_table",
    "chosen_patient",
    "explained",
    "filtered_rows",
    "frame",
    "has_outcome",
    "offer_download",
    "offer_import",
    "offer_removal",
    "same_patients",
    "score_upload",
    "show_answer",
    "show_board",
    "show_card",
    "show_caution",
    "show_facts",
    "show_gains",
    "show_header",
    "show_icons",
    "show_intake",
    "show_more",
    "show_outcome",
    "show_placement",
    "show_reading",
    "show_reclassification",
    "show_scans",
    "show_stable_patients",
    "show_stable_survival",
    "show_strip",
    "show_survival",
    "show_tumour_changes",
    "show_what_if",
    "show_why_not",
    "show_zones",
    "try_import",
]
