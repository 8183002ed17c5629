// Buttons for those who know no keys, and the words that say what the colours mean.

import { make } from "./dom.js";
import { PRESETS, presetName } from "./windows.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./viewer.js").State} State */

const OPTIONS = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };
const TOOLS = { point: "Point", window: "Window", pan: "Move", length: "Length", diameters: "Two diameters" };

const LEGEND = [
  ["lowered", "Orange: what the model sees there lowered the predicted survival."],
  ["raised", "Blue: it raised it. The stronger the colour, the more. This is no tumour outline."],
];
const OUTLINES = [
  ["tumour", "Yellow line: what the model takes for tumour, seen on a grid of 3 mm."],
  ["lungs", "Pale blue line: lungs."],
];

const UNSURE =
  "Look whether both scans show the same place. If not: unlink them (U), bring them together," +
  " and press “Link here”; it is remembered.";

export class Toolbar {
  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** @type {[HTMLButtonElement, (state: State) => boolean][]} */
    this.switches = [];
    this.element = make("div", { className: "toolbar", role: "toolbar", "aria-label": "Viewer" });
    this.link = make("input", { type: "text", readOnly: true, hidden: true, className: "link",
      "aria-label": "Link to what is seen" });
    this.opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05,
      "aria-label": "Strength of the saliency's colours" });
    this.opacity.oninput = () => viewer.set({ opacity: Number(this.opacity.value) });
    this.saliency = make("label", { className: "saliency" }, "Colours ", this.opacity);
    this.#build();
  }

  #build() {
    const { viewer } = this;
    for (const [name, words] of Object.entries(OPTIONS)) {
      const plane = /** @type {import("./nouns.js").PlaneName} */ (name);
      this.#switch(words, (s) => s.plane === plane, () => viewer.set({ plane }));
    }
    this.#gap();
    for (const [name, window] of PRESETS) {
      this.#switch(name, (s) => presetName(s.window) === name, () => viewer.set({ window }));
    }
    this.#gap();
    for (const [tool, words] of Object.entries(TOOLS)) {
      const taken = /** @type {import("./viewer.js").Tool} */ (tool);
      this.#switch(words, (s) => s.tool === taken, () => viewer.measuring.take(taken));
    }
    this.#gap();
    this.#switch("Linked", (s) => s.linked, () => viewer.set({ linked: !viewer.state.linked }));
    this.#switch("Outlines", (s) => s.contours, () => viewer.set({ contours: !viewer.state.contours }));
    this.#switch("Fill", (s) => s.fill, () => viewer.set({ fill: !viewer.state.fill }));
    this.#switch("Crosshair", (s) => s.crosshair, () => viewer.set({ crosshair: !viewer.state.crosshair }));
    this.element.append(this.saliency);
    this.#button("Link here", () => viewer.linkHere());
    this.#button("Delete", () => viewer.measuring.forget());
    this.#button("Copy link", () => viewer.copyLink());
    this.#button("Full screen", () => viewer.toggleScreen());
    this.#button("Keys ?", () => viewer.lessons.toggle());
    this.element.append(this.link);
  }

  /** @param {string} words @param {(state: State) => boolean} isOn @param {() => unknown} act */
  #switch(words, isOn, act) {
    this.switches.push([this.#button(words, act), isOn]);
  }

  /** @param {string} words @param {() => unknown} act @returns {HTMLButtonElement} */
  #button(words, act) {
    const button = make("button", { type: "button" }, words);
    button.onclick = act;
    this.element.append(button);
    return button;
  }

  #gap() {
    this.element.append(make("span", { className: "gap", "aria-hidden": "true" }));
  }

  /** Bring the buttons to what is so. */
  refresh() {
    const { state, data } = this.viewer;
    for (const [button, isOn] of this.switches) {
      const on = String(isOn(state));
      if (button.getAttribute("aria-pressed") !== on) button.setAttribute("aria-pressed", on);
    }
    this.opacity.value = state.opacity;
    this.saliency.hidden = !data.scans.some((scan) => scan.saliency);
  }

  /** @param {string} href */
  showLink(href) {
    Object.assign(this.link, { value: href, hidden: false });
    this.link.select();
  }

  /** What stands below the scans. @returns {HTMLElement[]} */
  notes() {
    const { data } = this.viewer;
    const lines = [];
    if (data.scans.some((scan) => scan.saliency)) lines.push(...LEGEND);
    if (data.scans.some((scan) => scan.tumour)) lines.push(...OUTLINES);
    const notes = lines.map(([kind, words]) =>
      make("p", {}, make("span", { className: `swatch ${kind}`, "aria-hidden": "true" }), words),
    );
    const byHand = data.link.offset.some(Boolean);
    const doubt = data.link.sure ? "" : ` ${UNSURE}`;
    const how = data.link.how + (byHand ? " Moved by hand." : doubt);
    notes.push(make("p", { className: "how" }, how));
    if (data.waiting) notes.push(make("p", { className: "how" }, data.waiting));
    return notes;
  }
}
