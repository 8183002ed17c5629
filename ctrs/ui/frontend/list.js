// The lesions, and where the colours are strongest, as buttons: one press, and both scans show it.

import { make } from "./dom.js";

/** @param {number | null} ml */
const volume = (ml) => (ml === null ? "not seen" : `${ml.toFixed(1)} ml`);

/** @param {import("./nouns.js").Lesion} lesion */
export function wordsOf({ name, ml }) {
  const kind = ml[0] === null ? " · at follow-up only" : ml[1] === null ? " · no longer seen" : "";
  return `${name}: ${volume(ml[0])} → ${volume(ml[1])}${kind}`;
}

/** @param {import("./viewer.js").Viewer} viewer */
export function listOf(viewer) {
  const buttons = viewer.data.lesions.map((lesion) => {
    const chosen = lesion.name === viewer.state.lesion;
    const button = make("button", { type: "button", "aria-pressed": chosen }, wordsOf(lesion));
    button.onclick = () => viewer.goToLesion(lesion.name);
    return button;
  });
  viewer.data.strongest.forEach((place, visit) => {
    if (!place) return;
    const words = `Strongest colour, ${["baseline", "follow-up"][visit]}`;
    const button = make("button", { type: "button" }, words);
    button.onclick = () => viewer.lead(visit, place);
    buttons.push(button);
  });
  return buttons;
}
