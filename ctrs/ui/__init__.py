"""The only place that knows both streamlit and the domain: frame, caches, widgets, words."""

from ctrs import NOTICE
from ctrs.ui.board import board_rows, filtered_rows, show_board
from ctrs.ui.cohort import (
    choose_cohort,
    filters,
    offer_csv,
    show_denominators,
    show_hazards,
    show_survival,
)
from ctrs.ui.frame import PAGES, frame
from ctrs.ui.messages import explained
from ctrs.ui.model_card import show_card, show_zones
from ctrs.ui.patient import (
    chosen_patient,
    offer_download,
    show_answer,
    show_caution,
    show_facts,
    show_header,
    show_icons,
    show_placement,
    show_reading,
    show_strip,
    show_why_not,
)
from ctrs.ui.upload import ask_clinic, choose_scans, score_upload, show_outcome
from ctrs.ui.viewer import show_scans

__all__ = [
    "NOTICE",
    "PAGES",
    "ask_clinic",
    "board_rows",
    "choose_cohort",
    "choose_scans",
    "chosen_patient",
    "explained",
    "filtered_rows",
    "filters",
    "frame",
    "offer_csv",
    "offer_download",
    "score_upload",
    "show_answer",
    "show_board",
    "show_card",
    "show_caution",
    "show_denominators",
    "show_facts",
    "show_hazards",
    "show_header",
    "show_icons",
    "show_outcome",
    "show_placement",
    "show_reading",
    "show_scans",
    "show_strip",
    "show_survival",
    "show_why_not",
    "show_zones",
]
