// Every key, what it does, and how the cheat sheet says it.

import { clamp } from "./geometry.js";
import { PRESETS } from "./windows.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */

/**
 * @typedef {object} Lesson
 * @property {string[]} keys  as `KeyboardEvent.key` has them
 * @property {string} shown
 * @property {string} words
 * @property {(viewer: Viewer, event: KeyboardEvent) => unknown} act
 */

const STEP_HU = 50;

/** @type {Record<string, [number, number]>} */
const ARROWS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  j: [-1, 0], l: [1, 0], i: [0, -1], k: [0, 1],
};

/** @type {Record<string, number>} */
const SLICES = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 };

/** @type {Record<string, [number, number]>} */
const WINDOW = { "[": [0, -1], "]": [0, 1], ",": [-1, 0], ".": [1, 0] };

/** @type {Lesson[]} */
export const LESSONS = [
  { keys: Object.keys(SLICES), shown: "↑ ↓, Page ↑ ↓", words: "one slice, ten slices",
    act: (v, e) => v.step(v.active, SLICES[e.key]) },
  { keys: ["Home", "End"], shown: "Home, End", words: "first and last slice",
    act: (v, e) => v.goToSlice(v.active, e.key === "Home" ? 0 : 1e6) },
  { keys: ["a", "c", "s"], shown: "A C S", words: "axial, coronal, sagittal",
    act: (v, e) => {
      const plane = /** @type {const} */ ({ a: "axial", c: "coronal", s: "sagittal" })[
        /** @type {"a" | "c" | "s"} */ (e.key)
      ];
      v.set({ plane }, plane);
    } },
  { keys: PRESETS.map((_, n) => String(n + 1)), shown: "1 2 3 4",
    words: `window: ${PRESETS.map(([name]) => name.toLowerCase()).join(", ")}`,
    act: (v, e) => {
      const [name, window] = PRESETS[Number(e.key) - 1];
      v.set({ window }, `${name} window`);
    } },
  { keys: Object.keys(WINDOW), shown: "[ ]   , .", words: "window narrower or wider; darker or brighter",
    act: (v, e) => {
      const { centre, width } = v.state.window;
      const [shift, widen] = WINDOW[e.key];
      v.setWindow(centre - shift * STEP_HU, width + widen * STEP_HU);
    } },
  { keys: ["+", "=", "-", "0"], shown: "+ − 0", words: "larger, smaller, all in view",
    act: (v, e) => {
      if (e.key === "0") v.set({ zoom: 1, pan: [0, 0, 0] });
      else v.zoomBy(e.key === "-" ? 1 / 1.2 : 1.2);
    } },
  { keys: ["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"],
    shown: "Shift and arrows", words: "move the picture",
    act: (v, e) => v.panBy(...moved(ARROWS[e.key], 20)) },
  { keys: ["i", "j", "k", "l"], shown: "I J K L", words: "move the crosshair by a voxel; with Shift by ten",
    act: (v, e) => v.nudge(v.active, ...ARROWS[e.key]) },
  { keys: ["I", "J", "K", "L"], shown: "", words: "",
    act: (v, e) => v.nudge(v.active, ...moved(ARROWS[e.key.toLowerCase()], 10)) },
  { keys: ["x"], shown: "X", words: "crosshair on or off",
    act: (v) => v.set({ crosshair: !v.state.crosshair }) },
  { keys: ["o", "f"], shown: "O F", words: "outlines on or off; tumours filled or not",
    act: (v, e) => v.set(e.key === "o" ? { contours: !v.state.contours } : { fill: !v.state.fill }) },
  { keys: ["<", ">"], shown: "< >", words: "colours of the saliency weaker, stronger",
    act: (v, e) => v.set({ opacity: clamp(v.state.opacity + (e.key === "<" ? -0.1 : 0.1), 0, 1) }) },
  { keys: ["n", "p"], shown: "N P", words: "next, previous lesion",
    act: (v, e) => v.nextLesion(e.key === "n" ? 1 : -1) },
  { keys: ["m", "d"], shown: "M D",
    words: "measure a length, two diameters: once where it begins, once where it ends",
    act: (v, e) => v.measuring.pen(e.key === "m" ? "length" : "diameters") },
  { keys: ["v"], shown: "V", words: "choose the next measurement; M or D then draws it anew",
    act: (v) => v.measuring.next(1) },
  { keys: ["Delete", "Backspace"], shown: "Delete", words: "delete the chosen measurement",
    act: (v) => v.measuring.forget() },
  { keys: ["u"], shown: "U", words: "link or unlink the two scans",
    act: (v) => {
      const linked = !v.state.linked;
      v.set({ linked }, linked ? "Linked" : "Each scan by itself");
      if (linked) v.point(v.active, v.state.at[v.active]);
    } },
  { keys: ["U"], shown: "Shift U", words: "link them as they stand now, and remember it",
    act: (v) => v.linkHere() },
  { keys: ["w"], shown: "W", words: "full screen, for a projector", act: (v) => v.toggleScreen() },
  { keys: ["y"], shown: "Y", words: "copy a link to what is seen", act: (v) => v.copyLink() },
  { keys: ["Escape"], shown: "Esc", words: "drop what is being drawn; close this",
    act: (v) => {
      v.lessons.close();
      v.set({ tool: "point", chosen: "" });
      v.measuring.drop();
    } },
  { keys: ["?"], shown: "?", words: "these keys", act: (v) => v.lessons.toggle() },
];

/** @param {[number, number]} direction @param {number} by @returns {[number, number]} */
const moved = ([x, y], by) => [x * by, y * by];

/** @type {Map<string, Lesson>} */
const byKey = new Map(LESSONS.flatMap((lesson) => lesson.keys.map((key) => [key, lesson])));

/** @param {KeyboardEvent} event */
export function lessonOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const name = event.key.startsWith("Arrow") && event.shiftKey ? `Shift+${event.key}` : event.key;
  return byKey.get(name);
}
