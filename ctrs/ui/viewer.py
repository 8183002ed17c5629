"""Both scans side by side: the component in the browser, and what it hands back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from ctrs.assess import Workshop
from ctrs.errors import NotInStore
from ctrs.linked import draw_link
from ctrs.overlays import draw_saliency, find_saliency, outline
from ctrs.store import StoredPair
from ctrs.types import PreparedScan, ScanPair, Triple, Volume
from ctrs.ui import resources
from ctrs.ui.changes import show_changes
from ctrs.ui.measured import forget_measurement, keep_measurements, keep_offset, show_measured
from ctrs.ui.messages import explained, saliency_doubt
from ctrs.ui.patient import PatientFile
from ctrs.ui.scene import Scene, find_scene, tell
from ctrs.volume_cache import VolumeCache

KEY = "viewer"
_GOTO = "viewer_goto"
_FRONTEND = Path(__file__).with_name("frontend")
# The parts come from our own server, beside the images: no build, no other host.
_LOADER = """
const { default: mount } = await import(new URL("ctrs/viewer/main.js", document.baseURI));
export default mount;
"""
_component = st.components.v2.component(
    "ctrs_viewer", js=_LOADER, css=(_FRONTEND / "style.css").read_text()
)


def show_scans(file: PatientFile) -> None:
    """The viewer with what changed and what was measured, or why there is nothing to see."""
    if file.pair is None:
        return
    if file.simulated_without_scans:
        st.info("This patient of the simulated cohort has no scans to open.")
        return
    if find_scene(file.pair, resources.workshop()) is None:
        st.info(
            "The images of these scans are no longer kept: only the most recent ones are. Upload"
            " both scans again to see them; the result is kept and will not change.",
            icon=":material/image_not_supported:",
        )
        return
    _viewer(file, file.pair)


@st.fragment
def _viewer(file: PatientFile, pair: StoredPair) -> None:
    with explained("The scans"):
        tools = resources.workshop()
        scene = find_scene(pair, tools)
        if scene is None:
            return
        show_changes(file, scene, _go_to)
        saliency = file.score is not None and file.score.assessable and _wants_saliency()
        if saliency and scene.saliency is None:
            _find_saliency(pair, tools)
            scene = replace(scene, saliency=find_saliency(pair.pair_key, tools))
        store = resources.store()
        measured = store.measurements(pair.patient, pair.pair_key)
        offset = store.link(pair.patient, pair.pair_key)
        told = tell(scene, tools, measured, offset, with_saliency=saliency)
        _mount(pair, told | _asked(pair, scene))
        show_measured(file, measured)
        if scene.unfinished:
            _complete(scene.pair, scene.unfinished, tools)


def _wants_saliency() -> bool:
    wanted = st.toggle("Show what moved the prediction", key="saliency")
    if doubt := saliency_doubt(resources.card().metrics.get("saliency")):
        st.markdown(f":small[{doubt}]")
    return wanted


def _asked(pair: StoredPair, scene: Scene) -> dict[str, Any]:
    goto = st.session_state.get(_GOTO)
    return {
        "goto": goto if goto and goto["pair"] == pair.pair_key else None,
        "view": st.query_params.get("view", ""),
        "waiting": "The model is still outlining the tumours…" if scene.unfinished else "",
    }


def _go_to(pair: StoredPair, visit: int, at: Triple) -> None:
    """Bring the viewer to a place of one scan; the other one follows."""
    n = st.session_state.get(_GOTO, {"n": 0})["n"] + 1
    st.session_state[_GOTO] = {"n": n, "pair": pair.pair_key, "visit": visit, "at": list(at)}


def _mount(pair: StoredPair, data: dict[str, Any]) -> None:
    def hand_over(name: str) -> Any:
        return st.session_state[KEY].get(name)

    _component(
        key=KEY,
        data=data,
        on_drawn_change=lambda: keep_measurements(pair, hand_over("drawn")),
        on_forgotten_change=lambda: forget_measurement(pair, hand_over("forgotten")),
        on_offset_change=lambda: keep_offset(pair, hand_over("offset")),
    )


# --- What takes some seconds, once a pair ---------------------------------------------------


def _complete(
    pair: StoredPair, prepared: tuple[PreparedScan, PreparedScan], tools: Workshop
) -> None:
    """Outline the tumours and align the scans, while they can already be looked at."""
    words = "Outlining the tumours and aligning the scans (once for each pair, some seconds)…"
    with explained("The outlines", stop=False), st.spinner(words):
        scans = pair.baseline_sha256, pair.follow_up_sha256
        for sha256, scan in zip(scans, prepared, strict=True):
            outline(sha256, scan, tools, lambda: resources.model())
        draw_link(scans, prepared, tools)
        st.rerun()


def _find_saliency(pair: StoredPair, tools: Workshop) -> None:
    """Ask the model what moved its answer."""
    with st.spinner("Asking the model what moved its answer (some seconds)…"):
        draw_saliency(open_pair(pair, tools), pair.pair_key, tools, lambda: resources.model())


def open_pair(pair: StoredPair, tools: Workshop) -> ScanPair:
    """Both scans of a stored pair with their voxels.

    Raises:
        NotInStore: They are no longer kept.
    """
    volumes = [_volume(pair.baseline_sha256, tools), _volume(pair.follow_up_sha256, tools)]
    return ScanPair(volumes[0], volumes[1], pair.interval_days, pair.findings)


def _volume(sha256: str, tools: Workshop) -> Volume:
    volume = VolumeCache(tools.cache).get(sha256) if tools.cache else None
    if volume is None:
        raise NotInStore(
            "The images of these scans are no longer kept: only the most recent ones are.",
            "Upload both scans again to see them; the result is kept and will not change.",
        )
    return volume
