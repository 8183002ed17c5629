// What is looked at, as a word in the page's address: a link brings it back.

import { PLANES, clamp } from "./geometry.js";

/** @typedef {import("./viewer.js").State} State */
/** @typedef {import("./nouns.js").Point} Point */

/** @param {State} state */
export const encode = (state) =>
  [
    state.plane,
    ...state.at[0].map((mm) => mm.toFixed(1)),
    ...state.at[1].map((mm) => mm.toFixed(1)),
    ...state.pan.map((mm) => mm.toFixed(1)),
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
  const numbers = parts.slice(1, 14).map(Number);
  const flags = parts[14] ?? "";
  const known = parts.length === 15 && Object.hasOwn(PLANES, parts[0]) && /^[01]{4}$/.test(flags);
  const [centre, width, zoom, opacity] = numbers.slice(9);
  if (!known || !numbers.every(Number.isFinite) || width < 1 || zoom <= 0) return null;
  const [contours, fill, crosshair, linked] = [...flags].map((flag) => flag === "1");
  return {
    plane: /** @type {State["plane"]} */ (parts[0]),
    at: [/** @type {Point} */ (numbers.slice(0, 3)), /** @type {Point} */ (numbers.slice(3, 6))],
    pan: /** @type {Point} */ (numbers.slice(6, 9)),
    window: { centre, width },
    zoom: clamp(zoom, 0.5, 10),
    opacity: clamp(opacity, 0, 1),
    contours,
    fill,
    crosshair,
    linked,
  };
}
