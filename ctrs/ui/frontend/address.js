// What is looked at, as a word in the page's address: a link brings it back.

import { PLANES } from "./geometry.js";

/** @typedef {import("./viewer.js").State} State */
/** @typedef {import("./nouns.js").Point} Point */

/** @param {State} state */
export const encode = (state) =>
  [
    state.plane,
    ...state.at[0].map((mm) => mm.toFixed(1)),
    ...state.at[1].map((mm) => mm.toFixed(1)),
    Math.round(state.window.centre),
    Math.round(state.window.width),
    state.zoom.toFixed(2),
    state.opacity.toFixed(2),
    [state.contours, state.fill, state.crosshair, state.linked].map(Number).join(""),
  ].join("_");

/** What a word says, or null if it was not made by `encode`. @param {string} word
 * @returns {Partial<State> | null} */
export function decode(word) {
  const parts = word.split("_");
  const numbers = parts.slice(1, 11).map(Number);
  const flags = parts[11] ?? "";
  const known = parts.length === 12 && parts[0] in PLANES && /^[01]{4}$/.test(flags);
  if (!known || !numbers.every(Number.isFinite) || numbers[7] < 1 || numbers[8] <= 0) return null;
  const [contours, fill, crosshair, linked] = [...flags].map((flag) => flag === "1");
  return {
    plane: /** @type {State["plane"]} */ (parts[0]),
    at: [/** @type {Point} */ (numbers.slice(0, 3)), /** @type {Point} */ (numbers.slice(3, 6))],
    window: { centre: numbers[6], width: numbers[7] },
    zoom: Math.min(Math.max(numbers[8], 0.5), 10),
    opacity: Math.min(Math.max(numbers[9], 0), 1),
    contours,
    fill,
    crosshair,
    linked,
  };
}
