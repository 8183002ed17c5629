// What is drawn over a slice: colours of the saliency, fills, outlines and lesions' names.

import { surface } from "./dom.js";
import { contour } from "./contour.js";
import { cut, labelAt } from "./layer.js";
import { toScreen } from "./geometry.js";

/** @typedef {import("./geometry.js").View} View */
/** @typedef {import("./nouns.js").Point} Point */
/** @typedef {import("./volume.js").Volume} Volume */
/** @typedef {import("./layer.js").Cut} Cut */

// Okabe & Ito's: told apart without seeing red or green.
export const LOWERED = [230, 159, 0];
export const RAISED = [86, 180, 233];
export const TUMOUR = "#ffe14d";
export const LUNGS = "#7fdbff";
const FAINT = 0.08; // saliency below this share of the strongest would veil the image
const HALF = 127.5;
const DARK = "rgba(0, 0, 0, 0.75)"; // what lies beneath lines and words: bone and fat are white

/** @param {number[]} rgb @param {number} alpha  0 to 1 */
const pixel = ([r, g, b], alpha) => ((Math.round(alpha * 255) << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** The pixel of a saliency of -127 … 127. @param {number} value */
export function tint(value) {
  const strength = Math.min(Math.abs(value) / 127, 1);
  return strength < FAINT ? 0 : pixel(value > 0 ? RAISED : LOWERED, strength);
}

const FILL = pixel([255, 225, 77], 0.45);

export class Overlay {
  constructor() {
    this.small = surface();
    /** @type {ImageData | null} */
    this.image = null;
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {Volume} map
   * @param {number} mm @param {number} opacity */
  drawSaliency(context, view, map, mm, opacity) {
    const at = cut(map, view.plane, mm);
    if (at) this.#spread(context, view, map, at, tint, opacity);
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {Volume} map
   * @param {number} mm */
  drawFill(context, view, map, mm) {
    const at = cut(map, view.plane, mm);
    if (at) this.#spread(context, view, map, at, (value) => (value >= HALF ? FILL : 0), 1);
  }

  /** A cut as colours, stretched over the slice: only as much of it as has any, for what is
   * transparent takes as long to stretch. @param {CanvasRenderingContext2D} context
   * @param {View} view @param {Volume} map @param {Cut} at
   * @param {(value: number) => number} colour @param {number} opacity */
  #spread(context, view, map, at, colour, opacity) {
    const { u, v, flip } = view.plane;
    const { spacing, origin } = map.source;
    const image = this.#imageOf(at.width, at.height);
    const box = colourIn(at, flip, colour, new Uint32Array(image.data.buffer));
    if (!box) return;
    const [left, top, wide, high] = box;
    this.small.putImageData(image, 0, 0, left, top, wide, high);
    const corner = /** @type {Point} */ ([0, 0, 0]);
    corner[u] = origin[u] + (left - 0.5) * spacing[u];
    corner[v] = origin[v] + (flip ? at.height - 0.5 - top : top - 0.5) * spacing[v];
    const [x, y] = toScreen(view, corner);
    const [width, height] = [wide * spacing[u] * view.scale, high * spacing[v] * view.scale];
    context.globalAlpha = opacity;
    context.drawImage(this.small.canvas, left, top, wide, high, x, y, width, height);
    context.globalAlpha = 1;
  }

  /** @param {number} width @param {number} height */
  #imageOf(width, height) {
    if (this.image?.width !== width || this.image.height !== height) {
      this.small.canvas.width = width;
      this.small.canvas.height = height;
      this.image = this.small.createImageData(width, height);
    }
    return this.image;
  }
}

/** Colour a cut, and say which part of it has any: left, top, width and height, with a rim of one
 * pixel, from which the colours fade out. @param {Cut} at @param {boolean} flip
 * @param {(value: number) => number} colour @param {Uint32Array} pixels
 * @returns {[number, number, number, number] | null} */
export function colourIn(at, flip, colour, pixels) {
  let [left, top, right, bottom] = [at.width, at.height, -1, -1];
  for (let row = 0, n = 0; row < at.height; row++) {
    const down = flip ? at.height - 1 - row : row;
    for (let column = 0; column < at.width; column++, n++) {
      const pixel = colour(at.values[n]);
      pixels[down * at.width + column] = pixel;
      if (pixel === 0) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, down);
      bottom = Math.max(bottom, down);
    }
  }
  if (right < 0) return null;
  [left, top] = [Math.max(left - 1, 0), Math.max(top - 1, 0)];
  right = Math.min(right + 1, at.width - 1);
  bottom = Math.min(bottom + 1, at.height - 1);
  return [left, top, right - left + 1, bottom - top + 1];
}

/** @type {WeakMap<Cut, number[]>} */
const outlines = new WeakMap();

/** @param {Cut} at */
function outlineOf(at) {
  const known = outlines.get(at) ?? contour(at.values, at.width, at.height, HALF);
  outlines.set(at, known);
  return known;
}

/** The outline of a map at half its full value. @param {CanvasRenderingContext2D} context
 * @param {View} view @param {Volume} map @param {number} mm @param {string} colour
 * @param {number} thickness @param {number} unit  canvas pixels a CSS pixel
 * @returns {{at: Cut, segments: number[]} | null} */
export function drawOutline(context, view, map, mm, colour, thickness, unit) {
  const at = cut(map, view.plane, mm);
  if (!at) return null;
  const segments = outlineOf(at);
  const { u, v } = view.plane;
  const { spacing, origin } = map.source;
  const place = /** @type {Point} */ ([0, 0, 0]);
  context.beginPath();
  for (let n = 0; n < segments.length; n += 2) {
    place[u] = origin[u] + segments[n] * spacing[u];
    place[v] = origin[v] + segments[n + 1] * spacing[v];
    const [x, y] = toScreen(view, place);
    if (n % 4 === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  stroke(context, colour, thickness, unit);
  return { at, segments };
}

/** Where the name of each lesion in the slice belongs: right of its outline, by its label.
 * @param {View} view @param {Volume} labels @param {{at: Cut, segments: number[]}} drawn
 * @returns {Map<number, [number, number]>} */
export function namePlaces(view, labels, { at, segments }) {
  const { u, v } = view.plane;
  const { spacing, origin } = labels.source;
  /** @type {Map<number, [number, number]>} */
  const places = new Map();
  for (let n = 0; n < segments.length; n += 2) {
    const [column, row] = [Math.round(segments[n]), Math.round(segments[n + 1])];
    const label = labelAt(labels, view.plane, at, column, row);
    if (!label) continue;
    const place = /** @type {Point} */ ([0, 0, 0]);
    place[u] = origin[u] + segments[n] * spacing[u];
    place[v] = origin[v] + segments[n + 1] * spacing[v];
    const spot = toScreen(view, place);
    const known = places.get(label);
    if (!known || spot[0] > known[0]) places.set(label, spot);
  }
  return places;
}

/** Draw the path so that it is seen on any grey. @param {CanvasRenderingContext2D} context
 * @param {string} colour @param {number} thickness  in canvas pixels
 * @param {number} unit  canvas pixels a CSS pixel */
export function stroke(context, colour, thickness, unit) {
  context.strokeStyle = DARK;
  context.lineWidth = thickness + 2 * unit;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  context.stroke();
}

/** Text that can be read on any grey, and to its end: beside the edge it begins further left. @param {CanvasRenderingContext2D} context
 * @param {string} text @param {[number, number]} spot @param {string} colour
 * @param {number} unit  canvas pixels a CSS pixel */
export function write(context, text, [x, y], colour, unit) {
  context.lineJoin = "round"; // a sharp corner would grow thorns
  context.lineWidth = 4 * unit;
  context.strokeStyle = DARK;
  const { width } = context.canvas;
  const last = width - context.measureText(text).width - 4 * unit;
  const left = context.textAlign === "left" && x < width ? Math.min(x, last) : x;
  context.strokeText(text, left, y);
  context.fillStyle = colour;
  context.fillText(text, left, y);
}
