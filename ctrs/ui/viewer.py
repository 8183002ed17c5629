"""Both scans side by side, at the same height in the lungs, same window, same scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from ctrs.assess import prepare_cached
from ctrs.errors import NotInStore
from ctrs.saliency import explain
from ctrs.slices import (
    WINDOWS,
    Span,
    Window,
    height_of,
    lung_span,
    render_slice,
    slice_at,
    whole_scan,
    with_letters,
)
from ctrs.store import StoredPair
from ctrs.types import ScanPair, Volume
from ctrs.ui import resources
from ctrs.ui.messages import explained
from ctrs.ui.patient import PatientFile
from ctrs.volume_cache import VolumeCache

_OWN = "Own window"
_LEGEND = (
    "Orange: what the model sees there lowered the predicted survival. Blue: it raised it. The"
    " stronger the colour, the more. This is **not a tumour outline**."
)
Halves = npt.NDArray[np.float16]


@dataclass(frozen=True)
class OpenedPair:
    """Two scans in memory, and where the lungs are in each."""

    pair: ScanPair
    spans: tuple[Span, Span]

    @property
    def volumes(self) -> tuple[Volume, Volume]:
        return self.pair.baseline, self.pair.follow_up

    @property
    def field_mm(self) -> tuple[float, float]:
        """Height and width of the larger of the two fields of view."""
        sizes = [np.multiply(v.hu.shape[1:], v.spacing[1:]) for v in self.volumes]
        high, wide = np.maximum(*sizes)
        return float(high), float(wide)

    @property
    def heights(self) -> tuple[int, int]:
        """Lowest and highest slice of the two scans, in percent of the lungs' height."""
        ends = [
            height_of(volume, span, index)
            for volume, span in zip(self.volumes, self.spans, strict=True)
            for index in (0, len(volume.hu) - 1)
        ]
        return int(np.floor(100 * min(ends))), int(np.ceil(100 * max(ends)))


# Two pairs of thin-slice scans take about a gigabyte; a page reads its pair again in a second.
@st.cache_resource(max_entries=2, ttl="30m", show_spinner="Opening both scans…")
def _open(stored: StoredPair) -> OpenedPair:
    volumes = [
        VolumeCache(resources.cache()).get(sha256)
        for sha256 in (stored.baseline_sha256, stored.follow_up_sha256)
    ]
    if volumes[0] is None or volumes[1] is None:
        raise NotInStore(
            "The images of these scans are no longer kept: only the most recent ones are.",
            "Upload both scans again to see them; the result is kept and will not change.",
        )
    pair = ScanPair(volumes[0], volumes[1], stored.interval_days, stored.findings)
    tools = resources.workshop()
    first = lung_span(prepare_cached(pair.baseline, tools)[0])
    second = lung_span(prepare_cached(pair.follow_up, tools)[0])
    # Heights in the lungs mean the same in both scans, or else neither is measured by them.
    if first is None or second is None:
        return OpenedPair(pair, (whole_scan(pair.baseline), whole_scan(pair.follow_up)))
    return OpenedPair(pair, (first, second))


@st.cache_resource(
    max_entries=2, ttl="30m", show_spinner="Asking the model what moved its answer (some seconds)…"
)
def _saliency(stored: StoredPair) -> tuple[Halves, Halves]:
    first, second = explain(_open(stored).pair, resources.workshop(), lambda: resources.model())
    return first.values.astype(np.float16), second.values.astype(np.float16)


def show_scans(file: PatientFile) -> None:
    """The viewer, or why there is nothing to see."""
    if file.pair is None:
        return
    if file.simulated_without_scans:
        st.info("This patient of the simulated cohort has no scans to open.")
        return
    try:
        opened = _open(file.pair)
    except NotInStore as missing:
        st.info(f"{missing.what} {missing.next_step}", icon=":material/image_not_supported:")
        return
    _viewer(opened, file.pair, file.score is not None and file.score.assessable)


@st.fragment
def _viewer(opened: OpenedPair, stored: StoredPair, explainable: bool) -> None:
    with explained("The scans"):
        window = _choose_window()
        maps, opacity = _choose_overlay(stored) if explainable else (None, 0.0)
        if maps and st.session_state.get("shown_for") != stored.pair_key:
            _go_to_strongest(opened, maps)
        st.session_state["shown_for"] = stored.pair_key if maps else None
        low, high = opened.heights
        kept = st.session_state.setdefault("height", 50)
        st.session_state["height"] = min(max(kept, low), high)
        height = st.slider(
            "Height in the lungs: 0 = base, 100 = apex, in both scans (arrow keys move it)",
            low,
            high,
            format="%d %%",
            key="height",
        )
        for side, column in enumerate(st.columns(2)):
            with column:
                _show_scan(opened, side, height / 100, window, maps and maps[side], opacity)
        if maps:
            st.markdown(_LEGEND)
            _offer_strongest(opened, maps)


def _choose_window() -> Window:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    name = left.segmented_control(
        "Window", [*WINDOWS, _OWN], default="Mediastinum", key="window", required=True
    )
    if name != _OWN:
        window = WINDOWS[name or "Mediastinum"]
        right.markdown(f":small[Centre {window.centre:.0f} HU, width {window.width:.0f} HU]")
        return window
    low, high = right.slider("From black to white (HU)", -1000, 2000, (-160, 240), 10, key="own")
    return Window((low + high) / 2, max(high - low, 1))


def _choose_overlay(stored: StoredPair) -> tuple[tuple[Halves, Halves] | None, float]:
    left, right = st.columns([1, 1], vertical_alignment="bottom")
    if not left.toggle("Show what moved the prediction", key="saliency"):
        return None, 0.0
    opacity = right.slider("Strength of the colours", 10, 100, 60, 5, format="%d %%", key="opacity")
    return _saliency(stored), opacity / 100


def _offer_strongest(opened: OpenedPair, maps: tuple[Halves, Halves]) -> None:
    """Buttons that lead to the slice of each scan where the model was moved most."""
    for side, column in enumerate(st.columns(2)):
        name = ("baseline", "follow-up")[side]
        index = strongest_slice(maps[side])
        if index is None:
            column.markdown(f"Nothing in the {name} CT moved the prediction.")
            continue
        height = height_of(opened.volumes[side], opened.spans[side], index)
        column.button(
            f"Go to where the {name} CT moved it most ({100 * height:.0f} %)",
            key=f"strongest_{side}",
            on_click=_go_to,
            args=(round(100 * height),),
        )


def _go_to_strongest(opened: OpenedPair, maps: tuple[Halves, Halves]) -> None:
    """Show colour when the overlay is switched on: the follow-up's strongest slice."""
    index = strongest_slice(maps[1])
    if index is not None:
        _go_to(round(100 * height_of(opened.volumes[1], opened.spans[1], index)))


def strongest_slice(saliency: Halves) -> int | None:
    """The slice with the most saliency of either sign; ``None`` where there is none at all."""
    amounts = np.abs(saliency).sum(axis=(1, 2), dtype=np.float64)
    return int(amounts.argmax()) if amounts.max() > 0 else None


def _go_to(height: int) -> None:
    st.session_state["height"] = height


def _show_scan(
    opened: OpenedPair,
    side: int,
    height: float,
    window: Window,
    saliency: Any,
    opacity: float,
) -> None:
    volume, span = opened.volumes[side], opened.spans[side]
    name = ("Baseline CT", "Follow-up CT")[side]
    index = slice_at(volume, span, height)
    picture = render_slice(
        volume, index, window, field_mm=opened.field_mm, saliency=saliency, opacity=opacity
    )
    words = _where(volume, span, index, height)
    st.markdown(f"**{name}**")
    st.image(with_letters(picture), width="stretch", output_format="JPEG", alt=f"{name}, {words}")
    st.markdown(f":small[{words}]")


def _where(volume: Volume, span: Span, index: int, height: float) -> str:
    here = height_of(volume, span, index)
    step = volume.spacing[0] / max(span.apex_mm - span.base_mm, volume.spacing[0])
    ends = ", the scan ends here" if abs(here - height) > step else ""
    position = volume.origin[2] + index * volume.spacing[0]
    words = f"at {position:.1f} mm, {100 * here:.0f} % of the lungs' height{ends}"
    return f"Slice {index + 1} of {len(volume.hu)}, {words.replace('-', '−')}"
