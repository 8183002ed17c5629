// Measurements on the canvas: lines with their lengths, and which one lies under the pointer.

import { toScreen } from "./geometry.js";
import { words } from "./measure.js";
import { stroke, write } from "./overlay.js";

/** @typedef {import("./geometry.js").View} View */
/** @typedef {import("./nouns.js").Measurement} Measurement */
/** @typedef {import("./nouns.js").Point} Point */

const COLOUR = "#ff8ad8";
const CHOSEN = "#ffffff";

/** Whether a measurement was drawn in the slice that is seen. @param {Measurement} drawn
 * @param {View} view @param {Point} at @param {number} slice  mm from one slice to the next */
export const isSeen = (drawn, view, at, slice) =>
  Math.abs(drawn.lines[0][0][view.plane.w] - at[view.plane.w]) <= slice / 2 + 1e-6;

/** @param {CanvasRenderingContext2D} context @param {View} view @param {Measurement} drawn
 * @param {boolean} chosen @param {number} unit  canvas pixels a CSS pixel */
export function drawMeasurement(context, view, drawn, chosen, unit) {
  const colour = chosen ? CHOSEN : COLOUR;
  context.beginPath();
  for (const line of drawn.lines) {
    const [from, to] = line.map((end) => toScreen(view, end));
    context.moveTo(...from);
    context.lineTo(...to);
    for (const [x, y] of [from, to]) context.rect(x - 3 * unit, y - 3 * unit, 6 * unit, 6 * unit);
  }
  stroke(context, colour, 2 * unit, unit);
  const [x, y] = toScreen(view, drawn.lines[0][1]);
  context.textAlign = "left";
  write(context, words(drawn), [x + 8 * unit, y - 6 * unit], colour, unit);
}

/** The end of a line under the pointer. @param {View} view @param {Measurement[]} all
 * @param {[number, number]} pointer @param {number} reach  in canvas pixels
 * @returns {{drawn: Measurement, line: number, end: number} | null} */
export function endAt(view, all, [x, y], reach) {
  for (const drawn of all) {
    for (const [line, ends] of drawn.lines.entries()) {
      for (const [end, place] of ends.entries()) {
        const [px, py] = toScreen(view, place);
        if (Math.hypot(px - x, py - y) <= reach) return { drawn, line, end };
      }
    }
  }
  return null;
}
