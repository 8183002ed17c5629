// Which HU become which grey.

/** Centre ± half the width, HU. @typedef {{centre: number, width: number}} Window */

/** On the number keys, in this order. @type {[string, Window][]} */
export const PRESETS = [
  ["Lung", { centre: -600, width: 1500 }],
  ["Mediastinum", { centre: 40, width: 400 }],
  ["Bone", { centre: 400, width: 1800 }],
  ["Liver", { centre: 60, width: 160 }],
];

const OFFSET = 32768;

/** The grey of one value, 0 to 255. @param {Window} window @param {number} hu */
export const grey = (window, hu) =>
  Math.round(255 * Math.min(Math.max((hu - window.centre) / window.width + 0.5, 0), 1));

/** The pixel of every int16 value, at value + 32768. @param {Window} window
 * @returns {Uint32Array} */
export function table(window) {
  const pixels = new Uint32Array(2 * OFFSET);
  for (let n = 0; n < pixels.length; n++) {
    pixels[n] = 0xff000000 | (grey(window, n - OFFSET) * 0x010101);
  }
  return pixels;
}

/** The preset that this window is, or null. @param {Window} window */
export const presetName = (window) =>
  PRESETS.find(([, p]) => p.centre === window.centre && p.width === window.width)?.[0] ?? null;
